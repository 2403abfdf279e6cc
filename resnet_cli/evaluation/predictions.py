"""What a network said of every image, in a file: ensembles can be made later without the
networks.
"""

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resnet_cli.evaluation.metrics import ErrorCount, Errors
from resnet_cli.runtime.errors import UserError
from resnet_cli.runtime.files import write_whole
from resnet_cli.runtime.parse import parse, parse_json

CHUNK = 5000  # images counted or checked at once

_ARRAYS = ("scores", "labels", "paths")
_MOST = 100  # times its size that a file may unpack to: names compress by a few dozens


@dataclass(frozen=True)
class Predictions:
    """`scores` (softmax probabilities) float32 [images, classes], `labels` int64 [images] and
    `paths`, as the data set names them.
    """

    scores: Tensor
    labels: Tensor
    paths: tuple[str, ...]
    # which networks they are of, and how they were measured; plain values
    about: dict[str, Any] = field(default_factory=dict)


def write(predictions: Predictions, path: Path) -> None:
    """Writes a NumPy .npz with `scores`, `labels`, `paths` and `about` (as JSON), whole or not
    at all.
    """
    buffer = io.BytesIO()
    np.savez(
        buffer,
        scores=predictions.scores.float().cpu().numpy(),
        labels=predictions.labels.cpu().numpy(),
        paths=np.array(predictions.paths, dtype=np.str_),
        about=np.array(json.dumps(predictions.about)),
    )
    write_whole(path, buffer.getvalue())


def read(path: Path) -> Predictions:
    """Reads what `write` wrote.

    Raises UserError for a file that is missing, broken or something else.
    """
    if not path.is_file():
        raise UserError(f"predictions {path}: no such file")
    try:
        _validate_size(path)
        with np.load(path, allow_pickle=False) as file:
            for name in _ARRAYS:
                if name not in file:
                    raise UserError(
                        f"predictions {path}: holds no {name}; it should hold scores, labels and "
                        "paths"
                    )
            scores, labels, paths = (file[name] for name in _ARRAYS)
            words = str(file["about"]) if "about" in file else "{}"
        kinds = (scores.dtype, scores.ndim, labels.dtype, paths.dtype.kind)
    except UserError:
        raise
    except Exception as error:  # on foreign or cut-off bytes np.load raises anything at all
        raise UserError(
            f"predictions {path} cannot be read: it is no whole .npz file of plain arrays"
        ) from error
    try:
        about = parse(dict[str, Any], parse_json(words), "about")
        parse(str, about.get("network", ""), "network")
        parse(list[str], about.get("checkpoints", []), "checkpoints")
    except ValueError as error:
        raise UserError(f"predictions {path}: what it is about does not fit: {error}") from error
    if (
        kinds != (np.float32, 2, np.int64, "U")
        or labels.shape != paths.shape
        or labels.shape != scores.shape[:1]
    ):
        raise UserError(
            f"predictions {path}: wants float32 scores [images, classes], int64 labels "
            "[images] and paths [images]"
        )
    if not scores.size or labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise UserError(
            f"predictions {path}: its {len(labels)} labels are not among its "
            f"{scores.shape[1]} classes"
        )
    predictions = Predictions(
        torch.from_numpy(scores), torch.from_numpy(labels), tuple(paths.tolist()), about
    )
    if not all(
        ((part.sum(dim=1) - 1).abs() < 1e-3).all() and (part >= 0).all()
        for part in predictions.scores.split(CHUNK)
    ):
        raise UserError(
            f"predictions {path}: its scores are no probabilities (they do not add up to 1 "
            "for every image)"
        )
    return predictions


def _validate_size(path: Path) -> None:
    """Raises UserError for a small file that would fill the memory, and what zipfile does."""
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > _MOST * path.stat().st_size:
        raise UserError(f"predictions {path} would unpack to {unpacked:,} bytes")


def average(files: Sequence[Path]) -> Predictions:
    """An ensemble: the scores of several files averaged.

    Raises UserError where they are not of the same images and classes.
    """
    first, *others = files
    whole = read(first)
    total, abouts = whole.scores.double(), [whole.about]
    for path in others:
        other = read(path)
        _validate_same_images(whole, other, first=first, path=path)
        total += other.scores
        abouts.append(other.about)
    return Predictions((total / len(files)).float(), whole.labels, whole.paths, _joined(abouts))


def _joined(abouts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What is said of an ensemble: all networks and checkpoints, and what is alike for all."""
    alike = {
        key: value
        for key, value in abouts[0].items()
        if all(about.get(key) == value for about in abouts)
    }
    networks = " + ".join(str(about.get("network", "unknown")) for about in abouts)
    lists = {
        key: [one for about in abouts if isinstance(about.get(key), list) for one in about[key]]
        for key in ("checkpoints", "trained")
    }
    return alike | {"network": networks} | lists


def _validate_same_images(one: Predictions, other: Predictions, *, first: Path, path: Path) -> None:
    """Raises UserError that names the first difference between the images or classes of two
    files.
    """
    if one.scores.shape != other.scores.shape:
        sizes = " and ".join(
            f"{len(each.labels):,} images of {each.scores.shape[1]:,} classes"
            for each in (one, other)
        )
        raise UserError(f"{first} and {path} make no ensemble: they hold {sizes}")
    for number, (ours, theirs) in enumerate(zip(one.paths, other.paths, strict=True)):
        if ours != theirs:
            raise UserError(
                f"{first} and {path} make no ensemble: image {number} is {ours} in the one "
                f"and {theirs} in the other"
            )
    different = (one.labels != other.labels).nonzero()
    if len(different):
        number = int(different[0])
        labels = f"{one.labels[number]} in the one and {other.labels[number]} in the other"
        raise UserError(
            f"{first} and {path} make no ensemble: {one.paths[number]} is labelled {labels}"
        )


def errors(predictions: Predictions) -> Errors:
    """Top-1 and top-5 errors, counted as while measuring."""
    count = ErrorCount(predictions.labels.device)
    for scores, labels in zip(
        predictions.scores.split(CHUNK), predictions.labels.split(CHUNK), strict=True
    ):
        count.add(scores, labels)
    return count.errors()
