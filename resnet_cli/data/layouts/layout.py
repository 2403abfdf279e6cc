"""What a layout is: where its files are, and how they are scanned."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from resnet_cli.data.samples import Samples, SamplesBuilder

IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png", ".bmp", ".webp")  # upper or lower case


NOTHING = SamplesBuilder().build()  # a split that is not there


@dataclass(frozen=True, kw_only=True)
class Scanned:
    """The result of a scan; the labels of the samples are indices into `classes`."""

    classes: tuple[str, ...]
    train: Samples
    val: Samples
    test: Samples = NOTHING
    remarks: tuple[str, ...] = ()  # on what was left out


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A layout recognized at some root.

    If a source, which is a folder or a file, changes, an index of the layout is stale.
    """

    name: str  # in words
    sources: tuple[Path, ...]
    scan: Callable[[], Scanned]  # raises DataError, OSError
    is_split: bool = True  # False: all images are in `train`, and some are to be held out


def is_image(name: str) -> bool:
    """Whether a file is an image by its name; hidden files are not."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")


def list_folders(folder: Path) -> list[str]:
    """Names of the folders in `folder`, sorted and without hidden ones; none if it is missing."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(
            entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")
        )


def describe_contents(folder: Path) -> str:
    """Lists a folder's contents for messages: `a/, b.txt, c.txt and 12 more`."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name + "/" * entry.is_dir() for entry in entries)
    shown = ", ".join(names[:6]) or "nothing"
    return f"{shown} and {len(names) - 6:,} more" if len(names) > 6 else shown
