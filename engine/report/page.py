"""From a run to the report's file."""

import shlex
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from engine import words
from engine.check.calibration import CALIBRATED, NOT_CALIBRATED, calibration_figures
from engine.check.found import Calibration
from engine.checks import HOME
from engine.errors import RunError
from engine.findings.claims import CLAIMS
from engine.progress import Progress, SilentProgress
from engine.report.completion import Section, section
from engine.report.facts import commands, facts, shown_path
from engine.report.findings import findings, findings_command
from engine.report.trust import VERDICTS, Trust, trust
from engine.run import Run
from engine.writing import writing

HERE = Path(__file__).parent


def choose_completions(run: Run, names: Sequence[str] = (), per_kind: int | None = 1) -> list[int]:
    """Numbers of the queries to report.

    Args:
        run: The run.
        names: Ids or titles; empty for the first of each kind.
        per_kind: How many of each kind; None for all.

    Raises:
        RunError: If a name is unknown.
    """
    if names:
        return list(dict.fromkeys(run.find_query(name) for name in names))
    queries = run.queries if per_kind is None else run.queries.groupby("kind", sort=False).head(per_kind)
    return [int(query) for query in queries["query"]]


def render_report(run: Run, queries: Sequence[int], home: Path = HOME, progress: Progress | None = None) -> str:
    """The report as HTML.

    Args:
        run: The run.
        queries: Numbers of the queries to report.
        home: Folder of the results of checks that belong to no run.
        progress: Where the completions done are reported.

    Raises:
        RunError: If no document was scored, or the run was imported.
    """
    run.folder.need_model()
    if not run.scored_documents:
        raise RunError(
            f"{run.path} scored no document -- there is nothing to report -- compute it again in another folder, the "
            "score step without `--prefilter`."
        )
    known, where = trust(run, home), shlex.quote(shown_path(str(run.path)))
    sections = list(_sections(run, known, queries, progress or SilentProgress()))
    return _environment().get_template("report.html").render(
        run=run, facts=facts(run), commands=commands(run), sections=sections, trust=known, words=words,
        findings=findings(run), findings_command=findings_command(run), claims=len(CLAIMS),
        verdicts=VERDICTS, tokens_command=f"python -m engine tokens --run {where}",
        variants_command=f"python -m engine analyse word-order --run {where}",
    )  # fmt: skip


def _sections(run: Run, known: Trust, queries: Sequence[int], progress: Progress) -> Iterator[Section]:
    """Each completion's part: on the sample about a second of one core."""
    ids = run.queries.set_index("query")["id"]
    progress.start("Writing the report", len(queries), "completions")
    for query in queries:
        yield section(run, query, known.verdicts.get(ids[query]), known.left_out.get(ids[query], ()))
        progress.advance(1)
    progress.finish()


def write_report(
    run: Run, out: str | Path, queries: Sequence[int], home: Path = HOME, progress: Progress | None = None
) -> int:
    """Write the report, whole or not at all; its size in bytes.

    Arguments as of :func:`render_report`; ``out`` is the file.

    Raises:
        RunError: If no document was scored, or the file cannot be written.
    """
    content = render_report(run, queries, home, progress).encode("utf-8")
    with writing(Path(out)) as part:
        part.write_bytes(content)
    return len(content)


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= {name: getattr(words, name) for name in ("number", "share", "plain", "date", "language")}
    made.filters |= {"exact": exact, "codes": codes, "quoted": shlex.quote}
    made.filters["calibrated"] = calibrated
    made.globals["not_calibrated"] = NOT_CALIBRATED
    made.globals["style"] = Markup((HERE / "report.css").read_text(encoding="utf-8"))
    return made


def calibrated(found: Calibration) -> Markup:
    """How predicted changes compared with training again, its numbers in bold."""
    figures: dict[str, str] = calibration_figures(found)
    told = {name: Markup("<strong>{}</strong>").format(figures[name]) for name in ("slope", "correlation")}
    return Markup(CALIBRATED).format_map(figures | {"corpus": words.plain(figures["corpus"], 80)} | told)


def exact(text: str) -> Markup:
    """Text that a browser reads back as it is: it would turn a carriage return into a line feed."""
    return Markup(escape(text).replace("\r", Markup("&#13;")))


def codes(text: str) -> str:
    """The characters of a text by their numbers, as ``202e``."""
    return " ".join(f"{ord(one):x}" for one in text)
