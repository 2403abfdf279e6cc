"""A folder a class: `train/<class>/*` and `val/<class>/*`."""

import os
from functools import partial
from pathlib import Path

from resnet_cli.data.layouts.layout import Layout, Scanned, is_image, list_folders, list_some
from resnet_cli.data.samples import Gathering, Samples
from resnet_cli.runtime.errors import DataError

BASES = (Path(), Path("ILSVRC/Data/CLS-LOC"))  # below the root; Kaggle's archive has them deeper


def recognise(root: Path) -> Layout | None:
    """The layout, where both `train` and `val` have class folders."""
    for base in (root / below for below in BASES):
        classes = list_folders(base / "train")
        if classes and (theirs := list_folders(base / "val")):
            folders = [base / "train" / name for name in classes] + [
                base / "val" / name for name in theirs
            ]
            return Layout(
                "class folders", (base / "train", base / "val", *folders), partial(scan, base)
            )
    return None


def recognise_val(root: Path) -> Layout | None:
    """The layout, where there is nothing but `val` with class folders: enough for testing."""
    for base in (root / below for below in BASES):
        classes = list_folders(base / "val")
        if classes and not (base / "train").exists():
            folders = [base / "val" / name for name in classes]
            return Layout(
                "class folders, validation images alone",
                (base / "val", *folders),
                partial(scan, base),
            )
    return None


def scan(base: Path) -> Scanned:
    """Every image of `base/train/<class>` and `base/val/<class>`. Raises DataError, OSError."""
    theirs = list_folders(base / "val")
    ours = list_folders(base / "train")
    classes = ours if (base / "train").exists() else theirs
    validate_train_has_classes(theirs, classes, where=base)
    train, train_notes = scan_classes(base / "train", classes, present=set(ours))
    val, val_notes = scan_classes(base / "val", classes, present=set(theirs))
    return Scanned(tuple(classes), train, val, (*train_notes, *val_notes))


def validate_train_has_classes(theirs: list[str], classes: list[str], *, where: Path) -> None:
    """Raises DataError naming a class that has validation images and no training folder."""
    alone = sorted(set(theirs) - set(classes))
    if alone:
        others = f" and {len(alone) - 1:,} more classes have" if len(alone) > 1 else " has"
        raise DataError(f"{where}: {alone[0]}{others} validation images, but no folder in train/")


def scan_classes(
    split: Path, classes: list[str], *, present: set[str]
) -> tuple[Samples, list[str]]:
    """The images of `split/<class>` for the classes `present`, and a note on files that are no
    images.
    """
    gathering, others, example = Gathering(), 0, ""
    for label, name in enumerate(classes):
        if name in present:
            images, rest = list_images(split / name)
            gathering.add(split / name, images, labels=label)
            others += len(rest)
            example = example or (f"{split / name / rest[0]}" if rest else "")
    return gathering.finish(), [
        f"{others:,} files below {split} are no images, such as {example}: left out"
    ] if others else []


def list_images(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the images in a folder and of its other files, each sorted.

    Raises DataError where there is no image.
    """
    with os.scandir(folder) as entries:
        # A dangling link counts: reading it will tell that its file is missing.
        names = sorted(
            entry.name for entry in entries if not entry.name.startswith(".") and not entry.is_dir()
        )
    images = [name for name in names if is_image(name)]
    if not images:
        raise DataError(f"{folder} has no image in it: found {list_some(folder)}")
    return images, [name for name in names if not is_image(name)] if len(images) < len(
        names
    ) else []
