"""What removals came to is added up as it should be."""

import numpy as np
import pandas as pd
import pytest

from engine.analysis.resampling import interval
from engine.check.effects import calibrate, compare_methods, correlation, slope
from engine.check.rare_removal import compare_groups, matched_pairs


def points(measured_per_predicted: float = 2.0, noise: float = 0.0, completions: int = 12) -> list[dict]:
    """For each completion and kind of removal what is predicted and measured; EK-FAC hurts twice as much as BM25."""
    draw = np.random.default_rng(0)
    made = []
    for what, size in (("documents", 1.0), ("tokens", 0.5)):
        for number in range(completions):
            strength = size * (1 + number / completions)
            for method, predicted in (("EK-FAC", -strength), ("BM25", -strength / 2), ("random", 0.0), ("random", 0.0)):
                measured = measured_per_predicted * predicted + noise * draw.standard_normal()
                about = {"id": f"q{number}", "completion": f"Question {number}", "kind": "Fact"}
                made.append({"what": what, "method": method, **about, "predicted": predicted, "measured": measured})
    return made


def test_the_slope_is_measured_per_predicted_and_random_removals_do_not_count():
    for row in calibrate(points(2.0)):
        assert (row["slope"], row["slope_low"], row["slope_high"]) == pytest.approx((2.0, 2.0, 2.0))
        assert row["correlation"] == pytest.approx(1)
        assert row["points"] == 24


def test_noise_widens_the_interval_around_the_slope():
    documents, tokens = calibrate(points(2.0, noise=0.3))
    for row in (documents, tokens):
        assert row["slope_low"] < 2.0 < row["slope_high"]
        assert row["slope_low"] < row["slope"] < row["slope_high"]
    assert tokens["slope_high"] - tokens["slope_low"] > documents["slope_high"] - documents["slope_low"]


def test_the_rise_is_minus_the_change_and_its_ratio_to_bm25_is_told_for_ekfac_only():
    rows = {(row["what"], row["method"]): row for row in compare_methods(points(2.0))}
    mean = 1 + np.mean(np.arange(12) / 12)
    assert rows["documents", "EK-FAC"]["rise"] == pytest.approx(2 * mean)
    assert rows["tokens", "BM25"]["rise"] == pytest.approx(mean / 2)
    assert rows["documents", "random"]["rise"] == 0
    assert rows["documents", "EK-FAC"]["of_bm25"] == pytest.approx(2)
    assert rows["documents", "EK-FAC"]["of_bm25_low"] == pytest.approx(2)
    assert rows["documents", "BM25"]["of_bm25"] is None
    assert {tuple(row) for row in rows.values()} == {tuple(rows["documents", "EK-FAC"])}


def test_several_draws_of_one_completion_count_once():
    made = points(2.0)
    twice = made + [dict(point, measured=point["measured"] - 4) for point in made if point["id"] == "q0"]
    before, after = (compare_methods(found)[0]["rise"] for found in (made, twice))
    assert after == pytest.approx(before + 2 / 12)


def test_slope_and_correlation_work_along_the_last_axis():
    a, b = np.random.default_rng(0).standard_normal((2, 3, 50))
    assert slope(a, b) == pytest.approx([np.linalg.lstsq(x[:, None], y)[0][0] for x, y in zip(a, b, strict=True)])
    assert correlation(a, b) == pytest.approx([np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)])


def test_an_interval_covers_the_middle_of_what_is_drawn_anew():
    values = np.random.default_rng(0).standard_normal(400)
    low, high = interval(400, lambda at: values[at].mean(-1))
    assert (high - low) / 2 == pytest.approx(1.96 / 20, rel=0.15)


def test_a_rare_token_stands_beside_the_frequent_one_nearest_in_loss_and_none_is_taken_twice():
    draw = np.random.default_rng(1)
    counts = draw.permutation(np.repeat([2, 40, 900], 30))
    table = pd.DataFrame({"occurrences": counts, "loss": draw.exponential(2, 90), "query": np.arange(90)})
    chosen = matched_pairs(table, 12, seed=0)
    assert chosen["pair"].tolist() == np.repeat(np.arange(12), 2).tolist()
    assert chosen["query"].is_unique
    assert set(chosen.loc[chosen["group"] == "rare", "occurrences"]) == {2}
    assert set(chosen.loc[chosen["group"] == "frequent", "occurrences"]) == {900}
    rare, frequent = chosen.iloc[0], chosen.iloc[1]
    others = table.loc[table["occurrences"] == 900, "loss"]
    assert abs(frequent["loss"] - rare["loss"]) == pytest.approx((others - rare["loss"]).abs().min())


def test_what_a_group_lost_is_a_share_of_what_it_had_learned():
    rows = [
        {"group": group, "learned": learned, "measured": -lost, "random": -0.1, "loss": 1.0, "top_10": 0.5}
        for group, pairs in (("rare", ((1, 1), (3, 2))), ("frequent", ((2, 0.5), (2, 0.5))))
        for learned, lost in pairs
    ]
    rare, frequent = compare_groups(rows)
    assert (rare["lost"], frequent["lost"]) == pytest.approx((0.75, 0.25))
    assert (frequent["lost_low"], frequent["lost_high"]) == pytest.approx((0.25, 0.25))
    assert rare["lost_low"] < 0.75 < rare["lost_high"]
    assert rare["lost_random"] == pytest.approx(0.05)
