"""The concentration page answers, follows its address, and says what is missing (no browser)."""

import re

import pandas as pd
import pytest
from page_words import words
from tiny_run import PAYLOADS, long_document, plain_documents, plain_queries, write_tiny_run

from dashboard.analyses import concentration as analyses
from dashboard.components import text
from dashboard.components.concentration_charts import _medians, _ticks, frequency_chart, tail_chart
from engine.analysis.concentration import concentration_of, measures
from engine.analysis.inside import inside_documents
from engine.analysis.rare_tokens import token_concentration
from engine.analysis.tails import fit_tail
from engine.run import Run

RARE, INSIDE = "Rare and frequent tokens", "Inside documents"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A folder with one small run of 121 documents, the last one long."""
    folder = tmp_path_factory.mktemp("runs")
    write_tiny_run(folder / "small_run", [*plain_documents(120), long_document(250)], plain_queries())
    return folder


@pytest.fixture
def opened(open_page, tiny):
    return lambda **address: open_page(tiny, "concentration", **address)


def table(app, columns: str) -> pd.DataFrame:
    """The table that has this column."""
    return next(element.value for element in app.dataframe if columns in element.value)


def of(tiny, sign: str, tokens=None) -> pd.DataFrame:
    found = concentration_of(Run(tiny / "small_run"), 0, tokens, signs=[sign])
    return found.set_index("measure")


@pytest.mark.parametrize(
    ("label", "sign", "verb"),
    [("Raised it", "positive", "raised"), ("Lowered it", "negative", "lowered"), ("Both", "both", "raised or lowered")],
)
def test_the_page_answers_in_a_sentence_with_numbers_and_their_uncertainty(opened, tiny, label, sign, verb):
    shown, found = words(opened(sign=label)), of(tiny, sign)
    few, number = found.loc["top_10"], found.loc["effective_number"]
    low, high = (f"{100 * few[name]:.0f}" for name in ("low", "high"))
    assert f"## Ten documents carry {few['value']:.0%} of all that {verb} this completion" in shown
    assert f"(95% interval {low}–{high}%)" in shown
    assert f"as concentrated, is **{number['value']:,.0f}** ({number['low']:,.0f}–{number['high']:,.0f})" in shown
    assert f"normal distribution would give {number['null_low']:,.0f}–{number['null_high']:,.0f}" in shown
    assert f"token by token, {number['shuffled_low']:,.0f}–{number['shuffled_high']:,.0f}" in shown


def test_chosen_tokens_are_measured_alone_and_of_one_shuffling_says_nothing(opened, tiny):
    app = opened(tokens="1")
    assert "Measured for 1 chosen token" in words(app)
    assert "shuffled" not in words(app).replace("deals them out anew", "")
    shown = table(app, "interval").set_index("measure")
    assert "shuffled" not in shown
    assert shown.at["Gini coefficient", "value"] == f"{of(tiny, 'positive', [1]).at['gini', 'value']:.2f}"
    assert "shuffled" in table(opened(tokens="0,1"), "interval")


def test_the_table_shows_the_measures_and_the_exponent_of_the_tail(opened, tiny):
    shown = table(opened(), "interval").set_index("measure")
    found = of(tiny, "positive")
    assert shown["value"].tolist()[0] == f"{found.at['documents', 'value']:.0f}"
    assert shown.at["Share of the ten strongest", "value"] == f"{found.at['top_10', 'value']:.0%}"
    fit = analyses.concentration(Run(tiny / "small_run"), 0, (), "positive").fit
    assert shown.at["Exponent of the tail", "value"] == f"{fit.exponent:.2f}"
    assert f"with exponent {fit.exponent:.2f} ± {fit.standard_error:.2f}" in words(opened())


def test_a_corpus_too_small_for_a_tail_says_so(open_page, tmp_path):
    write_tiny_run(tmp_path / "few", plain_documents(3), plain_queries()[:1])
    shown = words(open_page(tmp_path, "concentration", sign="Both"))
    assert "## Only three documents raised or lowered this completion." in shown
    assert "too few to fit a power law to" in shown


def test_no_document_of_a_sign_is_told_with_the_next_step(open_page, tmp_path):
    run = Run(write_tiny_run(tmp_path / "one", plain_documents(1), plain_queries()[:1]))
    sign = "Lowered it" if run.influence(0)["influence"][0] > 0 else "Raised it"
    for part in (None, RARE, INSIDE):
        app = open_page(tmp_path, "concentration", sign=sign, **({"part": part} if part else {}))
        assert "other direction" in words(app) or "nothing to compare" in words(app)


def test_rare_and_frequent_tokens_are_those_of_the_whole_run(opened, tiny):
    app = opened(part=RARE)
    found = token_concentration(Run(tiny / "small_run"), sign="positive")
    shown = table(app, "occurrences")
    assert shown["effective_number"].tolist() == pytest.approx(found["effective_number"].tolist())
    assert f"over {len(found)} tokens of 3 completions" in words(app)
    compared = ["All tokens as they are", "Loss held constant", "Among tokens of like loss"]
    assert table(app, "Compared")["Compared"].tolist() == compared
    assert "Choose a point" in words(app)


def test_a_token_in_the_address_shows_its_documents_and_the_way_to_them(opened, tiny):
    app = opened(part=RARE, point="q/2:0", measure="Share of the top 1%")
    ranking = table(app, "share")
    influence = Run(tiny / "small_run").influence(1, [0])["influence"]
    assert ranking["influence"].tolist() == pytest.approx(influence.nlargest(5).tolist())
    assert "in How much is two plus two?" in words(app)
    link = app.get("page_link")[0].proto
    assert (link.label, link.query_string) == ("All its documents", "query=q%2F2&tokens=0")


def test_inside_documents_the_strongest_tenth_is_told(opened, tiny):
    app = opened(part=INSIDE, inside="By prediction", sign="Lowered it")
    found = inside_documents(Run(tiny / "small_run"), 0, "prediction", sign="negative")
    assert f"tokens carries {found['top_tenth'].median():.0%} of its influence" in words(app)
    assert f"Median of the {len(found)} documents" in words(app)
    assert table(app, "top_tenth")["influence"].max() < 0


def test_without_stored_tokens_the_next_step_is_told(open_page, tmp_path):
    write_tiny_run(tmp_path / "bare", plain_documents(3), plain_queries(), without_tokens=[0, 1, 2])
    assert "Open a document on the page Influence" in words(open_page(tmp_path, "concentration", part=INSIDE))


@pytest.mark.parametrize(
    "address",
    [
        {"sign": "Sideways"},
        {"part": "No part"},
        {"tokens": "99"},
        {"measure": "x", "part": RARE},
        {"point": "q/1", "part": RARE},
        {"point": "nowhere:0", "part": RARE},
        {"point": "q/1:x", "part": RARE},
        {"inside": "By magic", "part": INSIDE},
    ],
)
def test_bad_values_in_the_address_fall_back(opened, address):
    app = opened(**address)
    assert "Measured for the whole completion" in words(app)
    assert len(app.dataframe) > 0


def test_without_a_run_the_page_leads_home(open_page, tmp_path):
    assert "no finished run" in words(open_page(tmp_path, "concentration"))


@pytest.mark.parametrize("part", ["Among documents", RARE, INSIDE])
def test_hostile_titles_and_tokens_are_escaped(opened, part):
    app = opened(query="q/3", part=part, point="q/3:3")
    for markup in ("<img", "<script", "<b>", r"\]\(javascript", r"\*\*bold", r"\$x", ":material", "https?:"):
        assert not re.search(rf"(?<!\\){markup}", words(app)), markup


def test_hostile_tokens_and_titles_are_text_in_the_chart(tiny):
    run = Run(tiny / "small_run")
    tokens = token_concentration(run, sign="both").assign(text=PAYLOADS[0])
    figure = frequency_chart(tokens, "top_share", "Share", 0, dict.fromkeys(range(3), PAYLOADS[1]))
    labels = [label for trace in figure.data for label in (trace.text or ())]
    assert labels and not any(re.search("<(?!br>)", label) for label in labels)


def test_medians_are_of_groups_that_no_frequency_is_torn_between():
    x, y = pd.Series([1.0] * 50 + list(range(2, 52))), pd.Series(range(100)).astype(float)
    found = _medians(x, y, groups=4)
    assert found["x"].iloc[0] == 1
    assert found["y"].iloc[0] == pytest.approx(24.5)
    assert (found[["above", "below"]] >= 0).all(axis=None)
    assert len(_medians(pd.Series([3.0] * 9), y[:9])) == 1


@pytest.mark.parametrize(
    ("values", "percent", "labels"),
    [
        ([1, 900], False, ["1", "10", "100", "1,000"]),
        ([12, 60], False, ["10", "20", "50", "100"]),
        ([0.002, 1.0], True, ["0.1%", "1%", "10%", "100%"]),
        ([], False, ["1", "2", "5", "10"]),
    ],
)
def test_ticks_of_a_logarithmic_axis_are_spelled_out(values, percent, labels):
    found = _ticks(pd.Series(values, dtype=float), percent)["ticktext"]
    assert set(found) <= set(labels) or found == labels
    assert len(found) >= 2


def test_the_drawn_power_law_meets_the_documents_at_its_beginning(tiny):
    found = analyses.concentration(Run(tiny / "small_run"), 0, (), "both")
    chart = tail_chart(found.tail, found.fit, "both", "nats")
    line = chart.data[1]
    assert line.y[0] == pytest.approx(found.fit.tail / found.fit.values)
    assert found.fit == fit_tail(Run(tiny / "small_run").influence(0)["influence"].abs().to_numpy(), draws=100)


def test_p_values_are_never_written_as_zero():
    assert [text.p_value(value).replace("\u00a0", " ") for value in (1e-9, 0.0123, 1.0, float("nan"))] == [
        "p < 0.001", "p = 0.012", "p = 1", "no p-value",
    ]  # fmt: skip


def test_what_the_page_measures_is_what_the_engine_measures(tiny):
    run = Run(tiny / "small_run")
    found = analyses.concentration(run, 1, (0,), "negative").measures["value"]
    direct = measures(run.influence(1, [0])["influence"].to_numpy()[None], "negative").iloc[0]
    assert found.tolist() == pytest.approx(direct.tolist())
