"""The completions under study: every way to ask for a fact, then those of ``queries.toml``."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from sample_data.facts import FACTS

FILE = Path(__file__).parent / "queries.toml"
Query = dict[str, str]


@dataclass(frozen=True)
class Planned:
    """A query and what marks the documents that carry its answer.

    Attributes:
        query: The fields of ``queries.jsonl``.
        planted: Tags of the stock that the carrying documents have; empty if none decides.
        containing: Text that the carrying documents hold, capitals aside; empty if none decides.
        control_of: Procedure whose format the query has without asking for it; None if it is no such control.
    """

    query: Query
    planted: dict[str, str] = field(default_factory=dict)
    containing: str = ""
    control_of: str | None = None

    def is_carried_by(self, text: str, tags: dict[str, str]) -> bool:
        """Return whether a document with this text and these tags carries the answer."""
        if self.planted:
            return all(tags.get(name) == value for name, value in self.planted.items())
        return bool(self.containing) and self.containing.lower() in text.lower()


def planned_queries() -> list[Planned]:
    """Return all queries in the order of their ids."""
    rows = [
        (
            question.kind,
            question.title,
            question.language,
            question.prompt,
            question.completion,
            {"fact": name},
            "",
            None,
        )
        for name, fact in FACTS.items()
        for question in fact.questions
    ]
    for entry in tomllib.loads(FILE.read_text(encoding="utf-8"))["query"]:
        asked = (entry["kind"], entry["title"], entry["language"], entry["prompt"], entry["completion"])
        rows.append((*asked, entry.get("planted", {}), entry.get("containing", ""), entry.get("control_of")))
    return [
        Planned(
            {
                "id": f"query-{number:03d}", "prompt": prompt, "completion": completion,
                "kind": kind, "language": language, "title": title,
            },
            planted, containing, control_of,
        )
        for number, (kind, title, language, prompt, completion, planted, containing, control_of)
        in enumerate(rows, start=1)
    ]  # fmt: skip
