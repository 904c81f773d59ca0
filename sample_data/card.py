"""The tables of the card ``README.md``, written by the scripts that know the figures."""

from pathlib import Path

CARD = Path(__file__).parent / "README.md"


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [heads, ["---"] * len(heads), *rows])


def rewrite_section(name: str, body: str, card: Path = CARD) -> None:
    """Replace what stands between ``<!-- name -->`` and ``<!-- end name -->`` in the card.

    Raises:
        ValueError: If the card lacks the two marks.
    """
    text = card.read_text(encoding="utf-8")
    start, end = f"<!-- {name} -->", f"<!-- end {name} -->"
    if start not in text or end not in text:
        raise ValueError(f"{card.name} lacks the marks {start} and {end} -- put them back where the tables belong")
    before, rest = text.split(start, 1)
    after = rest.split(end, 1)[1]
    card.write_text(f"{before}{start}\n{body}\n{end}{after}", encoding="utf-8")
