"""The server; start it with ``streamlit run dashboard/app.py``.

What pages import takes seconds. It is loaded while the reader still turns to the browser, not on their first visit.
"""

import importlib
import pkgutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Thread

REPOSITORY = Path(__file__).resolve().parents[1]
if str(REPOSITORY) not in sys.path:  # `streamlit run` puts only dashboard/ on the path
    sys.path.insert(0, str(REPOSITORY))

import streamlit as st  # noqa: E402

from dashboard import analyses, components  # noqa: E402


def load_what_pages_import() -> None:
    """Import every module behind the pages; none of them loads torch."""
    for package in (analyses, components):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)


@asynccontextmanager
async def serving(_: st.App) -> AsyncIterator[None]:
    """Serve at once, and load meanwhile."""
    Thread(target=load_what_pages_import, name="loading", daemon=True).start()
    yield


app = st.App(Path(__file__).with_name("navigation.py"), lifespan=serving)
