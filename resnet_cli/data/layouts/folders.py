"""Layouts with one folder per class: `train/<class>/*` and `val/<class>/*`, and `test/<class>/*`
where it is there; or the class folders alone.
"""

import os
from functools import partial
from pathlib import Path

from resnet_cli.data.layouts.layout import (
    NOTHING,
    Layout,
    Scanned,
    describe_contents,
    is_image,
    list_folders,
)
from resnet_cli.data.samples import Samples, SamplesBuilder
from resnet_cli.runtime.errors import DataError

_SPLITS = ("train", "val", "test")
BASES = (Path(), Path("ILSVRC/Data/CLS-LOC"))  # below the root; the second in Kaggle's archive


def recognize(root: Path) -> Layout | None:
    """The layout, if both `train` and `val` have class folders."""
    for base in (root / below for below in BASES):
        train, val = base / "train", base / "val"
        train_classes, val_classes = list_folders(train), list_folders(val)
        if train_classes and val_classes:
            splits = [base / name for name in _SPLITS if list_folders(base / name)]
            folders = [split / name for split in splits for name in list_folders(split)]
            return Layout(
                name="class folders", sources=(*splits, *folders), scan=partial(_scan, base)
            )
    return None


def recognize_unsplit(root: Path) -> Layout | None:
    """The layout, if images lie in at least two folders directly at the root: `cat/*`, `dog/*`."""
    classes = list_folders(root)
    if len(classes) < 2 or {*_SPLITS} & {*classes}:
        return None
    if not all(_has_image(root / name) for name in classes[:2]):
        return None
    return Layout(
        name="class folders, not split",
        sources=(root, *(root / name for name in classes)),
        scan=partial(_scan_unsplit, root),
        is_split=False,
    )


def _has_image(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(is_image(entry.name) for entry in entries)


def _scan_unsplit(root: Path) -> Scanned:
    """Finds every image of `root/<class>`. Raises DataError, OSError."""
    classes = list_folders(root)
    images, remarks = scan_classes(root, classes, present=set(classes))
    return Scanned(classes=tuple(classes), train=images, val=NOTHING, remarks=tuple(remarks))


def recognize_val(root: Path) -> Layout | None:
    """The layout, if there is only `val` with class folders: enough for evaluation."""
    for base in (root / below for below in BASES):
        classes = list_folders(base / "val")
        if classes and not (base / "train").exists():
            folders = [base / "val" / name for name in classes]
            return Layout(
                name="class folders, validation images alone",
                sources=(base / "val", *folders),
                scan=partial(_scan, base),
            )
    return None


def _scan(base: Path) -> Scanned:
    """Finds every image of `base/train/<class>` and `base/val/<class>`.

    Raises DataError, OSError.
    """
    there = {split: list_folders(base / split) for split in _SPLITS}
    classes = there["train"] if (base / "train").exists() else there["val"]
    images, remarks = {}, []
    for split, names in there.items():
        _validate_train_has_classes(names, classes, split=base / split)
        images[split], others = scan_classes(base / split, classes, present=set(names))
        remarks += others
    return Scanned(classes=tuple(classes), **images, remarks=tuple(remarks))


def _validate_train_has_classes(names: list[str], classes: list[str], *, split: Path) -> None:
    """Raises DataError naming a class that has images to be tested, but no training folder."""
    unknown = sorted(set(names) - set(classes))
    if unknown:
        others = f" and {len(unknown) - 1:,} more classes have" if len(unknown) > 1 else " has"
        kind = "validation" if split.name == "val" else split.name
        raise DataError(
            f"{split.parent}: {unknown[0]}{others} {kind} images, but no folder in train/"
        )


def scan_classes(
    split: Path, classes: list[str], *, present: set[str]
) -> tuple[Samples, list[str]]:
    """The images of `split/<class>` for the classes `present`, and remarks on other files there.

    Raises DataError if a class folder has no image, OSError.
    """
    builder, others, example = SamplesBuilder(), 0, ""
    for label, name in enumerate(classes):
        if name in present:
            images, rest = list_images(split / name)
            builder.add(split / name, images, labels=label)
            others += len(rest)
            example = example or (f"{split / name / rest[0]}" if rest else "")
    remark = f"{others:,} files below {split} are not images, such as {example}: left out"
    return builder.build(), [remark] if others else []


def list_images(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the images in a folder and of its other files, each sorted.

    Raises DataError if there is no image.
    """
    with os.scandir(folder) as entries:
        # A dangling link counts: reading it will report that its file is missing.
        names = sorted(
            entry.name for entry in entries if not entry.name.startswith(".") and not entry.is_dir()
        )
    images = [name for name in names if is_image(name)]
    if not images:
        raise DataError(f"{folder} contains no image: found {describe_contents(folder)}")
    if len(images) == len(names):  # the usual case, quickly
        return images, []
    return images, [name for name in names if not is_image(name)]
