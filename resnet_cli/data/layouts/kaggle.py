"""Kaggle's archive: training images in class folders, validation images all in one, and a list
that names their classes.
"""

import csv
import os
from functools import partial
from pathlib import Path

from resnet_cli.data.layouts.folders import BASES, scan_classes
from resnet_cli.data.layouts.layout import Layout, Scanned, is_image, list_folders
from resnet_cli.data.samples import Gathering, Samples
from resnet_cli.runtime.errors import DataError

SOLUTION = "LOC_val_solution.csv"


def recognise(root: Path) -> Layout | None:
    """The layout, where `train` has class folders and `val` has none.

    Raises DataError naming what is missing beside them.
    """
    for base in (root / below for below in BASES):
        classes = list_folders(base / "train")
        if classes and not list_folders(base / "val"):
            if not (base / "val").is_dir():
                raise DataError(f"{base / 'val'} is missing: there is only train/")
            if not (root / SOLUTION).is_file():
                raise DataError(
                    f"{base / 'val'} has no folder a class, and {root / SOLUTION}, which "
                    "tells the classes, is missing"
                )
            sources = (
                base / "train",
                base / "val",
                root / SOLUTION,
                *(base / "train" / name for name in classes),
            )
            return Layout(f"Kaggle's folders and {SOLUTION}", sources, partial(scan, root, base))
    return None


def scan(root: Path, base: Path) -> Scanned:
    """Every image of `base/train/<class>` and of `base/val` as the list has it.

    Raises DataError, OSError.
    """
    classes = list_folders(base / "train")
    train, notes = scan_classes(base / "train", classes, present=set(classes))
    return Scanned(
        tuple(classes), train, scan_val(base / "val", root / SOLUTION, classes), tuple(notes)
    )


def scan_val(folder: Path, solution: Path, classes: list[str]) -> Samples:
    """The validation images by class and name; the list and the folder must hold the same."""
    truth = read_solution(solution)
    with os.scandir(folder) as entries:
        images = {
            os.path.splitext(entry.name)[0]: entry.name for entry in entries if is_image(entry.name)
        }
    for stems, what in (
        (truth.keys() - images.keys(), f"is not in {folder}"),
        (images.keys() - truth.keys(), f"is not in {solution}"),
    ):
        if stems:
            raise DataError(f"validation image {min(stems)} {what} ({len(stems):,} such images)")
    label = {wnid: number for number, wnid in enumerate(classes)}
    for stem, wnid in truth.items():
        if wnid not in label:
            raise DataError(f"{solution}: {stem} is of class {wnid}, which has no folder in train/")
    rows = sorted((label[wnid], images[stem]) for stem, wnid in truth.items())
    gathering = Gathering()
    gathering.add(folder, [name for _, name in rows], labels=[number for number, _ in rows])
    return gathering.finish()


def read_solution(path: Path) -> dict[str, str]:
    """Image -> wnid, out of lines such as `ILSVRC2012_val_00048981,n03995372 85 1 499 272`."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return {
                row["ImageId"]: row["PredictionString"].split()[0] for row in csv.DictReader(file)
            }
    except (KeyError, IndexError, AttributeError, ValueError, csv.Error) as error:
        raise DataError(
            f"{path} has no columns ImageId and PredictionString with a class in each line"
        ) from error
