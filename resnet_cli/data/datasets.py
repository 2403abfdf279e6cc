"""Name -> data set, with its validation split held out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from resnet_cli.data import cifar10, imagenet, synthetic
from resnet_cli.data.choices import DatasetName
from resnet_cli.data.images import Dataset, Split
from resnet_cli.data.samples import Samples
from resnet_cli.runtime.errors import UserError

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

    The last `validation` training images are held out (45k/5k: the paper chose its schedule on such
    a split); `train_images` and `test_images` keep only so many of the rest (of synthetic images,
    only so many are drawn). Raises DataError where files are missing or broken, UserError where a
    count does not fit.
    """
    if name is DatasetName.cifar10:
        train, test = cifar10.load(root, download=download, mirror=mirror)
        classes: tuple[str, ...] = cifar10.CLASSES
    else:
        asked = (train_images or synthetic.TRAIN_COUNT - validation) + validation
        train = Split(
            *synthetic.draw(min(asked, synthetic.TRAIN_COUNT), seed=SYNTHETIC_SEEDS["train"])
        )
        test = Split(
            *synthetic.draw(
                min(test_images or synthetic.TEST_COUNT, synthetic.TEST_COUNT),
                seed=SYNTHETIC_SEEDS["test"],
            )
        )
        classes = synthetic.CLASSES
    if validation >= len(train):
        raise UserError(
            f"dataset.validation={validation}: there are {len(train):,} training images"
        )
    train, held_out = train[: len(train) - validation], train[len(train) - validation :]
    validate_counts((train, train_images), (test, test_images))
    return Dataset(
        name,
        classes,
        32,
        train[:train_images],
        test[:test_images],
        held_out if validation else None,
    )


def load_folders(
    root: Path,
    *,
    image_size: int,
    num_classes: int | None = None,
    train_images: int | None = None,
    test_images: int | None = None,
    reindex: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Dataset:
    """ImageNet or another folder of classes, as files; `train_images` and `test_images` are spread
    evenly over the classes.

    Raises DataError where files are missing or broken, UserError where a count does not fit.
    """
    found = imagenet.open_folders(root, reindex=reindex, say=say)
    if num_classes not in (None, len(found.classes)):
        raise UserError(
            f"dataset.num_classes={num_classes}: {root} has {len(found.classes)} classes"
        )
    validate_counts((found.train, train_images), (found.val, test_images))
    train, val = spread(found.train, train_images), spread(found.val, test_images)
    return Dataset(
        DatasetName.imagenet,
        found.classes,
        image_size,
        train,
        None,
        val,
        (found.layout, *found.remarks),
    )


def spread(samples: Samples, count: int | None) -> Samples:
    """`count` of the samples, evenly spaced: they lie class by class."""
    return samples if count is None else samples.take(np.arange(count) * len(samples) // count)


def validate_counts(
    train: tuple[Split | Samples, int | None], test: tuple[Split | Samples, int | None]
) -> None:
    for key, (split, count) in (("train_images", train), ("test_images", test)):
        if count is not None and count > len(split):
            raise UserError(f"dataset.{key}={count}: there are only {len(split):,}")
