"""Scored variants come back from the run as they were written, and only where they were asked for."""

import numpy as np
import pytest
from tiny_run import plain_documents, plain_queries, write_tiny_run

from engine.ablation_file import (
    ablation_key,
    is_kept,
    read_ablation,
    read_top,
    top_changed,
    write_ablation,
    write_top,
)
from engine.analysis.ablation import Ablation, VariantInfluence
from engine.corpus import Tokens
from engine.run import Run
from engine.variants import VariantSettings, make_variants, rewrite

DEFAULT = VariantSettings()


@pytest.fixture
def run(tmp_path) -> Run:
    return Run(write_tiny_run(tmp_path / "run", plain_documents(4), plain_queries()))


def made(run: Run, settings: VariantSettings, noise: float = 1.5) -> Ablation:
    """Variants with made-up influence: token n of variant v has n + v / 10 on each completion token."""
    variants = make_variants(run.text(1), " was a cat", "story", settings)
    variants.append(rewrite("other_document", run.text(1), run.text(2)))
    found = []
    for number, one in enumerate(variants):
        spans = np.arange(len(one.text), dtype=np.int32)
        influence = np.tile(np.arange(1 + len(spans), dtype=np.float32) + number / 10, (3, 1))
        tokens = Tokens(spans, spans, spans + 1)
        found.append(VariantInfluence(one.name, one.draw, one.text, tokens, influence, True, one.origin))
    return Ablation(0, 1, run.unit, noise, tuple(found))


@pytest.mark.parametrize("noise", [1.5, float("nan")])
def test_what_was_written_is_read(run, noise):
    settings = VariantSettings(draws=2, documents=(2,), texts={"edit": "Once there was\nno story. 👩‍🚀"})
    written = made(run, settings, noise)
    write_ablation(run.folder, written, settings)
    read = read_ablation(run, 0, 1, ablation_key(settings))
    assert (read.query, read.document, read.unit) == (0, 1, "nats")
    assert read.noise == noise or (np.isnan(read.noise) and np.isnan(noise))
    assert len(read.variants) == len(written.variants)
    for before, after in zip(written.variants, read.variants, strict=True):
        assert (after.name, after.draw, after.text, after.origin) == (
            before.name, before.draw, before.text, before.origin,
        )  # fmt: skip
        assert np.array_equal(after.influence, before.influence)
        assert after.influence.dtype == np.float32
        assert after.has_start == before.has_start
        for name in ("ids", "starts", "ends"):
            assert np.array_equal(getattr(after.tokens, name), getattr(before.tokens, name))


def test_nothing_is_read_where_nothing_was_asked_for(run):
    write_ablation(run.folder, made(run, DEFAULT), DEFAULT)
    key = ablation_key(DEFAULT)
    assert read_ablation(run, 0, 1, key) is not None
    other = ablation_key(VariantSettings(seed=1))
    assert other != key
    for query, document, name in ((1, 1, key), (0, 2, key), (0, 1, other)):
        assert read_ablation(run, query, document, name) is None


@pytest.mark.parametrize("key", ["", "../../manifest", "0" * 15, "0" * 17, "G" * 16, "0" * 16 + "\n"])
def test_a_name_from_an_address_reaches_no_other_file(run, key):
    assert read_ablation(run, 0, 1, key) is None


def test_a_file_of_another_version_is_not_read(run, monkeypatch):
    write_ablation(run.folder, made(run, DEFAULT), DEFAULT)
    monkeypatch.setattr("engine.ablation_file.FORMAT", 2)
    assert read_ablation(run, 0, 1, ablation_key(VariantSettings())) is None


def test_the_same_settings_have_the_same_name_however_they_are_given():
    assert ablation_key(VariantSettings(documents=[3])) == ablation_key(VariantSettings(documents=(3,)))
    assert ablation_key(VariantSettings(texts={"edit": "a"})) != ablation_key(VariantSettings(texts={"edit": "b"}))


def test_tables_of_other_settings_are_left_out_of_how_many_documents_they_are_is_not_asked(run):
    table = made(run, DEFAULT).table()
    rows = [row | {"query": 0, "document": 1, "control": False} for row in table.to_dict("records")]
    assert read_top(run.folder, [0, 1]).empty
    assert top_changed(run.folder) == 0.0
    write_top(run.folder, 0, rows, 3, DEFAULT)
    write_top(run.folder, 1, [row | {"query": 1} for row in rows], 5, DEFAULT)
    write_top(run.folder, 2, [row | {"query": 2} for row in rows], 3, VariantSettings(seed=1))
    assert is_kept(run.folder, 0, 3, DEFAULT)
    assert not is_kept(run.folder, 0, 5, DEFAULT)
    found = read_top(run.folder, [0, 1, 2])
    assert found["query"].unique().tolist() == [0, 1]
    assert len(found) == 2 * len(table)
    assert found["influence"][: len(table)].tolist() == table["influence"].tolist()
    assert top_changed(run.folder) > 0
