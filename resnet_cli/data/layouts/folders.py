"""Layout with one folder per class: `train/<class>/*` and `val/<class>/*`."""

import os
from functools import partial
from pathlib import Path

from resnet_cli.data.layouts.layout import (
    Layout,
    Scanned,
    describe_contents,
    is_image,
    list_folders,
)
from resnet_cli.data.samples import Samples, SamplesBuilder
from resnet_cli.runtime.errors import DataError

BASES = (Path(), Path("ILSVRC/Data/CLS-LOC"))  # below the root; the second in Kaggle's archive


def recognize(root: Path) -> Layout | None:
    """The layout, if both `train` and `val` have class folders."""
    for base in (root / below for below in BASES):
        train, val = base / "train", base / "val"
        train_classes, val_classes = list_folders(train), list_folders(val)
        if train_classes and val_classes:
            folders = [train / name for name in train_classes] + [
                val / name for name in val_classes
            ]
            return Layout(
                name="class folders", sources=(train, val, *folders), scan=partial(_scan, base)
            )
    return None


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
    train_classes, val_classes = list_folders(base / "train"), list_folders(base / "val")
    classes = train_classes if (base / "train").exists() else val_classes
    _validate_train_has_classes(val_classes, classes, where=base)
    train, train_remarks = scan_classes(base / "train", classes, present=set(train_classes))
    val, val_remarks = scan_classes(base / "val", classes, present=set(val_classes))
    return Scanned(
        classes=tuple(classes), train=train, val=val, remarks=(*train_remarks, *val_remarks)
    )


def _validate_train_has_classes(val_classes: list[str], classes: list[str], *, where: Path) -> None:
    """Raises DataError naming a class that has validation images but no training folder."""
    unknown = sorted(set(val_classes) - set(classes))
    if unknown:
        others = f" and {len(unknown) - 1:,} more classes have" if len(unknown) > 1 else " has"
        raise DataError(f"{where}: {unknown[0]}{others} validation images, but no folder in train/")


def scan_classes(
    split: Path, classes: list[str], *, present: set[str]
) -> tuple[Samples, list[str]]:
    """The images of `split/<class>` for the classes `present`, and remarks on other files there.

    Raises DataError if a class folder has no image, OSError.
    """
    builder, others, example = SamplesBuilder(), 0, ""
    for label, name in enumerate(classes):
        if name in present:
            images, rest = _list_images(split / name)
            builder.add(split / name, images, labels=label)
            others += len(rest)
            example = example or (f"{split / name / rest[0]}" if rest else "")
    remark = f"{others:,} files below {split} are not images, such as {example}: left out"
    return builder.build(), [remark] if others else []


def _list_images(folder: Path) -> tuple[list[str], list[str]]:
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
