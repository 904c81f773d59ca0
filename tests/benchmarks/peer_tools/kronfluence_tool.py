"""kronfluence 1.0.1; queries are prepared in the same call as documents are scored, so that pass is timed inside."""

import json
from pathlib import Path

import numpy as np
import torch
from kronfluence.analyzer import Analyzer, prepare_model
from kronfluence.arguments import FactorArguments, ScoreArguments
from kronfluence.score import pairwise
from kronfluence.task import Task
from serve import Clock, serve
from transformers import AutoModelForCausalLM


class CausalLM(Task):
    """Summed cross-entropy of a sequence; a batch is (sequence, mask of the targets that count)."""

    def __init__(self, layers: list[str]) -> None:
        self.layers = layers

    def compute_train_loss(self, batch, model, sample: bool = False):
        sequence, mask = batch
        logits = model(input_ids=sequence[:, :-1], use_cache=False).logits.flatten(0, 1)
        labels = sequence[:, 1:].flatten()
        if sample:
            labels = torch.multinomial(logits.detach().softmax(-1), 1).flatten()
        return (torch.nn.functional.cross_entropy(logits, labels, reduction="none") * mask.flatten()).sum()

    def compute_measurement(self, batch, model):
        return self.compute_train_loss(batch, model)

    def get_influence_tracked_modules(self) -> list[str]:
        return self.layers

    def get_attention_mask(self, batch) -> None:
        return None


class Kronfluence:
    """Its analyzer over the same sequences."""

    def __init__(self, task: dict, clock: Clock, preparation: Clock) -> None:
        self.task, self.clock, self.preparation = task, clock, preparation
        network = AutoModelForCausalLM.from_pretrained(task["model"], dtype=torch.float32).eval()
        self.kind = CausalLM(task["layer_names"])
        network = prepare_model(network, self.kind)
        folder = str(Path(task["folder"]) / "kronfluence")
        self.analyzer = Analyzer("peers", network, self.kind, cpu=True, disable_tqdm=True, output_dir=folder)
        read = json.loads(Path(task["sequences"]).read_text())
        everywhere = torch.ones(task["length"])
        self.fitted = [(torch.tensor(one), everywhere) for one in read["documents"]]
        self.queries = read["queries"]
        self.batch = max(1, task["batch_tokens"] // task["length"])
        pairwise.compute_dot_products_with_loader = clock.timed(pairwise.compute_dot_products_with_loader)

    def fit(self) -> None:
        with self.clock:
            self.analyzer.fit_all_factors(
                "factors", self.fitted, per_device_batch_size=self.batch,
                factor_args=FactorArguments(strategy="ekfac"), overwrite_output_dir=True,
            )  # fmt: skip

    def documents(self, queries: int, rank: int | None = None) -> np.ndarray:
        return self._scores(queries, rank, False)

    def tokens(self, queries: int, rank: int | None = None) -> np.ndarray:
        return self._scores(queries, rank, True)

    def _scores(self, queries: int, rank: int | None, per_token: bool) -> np.ndarray:
        before = self.clock.seconds
        with self.preparation:
            self.analyzer.compute_pairwise_scores(
                "scores", "factors", self._padded(queries), self.fitted[: self.task["documents"]],
                per_device_query_batch_size=queries, per_device_train_batch_size=self.batch,
                score_args=ScoreArguments(
                    damping_factor=None, compute_per_token_scores=per_token, query_gradient_low_rank=rank
                ),
                overwrite_output_dir=True,
            )  # fmt: skip
        self.preparation.seconds -= self.clock.seconds - before
        return self.analyzer.load_pairwise_scores("scores")["all_modules"].float().numpy()

    def _padded(self, queries: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        chosen = self.queries[:queries]
        longest = max(len(one["sequence"]) for one in chosen)
        padded = []
        for one in chosen:
            sequence, mask = torch.zeros(longest, dtype=torch.long), torch.zeros(longest - 1)
            sequence[: len(one["sequence"])] = torch.tensor(one["sequence"])
            mask[one["first"] : len(one["sequence"]) - 1] = 1.0
            padded.append((sequence, mask))
        return padded


if __name__ == "__main__":
    serve(Kronfluence)
