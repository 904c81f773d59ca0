"""The score step of the estimator ``bif``: influence as a covariance over sampled weights (:mod:`engine.bif`).

Documents and completions are read at each draw before the pass over the corpus, which then gives the baselines only.
Influence by prediction comes from the same readings, token by token. What passes through a token's activations is not
read, so that there is no influence by position.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isnan
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from engine import bif
from engine.bif import Readings
from engine.corpus import Window
from engine.factors import run_cutting
from engine.group import Group
from engine.model import LanguageModel
from engine.progress import Progress
from engine.sampling import chain_files, sample
from engine.settings import BifSettings, FitSettings, ScoreSettings
from engine.store import RunFolder
from engine.token_pass import Found
from engine.windows import positions

NO_POSITION = (
    "Influence is sampled: its tokens are known by prediction, not by position, so that keep_tokens has nothing to "
    "keep; and no direction is low-rank, so that rank_error bounds nothing."
)


def sampler_of(folder: RunFolder, settings: ScoreSettings) -> BifSettings:
    """Settings of a run's sampler: damping is that of its query step, the seed that of its fit."""
    seed = FitSettings(**folder.step("fit")["settings"]).seed
    return settings.sampler(folder.step("query")["settings"]["damping_factor"], seed)


def walked(
    folder: RunFolder,
    settings: ScoreSettings,
    documents: Sequence[int],
    progress: Progress,
    model: LanguageModel,
    group: Group,
) -> Readings:
    """Walk the chains and read documents and completions at each draw; goes on where a stopped step was."""
    progress.note(NO_POSITION)
    return sample(folder, sampler_of(folder, settings), folder.readings, progress, documents, model, group)


def about(folder: RunFolder, settings: ScoreSettings, readings: Readings) -> dict[str, Any]:
    """For the manifest: every setting of the sampler as it was used, what came of it (:meth:`Readings.about`), ``key``
    of the readings' folder, and of each completion ``r_hat`` and ``ess`` of its measurement and how far two ``halves``
    of the draws agree (None where something does not vary).
    """
    told = asdict(sampler_of(folder, settings)) | readings.about() | {"key": readings.start.parent.name}
    of_each = readings.mixing | {"halves": readings.halves}
    return told | {name: [None if isnan(one) else one for one in values.tolist()] for name, values in of_each.items()}


def stored_readings(folder: RunFolder) -> Readings:
    """The readings of a finished score step; needs no model."""
    told, cutting = folder.step("score")["results"]["sampling"], run_cutting(folder)
    table = pq.read_table(folder.documents, columns=["document", "tokens", "windows"]).to_pandas()
    shards = folder.shard_files("documents")
    scored = set(pq.read_table(shards, columns=["document"])["document"].to_pylist())
    read = table[(table["windows"] > 0) & table["document"].isin(scored)]
    home = folder.readings / told["key"]
    return Readings(
        chain_files(home, told["chains"], told["draws"]),
        home / "start.safetensors",
        read["document"].tolist(),
        [positions(cutting, tokens) for tokens in read["tokens"]],
        pq.read_table(folder.query_tokens).to_pandas().groupby("query").size().tolist(),
        *(told[name] for name in ("n_beta", "step_size", "expected_rise")),
    )


def influence_columns(readings: Readings, documents: Sequence[int]) -> dict[str, np.ndarray]:
    """Columns ``influence.<query>.<token>`` of some documents; 0 where there is nothing to predict."""
    place = {document: at for at, document in enumerate(readings.documents)}
    filled = [row for row, document in enumerate(documents) if document in place]
    values = np.zeros((sum(readings.tokens), len(documents)), dtype=np.float32)
    values[:, filled] = bif.influence(readings, [place[documents[row]] for row in filled])
    names = [f"influence.{query}.{token}" for query, count in enumerate(readings.tokens) for token in range(count)]
    return dict(zip(names, values, strict=True))


def sampled_prediction(
    readings: Readings,
    wanted: Mapping[int, Sequence[int]],
    windows: list[Window],
    positions: Mapping[int, int],
    progress: Progress,
) -> Found:
    """Prediction influence of (query, document) pairs from readings, as :meth:`engine.token_pass.Scorer.prediction`."""
    first, known = bif.starts(readings.tokens), set(readings.documents)
    for document, queries in wanted.items():
        values = np.zeros((sum(readings.tokens), positions[document]))
        if document in known:
            values = bif.token_influence(readings, document)
        for query in queries:
            yield query, document, values[first[query] : first[query] + readings.tokens[query]]
            progress.advance(readings.tokens[query] * positions[document])
