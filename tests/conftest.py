"""Fixtures: toy models with a tokenizer of their own, and a run of the embedded sample."""

import json
import os
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from engine.corpus import Document
from engine.model import LanguageModel, prepare

torch.set_num_threads(1)  # toy models gain nothing from more; on a busy machine they are ten times as slow

TEXTS = [
    "The ferry leaves the grey harbour at nine and comes back with the mail.",
    "A baker in the old town sells rye bread, plum cake and very small buns.",
    "Two sums: 12 and 30 make 42, and 7 and 8 make 15.",
    "Why does the kettle sing? Because steam is pushed through a narrow gap.",
    "def area(width, height):\n    return width * height\n",
    "Der Leuchtturm steht seit hundert Jahren auf dem Felsen.",
    "등대는 바위 위에 서 있다. 🚀 é",
    "The ferry does not leave in a storm; the harbour is then full of boats.",
]


def train_tokenizer(vocabulary: int = 300) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer like GPT-2's, trained on the texts above."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>")


def make_gpt2(dtype: torch.dtype = torch.float32, layers: int = 2, width: int = 16) -> GPT2LMHeadModel:
    """A random GPT-2: Conv1D layers with bias, tied head."""
    torch.manual_seed(1)
    config = GPT2Config(
        vocab_size=300, n_positions=32, n_embd=width, n_layer=layers, n_head=2, bos_token_id=0, eos_token_id=0,
        attn_implementation="eager", initializer_range=0.3,
    )  # fmt: skip
    return GPT2LMHeadModel(config).to(dtype)


def make_llama(dtype: torch.dtype = torch.float32) -> LlamaForCausalLM:
    """A random Llama: linear layers without bias, grouped attention."""
    torch.manual_seed(2)
    config = LlamaConfig(
        vocab_size=300, max_position_embeddings=32, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, bos_token_id=0, eos_token_id=0, tie_word_embeddings=True,
        attn_implementation="eager", initializer_range=0.3,
    )  # fmt: skip
    return LlamaForCausalLM(config).to(dtype)


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


def documents(count: int = len(TEXTS)) -> list[Document]:
    """Documents of the texts above; beyond their number two of them joined."""
    texts = [TEXTS[n] if n < len(TEXTS) else f"{TEXTS[n % 8]} {TEXTS[(n * 3 + 1) % 8]} {n}" for n in range(count)]
    return [
        Document(f"d{n}", text, ("Web", "News", "Code")[n % 3], ("en", "de")[n % 2], f"Document {n}")
        for n, text in enumerate(texts)
    ]


def write_jsonl(path: Path, records: list) -> Path:
    """One JSON object a line."""
    rows = [record if isinstance(record, dict) else vars(record) for record in records]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


QUERIES = [
    {"id": "q0", "prompt": "The ferry leaves", "completion": " the grey harbour", "kind": "Fact", "language": "en",
     "title": "When does the ferry leave?", "contrast": " a storm"},
    {"id": "q1", "prompt": "12 and 30 make", "completion": " 42", "kind": "Arithmetic", "language": "en",
     "title": "What is 12 and 30?", "contrast": " 15"},
]  # fmt: skip


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
    """A finished run of the embedded sample, computed once per test session."""
    given = os.environ.get("WHENCE_TEST_RUN")
    if given:
        return Path(given)
    from dataclasses import replace

    from engine.pipeline import compute, read_config
    from engine.progress import SilentProgress

    folder = tmp_path_factory.mktemp("runs") / "sample"
    torch.set_num_threads(os.cpu_count() or 1)
    compute(replace(read_config("sample"), run=str(folder)), SilentProgress())
    torch.set_num_threads(1)
    return folder
