"""The run in use: the address's, else the one chosen at the top right, else the first; and what a run cannot show."""

import streamlit as st

from dashboard import data, runs
from dashboard.components import text, url

RUN_PX = 260
WHAT_TO_DO = "Compute it again in another folder, the score step without `--prefilter`."
_LOST, _TOLD = "_lost_run", "_told_run"


def choose_run(page: str) -> None:
    """Offer the runs where there are several, and make one of them the run in use.

    A link to a run that is not here is said on the page it led to, until another run is chosen there.

    Args:
        page: Name of the page that is drawn.
    """
    offered = runs.named_runs()
    wanted = url.get("run")
    if wanted in offered:
        st.session_state.pop(_LOST, None)
    elif wanted and wanted != st.session_state.get(_TOLD):  # kept, as the choice below drops it from the address
        st.session_state[_LOST] = page
    if len(offered) > 1:
        with st.container(horizontal=True, horizontal_alignment="right", key="run_choice"):
            st.selectbox(
                "Run in use",
                list(offered),
                key="run",
                bind="query-params",
                on_change=_chosen,
                label_visibility="collapsed",
                width=RUN_PX,
                icon=":material/database:",
            )
    found = offered.get(st.session_state.get("run", next(iter(offered), "")))
    runs.use_run(found.path if isinstance(found, runs.UnreadableRun) else found)
    if offered and st.session_state.get(_LOST) == page:
        st.warning("The link names a run that is not here. Another one is shown.")


def _chosen() -> None:
    st.session_state.pop(_LOST, None)
    st.session_state[_TOLD] = url.get("run")
    runs.forget_choices()


def unreadable(run: runs.UnreadableRun) -> None:
    """Say why a run cannot be shown, and what to do."""
    name, place = text.escape(run.name), text.escape(str(run.path), 600)
    if run.why == "format":
        said = (
            f"The run “{name}” was made by another version of the program, so its tables would be misread. Compute it "
            f"again in another folder, or move its folder away: {place}"
        )
    else:
        said = (
            f"The manifest of the run “{name}” cannot be read, so what its tables were made from is unknown and they "
            "would be misread. Restore its manifest.json; or compute it again in another folder, or move its folder "
            f"away: {place}"
        )
    if run.sample:
        said += f"\n\n“{text.escape(run.sample)}” is computed in that folder, which must be moved away first."
    st.error(said, icon=":material/error:")


def need_scores(run: data.Run, so: str, whose: str = "This run", what_to_do: str = WHAT_TO_DO) -> None:
    """Go on only if the run scored any document; else say what the page lacks, and what to do.

    Args:
        run: The run.
        so: What follows for the page: ``there is nothing to rank``.
        whose: What the page calls the run.
        what_to_do: The next step.
    """
    if not run.scored_documents:
        st.info(f"{whose} scored no document, so {so}. {what_to_do}", icon=":material/info:")
        st.stop()
