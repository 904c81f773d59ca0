"""What ``python -m engine review`` answers: what stands decided, as rows and sentences."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.analysis.leaving_out import predicted_changes
from engine.checks import command
from engine.errors import WhenceError
from engine.review.agreement import agreement
from engine.review.events import Reviewer
from engine.review.files import read_decisions, write_decisions
from engine.review.incoming import ADDING, EFFECTS, apply, preview
from engine.review.labels import Label, Rules
from engine.review.outcome import leave_out_settings, to_drop
from engine.review.queues import Queue, queue_documents
from engine.review.review import Review
from engine.review.standing import STATES, Standing

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Told:
    """An answer: rows for ``--json`` and the terminal, and what is said about them."""

    rows: Rows
    columns: Sequence[str]
    said: str


def list_documents(review: Review, given: argparse.Namespace) -> Told:
    """Documents that anybody decided on, or those of a queue, as they stand."""
    viewer = _reviewer(given) if given.reviewer else None
    standings = review.standings(viewer)
    if given.queue is not None:
        numbers = queue_documents(review, Queue.from_query(given.queue), viewer)["document"].tolist()
    else:
        numbers = list(standings)
    documents = review.run.documents.set_index("document")
    rows = [
        {"id": documents.at[one, "id"], "document": documents.at[one, "title"]} | _stands(standings.get(one))
        for one in numbers
    ]
    counts = [f"{sum(row['state'] == state for row in rows):,} {state}" for state in STATES]
    other = review.decided_on_other_texts()
    more = f" {len(other):,} were decided under another text, which does not count here." if other else ""
    return Told(rows, ("document", "state", "label", "reviewers", "why"), f"{len(rows):,}: {', '.join(counts)}.{more}")


def _stands(found: Standing | None) -> dict[str, Any]:
    opinions = found.opinions if found else ()
    return {
        "state": found.state if found else "undecided",
        "label": found.label if found else "",
        "reviewers": "; ".join(f"{one.reviewer}: {one.label or 'no label'}" for one in opinions),
        "why": "; ".join(said for one in opinions for said in (one.why, *one.comments) if said),
        "hidden": found.hidden if found else 0,
    }


def export(review: Review, given: argparse.Namespace) -> Told:
    """Write the documents that the team agreed to keep or drop."""
    query = None if given.query is None else review.run.find_query(given.query)
    rows = write_decisions(review, Path(given.out), given.decision, query)
    states = [found.state for found in review.standings().values()]
    left = f"{states.count('waiting'):,} that wait for a second reviewer, {states.count('disagreed'):,} disagreed on"
    return Told([{"file": given.out, "rows": rows}], (), f"{given.out}: {rows:,} rows. Not in it: {left}.")


def take_over(review: Review, given: argparse.Namespace) -> Told:
    """Show what the decisions of a file would do; with --apply take some of them over."""
    reviewer = _reviewer(given)
    found = preview(review, read_decisions(Path(given.file)), reviewer)
    counts = found["effect"].value_counts()
    said = "\n".join(f"{counts[effect]:,} {effect}: {does}." for effect, does in EFFECTS.items() if effect in counts)
    if given.apply:
        batch = apply(review, found, reviewer, given.apply, Path(given.file).name)
        said += f"\nTaken over as decisions of {reviewer}: {len(batch.events) if batch else 0:,}."
    else:
        said += f"\nNothing was written; --apply {' '.join(ADDING)} takes over what is named."
    return Told(found.drop(columns="document").to_dict("records"), ("id", "label", "effect", "against"), said)


def labels(review: Review, given: argparse.Namespace) -> Told:
    """The team's labels and rules; define or retire one, or change the rules."""
    team = review.team
    if given.define:
        team.define_label(_reviewer(given), Label(given.define, given.colour, given.key or "", given.outcome))
    if given.retire:
        team.retire_label(_reviewer(given), given.retire)
    if given.needed is not None or given.blind is not None:
        rules = team.rules
        needed = rules.needed if given.needed is None else given.needed
        team.set_rules(_reviewer(given), Rules(needed, rules.blind if given.blind is None else given.blind == "yes"))
    rules = team.rules
    count = "One reviewer decides" if rules.needed == 1 else "Two reviewers must agree"
    blind = "others' labels are hidden until one's own" if rules.blind else "all labels are seen by all"
    rows = [asdict(label) for label in team.labels.values()]
    return Told(rows, ("name", "key", "colour", "outcome"), f"{count}; {blind}.")


def agree(review: Review, given: argparse.Namespace) -> Told:
    """Cohen's kappa of each two reviewers, with its interval."""
    rows = [
        row | {"first": str(row["first"]), "second": str(row["second"])} for row in agreement(review).to_dict("records")
    ]
    said = "Kappa: 0 is what chance gives, 1 is full agreement; low and high hold 95% over documents drawn anew."
    return Told(rows, tuple(rows[0]) if rows else (), said if rows else "No two reviewers labelled the same document.")


def predict(review: Review, given: argparse.Namespace) -> Told:
    """What leaving out the documents to drop would do to every completion, and the command that checks it."""
    run, documents = review.run, to_drop(review)
    if not documents:
        raise WhenceError("No document is agreed to be dropped -- there is nothing to predict -- review some first.")
    table = predicted_changes(run, documents)
    if table["predicted"].isna().any():
        return Told(
            table.drop(columns="query").to_dict("records"), (),
            "No change is predicted: the size of the training set is unknown, or a document was not scored.",
        )  # fmt: skip
    order = table["predicted"].astype(float).abs().sort_values(ascending=False, kind="stable").index
    table = table.loc[order]
    check = command("leave-out", asdict(leave_out_settings(run, int(table["query"].iloc[0]), documents)))
    said = (
        f"If the {len(documents):,} documents to drop had been left out, in {run.unit}. To check by training:\n{check}"
    )
    rows = table.drop(columns="query").to_dict("records")
    return Told(rows, ("title", "kind", "predicted"), said)


def _reviewer(given: argparse.Namespace) -> Reviewer:
    """Who was named; a name that is typed is unverified."""
    if not given.reviewer:
        raise WhenceError("No reviewer is named -- the record says who decided -- add --reviewer NAME.")
    return Reviewer(given.reviewer)
