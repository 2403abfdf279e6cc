"""Name -> data set, with its validation split held out."""

from enum import StrEnum
from pathlib import Path

from resnet_cli.data import cifar10, synthetic
from resnet_cli.data.images import Dataset, Split
from resnet_cli.errors import UserError


class DatasetName(StrEnum):
    cifar10 = "cifar10"
    synthetic = "synthetic"


SYNTHETIC_SEEDS = {"train": 0, "test": 1}


def load(
    name: DatasetName,
    *,
    root: Path,
    download: bool = False,
    mirror: str = "",
    validation: int = 0,
    train_images: int | None = None,
    test_images: int | None = None,
) -> Dataset:
    """A data set in memory.

    The last `validation` training images are held out (45k/5k: the paper chose its schedule on such a split);
    `train_images` and `test_images` keep only so many of the rest (of synthetic images, only so many are drawn).
    Raises DataError where files are missing or
    broken, UserError where a count does not fit.
    """
    if name is DatasetName.cifar10:
        train, test = cifar10.load(root, download=download, mirror=mirror)
        classes: tuple[str, ...] = cifar10.CLASSES
    else:
        asked = (train_images or synthetic.TRAIN_COUNT - validation) + validation
        train = Split(*synthetic.draw(min(asked, synthetic.TRAIN_COUNT), seed=SYNTHETIC_SEEDS["train"]))
        test = Split(*synthetic.draw(min(test_images or synthetic.TEST_COUNT, synthetic.TEST_COUNT), seed=SYNTHETIC_SEEDS["test"]))
        classes = synthetic.CLASSES
    if validation >= len(train):
        raise UserError(f"dataset.validation={validation}: there are {len(train):,} training images")
    train, held_out = train[: len(train) - validation], train[len(train) - validation :]
    for key, count, split in (("train_images", train_images, train), ("test_images", test_images, test)):
        if count is not None and count > len(split):
            raise UserError(f"dataset.{key}={count}: there are only {len(split):,}")
    return Dataset(name, classes, train[:train_images], test[:test_images], held_out if validation else None)
