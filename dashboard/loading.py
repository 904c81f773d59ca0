"""Everything that pages import, loaded once by one thread, for which visits wait.

It takes seconds, so it begins when the server starts and not on the first visit. Two threads that import at once would
see modules of each other half done.
"""

import importlib
import pkgutil
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache

from dashboard import analyses, components

_THREAD = ThreadPoolExecutor(1, thread_name_prefix="loading")


@cache
def loading() -> Future[None]:
    """Begun by the first call; it is done once every module behind the pages is loaded, none of which loads torch."""
    return _THREAD.submit(_load)


def _load() -> None:
    for package in (analyses, components):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
