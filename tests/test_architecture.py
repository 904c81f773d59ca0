"""Imports run in one direction: engine knows no page, mathematics no model, reading a run no torch."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"torch", "transformers"}
FILES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for folder in ("engine", "dashboard")
    for file in (ROOT / folder).rglob("*.py")
}
LIGHT_FOLDERS = ("analysis", "commands", "findings", "readers", "report", "review")
LIGHT = [
    *(
        "engine",
        "engine.run",
        "engine.store",
        "engine.steps",
        "engine.corpus",
        "engine.jobs",
        "engine.settings",
        "engine.export",
    ),
    *("engine.ask.answer", "engine.ask.kept", "engine.ask.show", "engine.index.settings", "engine.index.show"),
    *("engine.show", "engine.pipeline", "engine.progress", "engine.errors", "engine.checks", "engine.check.settings"),
    *("engine.export", "engine.__main__"),
    *(name for name in FILES if name.startswith(tuple(f"engine.{folder}" for folder in LIGHT_FOLDERS))),
]
DOORS = {
    *("dashboard.runs", "dashboard.data", "dashboard.jobs"),
    *(name for name in FILES if name.startswith("dashboard.analyses.")),
}
WORDS = "dashboard.components.text"
"""Words and numbers are the engine's, so that pages and reports say the same."""
VIEWS = [name for name in FILES if name.startswith("dashboard.views.")]


def statements(node: ast.AST, everywhere: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """Import statements; those inside functions (loaded late) and for type checkers only if ``everywhere``."""
    for child in ast.iter_child_nodes(node):
        late = isinstance(child, ast.FunctionDef) or (
            isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
        )
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif everywhere or not late:
            yield from statements(child, everywhere)


@cache
def imports(name: str, everywhere: bool = False) -> frozenset[str]:
    """Modules that a module of ours imports, as far down as they are ours."""
    found: set[str] = set()
    for statement in statements(ast.parse(FILES[name].read_text(encoding="utf-8")), everywhere):
        if isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names}
            continue
        assert statement.module, "relative imports are not used"
        inside = {f"{statement.module}.{alias.name}" for alias in statement.names}
        found |= {module if module in FILES else statement.module for module in inside}
    return frozenset(found - {name})


def reached(name: str) -> set[str]:
    """Everything that importing a module loads, its packages included, outside packages by their first name."""
    seen: set[str] = set()
    todo = {name}
    while todo:
        module = todo.pop()
        seen.add(module)
        packages = {module.rsplit(".", count)[0] for count in range(1, module.count(".") + 1)}
        if module in FILES:
            todo |= (imports(module) | (packages & FILES.keys())) - seen
    return {module if module in FILES else module.split(".")[0] for module in seen}


def test_the_modules_named_below_exist():
    assert set(LIGHT) <= FILES.keys()
    assert len(VIEWS) >= 2


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("engine")])
def test_the_engine_knows_no_page(name):
    outside = {module.split(".")[0] for module in imports(name, everywhere=True)}
    assert not outside & {"streamlit", "dashboard", "plotly"}


@pytest.mark.parametrize("name", LIGHT)
def test_reading_a_run_loads_no_torch(name):
    assert not reached(name) & HEAVY


def test_a_verb_waits_for_no_imports_of_another():
    """Reviews need a database and analyses scipy: together they double the time until a verb answers."""
    assert not reached("engine.__main__") & {"sqlalchemy", "scipy"}
    assert {"sqlalchemy", "scipy"} <= reached("engine.review.command") | reached("engine.analyse")


def test_what_needs_the_model_does_load_torch():
    """Else the test above would pass for a mistake in following imports."""
    assert all(reached(name) & HEAVY for name in ("engine.factors", "engine.scores", "engine.live"))


def test_the_mathematics_sees_tensors_only():
    outside = {module.split(".")[0] for module in imports("engine.ekfac", everywhere=True)}
    assert outside <= {"torch", *sys.stdlib_module_names}


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("dashboard")])
def test_no_page_sees_torch(name):
    assert not reached(name) & HEAVY


@pytest.mark.parametrize("name", VIEWS)
def test_views_use_the_doors_the_components_and_nothing_else_of_ours(name):
    for module in imports(name, everywhere=True):
        ours = module in (*DOORS, "dashboard.components") or module.startswith("dashboard.components.")
        assert ours or module.split(".")[0] in {"streamlit", "pandas", *sys.stdlib_module_names}, module


def test_pages_reach_the_engine_through_the_doors_only():
    users = {
        name for name in FILES if name.startswith("dashboard") and any(m.startswith("engine") for m in imports(name))
    }
    assert users == DOORS | {WORDS}


def test_no_imports_in_a_circle():
    """A package's ``__init__`` is no part of it: it gathers what its modules offer."""
    graph = {name: imports(name) & FILES.keys() - {"engine"} for name in FILES if name != "engine"}
    assert list(TopologicalSorter(graph).static_order())
