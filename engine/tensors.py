"""Tensors on disk: safetensors files, whole or not at all."""

import re
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from engine.writing import writing


def write_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write named tensors; the device is not kept."""
    with writing(path) as part:
        try:
            # cloned, since layers that share an input share its storage, which the format refuses
            save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}, part)
        except SafetensorError as error:  # it carries the system's error in its text only
            number = re.search(r"os error (\d+)", str(error))
            raise OSError(int(number.group(1)) if number else 0, str(error)) from error


def read_tensors(path: Path, prefix: str = "", device: str = "cpu") -> dict[str, Tensor]:
    """Named tensors whose names begin with ``prefix``; the prefix is cut off."""
    with safe_open(path, framework="pt", device=device) as file:
        return {name[len(prefix) :]: file.get_tensor(name) for name in file.keys() if name.startswith(prefix)}  # noqa: SIM118


def read_part(path: Path, name: str, part: slice) -> Tensor:
    """A part of one tensor of a file along its first axis; the rest is not read."""
    with safe_open(path, framework="pt") as file:
        found: Tensor = file.get_slice(name)[part]
        return found
