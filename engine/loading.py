"""Load a causal language model: a Hugging Face folder or hub name, a GGUF file, an adapter on its base."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import find_adapter_config_file, has_file
from transformers.utils import logging as transformers_logging

from engine.adapters import attach, base_of
from engine.errors import ModelError
from engine.group import processes
from engine.model import LanguageModel, prepare

transformers_logging.disable_progress_bar()

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}
LOADING_ERRORS = (OSError, ValueError, KeyError, RuntimeError, ImportError, NotImplementedError, SafetensorError)
GGUF = ".gguf"
SPREAD = "auto"
"""Asked for as a device: the model lies on all GPUs, some of its layers on each."""


@dataclass(frozen=True)
class Source:
    """Where a model lies.

    Attributes:
        base: Folder or hub name of the model itself.
        gguf_file: The file of it to read, or None.
        adapter: Folder or hub name of the LoRA adapter on top, or None.
    """

    base: str
    gguf_file: str | None = None
    adapter: str | None = None

    @property
    def name(self) -> str:
        """The model without its adapter."""
        return os.path.join(self.base, self.gguf_file) if self.gguf_file else self.base

    @property
    def place(self) -> dict[str, str]:
        """What transformers takes to find the base."""
        return {"pretrained_model_name_or_path": self.base} | ({"gguf_file": self.gguf_file} if self.gguf_file else {})

    @property
    def tokenizer(self) -> dict[str, str]:
        """What transformers takes to find the tokenizer: the adapter's where it brings one."""
        if self.adapter and has_file(self.adapter, "tokenizer.json"):
            return {"pretrained_model_name_or_path": self.adapter}
        return self.place


def load_model(name: str, device: str = "cpu", dtype: str = "float32", context: int | None = None) -> LanguageModel:
    """Load a Hugging Face causal language model.

    Attention is eager: fused kernels give gradients that depend on what else is in the batch.

    Args:
        name: Hub name or folder of a model or of a LoRA adapter, or a GGUF file in one of a model
            (``folder/file.gguf``), whose weights are dequantised.
        device: ``cpu``, ``cuda``, ``cuda:0``, ...; or ``auto`` for all GPUs, where one does not hold the model.
        dtype: ``float32``, ``bfloat16`` or ``float64``.
        context: Longest input in tokens; None for the model's own, at most 512 as in the papers.

    Raises:
        ModelError: If the model cannot be loaded, its weights are not finite, or it cannot be used.
    """
    if dtype not in DTYPES:
        raise ModelError(f"dtype {dtype!r} is unknown -- choose one of {', '.join(DTYPES)}.")
    _check_device(device)
    with _loading("causal language model", name):
        source = find_source(name)
        config = AutoConfig.from_pretrained(**source.place)
        tokenizer = AutoTokenizer.from_pretrained(**source.tokenizer, use_fast=True)
        network, loading = AutoModelForCausalLM.from_pretrained(
            **source.place, **_dense(source), dtype=DTYPES[dtype], attn_implementation="eager",
            output_loading_info=True, device_map=SPREAD if device == SPREAD else None,
        )  # fmt: skip
        _check_on_gpus(getattr(network, "hf_device_map", {}))
        _check_complete(source.name, loading["missing_keys"])
        if source.gguf_file:
            _forget_blocks(network)
        if source.adapter:
            attach(network, source.adapter)
    _check_tokenizer(name, tokenizer)
    _check_embedded(name, tokenizer, network)
    network = network if device == SPREAD else network.to(device)
    return prepare(name, network, tokenizer, _context(name, config, context))


def load_tokenizer(name: str) -> Any:
    """The fast tokenizer of a model, without its weights.

    Raises:
        ModelError: If it cannot be loaded, or is not fast.
    """
    with _loading("tokenizer", name):
        tokenizer = AutoTokenizer.from_pretrained(**find_source(name).tokenizer, use_fast=True)
    _check_tokenizer(name, tokenizer)
    return tokenizer


def find_source(name: str) -> Source:
    """What the name of a model stands for.

    Raises:
        ModelError: If a package is missing that reads it.
    """
    if name.endswith(GGUF):
        need("gguf", "accelerate", what=f"the GGUF file {name!r}", extra="gguf")
        folder, file = os.path.split(name)
        return Source(folder or os.curdir, file)
    if find_adapter_config_file(name):
        need("peft", what=f"the adapter {name!r}", extra="adapters")
        return replace(find_source(base_of(name)), adapter=name)
    return Source(name)


def need(*packages: str, what: str, extra: str) -> None:
    """Refuse to go on without some optional packages.

    Raises:
        ModelError: If one is not installed.
    """
    if missing := [package for package in packages if find_spec(package) is None]:
        raise ModelError(
            f"{what} cannot be loaded without the package{'s' * (len(missing) > 1)} {' and '.join(missing)} -- "
            f"pip install {' '.join(missing)} (or pip install '.[{extra}]')."
        )


@contextmanager
def _loading(what: str, name: str) -> Iterator[None]:
    """What goes wrong in reading a model, said in one sentence."""
    try:
        yield
    except LOADING_ERRORS as error:
        if isinstance(error, ModelError):
            raise
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"no {what} could be loaded from {name!r} ({why}) -- give a folder with config.json, model.safetensors "
            "and tokenizer.json, a GGUF file of an architecture and quantisation that transformers reads, a LoRA "
            "adapter's folder, or a name on the Hugging Face hub."
        ) from error


def _dense(source: Source) -> dict[str, Any]:
    """What keeps transformers from leaving GGUF weights in their blocks; older versions never do."""
    config = getattr(transformers, "GgufConfig", None)
    return {"quantization_config": config(dequantize=True)} if source.gguf_file and config else {}


def _forget_blocks(network: Any) -> None:
    """A dequantised model is like any other, and does not depend on the file's name."""
    network.is_quantized = False
    if hasattr(network.config, "quantization_config"):
        del network.config.quantization_config


def _check_complete(name: str, missing_keys: Iterable[str]) -> None:
    if missing := sorted(missing_keys):
        raise ModelError(
            f"{name!r} has no weights for {', '.join(missing[:3])}{' and others' * (len(missing) > 3)} -- they "
            "would be random numbers -- use a complete checkpoint."
        )


def _check_on_gpus(place: dict[str, Any]) -> None:
    """Refuse a model some of whose layers found no room on the GPUs, or none in memory at all.

    Raises:
        ModelError: If there are such layers.
    """
    has_gpus = any(device not in ("cpu", "disk") for device in place.values())
    waiting = [module for module, device in place.items() if device == "disk" or (device == "cpu" and has_gpus)]
    if waiting:
        raise ModelError(
            f"the {'GPUs hold' if has_gpus else 'memory holds'} the model but for {waiting[0]!r}"
            f"{' and others' * (len(waiting) > 1)} -- gradients of what waits outside cannot be formed -- use --dtype "
            "bfloat16, more GPUs, or --device cpu."
        )


def _check_device(device: str) -> None:
    if device == SPREAD:
        need("accelerate", what="a model on several devices", extra="several-gpus")
        if processes() > 1:
            raise ModelError(
                f"device {device!r} was asked for by each of {processes()} processes -- they would fill the same GPUs "
                "-- start one process, or give each a GPU by --device cuda."
            )
        return
    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise ModelError(f"device {device!r} is unknown -- use cpu, cuda, cuda:0 or auto.") from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"device {device!r} was asked for, but torch finds no GPU here -- use --device cpu.")
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:  # cuda:7 of one GPU; mps, meta
        why = str(error).strip().splitlines()[0].split(". ")[0]
        raise ModelError(f"device {device!r} cannot be used ({why}) -- use cpu, cuda or cuda:0.") from None


def _check_tokenizer(name: str, tokenizer: Any) -> None:
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            f"{name!r} has no fast tokenizer -- tokens could not be placed in the text -- add a tokenizer.json."
        )
    if not tokenizer("a", add_special_tokens=False)["input_ids"]:
        raise ModelError(f"the tokenizer of {name!r} knows no letters -- nothing could be read -- add tokenizer.json.")


def _check_embedded(name: str, tokenizer: Any, network: Any) -> None:
    rows = network.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise ModelError(
            f"the tokenizer of {name!r} has {len(tokenizer)} tokens, the model embeds {rows} -- they do not belong "
            "together -- use the tokenizer that the model was trained with."
        )


def _context(name: str, config: Any, asked: int | None) -> int:
    longest = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    if asked is None:
        return min(longest or 512, 512)
    if asked < 2 or (longest and asked > longest):
        raise ModelError(f"context {asked} is out of range -- {name!r} takes 2 to {longest} tokens -- choose within.")
    return asked
