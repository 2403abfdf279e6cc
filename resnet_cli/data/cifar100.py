"""CIFAR-100 (Krizhevsky 2009): 100 classes in 20 superclasses, the MD5 of every file checked."""

import pickle
from pathlib import Path
from typing import Any

import torch

from resnet_cli.data.cifar10 import validate_official
from resnet_cli.data.images import Split

ARCHIVE_SIZE = 169_001_437  # bytes
_LABELS = {False: "fine", True: "coarse"}


def load(
    root: Path, *, download: bool, mirror: str, coarse: bool
) -> tuple[Split, Split, tuple[str, ...]]:
    """Loads the 50,000 training and 10,000 test images, uint8 [N, 3, 32, 32], and the names of the
    classes; `coarse`: of the 20 superclasses.

    `root` is the folder that holds `cifar-100-python/`. Raises DataError naming the first file that
    is missing or is not the official one.
    """
    from torchvision.datasets import CIFAR100  # not at the top: see cifar10.py

    validate_official(
        CIFAR100, root, name="CIFAR-100", size=ARCHIVE_SIZE, download=download, mirror=mirror
    )
    folder, kind = root / CIFAR100.base_folder, _LABELS[coarse]
    names = _read(folder / CIFAR100.meta["filename"])[f"{kind}_label_names"]
    train, test = (
        _split(_read(folder / files[0][0]), kind)
        for files in (CIFAR100.train_list, CIFAR100.test_list)
    )
    return train, test, tuple(names)


def _read(path: Path) -> dict[str, Any]:
    """A file whose bytes are known to be the official ones."""
    with path.open("rb") as file:
        return dict(pickle.load(file, encoding="latin1"))


def _split(content: dict[str, Any], kind: str) -> Split:
    images = torch.from_numpy(content["data"]).view(-1, 3, 32, 32)
    return Split(images, torch.tensor(content[f"{kind}_labels"]))
