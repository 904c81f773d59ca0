"""How a job fares: its step, percent and time left; cancel, log, and what to do when it ended badly."""

from collections.abc import Callable

import streamlit as st

from dashboard import jobs
from dashboard.components import text

REFRESH_S = 1.0
LOG_LINES = 200
STATES = {"queued": "Waiting", "running": "Running", "done": "Done", "failed": "Failed", "cancelled": "Cancelled"}


def job_panel(find: Callable[[], jobs.Job | None], key: str) -> None:
    """Show a job and follow it until it ends; the page is drawn anew when it does.

    Args:
        find: Reads the job from the table, so that a reload finds it again.
        key: Name of the panel on the page.
    """
    job = find()
    if job is None:
        return
    watching = f"_watching_{key}"

    def body() -> None:
        now = find()
        if now is None:
            return
        if now.is_active:
            st.session_state[watching] = now.id
            _active(now, key)
        elif st.session_state.pop(watching, None) == now.id:
            st.rerun()
        else:
            _ended(now, key)

    st.fragment(body, run_every=REFRESH_S if job.is_active else None)()


def _active(job: jobs.Job, key: str) -> None:
    jobs.keep_working()
    with st.container(border=True):
        st.markdown(f"**{text.escape(job.title)}**")
        st.progress(job.fraction, text=_status(job))
        with st.container(horizontal=True):
            if job.cancel_requested:
                st.caption("Stopping at the next opportunity.")
                st.button("Stop now", key=f"{key}_stop", on_click=jobs.cancel, args=(job, True), help=STOP_HELP)
            else:
                st.button("Cancel", key=f"{key}_cancel", on_click=jobs.cancel, args=(job,))
        _log(job)


STOP_HELP = "Ends the process that does the work. What was stored so far stays."


def _status(job: jobs.Job) -> str:
    if job.state == "queued":
        return "Waiting for its turn."
    if not job.step:
        return "Starting: the model's libraries take a few seconds to load."
    left = "" if job.seconds_left is None else f" · about {text.duration(job.seconds_left)} left in this step"
    return f"{text.escape(job.step)} · {job.fraction:.0%} of {job.total:,} {text.escape(job.unit)}{left}"


def _ended(job: jobs.Job, key: str) -> None:
    if job.state == "failed":
        st.error(f"“{text.escape(job.title)}” failed: {text.escape(job.message, 600)}", icon=":material/error:")
    elif job.state == "cancelled":
        st.warning(
            f"“{text.escape(job.title)}” was cancelled. What was stored before stays, and starting it again goes on "
            "from there.",
            icon=":material/block:",
        )
    else:
        return
    st.button("Start again", key=f"{key}_again", on_click=jobs.submit_again, args=(job,), icon=":material/refresh:")
    _log(job)


def _log(job: jobs.Job) -> None:
    with st.expander("Log", key=f"log_{job.id}", on_change="rerun") as log:
        if log.open:
            lines = jobs.job_log(job).splitlines()[-LOG_LINES:]
            st.code(text.show_hidden("\n".join(lines)) or "Nothing yet.", language=None)
