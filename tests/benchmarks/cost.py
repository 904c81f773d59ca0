"""What influence on large models and corpora costs: ``python tests/benchmarks/cost.py [--device cuda] [--dtype ...]``.

Measures here how many floating-point operations a second the fit and score steps reach, on a random model of a few
blocks of the asked width, from the difference of two runs, so that what does not grow with the corpus drops out. Then
works out time, money, memory and disk for three models of Llama's shapes on 10^6 to 10^9 documents, with the formulas
below. Operations of one token, for a model of P parameters without its embedding, tracked layers ``[o, i]``, windows of
t tokens and r rows of directions (completion tokens and completions):

    pass over the network     4 P                    forward, and backward for activations only
    fit                       2 (4 P) + 2 sum(i^2 + o^2) + 2 sum(o i) + 2 sum(o i (o + i)) / t
    score                     4 P + 2 sum(o i) + 2 r sum(o i) / t
    eigenvectors, once        9 sum(i^3 + o^3), in float64
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from toys import TEXTS, train_tokenizer, write_jsonl  # noqa: E402

from engine.estimate import format_bytes  # noqa: E402
from engine.factors import fit  # noqa: E402
from engine.loading import prepare  # noqa: E402
from engine.model import LanguageModel  # noqa: E402
from engine.queries import query  # noqa: E402
from engine.run import Run  # noqa: E402
from engine.scores import score  # noqa: E402
from engine.settings import FitSettings, ScoreSettings  # noqa: E402

SHAPES = {"1B": (2048, 8192, 16, 32, 8), "8B": (4096, 14336, 32, 32, 8), "70B": (8192, 28672, 80, 64, 8)}
"""Width, inner width, blocks, heads and key-value heads of Llama 3."""
VOCABULARY, WINDOW, TOKENS = 128_256, 512, 500
"""Tokens of the vocabulary, of a window, and of a document."""
FITTED, ROWS = 10_000, 88
"""Documents fitted on, and rows of directions: eight completions of ten tokens."""
CORPORA = (10**6, 10**7, 10**8, 10**9)
"""Documents."""
MEASURED_BLOCKS, FEW, MANY, CHARACTERS, SIZE = 2, 4, 16, 800, 1_536
"""Blocks of the model that is measured, documents of its two runs, their characters, and size of the covariance."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Shape:
    """What the formulas need of a model.

    Attributes:
        weights: All its parameters.
        used: P, those that every token meets: all but the embedding.
        layers: ``(o, i)`` of each tracked layer.
    """

    weights: int
    used: int
    layers: Sequence[tuple[int, int]]

    def total(self, each: Any) -> float:
        """Sum over the tracked layers."""
        return float(sum(each(o, i) for o, i in self.layers))

    @property
    def fit(self) -> float:
        """Operations a token."""
        covariances = 2 * self.total(lambda o, i: o * o + i * i)
        formed = 2 * self.total(lambda o, i: o * i) + 2 * self.total(lambda o, i: o * i * (o + i)) / WINDOW
        return 8 * self.used + covariances + formed

    def score(self, rows: int) -> float:
        """Operations a token."""
        return 4 * self.used + 2 * self.total(lambda o, i: o * i) * (1 + rows / WINDOW)

    @property
    def eigenvectors(self) -> float:
        """Operations, once."""
        return 9 * self.total(lambda o, i: o**3 + i**3)

    @property
    def factors(self) -> float:
        """Bytes of the factors."""
        return 4 * self.total(lambda o, i: o * o + i * i + o * i)


def shape_of(width: int, inner: int, blocks: int, heads: int, kv_heads: int, vocabulary: int = VOCABULARY) -> Shape:
    """The shape of a Llama with its MLP layers tracked; no weight is made."""
    with torch.device("meta"):
        network = LlamaForCausalLM(_config(width, inner, blocks, heads, kv_heads, vocabulary))
    linears = {name: module for name, module in network.named_modules() if isinstance(module, torch.nn.Linear)}
    layers = [(one.out_features, one.in_features) for name, one in linears.items() if ".mlp." in name]
    used = sum(one.weight.numel() for one in linears.values())
    return Shape(sum(one.numel() for one in network.parameters()), used, layers)


def _config(width: int, inner: int, blocks: int, heads: int, kv_heads: int, vocabulary: int) -> LlamaConfig:
    return LlamaConfig(
        hidden_size=width, intermediate_size=inner, num_hidden_layers=blocks, num_attention_heads=heads,
        num_key_value_heads=kv_heads, vocab_size=vocabulary, max_position_embeddings=WINDOW, bos_token_id=0,
        eos_token_id=0, attn_implementation="eager",
    )  # fmt: skip


def measure(width: int, vocabulary: int, device: str, dtype: str) -> dict[str, float]:
    """Operations a second that the steps reach, and float64 eigenvectors."""
    own = (width, 4 * width, MEASURED_BLOCKS, 8, 8, vocabulary)
    torch.manual_seed(0)
    network = LlamaForCausalLM(_config(*own)).to(device, DTYPES[dtype])
    model, shape = prepare("measured", network, train_tokenizer(), WINDOW), shape_of(*own)
    with tempfile.TemporaryDirectory() as home:
        _, few, many = (_taken(Path(home) / str(place), model, count) for place, count in enumerate((FEW, FEW, MANY)))
    more = many["tokens"] - few["tokens"]
    operations = {"fit": shape.fit, "score": shape.score(int(many["rows"]))}
    rates = {step: each * more / (many[step] - few[step]) for step, each in operations.items()}
    symmetric = torch.randn(SIZE, SIZE, dtype=torch.float64)
    started = time.perf_counter()
    torch.linalg.eigh(symmetric + symmetric.T)
    return rates | {"eigenvectors": 9 * SIZE**3 / (time.perf_counter() - started)}


def _taken(home: Path, model: LanguageModel, count: int) -> dict[str, float]:
    """Seconds of both steps on so many documents, their tokens, and rows of directions."""
    home.mkdir()
    folder, device = home / "run", str(model.device)
    dtype = next(name for name, one in DTYPES.items() if one == model.dtype)
    texts = (" ".join(TEXTS[(n + k) % len(TEXTS)] for k in range(40))[:CHARACTERS] for n in range(count))
    corpus = write_jsonl(home / "corpus.jsonl", [{"id": str(n), "text": text} for n, text in enumerate(texts)])
    asked = write_jsonl(home / "queries.jsonl", [{"id": "q", "prompt": TEXTS[0], "completion": TEXTS[1]}])
    marks = [time.perf_counter()]
    fit(folder, model, corpus, FitSettings(device=device, dtype=dtype))
    marks.append(time.perf_counter())
    query(folder, asked, model=model)
    marks.append(time.perf_counter())
    score(folder, ScoreSettings(keep_tokens=0, keep_prediction=0, rank_error=1e-6), model=model)
    run = Run(folder)
    tokens, rows = int(run.documents["tokens"].sum()), len(run.query_tokens) + 1
    return {"fit": marks[1] - marks[0], "score": time.perf_counter() - marks[2], "tokens": tokens, "rows": rows}


def worked_out(rates: dict[str, float], shape: Shape, documents: int, price: float) -> dict[str, float]:
    """Operations, and hours, money, memory and disk of one machine, for a corpus."""
    fit, scored = shape.fit * min(documents, FITTED) * TOKENS, shape.score(ROWS) * documents * TOKENS
    seconds = fit / rates["fit"] + shape.eigenvectors / rates["eigenvectors"]
    hours = (seconds + scored / rates["score"]) / 3600
    numbers = shape.total(lambda o, i: o * i)
    return {
        "operations": fit + shape.eigenvectors + scored,
        "fit_hours": seconds / 3600, "hours": hours, "money": price * hours,
        "fit_memory": 2 * shape.weights + 4 * shape.factors, "score_memory": 2 * shape.weights + 4 * ROWS * numbers,
        "disk": shape.factors + documents * (4 * (ROWS + 4) + 16 * TOKENS),
    }  # fmt: skip


def markdown(figures: dict[str, Any]) -> str:
    """The tables."""
    rates = figures["rates"]
    told = ", ".join(f"{name} {rate / 1e9:,.0f}" for name, rate in rates.items())
    lines = [
        f"Measured on {figures['machine']}, {figures['dtype']}, {figures['date']}: {told} GFLOP/s. One such machine at "
        f"{figures['price']:g} an hour; {TOKENS} tokens a document, factors of {FITTED:,} documents, {ROWS} rows.",
        "",
        "| model | documents | operations | fit, hours | all, hours | money | memory, fit | memory, score | disk |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in figures["rows"]:
        memory = " | ".join(format_bytes(row[name]) for name in ("fit_memory", "score_memory", "disk"))
        numbers = f"{row['operations']:.1e} | {row['fit_hours']:,.0f} | {row['hours']:,.0f} | {row['money']:,.0f}"
        lines.append(f"| {row['model']} | 10^{len(str(row['documents'])) - 1} | {numbers} | {memory} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, work out and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=DTYPES)
    parser.add_argument("--width", type=int, default=512, help="of the model that is measured")
    parser.add_argument("--vocabulary", type=int, default=8_192, help="of the model that is measured")
    parser.add_argument("--price", type=float, default=0.1, help="of an hour of this machine")
    parser.add_argument("--out", help="JSON file for the figures")
    given = parser.parse_args()
    rates = measure(given.width, given.vocabulary, given.device, given.dtype)
    rows = [
        {"model": name, "documents": count} | worked_out(rates, shape_of(*shape), count, given.price)
        for name, shape in SHAPES.items()
        for count in CORPORA
    ]
    cuda = given.device.startswith("cuda")
    machine = torch.cuda.get_device_name() if cuda else f"{os.cpu_count()} cores, {platform.machine()}"
    figures = {"machine": machine, "date": date.today().isoformat(), "rates": rates, "rows": rows}
    figures |= {"dtype": given.dtype, "price": given.price}
    if given.out:
        Path(given.out).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(markdown(figures))


if __name__ == "__main__":
    main()
