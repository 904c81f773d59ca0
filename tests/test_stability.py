"""The stability check ranks again what the run ranked, changes what it says it changes, and goes on when stopped."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from toys import QUERIES, Stopping, documents, write_jsonl

from engine import FitSettings, QuerySettings, ScoreSettings, fit, query, score
from engine.__main__ import main
from engine.analysis.inside import inside_documents
from engine.check.refits import Refit, fitted_documents, halves, other_seeds, refitting
from engine.check.reranking import Reranking, Rows, Variant, with_random_signs
from engine.check.result import read_result
from engine.check.settings import StabilitySettings
from engine.check.stability import check_stability, dampings
from engine.check.verdict import CHANGES, TOP, rule_text, verdict
from engine.ekfac import LayerFactors, precondition
from engine.errors import Cancelled, RunError, WhenceError
from engine.live import load_run
from engine.progress import SilentProgress
from engine.run import Run
from engine.tensors import read_tensors

ROUNDING = 1e-4
"""Of float32 influences, relative to the largest; another damping factor changes them by more than a tenth."""
DIRECTIONS = 200


@pytest.fixture(scope="module")
def loaded(toy_run):
    return load_run(toy_run)


def own_way(run: Run) -> Variant:
    return Variant("", run.folder.factors, run.query["settings"]["damping_factor"])


def reranked(loaded, variants, work: Path, memory: float = 1e9, directions: int = 5) -> np.ndarray:
    return Reranking(Rows(loaded, directions, 0), variants, memory, work, SilentProgress()).influence()


def make_run(folder: Path, model: str, fitted: FitSettings, asked: QuerySettings, scored: ScoreSettings) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    fit(folder / "run", model, write_jsonl(folder / "corpus.jsonl", documents(20)), fitted)
    query(folder / "run", write_jsonl(folder / "queries.jsonl", QUERIES), asked)
    score(folder / "run", scored)
    return folder / "run"


def relative(found: np.ndarray, right: np.ndarray) -> float:
    return float(np.abs(found - right).max() / np.abs(right).max())


def test_a_random_direction_keeps_the_size_of_every_entry_in_the_eigenbasis():
    draw = torch.Generator().manual_seed(0)
    random = [torch.randn(size, size, generator=draw, dtype=torch.float64) for size in (20, 30)]
    q_s, q_a = (torch.linalg.qr(one).Q for one in random)
    factors = LayerFactors(q_a, q_s, torch.rand(20, 30, generator=draw, dtype=torch.float64))
    grad = torch.randn(20, 30, generator=draw, dtype=torch.float64)
    made = [with_random_signs(grad, factors, 0, str(number)) for number in range(50)]
    before = q_s.T @ grad @ q_a
    signs = torch.stack([q_s.T @ one @ q_a / before for one in made])
    torch.testing.assert_close(signs.abs(), torch.ones_like(signs))
    assert abs(float(signs.mean())) < 0.03  # 30,000 signs: a standard deviation of 0.006
    assert float(signs.mean(0).abs().max()) < 0.8  # no entry keeps its sign: 50 draws, a deviation of 0.14
    sizes = [precondition(one[None], factors, 0.1).norm() for one in (grad, *made)]
    assert max(sizes) == pytest.approx(float(min(sizes)))  # whatever the damping, it is preconditioned alike
    assert torch.equal(made[3], with_random_signs(grad, factors, 0, "3"))
    assert not torch.equal(made[3], with_random_signs(grad, factors, 1, "3"))


def test_random_directions_are_spread_over_the_completions_and_made_of_their_gradients(loaded):
    rows = Rows(loaded, DIRECTIONS, 0)
    assert np.bincount(rows.made_of).tolist() == [DIRECTIONS // 2] * 2
    assert len(rows) == 2 + DIRECTIONS
    for layer, factors in loaded.factors.items():
        turned = factors.q_s.T @ rows.of(layer) @ factors.q_a
        for number, of in enumerate(rows.made_of):
            difference = (turned[2 + number].abs() - turned[of].abs()).abs().max()
            assert float(difference / turned[of].abs().max()) < ROUNDING


def test_halves_are_disjoint_and_together_everything_that_was_fitted_on(toy_run, toy_folder, tmp_path):
    run = Run(toy_run)
    everything = run.documents.loc[run.documents["windows"] > 0, "document"].tolist()
    first, second = halves(run, 0)
    assert sorted([*first.documents, *second.documents]) == everything == fitted_documents(run)
    assert abs(len(first.documents) - len(second.documents)) <= 1
    assert first.label_seed == second.label_seed == 0
    assert next(iter(halves(run, 1))).documents != first.documents
    drawn = make_run(tmp_path, str(toy_folder), FitSettings(fit_documents=9), QuerySettings(), ScoreSettings())
    first, second = halves(Run(drawn), 0)
    assert len(first.documents) + len(second.documents) == 9 == len({*first.documents, *second.documents})


def test_the_run_s_own_settings_give_its_own_factors_and_its_own_ranking(toy_folder, tmp_path):
    fitted = FitSettings(fit_documents=12, seed=3)
    loaded = load_run(make_run(tmp_path, str(toy_folder), fitted, QuerySettings(), ScoreSettings()))
    run, refit = loaded.run, Refit("", tuple(fitted_documents(loaded.run)), 3)
    again = refitting(loaded, refit, tmp_path / "fits", SilentProgress())
    again.run()
    own, mine = read_tensors(run.folder.factors), read_tensors(again.file)
    assert own.keys() == mine.keys()
    assert all(torch.equal(own[name], mine[name]) for name in own)
    for further in (*halves(run, 0), *other_seeds(run)):  # and the changes do change them
        other = refitting(loaded, further, tmp_path / "fits", SilentProgress())
        other.run()
        assert not torch.equal(
            read_tensors(other.file)[f"{loaded.layers[0].name}.lam"], own[f"{loaded.layers[0].name}.lam"]
        )
    influence = reranked(loaded, [own_way(run), Variant("", again.file, 0.1)], tmp_path / "work")
    assert np.array_equal(influence[0], influence[1])
    for number in range(2):
        expected = run.influence(number)["influence"].to_numpy()
        assert relative(influence[0, number], expected) < ROUNDING
        assert np.argsort(-influence[0, number]).tolist() == np.argsort(-expected).tolist()


def test_another_damping_factor_gives_what_a_run_with_it_gives(loaded, toy_folder, tmp_path):
    own, least, most = (own_way(loaded.run), *dampings(own_way(loaded.run)))
    assert (least.damping_factor, most.damping_factor) == pytest.approx((0.01, 1.0))
    influence = reranked(loaded, [own, least, most], tmp_path / "work")
    for place, factor in ((1, 0.01), (2, 1.0)):
        asked = QuerySettings(damping_factor=factor)
        other = Run(make_run(tmp_path / str(place), str(toy_folder), FitSettings(), asked, ScoreSettings()))
        for number in range(2):
            expected = other.influence(number)["influence"].to_numpy()
            assert relative(influence[place, number], expected) < ROUNDING
            assert relative(influence[0, number], expected) > 100 * ROUNDING


def test_how_many_rows_share_a_pass_changes_nothing(loaded, tmp_path):
    variants = [own_way(loaded.run), *dampings(own_way(loaded.run))]
    together = reranked(loaded, variants, tmp_path / "together")
    size = 4 * sum(layer.parameters for layer in loaded.layers)
    apart = reranked(loaded, variants, tmp_path / "apart", memory=4 * size)
    assert len(list((tmp_path / "together").iterdir())) == 1
    assert len(list((tmp_path / "apart").iterdir())) == 6  # 3 variants of 7 rows, 4 at a time
    assert relative(apart, together) < ROUNDING


def dates(folder: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*.safetensors")}


def test_a_stopped_check_goes_on_and_comes_to_the_same(toy_run, loaded, tmp_path, monkeypatch):
    monkeypatch.setattr("engine.sums.CHECKPOINT_SECONDS", 0.0)
    room = 4e-9 * sum(layer.parameters for layer in loaded.layers) * 300  # of 7 * 202 rows, so five passes
    settings = StabilitySettings(str(toy_run), memory_gb=room)
    counting = Stopping(-1)
    expected = check_stability(settings, counting, tmp_path / "whole")
    for at in (3, counting.events // 2, counting.events - 1):
        work = tmp_path / str(at)
        with pytest.raises(Cancelled):
            check_stability(settings, Stopping(at), work)
        before = {file: date for file, date in dates(work).items() if "checkpoint" not in file.name}
        assert check_stability(settings, SilentProgress(), work) == expected
        finished = {file: date for file, date in before.items() if file.name != "eigenvectors.safetensors"}
        assert finished.items() <= dates(work).items(), "what was finished is not computed again"
    assert len(finished) > 4


def test_what_is_kept_is_never_taken_for_another_question_s(toy_run, tmp_path):
    settings = StabilitySettings(str(toy_run))
    check_stability(settings, SilentProgress(), tmp_path / "shared")
    other = replace(settings, seed=1)
    found = check_stability(other, SilentProgress(), tmp_path / "shared")
    assert found == check_stability(other, SilentProgress(), tmp_path / "fresh")


def test_the_check_end_to_end(toy_run, tmp_path, capsys):
    out = tmp_path / "stability.json"
    assert main(["check", "stability", "--run", str(toy_run), "--out", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == read_result(out).tables
    assert [row["completion"] for row in found["completions"]] == [query["title"] for query in QUERIES]
    null = {row["figure"]: row for row in found["null"]}
    assert list(null) == [*(f"kept_{name}" for name in CHANGES), "top_share"]
    run = Run(toy_run)
    for number, row in enumerate(found["completions"]):
        strongest = run.influence(number).nlargest(TOP, "influence")
        positive = run.influence(number)["influence"].clip(lower=0).sum()
        assert row["top_share"] == pytest.approx(strongest["influence"].clip(lower=0).sum() / positive, rel=ROUNDING)
        assert row["null_share"] == null["top_share"]["high"]
        assert row["verdict"] == verdict(
            row["top_share"], row["null_share"], {name: row[f"kept_{name}"] for name in CHANGES}
        )
        inside = inside_documents(run, number).set_index("document")
        fewest = inside.loc[inside.index.isin(strongest["document"]), "l2_l1"]
        assert row["l2_l1"] == pytest.approx(fewest.max())
        assert row["document"] == run.documents.at[fewest.idxmax(), "title"]
        assert row["few_tokens"] == (row["l2_l1"] > 2 / 3)
    for row in found["null"]:
        assert 0 <= row["median"] <= row["high"] <= TOP
    assert found["rule"][0]["text"] == rule_text(DIRECTIONS)
    assert main(["check", "stability", "--run", str(toy_run), "--out", str(out)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "Random directions" in printed and "not about whether it is true" in printed


@pytest.mark.parametrize(
    ("estimator", "dtype"),
    [("ekfac", "bfloat16"), ("kfac", "float32"), ("diagonal", "bfloat16"), ("identity", "float32")],
)
def test_runs_of_other_estimators_and_dtypes_are_checked_too(estimator, dtype, toy_folder, tmp_path):
    fitted = FitSettings(estimator=estimator, dtype=dtype)
    path = make_run(tmp_path, str(toy_folder), fitted, QuerySettings(), ScoreSettings(keep_tokens=0))
    found = check_stability(StabilitySettings(str(path)), SilentProgress(), tmp_path / "work")
    notes = " ".join(row["text"] for row in found["rule"])
    assert ("no eigenbasis but that of the weights" in notes) == (estimator in ("diagonal", "identity"))
    assert ("another damping factor changes no ranking" in notes) == (estimator == "identity")
    kept = [row["kept_damping"] for row in found["completions"]]
    assert estimator != "identity" or kept == [TOP, TOP]
    assert all(row["few_tokens"] is None and row["document"] is None for row in found["completions"])
    lam = {read_tensors(file)[f"{load_run(path).layers[0].name}.lam"].sum().item() for file in fits(tmp_path)}
    assert len(lam) == 4  # two halves and two seeds, each with factors of its own


def fits(folder: Path) -> list[Path]:
    return list((folder / "work" / "fits").glob("*/factors.safetensors"))


def test_a_run_that_is_too_small_is_refused(toy_folder, tmp_path):
    few = ScoreSettings(prefilter=True)
    path = make_run(tmp_path / "few", str(toy_folder), FitSettings(), QuerySettings(), few)
    with pytest.raises(RunError, match=r"has \d scored documents -- the 10 strongest would be all of them"):
        check_stability(StabilitySettings(str(path)), SilentProgress(), tmp_path)
    path = make_run(tmp_path / "one", str(toy_folder), FitSettings(fit_documents=1), QuerySettings(), ScoreSettings())
    with pytest.raises(RunError, match="was fitted on 1 document with something to predict -- it has no halves"):
        check_stability(StabilitySettings(str(path)), SilentProgress(), tmp_path)


def test_fewer_directions_than_a_quantile_needs_are_refused():
    with pytest.raises(WhenceError, match="directions is 199 -- it must be at least 200"):
        StabilitySettings("run", directions=199)
