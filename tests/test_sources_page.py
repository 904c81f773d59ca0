"""The sources page answers in numbers, keeps its state in the address, and has a sentence for each way to be empty."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from page_words import words
from tiny_run import PAYLOADS, hostile_documents, plain_documents, plain_queries, write_tiny_run

from dashboard import data
from dashboard.analyses import sources as analyses
from dashboard.components import source_charts
from dashboard.components.source_tables import between
from engine.run import Run
from engine.writing import write_table

SOURCES = ("Books", "Web", "Forum", "News")


def documents(count: int = 80) -> list[dict[str, str]]:
    return [one | {"source": SOURCES[n % 4]} for n, one in enumerate(plain_documents(count))]


def queries() -> list[dict[str, str]]:
    """Six stories and four sums."""
    story, sums = plain_queries()[:2]
    made = [story | {"id": f"s{n}", "title": f"Story {n}?"} for n in range(6)]
    return made + [sums | {"id": f"m{n}", "title": f"Sum {n}?"} for n in range(4)]


def planted(folder: Path) -> Path:
    """Books are on top for stories and at the bottom for sums; the rest is noise."""
    run = Run(write_tiny_run(folder, documents(), queries()))
    random = np.random.default_rng(0)
    books = np.arange(80) % 4 == 0
    table: dict[str, object] = {"document": pa.array(range(80), pa.int32())}
    for row in run.query_tokens.itertuples():
        values = random.normal(size=80) + (1.2 if row.query < 6 else -1.2) * books
        table[f"influence.{row.query}.{row.token}"] = pa.array(values, pa.float32())
    for row in run.queries.itertuples():
        table |= {f"{name}.{row.query}": random.random(80) for name in ("gradient_dot", "hidden")}
    table |= {"log_prob": random.random(80), "gradient_norm": random.random(80)}
    write_table(pa.table(table), run.folder.shard("documents", 0))
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    return planted(tmp_path_factory.mktemp("sources") / "planted").parent


@pytest.fixture
def opened(open_page, runs):
    return lambda **address: open_page(runs, "sources", **address)


def multipliers(runs: Path, *groups: tuple[str, tuple[int, ...]], by: str = "source", weight: str = "documents"):
    return analyses.source_multipliers(Run(runs / "planted"), groups, by, weight)


MARKUP = ("<img", "<script", "<b>", r"\]\(javascript", r"\*\*bold", r"\$x", ":material", "https?:", "\u202e")
STORY, SUM = ("Story", tuple(range(6))), ("Sum", tuple(range(6, 10)))


def test_the_answer_names_what_stands_out_with_its_interval(opened, runs):
    app = opened()
    row = analyses.stands_out(multipliers(runs, STORY), 20)
    assert row["group"] == "Books"
    assert (
        f"## Among the 20 documents that raised each Story completion most, **Books** is {row['multiplier']:.2f} times "
        f"as frequent as in the corpus (95% interval {row['low']:.2f} to {row['high']:.2f})." in words(app)
    )
    assert "(Story: 6 completions.)" in words(app)
    lowered = analyses.stands_out(multipliers(runs, STORY), 20, "lowered")
    said = "no source has more than its share" if lowered is None else f"**{lowered['group']}** is"
    assert f"Among the 20 documents that lowered each Story completion most, {said}" in words(app)


def test_the_table_holds_both_ends_at_the_chosen_k(opened, runs):
    shown = opened(k="10").dataframe[0].value
    table = multipliers(runs, STORY)
    for place, end in enumerate(("raised", "lowered")):
        rows = table[(table["k"] == 10) & (table["end"] == end)].set_index("group").loc[shown.index]
        assert shown[f"multiplier_{place}"].tolist() == rows["multiplier"].tolist()
        assert (
            shown[f"interval_{place}"].tolist()
            == rows[["low", "high"]].apply(lambda row: between(*row), axis=1).tolist()
        )
    assert shown["documents"].tolist() == [20] * 4


def test_tokens_and_languages_are_counted_as_asked(opened, runs):
    app = opened(grouping="Language", counted="Tokens", completions="All completions", k="20")
    shown = app.dataframe[0].value
    table = multipliers(runs, ("All completions", tuple(range(10))), by="language", weight="tokens")
    rows = table[(table["k"] == 20) & (table["end"] == "raised")].set_index("group").loc[shown.index]
    assert shown["multiplier_0"].tolist() == rows["multiplier"].tolist()
    assert sorted(shown["name"]) == ["English", "German"]
    assert "Of the tokens of the 20 documents that raised each completion most" in words(app)


def test_the_signed_mass_is_told_for_the_source_in_focus(opened, runs):
    app = opened(focus="Web")
    table = analyses.source_mass(Run(runs / "planted"), STORY[1], "source").set_index(["mass", "group"])
    assert f"Web makes up 25% of the documents and holds **{table.at[('positive', 'Web'), 'share']:.0%}**" in words(app)
    shown = app.dataframe[1].value
    assert shown.at["Web", "negative_influence"] == table.at[("negative", "Web"), "influence"]


def test_two_groups_stand_side_by_side_with_their_difference(opened, runs):
    app = opened(beside="Sum")
    table = multipliers(runs, STORY, SUM)
    row = analyses.differs_most(table, 20)
    assert row["group"] == "Books" and row["difference_high"] < 0
    first = row["multiplier"] - row["difference"]
    assert (
        f"**Books** has {first:.2f} times its share of the corpus for Story and {row['multiplier']:.2f} times for Sum: "
        f"a difference of −{-row['difference']:.2f} (95% interval −{-row['difference_low']:.2f} to "
        f"−{-row['difference_high']:.2f})." in words(app)
    )
    shown = app.dataframe[0].value
    assert shown.at["Books", "difference"] == row["difference"]
    assert "(Story: 6 completions; Sum: 4 completions.)" in words(app)
    charts = {one.proto.id.split("-")[-1] for one in app.get("plotly_chart")}
    assert {f"multipliers_{place}_{end}" for place in (0, 1) for end in ("raised", "lowered")} <= charts


def test_groups_that_are_the_same_or_share_completions_say_so(opened):
    assert "Both groups are the same completions" in words(opened(beside="Story"))
    assert "6 of the completions are in both groups" in words(opened(beside="All completions"))


def test_single_completions_can_be_picked_for_either_group(opened):
    assert "Pick the completions to look at" in words(opened(completions="Picked completions"))
    app = opened(completions="Picked completions", completions_picked=["Story 2?"])
    assert r"that raised “Story 2?” most" in words(app)
    assert "With one completion, intervals speak of documents only." in words(app)
    app = opened(
        completions="Picked completions", completions_picked=["Story 2?", "Sum 1?"],
        beside="Picked completions", beside_picked=["Story 1?", "Story 4?"],
    )  # fmt: skip
    assert "for Picked and" in words(app) or "Picked and Picked \\(2\\) differ in no source" in words(app)
    assert "Picked: 2 completions; Picked \\(2\\): 2 completions." in words(app)


def test_documents_of_the_source_in_focus_are_ranked_by_mean_influence(opened, runs):
    app = opened(focus="Web", end="Lowered most")
    table = analyses.source_documents(Run(runs / "planted"), STORY[1], "source", "Web")
    assert set(table["group"]) == {"Web"} and len(table) < len(Run(runs / "planted").documents)
    expected = table[table["influence"] < 0].iloc[::-1]
    shown = app.dataframe[2].value
    assert shown["influence"].tolist() == expected["influence"].tolist()
    assert shown["title"].tolist() == expected["title"].tolist()
    assert shown["count"].iloc[0] == f"{expected['lowered'].iloc[0]} of 6"
    assert "Documents: Web" in words(app)


def test_the_whole_corpus_leaves_nothing_to_stand_out(opened):
    assert "Among the 80 documents that raised each Story completion most, that is all" in words(opened(k="80"))


def test_an_end_without_documents_of_the_source_has_its_sentence(open_page, tmp_path):
    run = Run(write_tiny_run(tmp_path / "run", documents(12), queries()[:1]))
    values = {"document": pa.array(range(12), pa.int32())}
    values |= {f"influence.0.{n}": pa.array([1.0] * 12, pa.float32()) for n in run.tokens_of_query(0)["token"]}
    write_table(pa.table(values), run.folder.shard("documents", 0))
    assert "No document of this source lowered the Story completion on average" in words(
        open_page(tmp_path, "sources", end="Lowered most")
    )


def test_a_single_source_is_no_comparison(open_page, tmp_path):
    made = [one | {"source": "Only"} for one in plain_documents(12)]
    write_tiny_run(tmp_path / "run", made, queries())
    app = open_page(tmp_path, "sources")
    assert "All documents have the same source, Only: there is nothing to tell apart. Group them by language." in words(
        app
    )
    assert not app.error


def test_a_run_without_scored_documents_says_what_to_do(open_page, tmp_path):
    run = Run(write_tiny_run(tmp_path / "run", documents(12), queries()))
    empty = {"document": pa.array([], pa.int32())}
    empty |= {f"influence.{row.query}.{row.token}": pa.array([], pa.float32()) for row in run.query_tokens.itertuples()}
    write_table(pa.table(empty), run.folder.shard("documents", 0))
    app = open_page(tmp_path, "sources")
    assert "This run scored no document, so there is no influence" in app.info[0].value


def test_without_a_run_the_page_leads_home(open_page, tmp_path):
    assert "There is no finished run to look at yet" in words(open_page(tmp_path, "sources"))


def test_a_run_of_a_few_documents_has_one_size_of_the_end(open_page, tmp_path):
    write_tiny_run(tmp_path / "run", documents(8), queries()[:2])
    app = open_page(tmp_path, "sources")
    assert not app.select_slider and "Among the 8 documents" in words(app)


@pytest.mark.parametrize(
    "address",
    [{"k": "17"}, {"k": "<b>"}, {"completions": "No kind"}, {"beside": "x"}, {"grouping": "Colour"}, {"end": "up"},
     {"counted": "Letters"}, {"of": "x"}],
)  # fmt: skip
def test_bad_values_in_the_address_fall_back(opened, address):
    assert "Among the 20 documents that raised each Story completion most" in words(opened(**address))


def test_a_link_to_a_source_that_the_run_does_not_have_says_so(opened):
    app = opened(focus="<script>")
    assert "names a source that this run does not have" in app.warning[0].value
    assert "Documents: Books" in words(app)


def test_hostile_names_are_text(open_page, tmp_path):
    write_tiny_run(tmp_path / "run", documents(12) + hostile_documents(), plain_queries())
    for payload in PAYLOADS:
        app = open_page(tmp_path, "sources", focus=payload[:40], completions="Picked completions",
                        completions_picked=[data.completions(Run(tmp_path / "run"))[2].label])  # fmt: skip
        for markup in MARKUP:
            assert not re.search(rf"(?<!\\){markup}", words(app)), markup


# Charts


def chart(runs: Path, focus: str = "Books"):
    table = multipliers(runs, STORY)
    rows = table[table["end"] == "raised"]
    names = {name: name for name in SOURCES}
    return rows, source_charts.multiplier_chart(rows, names, focus, 30, 5.0, "Raised most")


def test_lines_and_bands_of_the_chart_are_the_tables_numbers(runs):
    rows, figure = chart(runs)
    lines = {line.name: line for line in figure.data}
    web = rows[rows["group"] == "Web"]
    assert list(lines["Web"].x) == web["k"].tolist()
    assert list(lines["Web"].y) == web["multiplier"].clip(lower=source_charts.FLOOR).tolist()
    books = rows[rows["group"] == "Books"]
    assert list(lines["95% interval"].y) == [*books["low"], *books["high"][::-1]]
    assert list(lines["By chance"].y) == [*books["null_low"], *books["null_high"][::-1]]
    assert figure.data[-1].name == "Books" and figure.data[-1].line.width > lines["Web"].line.width
    assert figure.layout.xaxis.title.text and figure.layout.yaxis.title.text


def test_a_multiplier_of_nothing_is_drawn_on_the_floor_and_told_in_full(runs):
    rows, _ = chart(runs)
    rows = rows.assign(multiplier=0.0, low=0.0)
    figure = source_charts.multiplier_chart(rows, {name: name for name in SOURCES}, "Web", 30, 5.0, "Nothing")
    assert set(figure.data[-1].y) == {source_charts.FLOOR}
    assert "<b>0.00</b> times" in figure.data[-1].text[0]


def test_the_axis_holds_every_line_and_band(runs):
    table = multipliers(runs, STORY)
    top = source_charts.highest(table, "Books")
    assert top > table["multiplier"].max() and top > table.loc[table["group"] == "Books", "high"].max()


def test_more_sources_than_looks_still_draw(runs):
    rows, _ = chart(runs)
    one = rows[rows["group"] == "Web"]
    names = {f"source {n}": f"source {n}" for n in range(30)}
    many = pd.concat([one.assign(group=name) for name in names])
    figure = source_charts.multiplier_chart(many, names, "source 29", 30, 5.0, "Many")
    assert len(figure.data) == 32
    assert sum(line.showlegend is False for line in figure.data) == 30 - 21
    assert source_charts.multiplier_height(30) == source_charts.multiplier_height(21)


def test_bars_are_the_signed_shares_and_end_within_the_axis(runs):
    table = analyses.source_mass(Run(runs / "planted"), STORY[1], "source")
    most = source_charts.widest([table])
    figure = source_charts.mass_chart(table, {name: name for name in SOURCES}, most, "nats", "Signed")
    raises, lowers, net, corpus = figure.data
    by_mass = table.set_index(["mass", "group"])
    assert list(raises.x) == [by_mass.at[("positive", name), "share"] for name in SOURCES]
    assert list(lowers.x) == [-by_mass.at[("negative", name), "share"] for name in SOURCES]
    assert list(net.x) == [by_mass.at[("net", name), "share"] for name in SOURCES]
    assert set(map(abs, corpus.x)) == {0.25}
    assert most > (raises.x + raises.error_x.array).max() and -most < (lowers.x - lowers.error_x.arrayminus).min()
    assert np.allclose(lowers.x - lowers.error_x.arrayminus,
                       [-by_mass.at[("negative", name), "share_high"] for name in SOURCES])  # fmt: skip
