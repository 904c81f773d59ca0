"""How a statistic draws by chance, for tables that say where their numbers come from."""

import inspect
from collections.abc import Callable
from typing import Any


def drawn_by(function: Callable[..., Any]) -> dict[str, int]:
    """The draws and the seed that a function takes where it is given none: ``draws``, ``seed``."""
    taken = inspect.signature(function).parameters
    return {name: taken[name].default for name in ("draws", "seed") if name in taken}
