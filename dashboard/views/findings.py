"""Do the literature's findings hold here?"""

import streamlit as st

from dashboard import data
from dashboard.analyses import finding_jobs as jobs
from dashboard.analyses import findings as analyses
from dashboard.components import finding_compute, text, url
from dashboard.components.downloads import download
from dashboard.components.finding_claim import claim_card
from dashboard.components.finding_estimates import estimates
from dashboard.components.finding_overview import HERE, answer, badge, overview, overview_table
from dashboard.components.finding_pictures import show_picture
from dashboard.components.finding_tables import behind
from dashboard.components.page import ask
from dashboard.components.report_button import report_button
from dashboard.components.run_choice import need_scores

SHOWN_BESIDE = 2
"""Results from elsewhere that stand beside the run's from the start."""
HOW_TO_READ = """
**The rules** were written down before any run was looked at, and are not changed afterwards. Each part asks for the
whole 95% interval of an estimate on one side of a bound. A finding *holds* if every part does, *does not hold* if the
whole interval of one lies on the other side, and *cannot be told* otherwise: too few completions, an interval across
the bound, or something that this run lacks.

**Controls.** The same numbers from gradient dot products, BM25 and hidden states. The verdict does not depend on them;
they show what the exact method adds. Where a control does as well, the finding says nothing about influence.

**The null.** Grey: what the same measure gives when the labels are shuffled, up to the end of its central 95% that
lies nearer to the effect.

**Planted.** Where the documents behind an effect were written into the corpus for it, a finding that holds says that
the instrument works. It is no evidence for the literature.

**What this cannot tell.** Each verdict is about one model, one corpus and these completions. The bounds are ours: the
papers give figures of much larger models, not thresholds. Eleven findings with two or three parts each are many
intervals, of which one in twenty misses its mark by chance.
"""


def main() -> None:
    """Draw the page."""
    run = ask("Do the literature's findings hold here?")
    need_scores(run, "no finding can be measured on it")
    own = analyses.kept(run)
    beside = _beside()
    answer(own, beside)
    name = url.get("finding")
    if name and name not in analyses.CLAIMS:
        st.warning("The link names a finding that is not here. Another one is shown.")
    shown = name if name in analyses.CLAIMS else next(iter(analyses.CLAIMS))
    overview(own, beside, lambda one: _planted(run, own, one), shown, lambda one: url.put("finding", one))
    _all(run, own, beside)
    st.divider()
    _finding(run, _choose(shown), own, beside)
    with st.expander("How to read this", icon=":material/help:"):
        st.markdown(HOW_TO_READ)


def _beside() -> dict[str, dict[str, analyses.Kept]]:
    """What was measured elsewhere, of which the address holds what is shown."""
    shipped = analyses.shipped()
    if not shipped:
        return {}
    labels = {text.escape(label): label for label in shipped}
    chosen = st.pills(
        "Beside this run, results measured by us with", list(labels), selection_mode="multi",
        default=list(labels)[:SHOWN_BESIDE], key="beside", bind="query-params",
    )  # fmt: skip
    return {labels[label]: shipped[labels[label]] for label in chosen}


def _planted(run: data.Run, own: dict[str, analyses.Kept], name: str) -> bool:
    found = own[name]
    if isinstance(found, analyses.Measured):
        return found.planted
    return analyses.CLAIMS[name].planted and analyses.is_sample(run)


def _all(run: data.Run, own: dict[str, analyses.Kept], beside: dict[str, dict[str, analyses.Kept]]) -> None:
    """Measuring all of them, and the overview to take away."""
    job = jobs.findings_job(run)
    running = job is not None and job.is_active
    times = [one.finished for one in own.values() if isinstance(one, analyses.Measured)]
    finding_compute.ended_badly(run, max(times, default=""))
    if any(own.values()):
        table = overview_table(own, beside, lambda one: _planted(run, own, one))
        with st.container(horizontal=True):
            download(table, _provenance(run), "findings", "download_findings")
            report_button(run)
        with st.expander("Measure again", expanded=running, icon=":material/replay:"):
            finding_compute.measure(run)
        return
    with st.container(border=True):
        finding_compute.measure(run)


def _choose(shown: str) -> str:
    """The finding to look at: the address's, else the first."""
    labels = {f"{claim.number}. {claim.title}": name for name, claim in analyses.CLAIMS.items()}
    current = next(label for label, name in labels.items() if name == shown)
    st.session_state["_finding"] = current

    def chosen() -> None:
        if st.session_state["_finding"] != current:  # see url.py
            url.put("finding", labels[st.session_state["_finding"]])

    return labels[st.selectbox("Finding", list(labels), key="_finding", on_change=chosen, filter_mode="contains")]


def _finding(
    run: data.Run, name: str, own: dict[str, analyses.Kept], beside: dict[str, dict[str, analyses.Kept]]
) -> None:
    """Everything about one finding."""
    claim, found = analyses.CLAIMS[name], own[name]
    st.markdown(f"## {claim.number}. {text.escape(claim.title)} {badge(found)}")
    elsewhere = {label: results[name] for label, results in beside.items()}
    if elsewhere:
        st.markdown(" · ".join(f"{text.escape(label, 80)} {badge(one)}" for label, one in elsewhere.items()))
    claim_card(claim, _planted(run, own, name), analyses.is_sample(run))
    if isinstance(found, analyses.Unreadable):
        st.error(text.escape(found.why, 600), icon=":material/error:")
    if not isinstance(found, analyses.Measured):
        st.info("This finding has not been measured on this run.", icon=":material/science:")
        finding_compute.measure(run, only=name)
    else:
        why = analyses.outdated(run, name, found)
        if why:
            st.warning(" ".join(why), icon=":material/history:")
    sides = {HERE: found} | elsewhere
    measured = {label: one for label, one in sides.items() if isinstance(one, analyses.Measured)}
    _measured(run, name, measured)


def _measured(run: data.Run, name: str, measured: dict[str, analyses.Measured]) -> None:
    """What came out, wherever it was measured, and what lies behind it."""
    st.subheader("What was measured" if HERE in measured else "What was measured elsewhere", anchor=False)
    for label, found in measured.items():
        place = HERE if label == HERE else f"With {label}"
        where = f"**{text.escape(place)}:** " if len(measured) > 1 or label != HERE else ""
        st.markdown(f"{where}{text.escape(found.sentence, 600) or 'No part could be measured.'}")
    charts = estimates(name, measured)
    with st.expander("The rule in words, fixed before any run was looked at", icon=":material/gavel:"):
        st.markdown(text.escape(analyses.RULES[name].text, 2_000))
    for label, found in measured.items():
        if found.open:
            whose = f" ({text.escape(label)})" if len(measured) > 1 else ""
            st.markdown(f"**What is open{whose}**")
            st.markdown("\n".join(f"- {text.escape(one, 600)}" for one in found.open))
    if measured:
        st.subheader("What lies behind it", anchor=False)
    if len(measured) > 1:
        tabs = st.tabs([text.escape(label, 60) for label in measured], key=f"of_{name}", on_change="rerun")
        for tab, label in zip(tabs, measured, strict=True):
            with tab:
                if tab.open:
                    _behind(run, name, label, measured[label], charts)
    else:
        for label, found in measured.items():
            _behind(run, name, label, found, charts)


def _behind(run: data.Run, name: str, label: str, found: analyses.Measured, charts: dict) -> None:
    """A result's picture, its tables, and how it was measured."""
    drawn = show_picture(name, found, f"picture_{name}_{label}")
    behind(run if label == HERE else None, found.tables, f"behind_{name}_{label}")
    _made(run, name, label, found, charts | drawn)


def _made(run: data.Run, name: str, label: str, found: analyses.Measured, charts: dict) -> None:
    """When and by what a result was measured, and the way to take it away."""
    versions = ", ".join(f"{package} {version}" for package, version in found.versions.items() if package != "platform")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            f"Measured {text.date(found.finished)} in {text.duration(found.seconds)}; {found.draws:,} "
            f"draws of each interval and null, seed {found.seed}. {text.escape(versions, 400)}."
        )
        tables = {"Estimates": found.estimates} | {text.heading(table): rows for table, rows in found.tables.items()}
        download(
            tables, _provenance(run) | _about(found) if label == HERE else _about(found), f"finding_{name}",
            f"download_{name}_{label}", charts,
        )  # fmt: skip
    if label == HERE:
        st.code(jobs.command_of(run, name, found), language=None)


def _about(found: analyses.Measured) -> dict[str, str | float]:
    return {
        "model": found.model, "corpus": found.corpus, "compared_with": found.other, "verdict": found.verdict,
        "draws": found.draws, "seed": found.seed, "measured": found.finished,
    }  # fmt: skip


def _provenance(run: data.Run) -> dict[str, str | float]:
    return {
        "run": run.name,
        "model": run.model_name,
        "measurement": text.MEASUREMENTS[run.measurement],
        "influence_unit": run.influence_unit,
        "curvature": run.estimator,
        "damping_factor": run.query["settings"]["damping_factor"],
        "computed": run.score.get("finished", ""),
    }


main()
