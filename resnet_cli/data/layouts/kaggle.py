"""Layout of Kaggle's archive.

Training images are in class folders, validation images all in one folder, and a CSV file names
their classes.
"""

import csv
import os
from functools import partial
from pathlib import Path

from resnet_cli.data.layouts.folders import BASES, scan_classes
from resnet_cli.data.layouts.layout import Layout, Scanned, is_image, list_folders
from resnet_cli.data.samples import Samples, SamplesBuilder
from resnet_cli.runtime.errors import DataError

SOLUTION = "LOC_val_solution.csv"


def recognize(root: Path) -> Layout | None:
    """The layout, if `train` has class folders and `val` has none.

    Raises DataError naming what is missing next to them.
    """
    for base in (root / below for below in BASES):
        classes = list_folders(base / "train")
        if classes and not list_folders(base / "val"):
            if not (base / "val").is_dir():
                raise DataError(
                    f"{base / 'val'} is missing: there is only train/; "
                    f"dataset.root={base / 'train'} holds out some of its images"
                )
            if not (root / SOLUTION).is_file():
                raise DataError(
                    f"{base / 'val'} has no class folders, and {root / SOLUTION}, which "
                    "names the classes, is missing"
                )
            sources = (
                base / "train",
                base / "val",
                root / SOLUTION,
                *(base / "train" / name for name in classes),
            )
            return Layout(
                name=f"Kaggle's folders and {SOLUTION}",
                sources=sources,
                scan=partial(_scan, root, base),
            )
    return None


def _scan(root: Path, base: Path) -> Scanned:
    """Finds every image of `base/train/<class>`, and of `base/val` as the CSV file has it.

    Raises DataError, OSError.
    """
    classes = list_folders(base / "train")
    train, remarks = scan_classes(base / "train", classes, present=set(classes))
    val = _scan_val(base / "val", root / SOLUTION, classes=classes)
    return Scanned(classes=tuple(classes), train=train, val=val, remarks=tuple(remarks))


def _scan_val(folder: Path, solution: Path, *, classes: list[str]) -> Samples:
    """The validation images, ordered by class and name.

    Raises DataError if the CSV file and the folder do not hold the same images.
    """
    truth = _read_solution(solution)
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
    builder = SamplesBuilder()
    builder.add(folder, [name for _, name in rows], labels=[number for number, _ in rows])
    return builder.build()


def _read_solution(path: Path) -> dict[str, str]:
    """Image -> wnid, from lines such as `ILSVRC2012_val_00048981,n03995372 85 1 499 272`.

    Raises DataError if the columns are not those.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return {
                row["ImageId"]: row["PredictionString"].split()[0] for row in csv.DictReader(file)
            }
    except (KeyError, IndexError, AttributeError, ValueError, csv.Error) as error:
        raise DataError(
            f"{path} has no columns ImageId and PredictionString with a class in each line"
        ) from error
