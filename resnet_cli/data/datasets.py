"""Loads a data set by name and holds out its validation split."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from resnet_cli.data import cifar10, cifar100, imagenet, synthetic
from resnet_cli.data.choices import DatasetName
from resnet_cli.data.holding_out import count_held_out
from resnet_cli.data.images import Dataset, Split
from resnet_cli.data.samples import Samples
from resnet_cli.runtime.errors import UserError

_SYNTHETIC_SEEDS = {"train": 0, "test": 1}


def load(
    name: DatasetName,
    *,
    root: Path,
    download: bool = False,
    mirror: str = "",
    coarse: bool = False,
    validation: int | float = 0,
    train_images: int | None = None,
    test_images: int | None = None,
) -> Dataset:
    """Loads CIFAR-10, CIFAR-100 (`coarse`: by superclasses) or the synthetic images into memory.

    The last `validation` training images, a count or a share below 1, are held out: the paper chose
    its schedule on a 45k/5k split (section 4.2). `train_images` and `test_images` limit how many of
    the others are used, or how many synthetic images are drawn. Raises DataError if files are
    missing or broken, UserError if a count exceeds the images there are.
    """
    if name is DatasetName.cifar10:
        train, test = cifar10.load(root, download=download, mirror=mirror)
        classes: tuple[str, ...] = cifar10.CLASSES
    elif name is DatasetName.cifar100:
        train, test, classes = cifar100.load(root, download=download, mirror=mirror, coarse=coarse)
    else:
        held = count_held_out(validation, synthetic.TRAIN_COUNT)
        wanted = (train_images or synthetic.TRAIN_COUNT - held) + held
        train_count = min(wanted, synthetic.TRAIN_COUNT)
        test_count = min(test_images or synthetic.TEST_COUNT, synthetic.TEST_COUNT)
        train = Split(*synthetic.draw(train_count, seed=_SYNTHETIC_SEEDS["train"]))
        test = Split(*synthetic.draw(test_count, seed=_SYNTHETIC_SEEDS["test"]))
        classes = synthetic.CLASSES
    held = count_held_out(validation, len(train))
    train, held_out = train[: len(train) - held], train[len(train) - held :]
    _validate_counts((train, train_images), (test, test_images))
    return Dataset(
        name=name,
        classes=classes,
        image_size=32,
        train=train[:train_images],
        test=test[:test_images],
        validation=held_out if held else None,
    )


def load_folders(
    root: Path,
    *,
    name: str,
    image_size: int,
    validation: int | float = 0,
    split_seed: int = 0,
    num_classes: int | None = None,
    train_images: int | None = None,
    test_images: int | None = None,
    reindex: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Dataset:
    """Opens ImageNet or another folder of classes, whose images stay files.

    `name`: what it is called. `validation`: see `imagenet.open_folders`. `train_images` and
    `test_images` limit how many are used, spread evenly over the classes. Raises DataError if files
    are missing or broken, UserError if a count does not fit.
    """
    found = imagenet.open_folders(
        root, validation=validation, split_seed=split_seed, reindex=reindex, say=say
    )
    if num_classes not in (None, len(found.classes)):
        raise UserError(
            f"dataset.num_classes={num_classes}: {root} has {len(found.classes)} classes"
        )
    tested = found.val if found.test is None else found.test  # what is reported
    _validate_counts((found.train, train_images), (tested, test_images))
    train, tested = _take_evenly(found.train, train_images), _take_evenly(tested, test_images)
    return Dataset(
        name=name,
        classes=found.classes,
        image_size=image_size,
        train=train,
        test=tested if found.test is not None else None,
        validation=found.val if found.test is not None else tested,
        remarks=(found.layout, *found.remarks),
    )


def _take_evenly(samples: Samples, count: int | None) -> Samples:
    """`count` of the samples, evenly spaced: they are ordered by class."""
    return samples if count is None else samples.take(np.arange(count) * len(samples) // count)


def _validate_counts(
    train: tuple[Split | Samples, int | None], test: tuple[Split | Samples, int | None]
) -> None:
    """Raises UserError if more images are asked for than there are."""
    for key, (split, count) in (("train_images", train), ("test_images", test)):
        if count is not None and count > len(split):
            raise UserError(f"dataset.{key}={count}: there are only {len(split):,}")
