"""bergson 2.5.1 through the workers of its commands, with the model loaded once and the documents given as tokens."""

import json
import shutil
from pathlib import Path

import bergson.build as build
import numpy as np
from bergson.build import build_worker
from bergson.config.config import HessianConfig, IndexConfig, InversionConfig, PreprocessConfig, ScoreConfig
from bergson.data import load_scores
from bergson.hessians import hessian_approximations
from bergson.hessians.apply_hessian import EkfacConfig, apply_worker
from bergson.score import score
from bergson.utils.worker_utils import setup_model_and_peft
from datasets import Dataset, disable_progress_bars
from serve import Clock, serve

disable_progress_bars()


class Bergson:
    """Its steps: query gradients, factors, their inverse applied, a pass over the documents."""

    def __init__(self, task: dict, clock: Clock, preparation: Clock) -> None:
        self.task, self.clock, self.preparation = task, clock, preparation
        self.folder = Path(task["folder"]) / "bergson"
        model, _ = setup_model_and_peft(self._config("model"))
        inside = {id(module): name for name, module in model.base_model.named_modules()}
        modules = {inside[id(model.get_submodule(name))] for name in task["layer_names"]}
        for user in (build, score, hessian_approximations):
            user.setup_model_and_peft = lambda cfg, **_: (model, modules)
        score.collect_gradients = clock.timed(score.collect_gradients)
        read = json.loads(Path(task["sequences"]).read_text())
        self.fitted = self._dataset([{"sequence": one, "first": 0} for one in read["documents"]])
        self.scored = self.fitted.select(range(task["documents"]))
        self.queries = read["queries"]
        self.prepared = 0

    def _config(self, name: str, tokens: bool = False) -> IndexConfig:
        path = self.folder / name
        for folder in (path, Path(f"{path}.part")):
            shutil.rmtree(folder, ignore_errors=True)
        return IndexConfig(
            run_path=str(path), model=self.task["model"], precision="fp32", token_batch_size=self.task["batch_tokens"],
            loss_reduction="sum", attribute_tokens=tokens,
        )  # fmt: skip

    def _dataset(self, sequences: list[dict]) -> Dataset:
        ids = [one["sequence"] for one in sequences]
        labels = [[-100] * (one["first"] + 1) + one["sequence"][one["first"] + 1 :] for one in sequences]
        return Dataset.from_dict({"input_ids": ids, "labels": labels, "length": [len(one) for one in ids]})

    def fit(self) -> None:
        config = self._config("factors")
        config.partial_run_path.mkdir(parents=True)
        self.prepared = 0
        with self.clock:
            hessian_approximations.hessian_worker(
                0, 0, 1, config, HessianConfig(method="kfac", ev_correction=True), self.fitted
            )

    def _prepare(self, queries: int) -> None:
        if self.prepared == queries:
            return
        config = self._config("queries")
        config.partial_run_path.mkdir(parents=True)
        shutil.rmtree(self.folder / "directions", ignore_errors=True)
        data = self._dataset(self.queries[:queries])
        with self.preparation:
            build_worker(0, 0, 1, config, PreprocessConfig(), data)
            inverse = EkfacConfig(
                str(self.folder / "factors.part"), str(config.partial_run_path), str(self.folder / "directions"), True
            )
            apply_worker(0, 0, 1, inverse, InversionConfig(damping_factor=self.task["damping_factor"]))
        self.prepared = queries

    def documents(self, queries: int, precision: str = "fp32") -> np.ndarray:
        return self._pass(queries, precision, False)[:].T

    def tokens(self, queries: int, precision: str = "fp32") -> np.ndarray:
        rows = self._pass(queries, precision, True)[:]
        return rows.reshape(self.task["documents"], self.task["length"], queries).transpose(2, 0, 1)

    def _pass(self, queries: int, precision: str, tokens: bool):
        self._prepare(queries)
        config = self._config("scores", tokens)
        config.partial_run_path.mkdir(parents=True)
        asked = ScoreConfig(query_path=str(self.folder / "directions"), precision=precision)
        score.score_worker(0, 0, 1, config, asked, PreprocessConfig(), self.scored)
        return load_scores(config.partial_run_path)


if __name__ == "__main__":
    serve(Bergson)
