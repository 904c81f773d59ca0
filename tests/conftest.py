"""Fixtures: toy models with a tokenizer of their own, a run of the embedded sample, and pages without a browser."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sample_run as sample
import torch
from toys import QUERIES, documents, make_gpt2, make_llama, train_tokenizer, write_jsonl
from transformers import PreTrainedTokenizerFast

from engine.machine import repository_folder
from engine.model import LanguageModel, prepare

torch.set_num_threads(1)  # toy models gain nothing from more; on a busy machine they are ten times as slow
os.environ["NUMBA_NUM_THREADS"] = "1"  # UMAP ends by setting numba's number, which is OpenMP's and so torch's too


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer()


@pytest.fixture(scope="session")
def gpt2(tokenizer) -> LanguageModel:
    """Float64, so that sums are exact."""
    return prepare("toy-gpt2", make_gpt2(torch.float64), tokenizer, 32)


@pytest.fixture(scope="session")
def llama(tokenizer) -> LanguageModel:
    return prepare("toy-llama", make_llama(), tokenizer, 32)


@pytest.fixture(scope="session")
def toy_folder(tmp_path_factory, tokenizer) -> Path:
    """The toy GPT-2 in float32 as a transformers folder."""
    folder = tmp_path_factory.mktemp("model") / "toy-gpt2"
    make_gpt2().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def inputs(tmp_path) -> tuple[Path, Path]:
    """A corpus of 20 documents and two queries as files."""
    return (
        write_jsonl(tmp_path / "corpus.jsonl", documents(20)),
        write_jsonl(tmp_path / "queries.jsonl", QUERIES),
    )


@pytest.fixture(scope="session")
def toy_run(tmp_path_factory, toy_folder) -> Path:
    """A finished run of the toy GPT-2 that some documents' tokens are not stored in; tests only read it."""
    from engine import ScoreSettings, fit, query, score

    folder = tmp_path_factory.mktemp("toy")
    fit(folder / "run", str(toy_folder), write_jsonl(folder / "corpus.jsonl", documents(20)))
    query(folder / "run", write_jsonl(folder / "queries.jsonl", QUERIES))
    score(folder / "run", ScoreSettings(keep_tokens=5, keep_prediction=2))
    return folder / "run"


@pytest.fixture(scope="session")
def sample_run(tmp_path_factory) -> Path:
    """A finished run of the embedded sample, computed once per test session; tests only read it."""
    given = os.environ.get("WHENCE_TEST_RUN")
    return Path(given) if given else sample.wait(shared_folder(tmp_path_factory))


def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of a test session have in common."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def needs_sample(item: pytest.Item) -> bool:
    return "sample_run" in getattr(item, "fixturenames", ())


@pytest.hookimpl(trylast=True)  # after pytest's own order, which puts all tests of a browser together
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs the sample comes last, since it is being computed meanwhile, and what would wait for a free core."""
    items.sort(key=lambda item: needs_sample(item) or item.get_closest_marker("late") is not None)


@pytest.fixture(scope="session", autouse=True)
def _sample_is_computed_meanwhile(request, tmp_path_factory) -> Iterator[None]:
    """From the first test on, if one of this session needs it."""
    needed = any(map(needs_sample, request.session.items)) and not os.environ.get("WHENCE_TEST_RUN")
    child = sample.start(shared_folder(tmp_path_factory)) if needed else None
    yield
    if child is not None:
        child.terminate()
        child.wait()


@pytest.fixture
def no_worker(monkeypatch):
    """Pages ask for jobs; nobody does them."""
    monkeypatch.setattr("dashboard.jobs.ensure_worker", lambda home: None)


@pytest.fixture(scope="session")
def installed_components() -> list:
    """Components of other packages; each AppTest would read all installed packages for them, longer than most pages."""
    from streamlit.components.v2.manifest_scanner import scan_component_manifests

    return scan_component_manifests()


@pytest.fixture
def open_page(monkeypatch, no_worker, installed_components):
    """Opens a page on the runs of a folder, with an address, as a Streamlit AppTest."""
    from streamlit.testing.v1 import AppTest

    scanner = "streamlit.components.v2.manifest_scanner.scan_component_manifests"
    monkeypatch.setattr(scanner, lambda: installed_components)
    # Streamlit puts the page in its place and leaves it there; processes spawned by later tests would run it
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])

    def opened(runs: Path, page: str = "influence", **address: str | list[str]) -> AppTest:
        monkeypatch.setenv("WHENCE_RUNS", str(runs))
        monkeypatch.delenv("WHENCE_RUN", raising=False)
        app = AppTest.from_file(str(repository_folder() / "dashboard" / "navigation.py"), default_timeout=60.0)
        if page != "home":
            app.run().switch_page(f"views/{page}.py")
        for name, value in address.items():
            app.query_params[name] = value
        app.run()
        assert not app.exception, app.exception
        return app

    return opened
