"""Train on without some documents: what influence predicts for a completion beside what is measured."""

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import data
from dashboard.analyses import trust as analyses
from dashboard.components import text
from dashboard.components.document_panel import Choice
from dashboard.components.downloads import download
from dashboard.components.figure import show_figure
from dashboard.components.job_panel import job_panel
from dashboard.components.trust_charts import change_chart

STRONGEST = 10
OPTIONS = ("Those at the top of the table", "The document below")
CHANGED_MOST = 10
LISTED = 20
"""Titles that are written out."""
NO_PREDICTION = (
    "No change is predicted: the size of this run's training set is unknown, and with it how much weight one document "
    "had. `fit --training-windows` states it."
)
NOT_SCORED = "No change is predicted: not all of these documents were scored for this completion."
HOW = (
    "The model goes on training from its present weights on {chosen} and {beside:,} others drawn at random, {epochs} "
    "epochs, {seeds} seeds: once with all of them, once without those in question, and once without as many of the "
    "others instead, whose effect is the size of chance. It has read them all before, so this measures what reading "
    "them once more does, which is less than never having read them."
)


def leave_out_panel(choice: Choice, shown: pd.DataFrame, document: pd.Series | None) -> None:
    """Offer to train on without the table's strongest documents or the open one, and show what came of it.

    Args:
        choice: Run and completion.
        shown: The documents in the table, the strongest first.
        document: The open document, if any.
    """
    with st.container(border=True, key="leave_out"):
        st.markdown("**Go on training without these documents**")
        asked = st.segmented_control(
            "Documents to leave out", OPTIONS, default=OPTIONS[0], required=True, key="without", bind="query-params",
            label_visibility="collapsed",
        )  # fmt: skip
        chosen = pd.DataFrame([document]) if asked == OPTIONS[1] and document is not None else shown.head(STRONGEST)
        if chosen.empty:
            st.caption("There is no document to leave out.")
        else:
            left_out_together(choice, chosen)


def left_out_together(choice: Choice, chosen: pd.DataFrame, settings: dict[str, Any] | None = None) -> None:
    """What leaving some documents out together did to the completion; where nobody tried, the offer to.

    Args:
        choice: Run and completion.
        chosen: The documents: number, id and title of each; at least one.
        settings: Settings of the check; None for its own.
    """
    st.caption(_listed(chosen))
    result = analyses.left_out(choice.run, choice.completion.id, chosen["id"].tolist())
    if result is not None:
        _measured(choice, result)
    else:
        ids = chosen["id"].tolist()
        _offer(choice, chosen, settings or analyses.leave_out_settings(choice.run, choice.completion, ids))


def _listed(chosen: pd.DataFrame) -> str:
    titles = [f"“{text.escape(title, 50)}”" for title in chosen["title"].head(LISTED)]
    more = f" and {len(chosen) - LISTED:,} more" if len(chosen) > LISTED else ""
    return f"{len(chosen):,} document{'' if len(chosen) == 1 else 's'}: {', '.join(titles)}{more}."


def _offer(choice: Choice, chosen: pd.DataFrame, settings: dict[str, Any]) -> None:
    """What is predicted, what measuring it takes, and the button; or how the job fares."""
    run, completion = choice.run, choice.completion
    job = analyses.job(analyses.LEAVE_OUT, settings)
    if job is not None and job.state != "done":
        job_panel(lambda: analyses.job(analyses.LEAVE_OUT, settings), key="leave_out_job")
        return
    st.markdown(_predicted(choice, chosen))
    seconds = analyses.leave_out_cost(run, chosen["document"].tolist(), settings)
    st.caption(
        f"{_how(settings, len(chosen))} It takes about {text.duration(seconds)}, judged by how long the run's first "
        "step took; it can be cancelled and goes on later, and the result is kept in the run."
    )
    title = f"Go on training without {_named(chosen)}: {text.plain(completion.label, 60)}"
    st.button(
        "Go on training without these documents", key="leave_out_start", icon=":material/model_training:",
        on_click=analyses.submit,
        args=(analyses.LEAVE_OUT, settings, title),
    )  # fmt: skip


def _named(chosen: pd.DataFrame) -> str:
    return text.plain(chosen["title"].iloc[0], 50) if len(chosen) == 1 else f"{len(chosen)} documents"


def _how(settings: dict[str, Any], count: int) -> str:
    chosen = "it" if count == 1 else f"the {count}"
    said = HOW.format(chosen=chosen, **{name: settings[name] for name in ("beside", "epochs", "seeds")})
    return said.replace("with them, without them", "with it, without it").replace("them", "it") if count == 1 else said


def _predicted(choice: Choice, chosen: pd.DataFrame) -> str:
    run = choice.run
    if not run.training_windows:
        return NO_PREDICTION
    left_out = data.ranking(run, choice.completion.query).set_index("document")["left_out"]
    total = float(left_out.reindex(chosen["document"]).sum(skipna=False))
    if pd.isna(total):
        return NOT_SCORED
    what, them = text.MEASUREMENTS[run.measurement].lower(), "it" if len(chosen) == 1 else "them"
    return f"Predicted change without {them}: **{text.number(total)}** {run.unit} ({what})."


def _measured(choice: Choice, result: analyses.Result) -> None:
    """Predicted beside measured change, the size of chance, and the completions that changed most."""
    completions = analyses.table(result, "completions")
    (chance,) = result.tables["chance"]
    first, unit = completions.iloc[0], chance["unit"]
    st.markdown(changed(result))
    if pd.isna(first["predicted"]):
        st.caption(NOT_SCORED if choice.run.training_windows else NO_PREDICTION)
    figure = change_chart(first, chance["size"], unit)
    show_figure(figure, key="leave_out_chart", height=210, alt=f"Change of this completion in {unit}; see the table.")
    st.caption("The grey band holds 95% of the changes that leaving out others brings to any completion.")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**This completion, and those that changed most**")
        tables = {"Completions": completions, "Documents": analyses.table(result, "documents")}
        download(tables, analyses.provenance(result), "leave_out", "download_leave_out", {"Changes": figure})
    _table(completions, unit)
    settings = result.settings
    st.caption(
        f"{_how(settings, len(result.tables['documents']))} Learning rate up to {settings['rate']:g}. Measured "
        f"{text.date(result.finished)} in {text.duration(result.seconds)}."
    )


def changed(result: analyses.Result) -> str:
    """What leaving out did to the completion asked about, in a sentence."""
    first, (chance,) = result.tables["completions"][0], result.tables["chance"]
    unit, size = chance["unit"], chance["size"]
    beyond = "more than" if abs(first["measured"]) > size else "no more than"
    predicted = "" if first["predicted"] is None else f", predicted **{text.number(first['predicted'])}**"
    return (
        f"Trained on without, the completion's measurement changed by **{text.number(first['measured'])}** "
        f"{unit}{predicted}: {beyond} chance. Leaving out as many others changed it by "
        f"{text.number(first['chance'])}, and 95% of all completions by less than {text.size(size)}."
    )


def _table(completions: pd.DataFrame, unit: str) -> None:
    others = completions.iloc[1:].sort_values("measured", key=abs, ascending=False).head(CHANGED_MOST)
    shown = pd.concat([completions.iloc[:1], others])
    number, words = st.column_config.NumberColumn, st.column_config.TextColumn
    st.dataframe(
        shown.assign(completion=shown["completion"].map(text.plain), kind=shown["kind"].map(text.plain)),
        key="leave_out_table",
        hide_index=True,
        column_order=["completion", "kind", "measured", "predicted", "chance"],
        column_config={
            "completion": words("Completion", width=280),
            "kind": words("Kind", width=110),
            "measured": number("Measured", format="%+.3g", width=90, help=f"Change without them, in {unit}."),
            "predicted": number("Predicted", format="%+.3g", width=90, help=f"By influence, in {unit}."),
            "chance": number("Without others", format="%+.3g", width=110, help=f"The control, in {unit}."),
        },
        alt="Change of this completion and of those that changed most",
    )  # fmt: skip
