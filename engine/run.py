"""Read a run: the one door to its tables, for pages, analyses and the command line (no torch)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from engine.corpus import Tokens
from engine.errors import RunError
from engine.settings import ESTIMATORS, REFINED, SAMPLED, UNITS
from engine.store import RunFolder
from engine.tables import open_tables

TokenKind = Literal["position", "prediction"]
TOKEN_KINDS: tuple[str, ...] = get_args(TokenKind)
TABLE_OF_KIND = {"position": "tokens", "prediction": "prediction"}
NO_DIRECTIONS = (
    "this run's influence was sampled (estimator bif), from how likely the documents of its corpus are under weights "
    "drawn at random -- it has influence by prediction, but none by position, by layer or of other texts -- ask for "
    "influence by prediction, or fit another run with --estimator ekfac."
)
IMPORTED_UNIT = "units of the imported scores"
"""What an imported influence is in: no more is known of it."""
NEAR = 3
"""Titles suggested when a name is unknown."""
COLUMNS = 500
"""Columns read at a time: what is in memory of a long completion."""
INFLUENCE_COLUMNS = (
    "document", "influence", "gradient_dot", "gradient_cosine", "bm25", "hidden_similarity", "tfidf", "log_prob",
    "gradient_norm",
)  # fmt: skip
DOCUMENT_COLUMNS = ("document", "id", "title", "source", "language", "tokens", "windows")


@dataclass(frozen=True)
class TokenInfluence:
    """Influence of one document's tokens on one completion.

    Attributes:
        kind: ``position`` or ``prediction``.
        influence: ``[completion tokens, positions]``, in the unit of the measurement. Where
            ``has_start``, position 0 is the model's start token; the document's tokens follow.
        has_start: Whether the model puts a start token before every text.
    """

    kind: str
    influence: np.ndarray
    has_start: bool

    @property
    def of_tokens(self) -> np.ndarray:
        """Without the start token, ``[completion tokens, tokens]``."""
        return self.influence[:, 1:] if self.has_start else self.influence

    @property
    def of_start(self) -> np.ndarray:
        """The start token's part, ``[completion tokens]``; zero where there is none."""
        return self.influence[:, 0] if self.has_start else np.zeros(len(self.influence))


class Run:
    """A run whose three steps are finished.

    Documents and queries are numbered in the order of their files; pages show titles.

    Raises:
        RunError: If the folder is no run, or a step is not finished.
    """

    def __init__(self, path: str | Path) -> None:
        self.folder = RunFolder(Path(path))
        if not self.folder.manifest():
            raise RunError(
                f"{path} is not a run (no manifest.json) -- there is nothing to show -- compute one with "
                "`python -m engine run sample`."
            )
        self.fit, self.query, self.score = (self.folder.step(step) for step in ("fit", "query", "score"))

    @property
    def path(self) -> Path:
        return self.folder.path

    @property
    def name(self) -> str:
        """The folder's name, readable."""
        return readable(self.path.resolve().name)

    @property
    def model_name(self) -> str:
        """Last part of the model's name, readable."""
        return Path(self.fit["model"]).name if self.fit["model"] else "Unknown model"

    @property
    def imported(self) -> str:
        """Which program computed the influence, where it was imported (:mod:`engine.importing`); empty for our own."""
        return self.score.get("imported", {}).get("tool", "")

    @property
    def measurement(self) -> str:
        return self.query["settings"]["measurement"]

    @property
    def unit(self) -> str:
        """Unit of the measurement."""
        return UNITS.get(self.measurement, "an unknown unit")

    @property
    def influence_unit(self) -> str:
        """Unit of every influence: that of the measurement per unit of weight on a document, unless it was imported."""
        return IMPORTED_UNIT if self.imported else f"{self.unit} per unit of weight"

    @property
    def short_unit(self) -> str:
        """:attr:`influence_unit` for the head of a narrow column."""
        return "imported" if self.imported else f"{self.unit}/weight"

    @property
    def estimator(self) -> str:
        """Readable name of the curvature's approximation."""
        if self.imported:
            return f"as {self.imported} computed it"
        return ESTIMATORS[self.fit["settings"].get("estimator", "ekfac")]  # older runs know only one

    @property
    def is_sampled(self) -> bool:
        """Whether influence is a covariance over sampled weights (estimator ``bif``), for which nothing is solved."""
        return self.estimator == ESTIMATORS[SAMPLED]

    @property
    def damping(self) -> str:
        """Damping in words."""
        factor = self.query["settings"]["damping_factor"]
        return f"as {self.imported} set it" if self.imported else f"{factor:g} × the mean curvature of each layer"

    @property
    def token_kinds(self) -> tuple[str, ...]:
        """Definitions of token influence that the run has, the usual one first; none where only sums were imported."""
        if self.imported:
            return tuple(self.score["imported"]["token_kinds"])
        return ("prediction",) if self.is_sampled else TOKEN_KINDS

    def need_directions(self) -> None:
        """Go on only if the run can score what passes through tokens, and texts that are not in its corpus.

        Raises:
            RunError: If its influence was imported or sampled.
        """
        self.folder.need_model()
        if self.is_sampled:
            raise RunError(f"{self.path}: {NO_DIRECTIONS}")

    def need_live(self) -> None:
        """Go on only if the run can answer for a completion that it has not studied, while one waits.

        Raises:
            RunError: If its influence was imported or sampled, or each completion is refined for minutes.
        """
        self.need_directions()
        if self.estimator == ESTIMATORS[REFINED]:
            raise RunError(
                f"{self.path}: this run refines each completion by conjugate gradients (estimator {REFINED}), which "
                "takes minutes -- no answer would come while one waits -- ask a run of the estimator ekfac, or study "
                "the completion with the query and score steps."
            )

    @property
    def training_windows(self) -> int | None:
        """Windows of the whole training set, where it is known.

        Minus influence over this number is the change of the measurement that leaving a
        document out would bring, to first order.
        """
        known = self.fit["settings"]["training_windows"]
        return self.fit["corpus"]["windows"] if known == "corpus" else known

    @property
    def has_start(self) -> bool:
        return self.fit["cutting"]["start_token"] is not None

    @cached_property
    def documents(self) -> pd.DataFrame:
        """One row per document: document, id, title, source, language, tokens, windows."""
        file = pq.ParquetFile(self.folder.documents)  # of very many, in half the time that pq.read_table takes
        return file.read(list(DOCUMENT_COLUMNS)).to_pandas()

    @cached_property
    def queries(self) -> pd.DataFrame:
        """One row per query: query, id, title, kind, language, prompt, completion, contrast, value, log_prob, ..."""
        return pq.read_table(self.folder.queries).to_pandas()

    @cached_property
    def query_tokens(self) -> pd.DataFrame:
        """One row per completion token: query, token, text, side, value, log_prob, straddles, ..."""
        tokens = pq.read_table(self.folder.query_tokens).to_pandas()
        texts = self.queries.set_index("query")
        tokens["text"] = [
            (texts.at[row.query, "prompt"] + texts.at[row.query, row.side])[row.start : row.end]
            for row in tokens.itertuples()
        ]
        return tokens

    def tokens_of_query(self, query: int) -> pd.DataFrame:
        """Rows of :attr:`query_tokens` of one query."""
        return self.query_tokens[self.query_tokens["query"] == query].reset_index(drop=True)

    @cached_property
    def corpus_documents(self) -> int:
        """How many documents the corpus has: the length of :attr:`documents`, without reading it."""
        return pq.read_metadata(self.folder.documents).num_rows

    @cached_property
    def scored_documents(self) -> int:
        """How many documents were scored; the prefilter leaves some out."""
        return sum(pq.read_metadata(file).num_rows for file in self.folder.shard_files("documents"))

    def text(self, document: int) -> str:
        """A document's text."""
        return self._row(self.folder.documents, document, ["text"])["text"]

    def texts(self, documents: Sequence[int]) -> dict[int, str]:
        """Texts of some documents by their numbers, read in one go."""
        chosen = [int(document) for document in documents]
        table = pq.read_table(self.folder.documents, columns=["document", "text"], filters=[("document", "in", chosen)])
        return dict(zip(table["document"].to_pylist(), table["text"].to_pylist(), strict=True))

    def recorded(self, document: int) -> tuple[str, list[int]]:
        """What the corpus records of a document: its text with the relation flipped, and documents that say the same.

        The text is empty and the list too where it records none.
        """
        if not {"relation_flipped", "same_content"} <= set(pq.read_schema(self.folder.documents).names):
            return "", []  # a run of an earlier version
        row = self._row(self.folder.documents, document, ["relation_flipped", "same_content"])
        number_of = self.documents.set_index("id")["document"]
        same = [int(number_of[one]) for one in row["same_content"] or [] if one in number_of.index]
        return row["relation_flipped"] or "", same

    def document_tokens(self, document: int) -> Tokens:
        """A document's tokens with the characters each came from."""
        row = self._row(self.folder.tokens, document, ["token_ids", "starts", "ends"])
        return Tokens(*(np.asarray(row[name], dtype=np.int32) for name in ("token_ids", "starts", "ends")))

    def influence(self, query: int, tokens: Sequence[int] | None = None, baselines: bool = True) -> pd.DataFrame:
        """Influence and baselines of each scored document on a completion, or on some of its tokens.

        Args:
            query: Number of the query.
            tokens: Places of completion tokens; None for the whole completion.
            baselines: Whether to read more than ``document`` and ``influence``.

        Returns:
            One row per document, by number: document, influence, gradient_dot, gradient_cosine, bm25,
            hidden_similarity, tfidf, log_prob, gradient_norm (of the document). Only ``influence`` depends on
            ``tokens``; it is added token after token in float32, as stored.
        """
        known = self._known_tokens(query)
        chosen = known if tokens is None else sorted(set(tokens))
        if not set(chosen) <= set(known) or not chosen:
            raise RunError(f"completion tokens {list(tokens or [])} -- this completion has tokens 0 to {known[-1]}.")
        table = pd.DataFrame(self.scores(["document"]))
        total = np.zeros(len(table), dtype=np.float32)
        for start in range(0, len(chosen), COLUMNS):
            found = self.scores([f"influence.{query}.{token}" for token in chosen[start : start + COLUMNS]])
            for values in found.values():
                total = total + values
        table["influence"] = total.astype(np.float64)
        if baselines:
            table = self._with_baselines(table, query)[list(INFLUENCE_COLUMNS)]
        in_order = table["document"].is_monotonic_increasing
        return table if in_order else table.sort_values("document", ignore_index=True)

    def scores(self, columns: Sequence[str]) -> dict[str, np.ndarray]:
        """Columns of the table of scored documents, each ``[documents scored]``, all in the order of its shards."""
        table = pq.read_table([str(file) for file in self.folder.shard_files("documents")], columns=list(columns))
        return {name: table[name].to_numpy() for name in columns}

    def _with_baselines(self, table: pd.DataFrame, query: int) -> pd.DataFrame:
        names = {f"gradient_dot.{query}": "gradient_dot", f"hidden.{query}": "hidden_similarity"}
        for column, values in self.scores([*names, "log_prob", "gradient_norm"]).items():
            table[names.get(column, column)] = values
        sizes = table["gradient_norm"] * float(self.queries.set_index("query").at[query, "gradient_norm"])
        table["gradient_cosine"] = table["gradient_dot"] / sizes.where(sizes != 0)
        names = {f"bm25.{query}": "bm25", f"tfidf.{query}": "tfidf"}
        lexical = pq.read_table(self.folder.lexical, columns=["document", *names]).to_pandas().rename(columns=names)
        if np.array_equal(lexical["document"], table["document"]):
            return table.assign(bm25=lexical["bm25"], tfidf=lexical["tfidf"])
        return table.merge(lexical, "left", "document")

    def token_influence(self, query: int, document: int, kind: str = "position") -> TokenInfluence | None:
        """Stored token influences of a document; None where they are computed on demand only."""
        if kind not in TOKEN_KINDS:
            raise RunError(f"token influence {kind!r} is unknown -- choose one of {', '.join(TOKEN_KINDS)}.")
        completion_tokens = len(self._known_tokens(query))
        on_demand = self.folder.on_demand(kind, query, document)
        stored = [on_demand] if on_demand.is_file() else self.folder.shard_files(TABLE_OF_KIND[kind])
        statement = "SELECT positions, influence FROM tokens WHERE query = $query AND document = $document"
        wanted = {"query": int(query), "document": int(document)}  # a table's cells are numpy's
        with open_tables(tokens=stored) as tables:
            found = tables.execute(statement, wanted).fetchone()
        if found is None:
            return None
        positions, influence = found
        values = np.asarray(influence, dtype=np.float32).reshape(completion_tokens, positions)
        return TokenInfluence(kind, values, self.has_start)

    def documents_with_tokens(self, query: int, kind: str = "position") -> list[int]:
        """Documents whose token influences on a completion are stored, by the score step or on demand, in order."""
        if kind not in TOKEN_KINDS:
            raise RunError(f"token influence {kind!r} is unknown -- choose one of {', '.join(TOKEN_KINDS)}.")
        statement = "SELECT document FROM tokens WHERE query = $query ORDER BY document"
        with open_tables(tokens=self.folder.shard_files(TABLE_OF_KIND[kind])) as tables:
            rows = tables.execute(statement, {"query": int(query)}).fetchall()
        on_demand = self.folder.on_demand(kind, query, 0).parent.glob(f"{kind}-{query}-*.parquet")
        return sorted({row[0] for row in rows} | {int(file.stem.split("-")[-1]) for file in on_demand})

    def token_influences(self, query: int, kind: str = "position") -> Iterator[tuple[int, TokenInfluence]]:
        """:meth:`token_influence` of every document that has them, with its number, in order; read in one go."""
        documents = self.documents_with_tokens(query, kind)
        rows = len(self._known_tokens(query))
        files = self.folder.shard_files(TABLE_OF_KIND[kind])
        table = pq.read_table(files, columns=["document", "influence"], filters=[("query", "=", int(query))])
        place = {number: row for row, number in enumerate(table["document"].to_pylist())}
        for document in documents:
            if document in place:
                values = table["influence"][place[document]].values.to_numpy()
                yield document, TokenInfluence(kind, values.astype(np.float32).reshape(rows, -1), self.has_start)
            elif (found := self.token_influence(query, document, kind)) is not None:
                yield document, found

    def find_query(self, name: str) -> int:
        """Number of the query with this id or title.

        Raises:
            RunError: If there is none, or several.
        """
        return self._find(self.queries, name, "query")

    def find_document(self, name: str) -> int:
        """Number of the document with this id or title.

        Raises:
            RunError: If there is none, or several.
        """
        return self._find(self.documents, name, "document")

    def _find(self, table: pd.DataFrame, name: str, what: str) -> int:
        for column in ("id", "title"):
            found = table[table[column] == name]
            if len(found) == 1:
                return int(found[what].iloc[0])
            if len(found) > 1:
                raise RunError(f"{len(found)} of the run's {what} titles are {name!r} -- give the id instead.")
        titles = table["title"]
        near = titles[titles.str.contains(name, case=False, regex=False)].head(NEAR).tolist()
        near = near or get_close_matches(name, titles.unique().tolist(), NEAR)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"for example {titles.iloc[0]!r}."
        raise RunError(f"no {what} of this run has the id or title {name!r} -- {hint}")

    def _known_tokens(self, query: int) -> list[int]:
        tokens = self.tokens_of_query(query)["token"].tolist()
        if not tokens:
            raise RunError(f"query {query} is not in this run -- it has queries 0 to {len(self.queries) - 1}.")
        return tokens

    def _row(self, file: Path, document: int, columns: list[str]) -> dict[str, Any]:
        rows = pq.read_table(file, columns=columns, filters=[("document", "=", document)]).to_pylist()
        if not rows:
            raise RunError(f"document {document} is not in this run -- it has {len(self.documents)} documents.")
        return rows[0]


def readable(name: str) -> str:
    """A folder's name as a page shows it."""
    return name.replace("_", " ").replace("-", " ").strip().capitalize()


def is_run(path: Path) -> bool:
    """Whether a folder holds a run that can be shown."""
    folder = RunFolder(path)
    try:
        return all(folder.is_finished(step) for step in ("fit", "query", "score"))
    except RunError:
        return False
