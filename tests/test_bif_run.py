"""A run of the estimator ``bif`` is a run like any other: fit, query, score, pages; what it lacks, it says."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from page_words import words
from toys import QUERIES, documents, write_jsonl

from engine import FitSettings, QuerySettings, Run, ScoreSettings, bif, fit, query, sampling, score, token_influence
from engine.__main__ import main
from engine.ablations import ablate
from engine.check.bayesian import check_bif
from engine.check.settings import CheckBifSettings, StabilitySettings
from engine.check.stability import check_stability
from engine.errors import RunError, WhenceError
from engine.findings.findings import measure_findings
from engine.findings.settings import FindingsSettings
from engine.live import load_run
from engine.mixing import mixing
from engine.pipeline import RunConfig, is_computed, read_config
from engine.progress import SilentProgress
from engine.sampled_scores import sampler_of, stored_readings
from engine.settings import BifSettings
from engine.store import RunFolder

SCORE = ScoreSettings(keep_prediction=2, chains=2, burn_in=2, draws=8, every=1, batch=20)
FIT = FitSettings(estimator="bif", training_windows="corpus", seed=3)


@pytest.fixture(scope="module")
def inputs_of_run(tmp_path_factory) -> tuple[Path, Path]:
    """A corpus with a document that has nothing to predict, and two completions."""
    folder = tmp_path_factory.mktemp("inputs")
    corpus = [*documents(11), replace(documents(12)[11], text="")]
    return write_jsonl(folder / "corpus.jsonl", corpus), write_jsonl(folder / "queries.jsonl", QUERIES)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, toy_folder, inputs_of_run) -> Path:
    """A run that is not scored yet."""
    run = tmp_path_factory.mktemp("prepared") / "run"
    fit(run, str(toy_folder), inputs_of_run[0], FIT)
    query(run, inputs_of_run[1])
    return run


@pytest.fixture(scope="module")
def path(prepared, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "sampled"
    shutil.copytree(prepared, run)
    score(run, SCORE)
    return run


@pytest.fixture(scope="module")
def run(path) -> Run:
    return Run(path)


def test_influence_is_n_beta_times_the_covariance_of_its_readings(run):
    folder, told = run.folder, run.score["results"]["sampling"]
    asked = BifSettings(100.0, chains=2, burn_in=2, draws=8, every=1, batch=20, seed=3)
    assert sampler_of(folder, SCORE) == asked
    readings = sampling.sample(folder, asked, folder.readings, SilentProgress(), range(11))
    completions = readings.measured[:, : len(run.tokens_of_query(0))].sum(1)
    covariances = [readings.n_beta * np.cov(completions, one)[0, 1] for one in readings.log_probs.T]
    assert run.influence(0)["influence"].to_numpy() == pytest.approx([*covariances, 0.0], rel=1e-4)
    assert {name: told[name] for name in asdict(asked)} == asdict(asked) | {"n_beta": readings.n_beta} | {
        "step_size": readings.step_size
    }


def test_halves_of_the_draws_that_agree_are_told_from_noise(run):
    """Not from the readings' noise but from a made-up ranking that both halves share."""
    readings = stored_readings(run.folder)
    found = np.array(run.score["results"]["sampling"]["halves"])
    assert found == pytest.approx(readings.halves)
    assert (np.abs(found) < 1).all()
    draw = np.random.default_rng(0).standard_normal(16)
    same = replace(readings)
    same.__dict__["_all"] = (np.outer(draw, np.arange(1.0, 12.0)), np.outer(draw, np.ones(len(run.query_tokens))))
    assert same.halves == pytest.approx(np.ones(2))


def test_readings_of_a_finished_run_are_read_again_without_a_model(run):
    readings = stored_readings(run.folder)
    asked = sampler_of(run.folder, SCORE)
    assert readings == sampling.sample(run.folder, asked, run.folder.readings, SilentProgress(), range(11))


@pytest.mark.parametrize("document", [0, 5, 11])
def test_tokens_add_up_to_their_document_stored_or_computed_when_asked_for(path, run, document, monkeypatch):
    monkeypatch.setattr("engine.live.load_fitted", None)  # no model is needed
    for number in (0, 1):
        found = token_influence(path, number, document, "prediction").influence
        tokens = run.tokens_of_query(number)["token"]
        whole = [run.influence(number, [token])["influence"][document] for token in tokens]
        assert found.shape == (len(tokens), 1 + len(run.document_tokens(document)))
        assert found.sum(1) == pytest.approx(whole, abs=1e-6 * float(np.abs(found).sum()))
        assert (found[:, 0] == 0).all()  # the start token is not predicted


def test_prediction_influence_of_both_ends_is_stored_and_none_by_position(run):
    ranking = run.influence(0).sort_values("influence", ascending=False)["document"].tolist()
    assert set(run.documents_with_tokens(0, "prediction")) >= {*ranking[:2], *ranking[-2:]}
    assert run.documents_with_tokens(0, "position") == []
    assert run.token_kinds == ("prediction",)


def test_the_rest_is_that_of_a_run_of_ekfac_and_sampling_around_that_comes_to_the_same(
    run, toy_folder, inputs_of_run, tmp_path
):
    fit(tmp_path / "run", str(toy_folder), inputs_of_run[0], replace(FIT, estimator="ekfac"))
    query(tmp_path / "run", inputs_of_run[1])
    score(tmp_path / "run", ScoreSettings(keep_prediction=0, keep_tokens=0))
    other = Run(tmp_path / "run")
    ours, theirs = (one.influence(1).drop(columns="influence") for one in (run, other))
    for name in ours:
        assert ours[name].to_numpy() == pytest.approx(theirs[name].to_numpy(), rel=1e-5, abs=1e-7, nan_ok=True), name
    asked, readings = sampler_of(run.folder, SCORE), stored_readings(run.folder)
    again = sampling.sample(other.folder, asked, tmp_path, SilentProgress(), range(11))
    assert np.array_equal(again.log_probs, readings.log_probs)
    assert np.array_equal(again.measured, readings.measured)


def test_the_manifest_holds_the_damping_that_was_used(run, inputs_of_run, toy_folder):
    assert run.query["settings"]["damping_factor"] == 100.0
    config = RunConfig(str(run.path), str(toy_folder), *map(str, inputs_of_run), FIT, QuerySettings(), SCORE)
    assert is_computed(config)
    assert is_computed(replace(config, query=QuerySettings(damping_factor=100.0)))
    assert not is_computed(replace(config, query=QuerySettings(damping_factor=0.1)))
    assert not is_computed(replace(config, fit=replace(FIT, estimator="ekfac")))


def test_settings_stand_in_a_toml_file_too(tmp_path):
    lines = ['run = "r"', 'model = "m"', 'corpus = "c"', 'queries = "q"', "[fit]", 'estimator = "bif"', "[query]"]
    lines += ["damping_factor = 50", "[score]", "chains = 3", "n_beta = 7", 'preconditioner = "none"']
    file = tmp_path / "run.toml"
    file.write_text("\n".join(lines))
    config = read_config(file)
    assert (config.fit.estimator, config.query.damping_factor) == ("bif", 50)
    assert (config.score.chains, config.score.n_beta, config.score.preconditioner) == (3, 7, "none")


class Killed(Exception):
    """Ends a step in the middle."""


def kept(path: Path) -> dict[str, bytes]:
    files = sorted((path / "score").rglob("*"))
    return {str(file.relative_to(path)): file.read_bytes() for file in files if file.is_file()}


def kill(path: Path, after: int) -> None:
    """Begin a score step that is killed after so many files of readings."""
    write, written = sampling.write_tensors, []

    def killed(tensors, file):
        if len(written) == after:
            raise Killed
        written.append(file)
        write(tensors, file)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(sampling, "write_tensors", killed)
        score(path, SCORE)


@pytest.mark.parametrize("after", [1, 12, 31])
def test_a_killed_score_step_goes_on_and_ends_with_the_same_bytes(prepared, path, tmp_path, after):
    shutil.copytree(prepared, tmp_path / "run")
    kill(tmp_path / "run", after)
    score(tmp_path / "run", SCORE)
    whole = {name: content for name, content in kept(path).items() if "on_demand" not in name}
    assert kept(tmp_path / "run") == whole


def test_a_step_that_ran_out_of_memory_goes_on_with_smaller_batches(prepared, path, tmp_path):
    shutil.copytree(prepared, tmp_path / "run")
    kill(tmp_path / "run", 12)
    before = {name: content for name, content in kept(tmp_path / "run").items() if name.endswith("00001.safetensors")}
    assert before
    score(tmp_path / "run", replace(SCORE, batch_tokens=100))
    assert before.items() <= kept(tmp_path / "run").items()
    found, whole = (Run(one).influence(0)["influence"].to_numpy() for one in (tmp_path / "run", path))
    assert found == pytest.approx(whole, rel=1e-3, abs=1e-4)


def test_a_prefilter_reads_its_candidates_only(prepared, tmp_path):
    shutil.copytree(prepared, tmp_path / "run")
    score(tmp_path / "run", replace(SCORE, prefilter=True))
    few = Run(tmp_path / "run")
    assert few.scored_documents < 12
    documents = few.influence(0)["document"].tolist()
    assert stored_readings(few.folder).documents == [document for document in documents if document != 11]


def test_sampling_settings_of_another_estimator_are_refused(toy_run):
    with pytest.raises(WhenceError, match="chains is 2, but the run was fitted with EK-FAC -- it is a setting of the "):
        score(toy_run, ScoreSettings(chains=2))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"chains": 0}, "chains is 0 -- it must be at least 1"),
        ({"step_size": 5.0}, "step_size is 5.0"),
        ({"n_beta": -1.0}, "n_beta is -1.0"),
        ({"preconditioner": "adam"}, "preconditioner 'adam' is unknown"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(wrong, message):
    with pytest.raises(WhenceError, match=message):
        ScoreSettings(**wrong)


def test_what_sampling_cannot_give_is_refused_with_what_to_do_instead(path, run, capsys):
    refused = "influence was sampled .* none by position.* --estimator ekfac"
    with pytest.raises(RunError, match=refused):
        token_influence(path, 0, 3)
    with pytest.raises(RunError, match=refused):
        ablate(load_run(path), 0, 3)
    with pytest.raises(RunError, match=refused):
        check_stability(StabilitySettings(str(path)), SilentProgress(), path / "checks" / "stability")
    with pytest.raises(RunError, match="itself computed by sampling"):
        check_bif(CheckBifSettings(run=str(path)), SilentProgress(), path / "checks" / "bif")
    assert main(["tokens", "--run", str(path), "--query", "q0", "--document", "d3"]) == 2
    assert main(["analyse", "word-order", "--run", str(path)]) == 2
    assert capsys.readouterr().err.count("--estimator ekfac") == 2


def test_findings_that_need_more_say_so_and_others_are_measured(path):
    only = ["layers", "word_order", "tails"]
    found = {one.check: one for one in measure_findings(FindingsSettings(str(path), only=only, draws=20))}
    for name in ("layers", "word_order"):
        assert any("influence was sampled" in row["text"] for row in found[name].tables["open"]), name
    assert found["tails"].tables["estimates"]


def test_the_command_line_shows_it_with_its_mixing(path, run, capsys):
    assert main(["top", "--run", str(path), "--query", "q0"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "16 draws of the weights, in 2 chains" in said
    assert "R-hat" in said
    assert main(["analyse", "concentration", "--run", str(path), "--query", "q0", "--json"]) == 0
    assert any(row["table"] == "inside" for row in json.loads(capsys.readouterr().out))
    assert (
        main(["check", "leave-out", "--run", str(path), "--query", "q0", "--top", "1", "--beside", "4", "--json"]) == 0
    )
    assert json.loads(capsys.readouterr().out)["completions"][0]["predicted"] is not None


@pytest.mark.parametrize(
    ("r_hat", "ess", "warning"),
    [
        (1.05, 45.0, ""),
        (1.3, 45.0, "chains have not mixed"),
        (1.05, 19.0, "few effective draws (less than 20)"),
        (None, None, "the same at every draw"),
    ],
)
def test_what_has_not_mixed_is_said_plainly(run, monkeypatch, r_hat, ess, warning):
    sampled = run.score["results"]["sampling"] | {"r_hat": [r_hat], "ess": [ess], "halves": [0.4]}
    monkeypatch.setitem(run.score, "results", run.score["results"] | {"sampling": sampled})
    found = mixing(run, 0)
    assert warning in found.warning
    assert bool(found.warning) == bool(warning)


def test_a_run_that_solves_has_no_mixing(toy_run):
    assert mixing(Run(toy_run), 0) is None


PAGES = (
    "home",
    "story",
    "influence",
    "concentration",
    "sources",
    "word_order",
    "findings",
    "compare",
    "map",
    "review",
    "trust",
)


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens(path, open_page, page):
    said = words(open_page(path.parent, page, run="Sampled"))
    expected = {
        "influence": ("Bayesian influence function", "What dropping this", "there is none by position"),
        "word_order": ("Variants of documents cannot be scored", "--estimator ekfac"),
        "compare": ("cannot be compared", "--estimator ekfac"),
        "concentration": (),
        "trust": ("This run's influence was sampled",),
    }
    for text in expected.get(page, ()):
        assert text.lower() in said.lower(), said


def test_tokens_that_are_not_stored_can_be_asked_for_on_the_page(path, run, open_page):
    stored = set(run.documents_with_tokens(0, "prediction"))
    document = next(number for number in range(11) if number not in stored)
    app = open_page(path.parent, "influence", document=run.documents.at[document, "id"], by="By position")
    assert "Compute this document's tokens" in [button.label for button in app.button]


def test_readings_are_kept_in_the_run_and_take_four_bytes_a_token_and_draw(run):
    files = list(run.folder.readings.rglob("chain-*/*.safetensors"))
    assert len(files) == 2 * 8
    tokens = sum(1 + run.documents.at[number, "tokens"] for number in range(11))
    assert all(4 * tokens < file.stat().st_size < 4 * tokens + 2_000 for file in files)
    assert pq.read_table(RunFolder(run.path).shard("tokens", 0)).num_rows == 0
    assert bif.influence(stored_readings(run.folder)).shape == (len(run.query_tokens), 11)
