"""What the documents and the questions of an index share: its key, its sketch, and how gradients go into it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict

from torch import Tensor

from engine.ekfac import LayerFactors, whitened_gradients
from engine.index.settings import IndexSettings
from engine.index.sketch import Sketch
from engine.settings import deciding
from engine.store import RunFolder

FORMAT = 1


def index_key(folder: RunFolder, settings: IndexSettings) -> str:
    """A hash of all that an index depends on."""
    fitted = folder.step("fit")
    asked = {name: value for name, value in asdict(settings).items() if name != "batch_tokens"}
    told = json.dumps([FORMAT, deciding("fit", fitted["settings"]), fitted["inputs"], asked], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def sketch_of(factors: Mapping[str, LayerFactors], settings: IndexSettings) -> Sketch:
    """The sketch that documents and questions share."""
    return Sketch(
        {name: (of.lam.shape[0], of.lam.shape[1]) for name, of in factors.items()}, settings.bits, settings.seed
    )


def add_gradients(
    total: Tensor,
    sketch: Sketch,
    factors: Mapping[str, LayerFactors],
    settings: IndexSettings,
    grads: Mapping[str, tuple[Tensor, Tensor]],
) -> None:
    """Add whitened gradients to unfinished sketches.

    Args:
        total: ``[b, bits]``.
        sketch: The sketch.
        factors: The run's factors.
        settings: The index's.
        grads: ``{layer: (activation [b, t, i], token_grad [b, t, o])}``.
    """
    for name, (activation, token_grad) in grads.items():
        damping = factors[name].damping(settings.damping_factor)
        sketch.add(total, name, whitened_gradients(token_grad, activation, factors[name], damping))
