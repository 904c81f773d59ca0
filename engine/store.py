"""Every file of a run folder.

::

    run/
      manifest.json                 settings, hashes, versions, seeds, time and memory of each step
      corpus/documents.parquet      document, id, title, source, language, text, relation_flipped, same_content,
                                    tokens, windows
      corpus/tokens.parquet         document, token_ids, starts, ends (characters of each token)
      corpus/frequencies.parquet    token_id, occurrences, document_frequency of the tokens that occur
      fit/covariance/*.checkpoint.safetensors
                                    while the first pass runs the sum so far, and sums of units by other processes of a
                                    group; removed at its end; fit/correction/ likewise for the second
      fit/eigenvectors.safetensors  <layer>.q_a, <layer>.q_s between its two passes; removed at its end
      fit/factors.safetensors       <layer>.q_a [i,i], <layer>.q_s [o,o], <layer>.lam [o,i]
      query/queries.parquet         query, id, title, kind, language, prompt, completion, contrast, ...
      query/tokens.parquet          query, token, token_id, start, end, side, log_prob, ...
      query/gradients/<query>.safetensors
                                    per side (0 completion, 1 contrast) and layer the exact gradient in
                                    factors: <side>.<layer>.activation [t,i], <side>.<layer>.token_grad [c,t,o]
      query/refined/<key>/<query>.safetensors
                                    with the estimator ekfac-cg: <layer>.preconditioned [c,o,i], and residual, of each
                                    iteration [1+iterations,c]; the key is a hash of all that they depend on
      score/low_rank.safetensors    <layer>.u [q,o,r], <layer>.v [q,i,r], for layers scored by thin products;
                                    may hold no layer; fixed before the first shard
      score/lexical.parquet         document, bm25.<query>, tfidf.<query>
      score/documents/<shard>.parquet
                                    document, log_prob, gradient_norm, influence.<query>.<token>,
                                    gradient_dot.<query>, hidden.<query>
      score/readings/<key>/...      with the estimator bif: log-probabilities at each draw of the weights (engine.bif);
                                    the key is a hash of all that they depend on
      score/<table>/gathered.parquet   in place of many shards, once all are finished
      score/tokens/<shard>.parquet  query, document, positions, influence (completion tokens x positions); no rows with
                                    the estimator bif
      score/prediction/<shard>.parquet   the same for prediction influence
      .../slips/<unit>.todo|taken|done   while a group of processes shares a pass: what becomes of each unit of work
                                    (engine.slips)
      score/on_demand/<kind>-<query>-<document>.parquet   the same, computed when asked for
      score/ablation/<query>.parquet   document, control, variant, draw, influence, ... of texts the model never saw
      score/ablation/<query>-<document>-<key>.parquet   variants of one document with texts and token influences;
                                    the key is a hash of what was asked for
      index/<key>/<shard>.safetensors   signs [d,bits/8], scale [d]: sketches of documents' gradients; the key is a hash
                                    of all that they depend on
      index/index.json              the index in use: key, settings, recall of the run's own completions; written last
      asked/<key>.json              answers to a live question; the key is a hash of what was asked and of the run
      map/<features>.parquet        document, x, y: documents laid out by likeness; seed and settings in its metadata
      checks/<check>.json           result of a check of this run; its unfinished work in checks/<check>/
      checks/<check>-<key>.json     the same of one completion; the key is a hash of what was asked for
      findings/variants/<query>-<key>.parquet   documents in reversed order, scored; the key is a hash of their settings
      findings/layers/<query>-<key>.json   influence and gradient dot of the strongest documents by layer; likewise
      findings/<finding>.json       what a finding of the literature comes to in this run, and what that was made from

``document`` and ``query`` are numbers in the order of the corpus and query files.
Position 0 of a document is the model's start token where it has one.
A file is written as ``<name>.part`` and renamed, so a file that is there is whole.
A step is finished when the manifest says so; the manifest is written last.
Tables are Parquet, tensors safetensors; nothing is pickled.
"""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import FormatError, RunError
from engine.writing import DISK_TROUBLE

FORMAT = 1
GATHERED = "gathered.parquet"
"""File of all shards of a table, which takes their place."""
NO_MODEL = (
    "this run's influence was computed by {tool} and imported: it holds neither a model nor its curvature -- what is "
    "asked for needs them -- compute a run of the same corpus with `python -m engine fit`, `query` and `score`."
)
STEPS = ("fit", "query", "score")


@dataclass(frozen=True)
class RunFolder:
    """Paths and manifest of a run; reads nothing else."""

    path: Path

    @property
    def documents(self) -> Path:
        return self.path / "corpus" / "documents.parquet"

    @property
    def tokens(self) -> Path:
        return self.path / "corpus" / "tokens.parquet"

    @property
    def frequencies(self) -> Path:
        return self.path / "corpus" / "frequencies.parquet"

    @property
    def factors(self) -> Path:
        return self.path / "fit" / "factors.safetensors"

    @property
    def queries(self) -> Path:
        return self.path / "query" / "queries.parquet"

    @property
    def query_tokens(self) -> Path:
        return self.path / "query" / "tokens.parquet"

    def query_gradient(self, query: int) -> Path:
        return self.path / "query" / "gradients" / f"{query:05}.safetensors"

    def refined(self, key: str, query: int) -> Path:
        return self.path / "query" / "refined" / key / f"{query:05}.safetensors"

    @property
    def low_rank(self) -> Path:
        return self.path / "score" / "low_rank.safetensors"

    @property
    def lexical(self) -> Path:
        return self.path / "score" / "lexical.parquet"

    @property
    def readings(self) -> Path:
        return self.path / "score" / "readings"

    def shards(self, table: str) -> Path:
        """Folder of the shards of ``documents``, ``tokens`` or ``prediction``."""
        return self.path / "score" / table

    def shard_files(self, table: str) -> list[Path]:
        """Files of a table of scores, in order: its :meth:`shards`, or the one file they were gathered in."""
        gathered = self.shards(table) / GATHERED
        return [gathered] if gathered.is_file() else sorted(self.shards(table).glob("*.parquet"))

    def shard(self, table: str, number: int) -> Path:
        """One of the :meth:`shards`."""
        return self.shards(table) / f"{number:05}.parquet"

    def on_demand(self, kind: str, query: int, document: int) -> Path:
        return self.path / "score" / "on_demand" / f"{kind}-{query}-{document}.parquet"

    def ablation(self, query: int) -> Path:
        return self.path / "score" / "ablation" / f"{query:05}.parquet"

    def ablation_of(self, query: int, document: int, key: str) -> Path:
        return self.path / "score" / "ablation" / f"{query:05}-{document}-{key}.parquet"

    def map(self, features: str) -> Path:
        return self.path / "map" / f"{features}.parquet"

    @property
    def index(self) -> Path:
        return self.path / "index" / "index.json"

    def index_shard(self, key: str, number: int) -> Path:
        return self.path / "index" / key / f"{number:05}.safetensors"

    def asked(self, key: str) -> Path:
        return self.path / "asked" / f"{key}.json"

    def check(self, name: str) -> Path:
        return self.path / "checks" / f"{name}.json"

    def finding(self, name: str) -> Path:
        return self.path / "findings" / f"{name}.json"

    def reversed_order(self, query: int, key: str) -> Path:
        """Scores of a completion's strongest documents in reversed order, for the finding on word order."""
        return self.path / "findings" / "variants" / f"{query}-{key}.parquet"

    def by_layer(self, query: int, key: str) -> Path:
        """Scores of a completion's strongest documents by layer, for the finding on layers."""
        return self.path / "findings" / "layers" / f"{query}-{key}.json"

    def manifest(self) -> dict[str, Any]:
        """The manifest; ``{}`` before the first step.

        Raises:
            RunError: If it is not readable.
            FormatError: If another version wrote it.
        """
        file = self.path / "manifest.json"
        if not file.is_file():
            return {}
        try:
            manifest = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(
                f"{file} cannot be read ({error}) -- the run's settings are unknown -- restore it."
            ) from None
        steps = manifest.get("steps", {}) if isinstance(manifest, dict) else None
        if not isinstance(steps, dict) or not all(isinstance(entry, dict) for entry in steps.values()):
            raise RunError(f"{file} is not the manifest of a run -- the run's settings are unknown -- restore it.")
        if manifest.get("format") != FORMAT:
            raise FormatError(
                f"{self.path} has run format {manifest.get('format')!r}, this version reads {FORMAT} -- its "
                "tables would be misread -- compute the run again, or use the version that made it."
            )
        return manifest

    def step(self, step: str) -> dict[str, Any]:
        """The manifest's entry of a finished step.

        Raises:
            RunError: If the step is not finished.
        """
        entry = self.manifest().get("steps", {}).get(step)
        if entry is None or entry["state"] != "finished":
            state = "has not been started" if entry is None else "was started but not finished"
            raise RunError(
                f"{self.path}: the {step} step {state} -- what is asked for needs it -- run "
                f"`python -m engine {step} --run {self.path}` first."
            )
        return entry

    def is_finished(self, step: str) -> bool:
        return self.manifest().get("steps", {}).get(step, {}).get("state") == "finished"

    def need_model(self) -> None:
        """Go on only if the run was computed here, so that there are a model and its curvature.

        Raises:
            RunError: If its influence was imported.
        """
        imported = self.manifest().get("steps", {}).get("score", {}).get("imported")
        if imported:
            raise RunError(f"{self.path}: {NO_MODEL.format(tool=imported['tool'])}")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one writing process, or the group that it leads.

        Raises:
            RunError: If another process writes to it, or it cannot be created.
        """
        file = self.path / ".lock"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            handle = file.open("w")
        except OSError as error:
            why = DISK_TROUBLE.get(error.errno or 0, str(error))
            raise RunError(
                f"the run folder {self.path} cannot be used: {why} -- choose another --run folder."
            ) from error
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunError(
                    f"another process is working on {self.path} -- two writers would mix their results -- "
                    "wait for it or cancel it."
                ) from None
            except OSError as error:
                raise RunError(
                    f"{file} cannot be locked ({error.strerror}) -- nothing would keep two writers apart -- use a file "
                    "system with flock; Lustre has it with the mount option of that name."
                ) from None
            yield
