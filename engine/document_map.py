"""What lies near what? Documents laid out in a plane by UMAP, like ones near each other.

What makes documents alike is chosen: the words they use (TF-IDF, no model needed), the model's mean
last hidden state, or their whitened gradients ``G^(-1/2) g``, whose inner product is the influence
of one document on another (projected at random, which whitening allows: it keeps inner products).
UMAP: McInnes, Healy and Melville 2018 (arXiv 1802.03426). Started from the first two principal
components, which keeps what global order there is (Kobak and Linderman 2021).

The map is a file of the run, written whole; its settings, seed and versions are in the file's metadata.
"""

import io
import json
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import regex

from engine.analysis.matrix import influence_matrix
from engine.errors import RunError, WhenceError
from engine.progress import Progress, SilentProgress
from engine.run import Run
from engine.store import RunFolder
from engine.writing import write_table

if TYPE_CHECKING:
    from engine.live import LoadedRun

FEATURES = ("words", "hidden", "gradients")
FORMAT = 1
STAMP = b"whence.map"
WORD = regex.compile(
    r"[\p{Script=Han}\p{Script=Hira}\p{Script=Kana}\p{Script=Thai}\p{Script=Khmr}\p{Script=Laoo}\p{Script=Mymr}]"
    r"|[\p{L}\p{M}\p{N}_]+"
)
"""A word; in scripts that write no blanks, a character."""
VOCABULARY = 50_000
AXES = 50
"""Principal axes that UMAP looks at."""
FEW = 15
"""With fewer documents than this UMAP has no neighbourhoods to learn from: the principal axes are the map."""
STRONGEST = 10
"""Documents at each end of each completion's ranking that a sample always holds."""
PROJECTED = 1024
"""Numbers that a document's gradient is projected to, over all layers."""


@dataclass(frozen=True)
class MapSettings:
    """Settings of a map.

    Attributes:
        features: ``words``, ``hidden`` or ``gradients``.
        seed: Of the sample, the projections and the layout.
        neighbours: Documents that count as a neighbourhood; more show the whole, fewer the detail.
        min_distance: How close documents may be packed, in the map's own unit.
        max_documents: Of a larger corpus so many are laid out.
    """

    features: str = "words"
    seed: int = 0
    neighbours: int = 15
    min_distance: float = 0.1
    max_documents: int = 20_000

    def __post_init__(self) -> None:
        if self.features not in FEATURES:
            raise WhenceError(f"features {self.features!r} are unknown -- choose one of {', '.join(FEATURES)}.")
        if self.neighbours < 2 or self.max_documents < 1:
            raise WhenceError(
                f"{self.neighbours} neighbours of {self.max_documents} documents -- a map needs at least 2 of 1."
            )


@dataclass(frozen=True)
class DocumentMap:
    """Documents in the plane.

    Attributes:
        documents: Their numbers, ``[n]``.
        places: Coordinates, ``[n, 2]``; they have no unit.
        settings: As made.
        of: Documents in the corpus.
        seconds: Time it took.
    """

    documents: np.ndarray
    places: np.ndarray
    settings: MapSettings
    of: int
    seconds: float


def read_map(folder: RunFolder, features: str) -> DocumentMap | None:
    """The map of a run; None if there is none that this version reads."""
    file = folder.map(features)
    if not file.is_file():
        return None
    table = pq.read_table(file)
    noted = json.loads((table.schema.metadata or {}).get(STAMP, b"{}"))
    if noted.get("format") != FORMAT:
        return None
    places = np.stack([table["x"].to_numpy(), table["y"].to_numpy()], 1)
    return DocumentMap(
        table["document"].to_numpy(), places, MapSettings(**noted["settings"]), noted["of"], noted["seconds"]
    )


def make_map(
    run: Run,
    settings: MapSettings | None = None,
    progress: Progress | None = None,
    load: Callable[[], "LoadedRun"] | None = None,
) -> DocumentMap:
    """Lay out the documents of a run and keep the map in the run.

    By words 124 documents took 20 s on one core, 18 of them UMAP getting ready, which is once per process.

    Args:
        run: The run.
        settings: Settings; None for the defaults.
        progress: Where progress is reported; cancelling works between batches and epochs.
        load: Loads the run's model, for all features but words; None loads it anew.

    Raises:
        RunError: If the run has no document, or its model cannot be loaded.
    """
    settings, progress, started = settings or MapSettings(), progress or SilentProgress(), time.monotonic()
    chosen = choose_documents(run, settings)
    if not len(chosen):
        raise RunError(f"{run.path} has no documents -- there is nothing to lay out -- choose another run.")
    if settings.features == "words":
        axes = word_axes(run, chosen, settings.seed, progress)
    else:
        axes = _model_axes(run, chosen, settings, progress, load)
    places = lay_out(axes, settings, progress)
    seconds = round(time.monotonic() - started, 1)
    made = DocumentMap(chosen, places, settings, len(run.documents), seconds)
    write_map(run.folder, made)
    return made


def write_map(folder: RunFolder, made: DocumentMap) -> None:
    """Keep a map in its run, in place of the one before."""
    noted = {"format": FORMAT, "settings": asdict(made.settings), "of": made.of, "seconds": made.seconds}
    stamp = json.dumps(noted | {"umap": version("umap-learn")}).encode()
    columns = {"document": made.documents.astype(np.int32), "x": made.places[:, 0], "y": made.places[:, 1]}
    write_table(pa.table(columns).replace_schema_metadata({STAMP: stamp}), folder.map(made.settings.features))


def choose_documents(run: Run, settings: MapSettings) -> np.ndarray:
    """Documents to lay out, in order: all, or the strongest of every completion and a random sample of the others."""
    total, most = len(run.documents), settings.max_documents
    if total <= most:
        return np.arange(total)
    influence = influence_matrix(run, run.queries["query"].tolist())
    ranking = np.argsort(influence, axis=1)  # NaN, not scored, comes last
    scored = int(np.isfinite(influence[0]).sum())
    ends = np.concatenate([ranking[:, :STRONGEST], ranking[:, max(0, scored - STRONGEST) : scored]], 1)
    random = np.random.default_rng(settings.seed)
    strong = random.permutation(np.unique(ends))[: most // 2]
    others = random.permutation(np.setdiff1d(np.arange(total), strong))[: most - len(strong)]
    return np.sort(np.concatenate([strong, others]))


def word_axes(run: Run, documents: np.ndarray, seed: int, progress: Progress) -> np.ndarray:
    """Principal axes of :func:`word_vectors`, ``[n, axes]``; zero where no word is shared."""
    features = word_vectors(run, documents, progress)
    return np.zeros((len(documents), 2), np.float32) if features is None else principal_axes(features, seed, progress)


def word_vectors(run: Run, documents: np.ndarray, progress: Progress) -> Any:
    """TF-IDF over lower-case words, sparse rows of length 1 (0 without words); None where no word is shared."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    progress.start("Reading the documents' words", len(documents), "documents")
    counted = TfidfVectorizer(
        analyzer=lambda text: WORD.findall(text.lower()),
        max_features=VOCABULARY,
        sublinear_tf=True,
        min_df=2 if len(documents) >= FEW else 1,
        dtype=np.float32,
    )
    try:
        features = counted.fit_transform(_texts(run, documents, progress))
    except ValueError:  # no word that two documents share
        return None
    progress.finish()
    return features


def _texts(run: Run, documents: np.ndarray, progress: Progress) -> Iterator[str]:
    """Texts of some documents, in order, a few at a time."""
    wanted = np.zeros(len(run.documents), dtype=bool)
    wanted[documents] = True
    first = 0
    for batch in pq.ParquetFile(run.folder.documents).iter_batches(1024, columns=["text"]):
        some = batch["text"].filter(pa.array(wanted[first : first + len(batch)])).to_pylist()
        first += len(batch)
        yield from some
        progress.advance(len(some))


def _model_axes(
    run: Run,
    documents: np.ndarray,
    settings: MapSettings,
    progress: Progress,
    load: Callable[[], "LoadedRun"] | None,
) -> np.ndarray:
    from engine.document_features import document_features
    from engine.live import load_run

    loaded = load() if load is not None else load_run(run.path)
    features = document_features(loaded, documents, settings.features, PROJECTED, settings.seed, progress)
    return principal_axes(features, settings.seed, progress)


def principal_axes(features: Any, seed: int, progress: Progress) -> np.ndarray:
    """The first :data:`AXES` axes of features ``[n, d]``, dense or sparse, rows of length 1."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.preprocessing import normalize

    progress.start("Finding the principal axes", 1, "step")
    features = normalize(features)
    count = min(AXES, *(size - 1 for size in features.shape))
    if count < 1:
        return np.zeros((features.shape[0], 2), dtype=np.float32)
    axes = TruncatedSVD(count, random_state=seed).fit_transform(features)
    progress.advance(1)
    progress.finish()
    return axes.astype(np.float32)


def lay_out(axes: np.ndarray, settings: MapSettings, progress: Progress) -> np.ndarray:
    """UMAP of rows, float32 ``[n, 2]``; the same for the same seed.

    Args:
        axes: ``[n, axes]``, of length 1 or nearly: their distances then go by their cosines.
        settings: Settings.
        progress: Advanced by each epoch; may cancel there.
    """
    axes = np.pad(axes, ((0, 0), (0, max(0, 2 - axes.shape[1])))).astype(np.float32)
    if len(axes) < FEW or not np.ptp(axes, axis=0).any():
        return axes[:, :2]
    progress.start("Preparing the layout", 1, "step")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)  # about TensorFlow, which only another kind of map needs
        from umap import UMAP

    epochs = 200 if len(axes) > 10_000 else 500
    fitted = UMAP(
        n_neighbors=min(settings.neighbours, len(axes) - 1),
        min_dist=settings.min_distance,
        init="pca",
        n_epochs=epochs,
        random_state=settings.seed,
        n_jobs=1,  # as the seed asks for
        verbose=False,
        tqdm_kwds={"disable": False, "file": _Epochs(epochs, progress), "mininterval": 0.2, "bar_format": "{n}"},
    )
    places = fitted.fit_transform(axes)
    progress.finish()
    return np.asarray(places, dtype=np.float32)


class _Epochs(io.StringIO):
    """What UMAP writes its epochs to: each number that comes is reported as progress."""

    def __init__(self, epochs: int, progress: Progress) -> None:
        super().__init__()
        self._epochs, self._progress, self._done = epochs, progress, -1

    def write(self, text: str) -> int:
        """Report the epoch in ``text``; anything else is passed over."""
        number = text.strip()
        if number.isdecimal():
            if self._done < 0:
                self._progress.start("Laying out the map", self._epochs, "rounds")
                self._done = 0
            self._progress.advance(int(number) - self._done)
            self._done = int(number)
        return len(text)
