"""All three steps from one TOML file, or from one of the embedded samples."""

import tomllib
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

from engine.corpus import corpus_hash, queries_hash, read_corpus, read_queries
from engine.errors import WhenceError
from engine.group import this_group
from engine.machine import repository_folder
from engine.progress import Progress
from engine.readers.settings import ReadingSettings
from engine.settings import SETTINGS, FitSettings, QuerySettings, ScoreSettings, deciding
from engine.store import STEPS, RunFolder

SAMPLES = ("sample", "sample-large", "sample-base", "sample-large-base")
"""Names of the embedded samples: one corpus, four models; the first is the small one."""
INPUTS = ("run", "model", "corpus", "queries")
SECTIONS = {"reading": ReadingSettings, **SETTINGS}


@dataclass(frozen=True)
class RunConfig:
    """What a TOML file asks for; ``about`` says in a line what the run is, for readers."""

    run: str
    model: str
    corpus: str
    queries: str
    fit: FitSettings
    query: QuerySettings
    score: ScoreSettings
    about: str = ""
    reading: ReadingSettings = field(default_factory=ReadingSettings)


def read_config(file: str | Path) -> RunConfig:
    """Read a TOML file; the name of an embedded sample stands for its file.

    Paths are taken from the folder the program runs in, those of an embedded sample from
    the repository.

    Raises:
        WhenceError: If the file is missing, not TOML, or holds an unknown or missing setting.
    """
    path = sample_file(str(file)) if str(file) in SAMPLES else Path(file)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WhenceError(
            f"{file} cannot be read as a TOML file ({error}) -- there is nothing to run -- mend it."
        ) from None
    unknown = content.keys() - {*INPUTS, "about", *SECTIONS}
    missing = set(INPUTS) - content.keys()
    if unknown or missing:
        wrong = f"has unknown entries {sorted(unknown)}" if unknown else f"lacks {sorted(missing)}"
        sections = ", ".join(f"[{section}]" for section in SECTIONS)
        raise WhenceError(f"{file} {wrong} -- a run needs {', '.join(INPUTS)} and may have {sections}.")
    texts = {"about": ""} | {name: content[name] for name in (*INPUTS, "about") if name in content}
    for name, value in texts.items():
        if not isinstance(value, str):
            raise WhenceError(f"{file}: {name} is {value!r}, not text -- write it in quotes.")
    if path.resolve() in [sample_file(name).resolve() for name in SAMPLES]:
        texts |= {name: str(repository_folder() / texts[name]) for name in INPUTS}
    settings = {step: make(**_known(step, make, content.get(step, {}), file)) for step, make in SECTIONS.items()}
    return RunConfig(**texts, **settings)  # type: ignore[arg-type]


def sample_file(name: str) -> Path:
    """The TOML file of an embedded sample."""
    return repository_folder() / "sample_data" / f"{name}.toml"


def run_folder(name: str | Path) -> Path:
    """The run that a name stands for: an embedded sample, a TOML file, or a run folder itself."""
    return Path(name) if Path(name).is_dir() else Path(read_config(name).run)


def _known(step: str, make: type, given: dict[str, Any], file: str | Path) -> dict[str, Any]:
    names = [field.name for field in fields(make)]
    if not isinstance(given, dict):
        raise WhenceError(f"{file}: {step} is {given!r} -- its settings stand below a line [{step}].")
    unknown = given.keys() - set(names)
    if unknown:
        raise WhenceError(f"{file}: [{step}] has no setting {sorted(unknown)} -- it has {', '.join(names)}.")
    types = get_type_hints(make)
    return {name: _typed(value, types[name], f"{file}: [{step}] {name}") for name, value in given.items()}


def _typed(value: Any, annotation: Any, place: str) -> Any:
    """The value if it has the setting's type; ``all`` stands for None, which TOML cannot write."""
    types = get_args(annotation) or (annotation,)
    types = (int, *types) if float in types else types
    if value == "all" and type(None) in types:
        return None
    if type(value) not in types:
        names = [one.__name__ for one in types if one is not type(None)] + ["'all'"] * (type(None) in types)
        raise WhenceError(f"{place} is {value!r} -- write it as {' or '.join(names)}.")
    return value


def run_config(file: str | Path, progress: Progress, run: str | None = None) -> Path:
    """Compute all three steps of a TOML file; finished steps are not computed again.

    Args:
        file: The TOML file, or the name of an embedded sample.
        progress: Where progress is reported.
        run: Folder of the run in place of the file's.

    Returns:
        The run's folder.

    Raises:
        WhenceError: If an input cannot be used, or the run holds results of other inputs.
    """
    config = read_config(file)
    config = replace(config, run=run) if run else config
    if not is_computed(config):
        compute(config, progress)
    return Path(config.run)


def is_computed(config: RunConfig) -> bool:
    """Whether the run is finished with these settings, corpus and queries; the model is not loaded for it."""
    folder = RunFolder(Path(config.run))
    if not all(folder.is_finished(step) for step in STEPS):
        return False
    steps = folder.manifest()["steps"]
    config = replace(config, query=config.query.for_estimator(config.fit.estimator))
    asked = {step: deciding(step, asdict(getattr(config, step))) for step in STEPS}
    return (
        all(deciding(step, steps[step]["settings"]) == asked[step] for step in STEPS)
        and steps["fit"]["model"] in (config.model, str(Path(config.model).resolve()))
        and steps["fit"]["inputs"]["corpus_hash"] == corpus_hash(read_corpus(config.corpus, config.reading))
        and steps["query"]["inputs"]["queries_hash"] == queries_hash(read_queries(config.queries))
    )


def compute(config: RunConfig, progress: Progress) -> None:
    """The three steps with one loaded model; under torchrun by all processes together."""
    from engine.factors import fit  # imported here, since they take seconds to import
    from engine.loading import load_model
    from engine.queries import query
    from engine.scores import score

    this_group()  # before the model is loaded, as each process has a GPU of its own
    model = load_model(config.model, config.fit.device, config.fit.dtype, config.fit.context)
    fit(config.run, model, config.corpus, config.fit, progress, config.reading)
    query(config.run, config.queries, config.query, progress, model)
    score(config.run, config.score, progress, model)
