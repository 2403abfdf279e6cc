"""Checkpoints: written whole or not at all, read without running code, the one before kept."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from resnet_cli.evaluation.weights import read
from resnet_cli.runtime.errors import DISK_ERRORS, Failed, UserError
from resnet_cli.runtime.files import write_whole

FORMAT = "resnet_cli 1"
LAST, PREVIOUS, BEST = "last.pt", "previous.pt", "best.pt"


def save(path: Path, content: dict[str, Any], *, keep: Path | None = None) -> None:
    """Writes `content` (tensors and plain values) to `path`; what was there before becomes `keep`.

    A crash at any moment leaves a whole one. Raises Failed where the disk takes no more; the old
    checkpoint stays.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **content}, buffer)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, buffer.getvalue(), keep=keep)
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        raise Failed(
            f"cannot save {path}: {error.strerror}; what was saved before stands; free some "
            "space and run the same command again"
        ) from error


def load(path: Path) -> dict[str, Any]:
    """One of our checkpoints. Raises UserError where it is unreadable or somebody else's."""
    content = read(path)
    if not is_ours(content):
        raise UserError(f"checkpoint {path} was not written by this version of resnet-train")
    return content


def is_ours(content: Any) -> bool:
    return isinstance(content, dict) and content.get("format") == FORMAT


def newest(folder: Path, *, warn: Callable[[str], None]) -> tuple[dict[str, Any], Path] | None:
    """The newest checkpoint of `folder` that reads well and its file, or None where there is none
    at all.

    A broken newest one is set aside as `last.pt.broken`, the one before serves, and `warn` is told.
    Raises UserError when every one there is broken.
    """
    there = [path for path in (folder / LAST, folder / PREVIOUS) if path.exists()]
    errors = []
    for path in there:
        try:
            content = load(path)
        except UserError as error:
            errors.append(str(error))
            continue
        if errors:  # else the next save would put the broken one in the place of the good one
            os.replace(folder / LAST, folder / f"{LAST}.broken")
            warn(
                f"{errors[0]}; falling back to {path.name}, iteration "
                f"{content['progress']['iteration']:,}"
            )
        return content, path
    if errors:
        raise UserError(
            f"{errors[0]}; no checkpoint in {folder} can be read: move the folder away to "
            "start anew"
        )
    return None


def resolve(path: Path) -> Path:
    """A checkpoint file from what a user typed: the file itself, or a run folder, which means
    its last.
    """
    if not path.is_dir():
        return path
    for candidate in (path / "checkpoints" / LAST, path / LAST, path / "checkpoints" / PREVIOUS):
        if candidate.is_file():
            return candidate
    raise UserError(f"checkpoint {path}: this folder has no checkpoints/{LAST}")
