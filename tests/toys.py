"""Toys that many tests share: a tokenizer, random models, documents and queries."""

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from engine.corpus import Document
from engine.errors import Cancelled
from engine.progress import SilentProgress

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


class Stopping(SilentProgress):
    """Counts what is reported and cancels at one of them."""

    def __init__(self, at: int) -> None:
        self.at, self.events = at, 0

    def start(self, step: str, total: int, unit: str = "tokens") -> None:
        self.advance(0)

    def advance(self, amount: int) -> None:
        self.events += 1
        if self.events == self.at:
            raise Cancelled
