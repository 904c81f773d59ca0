"""Step 3 of 3, score: the influence of every document, and of the tokens inside the ones that matter.

1. Lexical scores (prefilter and baseline) and the directions, written before the first shard.
2. The bulk pass: document influences of all documents (or the prefilter's candidates).
3. The token passes: position influence of the top and bottom documents of each completion,
   prediction influence of the very first of them.

With the estimator ``bif`` influence is sampled before the bulk pass (:mod:`engine.sampled_scores`).
Each pass works shard by shard; a finished shard is never computed again. A group of processes shares the shards of
each pass (:mod:`engine.group`); its first process does what comes before.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from engine import lexical
from engine.bif import Readings
from engine.corpus import tokenize
from engine.directions import (
    Directions,
    choose_directions,
    multiply_out,
    plain_directions,
    read_directions,
    thin_tensors,
)
from engine.document_pass import score_documents, shard_table
from engine.ekfac import LayerFactors
from engine.ends import Ends
from engine.errors import RunError
from engine.estimate import Estimate, announce, batch_bytes, free_memory, probe_windows, seconds_per_token
from engine.factors import load_fitted, read_factors, run_cutting
from engine.gather import gather
from engine.group import Group, this_group
from engine.model import LanguageModel
from engine.progress import Progress, SilentProgress
from engine.queries import read_query_gradients
from engine.sampled_scores import about, influence_columns, sampled_prediction, walked
from engine.settings import OF_SAMPLED, SAMPLED, FitSettings, ScoreSettings, belong
from engine.store import RunFolder
from engine.tensors import write_tensors
from engine.token_pass import Scorer, TokenCompute, token_table
from engine.windows import positions, shard_documents, shard_numbers, shard_windows
from engine.writing import write_table

RECALL_AT = (10, 100)


def score(
    run: str | Path,
    settings: ScoreSettings | None = None,
    progress: Progress | None = None,
    model: LanguageModel | None = None,
) -> None:
    """Write the influence tables of a run; goes on where a killed run stopped.

    Under torchrun each process calls it, and they share the work.

    Args:
        run: Folder of a run whose fit and query steps are finished.
        settings: Settings; None for the defaults.
        progress: Where progress is reported.
        model: The model of the fit step if it is already loaded; None to load it.

    Raises:
        WhenceError: If an input cannot be used, or the run holds results of other settings.
    """
    group = this_group()
    settings, progress, folder = settings or ScoreSettings(), group.progress(progress), RunFolder(Path(run))
    sampled = belong(settings, OF_SAMPLED, SAMPLED, FitSettings(**folder.step("fit")["settings"]).estimator)
    inputs = {"fit": folder.step("fit")["inputs"], "query": folder.step("query")["inputs"]}
    if not folder.is_finished("score"):
        model, layers = load_fitted(folder, model)
    with group.step(folder, "score", asdict(settings), inputs) as entry:
        if entry["state"] == "finished":
            progress.note(f"{folder.path}: the score step is finished; there is nothing to do.")
        else:
            assert model is not None
            entry["results"] = _Score(folder, model, layers, settings, progress, sampled, group).run()
    if group.leads:
        with folder.locked():
            gather(folder)


class _Score:
    """The passes of one score step."""

    def __init__(
        self,
        folder: RunFolder,
        model: LanguageModel,
        layers: list,
        settings: ScoreSettings,
        progress: Progress,
        sampled: bool,
        group: Group,
    ) -> None:
        self.folder, self.model, self.layers, self.group = folder, model, layers, group
        self.settings, self.progress, self.sampled = settings, progress, sampled
        self.cutting = run_cutting(folder)
        self.corpus = folder.step("fit")["corpus"]
        self.queries = pq.read_table(folder.queries).to_pylist()
        self.query_tokens = pq.read_table(folder.query_tokens).to_pandas()
        self.tokens = self.query_tokens.groupby("query").size().tolist()
        documents = pq.read_table(folder.documents, columns=["tokens", "windows"])
        self.positions = positions(self.cutting, documents["tokens"].to_numpy())
        self.filled = documents["windows"].to_numpy() > 0
        self.shards, self.members = shard_numbers(folder), shard_documents(folder)

    def run(self) -> dict:
        chosen = self._lexical()
        only = set(np.unique(chosen).tolist()) if self.settings.prefilter else None
        readings = self._readings(only) if self.sampled else None
        factors = read_factors(self.folder, str(self.model.device))
        directions = self._directions(factors)
        place = {number: number for number in range(len(self.queries))}
        scorer = Scorer(self.model, self.layers, directions, place, self.settings.batch_tokens)
        if readings is None and self.group.leads:
            self._announce(scorer, len(only) if only is not None else self.corpus["documents"])
        self._documents(directions, readings, only)
        ends = self._ends()
        by_position = {} if readings else ends.wanted(self.settings.keep_tokens)
        self._token_pass("tokens", "Tokens by position", scorer.position, by_position)
        prediction = partial(sampled_prediction, readings) if readings else scorer.prediction
        by_prediction = ends.wanted(self.settings.keep_prediction)
        self._token_pass("prediction", "Tokens by prediction", prediction, by_prediction)
        thin = {
            name: f"mean rank {rows.mean_rank:.3g}, error {rows.error:.3g}" for name, rows in directions.thin.items()
        }
        results = {
            "directions": {layer: thin.get(layer, "full") for layer in factors},
            "scored_documents": len(only) if only is not None else self.corpus["documents"],
            "candidates_per_query": chosen.shape[1],
        }
        if readings:
            results["sampling"] = about(self.folder, self.settings, readings)
        if only is None:
            results["prefilter_recall"] = {
                str(top): float(np.mean([lexical.recall(chosen[n], ends.first(n, top)) for n in range(len(chosen))]))
                for top in RECALL_AT
                if top <= chosen.shape[1]
            }
        return results

    def _lexical(self) -> np.ndarray:
        """Write the lexical scores; the prefilter's candidates, ``[queries, candidates]``."""
        if self.group.leads and not self.folder.lexical.is_file():
            self.progress.start("Lexical scores", len(self.queries), "queries")
            texts = [query["prompt"] + query["completion"] for query in self.queries]
            ids = [tokenize(self.model.tokenizer, text).ids for text in texts]
            lexical.write_lexical(self.folder, ids, texts)
            self.progress.advance(len(self.queries))
            self.progress.finish()
        self.group.wait()
        columns = (
            pq.read_table(self.folder.lexical, columns=[f"tfidf.{number}"])[0] for number in range(len(self.queries))
        )
        return np.concatenate([lexical.candidates(column.to_numpy()[None]) for column in columns])

    def _readings(self, only: set[int] | None) -> Readings:
        """What the log-probabilities of all documents with anything to predict are at each draw of the weights."""
        filled = [number for shard in self.shards for number in self._members(shard, only) if self.filled[number]]
        return walked(self.folder, self.settings, filled, self.progress, self.model, self.group)

    def _directions(self, factors: dict[str, LayerFactors]) -> Directions:
        numbers, device = range(len(self.queries)), str(self.model.device)
        if self.sampled:
            return plain_directions(list(read_query_gradients(self.folder, numbers, device)), list(factors))
        first = self.group.leads and not self.folder.low_rank.is_file()
        chosen = self._choose(factors) if first else None
        self.group.wait()
        directions = chosen or read_directions(self.folder, numbers, self.tokens, factors, device)
        multiply_out(directions, int(self.positions.sum()) / self.corpus["windows"], self.settings.memory_gb * 1e9)
        return directions

    def _choose(self, factors: dict[str, LayerFactors]) -> Directions:
        """Directions made anew; which of them are low-rank is then fixed by a file."""
        self.progress.start("Preconditioning", len(factors), "layers")
        device = self.model.device
        gradients = list(read_query_gradients(self.folder, range(len(self.queries)), str(device)))
        damping_factor = self.folder.step("query")["settings"]["damping_factor"]
        wanted = len(self.positions) if self.settings.keep_tokens is None else 2 * self.settings.keep_tokens
        directions = choose_directions(
            gradients, factors, damping_factor, self.settings.rank_error, free_memory(device),
            lambda: self.progress.advance(1), min(wanted, len(self.positions)) * float(self.positions.mean()),
        )  # fmt: skip
        write_tensors(thin_tensors(directions), self.folder.low_rank)
        self.progress.finish()
        return directions

    def _announce(self, scorer: Scorer, documents: int) -> None:
        """Trials of the three passes on a few documents."""
        filled = (shard_windows(self.folder, shard, self.cutting) for shard in self.shards)
        trial = probe_windows(next(windows for windows in filled if windows))
        here = sorted({window.document for window in trial})
        lengths = {document: int(self.positions[document]) for document in here}
        tokens = sum(map(len, trial))
        mean = float(self.positions.mean())

        keep = documents if self.settings.keep_tokens is None else self.settings.keep_tokens
        per_document = [  # queries that want the tokens of a document, on average
            len(self.queries) * min(1.0, 2 * kept / documents) for kept in (keep, self.settings.keep_prediction)
        ]
        wanted = {document: range(max(1, round(per_document[0]))) for document in here}
        first = {document: [0] for document in here[:1]}
        first_windows = [window for window in trial if window.document == here[0]]
        silent = SilentProgress()
        rates = [
            seconds_per_token(
                lambda: score_documents(
                    self.model, self.layers, scorer.directions, here, trial, self.settings.batch_tokens, silent
                ),
                tokens,
            ),
            seconds_per_token(lambda: list(scorer.position(wanted, trial, lengths, silent)), tokens),
            seconds_per_token(
                lambda: list(scorer.prediction(first, first_windows, lengths, silent)),
                self.tokens[0] * sum(map(len, first_windows)),
            ),
        ]
        work = [1, min(1.0, per_document[0]), per_document[1] * float(np.mean(self.tokens))]
        seconds = documents * mean * sum(rate * share for rate, share in zip(rates, work, strict=True))
        seconds /= self.group.size
        pairs = sum(min(documents, 2 * kept) for kept in (keep, self.settings.keep_prediction)) * sum(self.tokens)
        full = sum(rows.numel() * rows.element_size() for rows in scorer.directions.full.values())
        memory = full + batch_bytes(self.model, self.layers, trial, self.settings.batch_tokens)
        disk = 4 * (documents * scorer.directions.rows + pairs * mean)
        announce(self.progress, Estimate("score", seconds, memory, disk), self.folder.path, self.group.size)

    def _documents(self, directions: Directions, readings: Readings | None, only: set[int] | None) -> None:
        todo = self.group.agree(partial(self._unfinished, "documents"))
        if not todo:
            return
        hidden = torch.stack(
            [gradient.hidden for gradient in read_query_gradients(self.folder, range(len(self.queries)))]
        )
        work = {shard: int(self.positions[self._members(shard, only)].sum()) for shard in self.shards}
        self.progress.start("Scoring documents", sum(work[shard] for shard in todo))
        for shard in self._share("documents", work):
            windows, members = shard_windows(self.folder, shard, self.cutting, only), self._members(shard, only)
            scores = score_documents(
                self.model, self.layers, directions, members, windows, self.settings.batch_tokens, self.progress
            )
            self._check_finite(scores.rows)
            table = shard_table(scores, directions, hidden, range(len(self.queries)))
            for name, values in (influence_columns(readings, members) if readings else {}).items():
                table = table.append_column(name, pa.array(values))
            write_table(table, self.folder.shard("documents", shard))
        self.progress.finish()

    def _unfinished(self, table: str) -> list[int]:
        return [shard for shard in self.shards if not self.folder.shard(table, shard).is_file()]

    def _share(self, table: str, work: Mapping[int, int]) -> Iterator[int]:
        """Shards that this process is to do; ``work`` is what each adds to the progress."""
        unfinished = partial(self._unfinished, table)
        return self.group.share(unfinished, self.folder.shards(table), lambda shard: self.progress.advance(work[shard]))

    def _members(self, shard: int, only: set[int] | None) -> list[int]:
        return [document for document in self.members[shard] if only is None or document in only]

    def _check_finite(self, rows: torch.Tensor) -> None:
        if not torch.isfinite(rows).all():
            raise RunError(
                f"{self.folder.path}: an influence came out as NaN or infinity -- the model overflows in "
                f"{self.model.dtype} -- fit a new run with --dtype float32."
            )

    def _ends(self) -> Ends:
        """Both ends of each completion's ranking, as far as they are kept or the prefilter's recall looks."""
        kept = (self.settings.keep_tokens, self.settings.keep_prediction)
        most = None if None in kept else max(*filter(None, kept), *RECALL_AT)
        ends = Ends(len(self.queries), most)
        for shard in self.shards:
            table = pq.read_table(self.folder.shard("documents", shard))
            influence = [
                sum(table[f"influence.{number}.{token}"].to_numpy() for token in range(count))
                for number, count in enumerate(self.tokens)
            ]
            ends.add(table["document"].to_numpy(), np.stack(influence))
        return ends

    def _token_pass(self, table: str, title: str, compute: TokenCompute, wanted: Mapping[int, Sequence[int]]) -> None:
        """One shard file per shard of documents."""
        members = {shard: [d for d in self._members(shard, None) if d in wanted] for shard in self.shards}
        passes = {d: sum(self.tokens[q] for q in wanted[d]) if table == "prediction" else 1 for d in wanted}
        work = {shard: sum(int(self.positions[d]) * passes[d] for d in members[shard]) for shard in self.shards}
        self.progress.start(title, sum(work[shard] for shard in self.group.agree(partial(self._unfinished, table))))
        for shard in self._share(table, work):
            chosen = set(members[shard])
            windows = shard_windows(self.folder, shard, self.cutting, chosen) if chosen else []
            here = {document: wanted[document] for document in members[shard]}
            lengths = {document: int(self.positions[document]) for document in members[shard]}
            found = token_table(compute(here, windows, lengths, self.progress))
            write_table(found, self.folder.shard(table, shard))
        self.progress.finish()
