"""A group of completions to look at together: all, those of a kind, or some that are picked."""

from dataclasses import dataclass

import streamlit as st

from dashboard import data
from dashboard.components import text

ALL, PICKED, NOBODY = "All completions", "Picked completions", "Nothing"


@dataclass(frozen=True)
class QueryGroup:
    """Completions that a page looks at together.

    Attributes:
        name: What it is called, plain and untrusted.
        each: One of them in a sentence, Markdown: ``each Fact completion``.
        queries: Their numbers.
    """

    name: str
    each: str
    queries: tuple[int, ...]

    @property
    def size(self) -> str:
        """How many they are, in words."""
        return f"{len(self.queries):,} completion{'' if len(self.queries) == 1 else 's'}"


def choose_group(run: data.Run, key: str, label: str, second: bool = False) -> QueryGroup | None:
    """Let a group be chosen; the choice is in the address.

    Args:
        run: The run.
        key: What the address calls the choice; completions that are picked are in ``{key}_picked``.
        label: What the page calls it.
        second: Whether it stands beside another group and may be left out; else the first kind is offered first.

    Returns:
        The group; None where none is chosen, or nothing is picked yet.
    """
    completions = data.completions(run)
    kinds = {text.plain(one.kind): one.kind for one in completions}
    kinds = {name if name not in (ALL, PICKED, NOBODY) else f"{name} (kind)": kind for name, kind in kinds.items()}
    options = [*([NOBODY] if second else []), *kinds, *([ALL] if len(kinds) > 1 else []), PICKED]
    chosen = st.selectbox(label, options, key=key, bind="query-params", width=250, filter_mode="contains")
    if chosen == NOBODY:
        return None
    if chosen == PICKED:
        return _picked(completions, f"{key}_picked")
    numbers = tuple(one.query for one in completions if chosen == ALL or one.kind == kinds[chosen])
    each = "completion" if chosen == ALL else f"{text.escape(chosen)} completion"
    return QueryGroup(chosen, f"{'each' if len(numbers) > 1 else 'the'} {each}", numbers)


def _picked(completions: list[data.Completion], key: str) -> QueryGroup | None:
    by_label = {text.plain(one.label): one for one in completions}
    labels = st.multiselect(
        "Completions to pick", list(by_label), key=key, bind="query-params", placeholder="Pick completions",
        filter_mode="contains", width=420,
    )  # fmt: skip
    found = [by_label[label] for label in labels]
    if not found:
        return None
    each = f"“{text.escape(found[0].label, 80)}”" if len(found) == 1 else f"each of the {len(found)} picked completions"
    name = text.plain(found[0].label, 40) if len(found) == 1 else "Picked"
    return QueryGroup(name, each, tuple(one.query for one in found))
