"""ImageNet, or any folder of classes."""

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resnet_cli.data.holding_out import hold_out
from resnet_cli.data.index import Index
from resnet_cli.data.layouts import Layout, Scanned, recognize
from resnet_cli.data.samples import Samples
from resnet_cli.runtime.errors import DataError, UserError

_IMAGENET = (1_000, 1_281_167, 50_000)  # classes, training images, validation images

_Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class ImageFolders:
    """Labeled images on disk; a label is an index into `classes`."""

    layout: str  # in words
    classes: tuple[str, ...]
    train: Samples
    val: Samples
    test: Samples | None
    remarks: list[str]  # counts that are not ImageNet's, files left out, images held out


def open_folders(
    root: Path,
    *,
    validation: int | float = 0,
    split_seed: int = 0,
    reindex: bool = False,
    say: _Say = lambda _: None,
) -> ImageFolders:
    """Opens the images below `root`, in any layout that `layouts` recognizes.

    Of class folders that are not split, `validation` images are held out (`hold_out`).

    The index is stored in $XDG_CACHE_HOME/resnet_cli (~/.cache/resnet_cli). It is rebuilt with
    `reindex`, or if files have been added to or removed from the class folders; `say` is told so.
    Raises DataError if images are missing or broken, or if a tar or list has changed since it was
    indexed; UserError if `validation` does not fit.
    """
    root = Path(os.path.abspath(root))
    try:
        layout = recognize(root)
        index = Index(root, layout, say=say)
        with index.locked():
            scanned = None if reindex else index.load()
            if scanned is None:
                scanned = scan(root, layout, say=say)
                index.save(scanned)
    except OSError as error:
        raise DataError(
            f"{error.filename or root} cannot be read: {error.strerror or error}"
        ) from error
    if layout.is_split:
        if validation:
            raise UserError(
                f"dataset.validation={validation}: the images of val/ are the validation images"
            )
        train, val, split = scanned.train, scanned.val, []
    else:
        train, val, words = hold_out(
            scanned.train, validation, seed=split_seed, class_name=scanned.classes.__getitem__
        )
        split = [words]
    return ImageFolders(
        layout=layout.name,
        classes=scanned.classes,
        train=train,
        val=val,
        test=scanned.test if len(scanned.test) else None,
        remarks=[*_count_remarks(scanned.classes, train, val), *split, *scanned.remarks],
    )


def scan(root: Path, layout: Layout, *, say: _Say) -> Scanned:
    """Scans `root`.

    Raises DataError if some classes have training images and others none, or if there are no
    validation images.
    """
    say(f"indexing {root} ({layout.name})")
    start = time.monotonic()
    scanned = layout.scan()
    empty = np.flatnonzero(np.bincount(scanned.train.labels, minlength=len(scanned.classes)) == 0)
    if 0 < len(empty) < len(scanned.classes):
        raise DataError(
            f"{root}: class {scanned.classes[empty[0]]} has no training image ({len(empty):,} "
            "such classes)"
        )
    if layout.is_split and not len(scanned.val):
        raise DataError(f"{root}: there is no validation image")
    parts = [len(part) for part in (scanned.train, scanned.val, scanned.test) if len(part)]
    say(
        f"indexed {' + '.join(f'{count:,}' for count in parts)} images in "
        f"{time.monotonic() - start:.1f} s"
    )
    return scanned


def _count_remarks(classes: tuple[str, ...], train: Samples, val: Samples) -> list[str]:
    """Remarks on the numbers of classes and images; ImageNet's are named where classes are called
    as they are there.
    """
    found = (len(classes), len(train), len(val))
    remarks = []
    if found != _IMAGENET:
        told = f"{found[0]:,} classes, {found[1]:,} training and {found[2]:,} validation images"
        known = " / ".join(f"{number:,}" for number in _IMAGENET)
        is_imagenet = re.fullmatch(r"n\d{8}|\d+", classes[0])
        remarks.append(told + (f": not ImageNet's {known}" if is_imagenet else ""))
    missing = len(classes) - len(np.unique(val.labels))
    if missing:
        remarks.append(f"{missing:,} of {len(classes):,} classes have no validation image")
    return remarks
