"""Holds out some images of a folder that is not split: class by class, and for each file by a hash
of its name, so that the split depends on nothing else.
"""

import hashlib
import os
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from resnet_cli.data.samples import Samples
from resnet_cli.runtime.errors import DataError, UserError

USUAL = 0.2  # of the images of each class


def count_held_out(asked: int | float, images: int) -> int:
    """How many of `images` a share below 1 or a count is. Raises UserError if none is left."""
    count = min(round(asked * images), images - 1) if 0 < asked < 1 else int(asked)
    if count >= images:
        raise UserError(f"dataset.validation={asked}: there are {images:,} training images")
    return count


def hold_out(
    images: Samples, asked: int | float, *, seed: int, class_name: Callable[[int], str]
) -> tuple[Samples, Samples, str]:
    """Training images, held-out images, and the split in words.

    `asked` is a share below 1, or a count that is spread over the classes in proportion; 0 is
    `USUAL`. Each class keeps an image on either side. Raises DataError for a class of one image,
    UserError for a count that leaves nothing.
    """
    asked = asked or USUAL
    counts = np.bincount(images.labels)
    if len(alone := np.flatnonzero(counts == 1)):
        raise DataError(
            f"class {class_name(int(alone[0]))} has one image: one is needed to train, and one to "
            "be held out"
        )
    share = count_held_out(asked, len(images)) / len(images)
    quota = np.clip(_in_proportion(counts, share), np.minimum(counts, 1), counts - 1)
    held_out = np.zeros(len(images), dtype=bool)
    for label, take in enumerate(quota):
        members = np.flatnonzero(images.labels == label)
        order = sorted(members, key=lambda index: _rank(images, int(index), seed=seed))
        held_out[order[:take]] = True
    told = f"{asked:.0%}" if asked < 1 else f"{asked:,} images"
    words = (
        f"no val/: {told}, taken from each class by a hash of the file's name "
        f"(dataset.split_seed={seed}), are held out: {held_out.sum():,} of {len(images):,}"
    )
    parts = (images.take(np.flatnonzero(of)) for of in (~held_out, held_out))
    return next(parts), next(parts), words


def _in_proportion(counts: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    """Whole parts of the classes whose sum is the rounded part of all: the largest remainders are
    rounded up.
    """
    exact = counts * share
    whole = np.floor(exact + 1e-9).astype(np.int64)
    missing = round(counts.sum() * share) - whole.sum()
    whole[np.argsort(whole - exact, kind="stable")[:missing]] += 1
    return whole


def _rank(images: Samples, index: int, *, seed: int) -> bytes:
    """Where a file stands in the order of its class, whatever other files there are."""
    folder = os.path.basename(images.containers[images.container[index]])
    name = f"{seed}/{folder}/{images.name(index)}"
    return hashlib.sha256(name.encode(errors="surrogateescape")).digest()
