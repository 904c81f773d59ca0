"""The server; start it with ``streamlit run dashboard/app.py``."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
if str(REPOSITORY) not in sys.path:  # `streamlit run` puts only dashboard/ on the path
    sys.path.insert(0, str(REPOSITORY))

import streamlit as st  # noqa: E402

from dashboard.loading import loading  # noqa: E402


@asynccontextmanager
async def serving(_: st.App) -> AsyncIterator[None]:
    """Serve at once, and load meanwhile."""
    loading()
    yield


app = st.App(Path(__file__).with_name("navigation.py"), lifespan=serving)
