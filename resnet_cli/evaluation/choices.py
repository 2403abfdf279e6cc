"""Choices about measuring, as words of the command line, checked without waking PyTorch."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from resnet_cli.runtime.errors import UserError

SAFETENSORS, PICKLED = ".safetensors", ".pth"  # files of weights
ONNX, EXPORTED = ".onnx", ".pt2"  # programs for other software
WEIGHTS, PROGRAMS = (SAFETENSORS, PICKLED), (ONNX, EXPORTED)


class Views(StrEnum):
    """The views of an image that are scored."""

    single = "single"  # the center crop: Fig. 4
    ten = "ten"  # four corners, the center, and their mirror images: Tables 2 and 3
    # every position of whole images, mirrored too, at several scales: Tables 4 and 5
    dense = "dense"


def validate_export_path(path: Path, suffixes: Sequence[str]) -> None:
    """Refuses what could not be written, before anything is computed. Raises UserError."""
    *known, last = suffixes
    if path.suffix not in suffixes:
        raise UserError(f"--export {path}: name a file that ends in {', '.join(known)} or {last}")
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise UserError(f"--export {path}: name a file in a folder that exists")
