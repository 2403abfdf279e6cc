"""What a layout is: where its files lie, and how they are found."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from resnet_cli.data.samples import Samples

IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png", ".bmp", ".webp")  # in any case


@dataclass(frozen=True)
class Scanned:
    """What a scan found; `labels` of the samples are indices into `classes`, `notes` what a
    person should know of it.
    """

    classes: tuple[str, ...]
    train: Samples
    val: Samples
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """A layout found at some root.

    Any change of a source, a folder or a file, makes an index of it stale.
    """

    name: str  # in words
    sources: tuple[Path, ...]
    scan: Callable[[], Scanned]  # raises DataError, OSError


def is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")


def list_folders(folder: Path) -> list[str]:
    """Names of the folders in a folder, sorted; hidden ones do not count, and a missing folder
    has none.
    """
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(
            entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")
        )


def list_some(folder: Path) -> str:
    """What lies in a folder, for messages: `a/, b.txt, c.txt and 12 more`."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name + "/" * entry.is_dir() for entry in entries)
    shown = ", ".join(names[:6]) or "nothing"
    return f"{shown} and {len(names) - 6:,} more" if len(names) > 6 else shown
