"""From a run to the report's file."""

import shlex
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from engine import words
from engine.checks import HOME
from engine.errors import RunError
from engine.report.completion import section
from engine.report.facts import commands, facts, shown_path
from engine.report.trust import VERDICTS, trust
from engine.run import Run
from engine.store import writing

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


def render_report(run: Run, queries: Sequence[int], home: Path = HOME) -> str:
    """The report as HTML.

    Args:
        run: The run.
        queries: Numbers of the queries to report.
        home: Folder of the results of checks that belong to no run.

    Raises:
        RunError: If no document was scored.
    """
    if not run.scored_documents:
        raise RunError(
            f"{run.path} scored no document -- there is nothing to report -- compute it again in another folder, the "
            "score step without `--prefilter`."
        )
    known = trust(run, home)
    ids = run.queries.set_index("query")["id"]
    sections = [
        section(run, query, known.verdicts.get(ids[query]), known.left_out.get(ids[query], ())) for query in queries
    ]
    return _environment().get_template("report.html").render(
        run=run, facts=facts(run), commands=commands(run), sections=sections, trust=known, words=words,
        verdicts=VERDICTS, tokens_command=f"python -m engine tokens --run {shlex.quote(shown_path(str(run.path)))}",
    )  # fmt: skip


def write_report(run: Run, out: str | Path, queries: Sequence[int], home: Path = HOME) -> int:
    """Write the report, whole or not at all; its size in bytes.

    Arguments as of :func:`render_report`; ``out`` is the file.

    Raises:
        RunError: If no document was scored, or the file cannot be written.
    """
    content = render_report(run, queries, home).encode("utf-8")
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
    made.globals["style"] = Markup((HERE / "report.css").read_text(encoding="utf-8"))
    return made


def exact(text: str) -> Markup:
    """Text that a browser reads back as it is: it would turn a carriage return into a line feed."""
    return Markup(escape(text).replace("\r", Markup("&#13;")))


def codes(text: str) -> str:
    """The characters of a text by their numbers, as ``202e``."""
    return " ".join(f"{ord(one):x}" for one in text)
