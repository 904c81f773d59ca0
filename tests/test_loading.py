"""What pages import is loaded by one thread, and visits wait for it."""

import subprocess
import sys

from engine.machine import repository_folder

PROGRAM = """
import sys
from dashboard.loading import loading

begun = {name for name in sys.modules if name.startswith(("engine", "dashboard.components.", "dashboard.analyses."))}
assert not begun, begun  # whoever waits has imported nothing of it
loading().result()

import pkgutil
from dashboard import analyses, components
for package in analyses, components:
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        assert module.name in sys.modules, module.name
assert loading() is loading()
assert "torch" not in sys.modules
"""


def test_all_that_pages_import_is_loaded_by_one_thread():
    """Where two first visits imported at once, one saw modules of the other half done and the page failed."""
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=repository_folder(), capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr


def test_navigation_imports_nothing_of_ours_before_it_is_loaded():
    lines = (repository_folder() / "dashboard" / "navigation.py").read_text(encoding="utf-8").splitlines()
    waits = next(number for number, line in enumerate(lines) if "loading().result()" in line)
    ours = [number for number, line in enumerate(lines) if line.startswith(("from dashboard", "from engine"))]
    assert [lines[number] for number in ours if number < waits] == ["from dashboard.loading import loading"]
