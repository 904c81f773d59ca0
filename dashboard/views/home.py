"""What this is, the run in use, and where to go."""

import time

import pandas as pd
import streamlit as st

from dashboard import data, jobs, runs
from dashboard.components import text
from dashboard.components.job_panel import STATES, job_panel
from dashboard.components.report_button import report_button
from dashboard.components.run_choice import WHAT_TO_DO, unreadable

EXAMPLES = 8
RECENT = 10
BAD_NEWS_S = 3600.0  # how long a job that ended badly stays on top of a page that has a run to show
QUESTIONS = (
    ("ask", "And what made it say anything else?", ":material/forum:",
     "Any prompt and completion of your own, answered while you wait."),
    ("concentration", "Is this completion owed to a few documents or to many?", ":material/leaderboard:",
     "How much the strongest documents hold, whether rare tokens draw on fewer, and how few tokens carry a document."),
    ("sources", "Where does the influence come from?", ":material/donut_small:",
     "Sources and languages among the strongest documents against their share of the corpus."),
    ("word_order", "What is left when the order is gone?", ":material/shuffle:",
     "A document beside its reversed, shuffled and cut variants, scored for the same completion."),
    ("findings", "Do the literature's findings hold here?", ":material/science:",
     "Eleven findings, each judged by a rule that was fixed before any run was looked at."),
    ("compare", "Do these two agree?", ":material/compare_arrows:",
     "Two completions, or two runs: other models, damping factors or layers."),
    ("map", "What lies near what?", ":material/bubble_chart:",
     "All documents on one plane, coloured by influence, source or language."),
    ("review", "Which documents stay in the corpus?", ":material/rate_review:",
     "One after the other by key, with undo; the team's decisions as files, and what dropping documents would do."),
    ("trust", "How far can these influences be trusted?", ":material/verified:",
     "Against exact answers and against training without documents; how robust this run's rankings are."),
)  # fmt: skip
IMPORTED = (
    "Its influence was computed by {tool} and imported, in a unit that is not known here. What needs the model or its "
    "curvature is not offered: story, questions of your own, word order, findings, checks, and tokens that were not "
    "imported."
)
WHAT = (
    "Whence shows which training documents, and which tokens inside them, made a language model say what it said. "
    "It computes influence functions: how much each document's weight in training raised or lowered a completion. "
    "Choose a completion, read the documents behind it, and look inside each one token by token."
)


def main() -> None:
    """Draw the page."""
    st.title("Whence", anchor=False)
    st.markdown(WHAT, width=760)
    run = runs.run_in_use()
    job = jobs.run_job()
    if run is None:
        _unreadable()
    if run is None and not runs.finished_runs():
        _start(job)
    elif job is not None and (job.is_active or time.time() - (job.finished or 0.0) < BAD_NEWS_S):
        job_panel(jobs.run_job, key="run_job")
    if run is not None:
        st.page_link(
            "views/story.py", label="**See the story in five steps**", icon=":material/auto_stories:",
            query_params=runs.run_address(),
        )  # fmt: skip
        left, right = st.columns([0.42, 0.58])
        with left:
            _where_to_go(run)
        with right:
            _facts(run)
            if not (job is not None and job.is_active):
                _other_models(run)
        _unreadable()
    _jobs()


def _unreadable() -> None:
    """The runs that this version cannot read."""
    found = runs.unreadable_runs()
    for run in found.values():
        unreadable(run)
    if found and runs.finished_runs():
        st.caption("Other runs can be chosen at the top right.")


def _start(job: jobs.Job | None) -> None:
    """What to do without a run."""
    if job is not None and job.state != "done":
        job_panel(jobs.run_job, key="run_job")
        return
    with st.container(border=True):
        st.markdown("## There is no run to look at yet")
        samples = runs.samples_to_compute()
        if samples:
            st.markdown(
                "Compute the embedded sample: an invented corpus, questions about it, and small models that have read "
                "it. It can be cancelled and goes on later."
            )
            for number, sample in enumerate(samples):
                _offer(sample, first=number == 0)
            st.caption("Or from a terminal:")
        elif any(run.sample for run in runs.unreadable_runs().values()):
            st.markdown("The folder of each sample holds a run that cannot be read. Move one of them away first.")
            return
        else:
            st.markdown("Compute one from a terminal:")
        st.code(f"{runs.RUN_COMMAND} {samples[0].name if samples else runs.FIRST_SAMPLE}", language=None)


def _offer(sample: runs.Sample, first: bool = False) -> None:
    """One sample that may be computed: what it is, how long it takes, and the button."""
    taken = sample.taken
    time_taken = (
        f" Took {text.duration(taken['seconds'])} on {taken['cores']} cores ({text.date(taken['date'])})."
        if taken
        else ""
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            f"Compute “{sample.title}”",
            key=f"compute_{sample.name}",
            type="primary" if first else "secondary",
            icon=":material/play_arrow:",
            on_click=jobs.submit_sample,
            args=(sample.name,),
        )
        st.caption(f"{text.escape(sample.about, 200)}{time_taken}")


def _where_to_go(run: data.Run) -> None:
    """A card for each question a page answers."""
    address = runs.run_address()
    with st.container(border=True):
        st.page_link(
            "views/influence.py",
            label="**Which documents made the model say this?**",
            icon=":material/alt_route:",
            query_params=address,
        )
        st.caption("Documents ranked by influence on a completion, and the tokens inside each. For example:")
        first_of_kind = {completion.kind: completion for completion in reversed(data.completions(run))}
        kinds = dict.fromkeys(completion.kind for completion in data.completions(run))
        for completion in [first_of_kind[kind] for kind in kinds][:EXAMPLES]:
            st.page_link(
                "views/influence.py",
                label=text.escape(completion.label, 60),
                icon=":material/chevron_right:",
                query_params=address | {"query": completion.id},
            )

    with st.container(border=True):
        for view, question, icon, about in QUESTIONS:
            st.page_link(f"views/{view}.py", label=f"**{question}**", icon=icon, query_params=address)
            st.caption(about)


def _other_models(run: data.Run) -> None:
    """The sample's other models, one click away."""
    samples = runs.samples_to_compute() if runs.is_of_sample(run) else []
    if not samples:
        return
    with st.container(border=True):
        st.markdown("**Compute another model of the sample**")
        st.caption("The same documents and completions. Once there are several runs, one is chosen at the top right.")
        for sample in samples:
            _offer(sample)


def _facts(run: data.Run) -> None:
    """The run in use at a glance."""
    corpus, tracked = run.fit["corpus"], run.fit.get("tracked")
    with st.container(border=True):
        st.markdown(f"## Run in use: {text.escape(run.name)}")
        if not run.scored_documents:
            st.info(f"This run scored no document, so its pages have nothing to rank. {WHAT_TO_DO}")
        with st.container(horizontal=True):
            st.metric("Documents", f"{corpus['documents']:,}")
            st.metric("Tokens", f"{corpus['tokens']:,}")
            st.metric("Completions", f"{len(run.queries):,}")
            if tracked:
                st.metric(
                    "Parameters tracked",
                    f"{tracked['share']:.0%}",
                    help="Influence is computed through these parameters only.",
                )
        if run.imported:
            st.info(IMPORTED.format(tool=run.imported), icon=":material/move_to_inbox:")
        steps = (run.fit, run.query, run.score)
        st.table(
            {
                "Model": text.escape(run.model_name) + (f", {tracked['parameters']:,} parameters" if tracked else ""),
                "Corpus": text.escape(corpus["path"].replace("\\", "/").rsplit("/", 1)[-1]),
                "Sources": text.listed(run.documents["source"].value_counts().to_dict()),
                "Languages": text.listed(
                    {text.language(code): n for code, n in run.documents["language"].value_counts().items()}
                ),
                "What is measured": f"{text.MEASUREMENTS[run.measurement]}, in {run.unit}",
                "Curvature": run.estimator,
                "Damping": run.damping,
                **({"Sampling": data.sampled(run)} if run.is_sampled else {}),
                "Computed": text.date(run.score.get("finished", "")),
                "Time taken": text.duration(sum(step["seconds"] for step in steps)),
            },
            border="horizontal",
            alt="The run in use",
        )
        if run.scored_documents:
            report_button(run)


def _jobs() -> None:
    recent = jobs.recent_jobs(RECENT)
    if not recent:
        return
    st.markdown("## Recent jobs")
    st.dataframe(
        pd.DataFrame(
            {
                "Job": [text.plain(job.title) for job in recent],
                "State": [STATES[job.state] for job in recent],
                "Asked for": [text.ago(job.created) for job in recent],
                "Took": [
                    text.duration(job.finished - job.started) if job.started and job.finished else "" for job in recent
                ],
            }
        ),
        hide_index=True,
        alt="Jobs asked for last, newest first",
    )


main()
