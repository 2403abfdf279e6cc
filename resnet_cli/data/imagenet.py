"""ImageNet, or any images in classes: found once, then remembered in an index."""

import hashlib
import io
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from resnet_cli.data.layouts import Layout, Scanned, recognise
from resnet_cli.data.samples import Samples, changed, missing, stamp
from resnet_cli.runtime.errors import DataError
from resnet_cli.runtime.files import write_whole
from resnet_cli.runtime.parse import parse, parse_json

IMAGENET = (1_000, 1_281_167, 50_000)  # classes, training images, validation images
FORM = 1  # of the index file; another is built anew
ARRAYS = [field.name for field in fields(Samples) if field.name != "containers"]

Say = Callable[[str], None]
Stamps = list[list[Any]]  # path, bytes, mtime of each source


@dataclass(frozen=True, kw_only=True)
class _About:
    """What an index says besides its arrays."""

    form: int
    layout: str
    stamps: list[Any]
    classes: list[str]
    notes: list[str]
    containers: dict[str, list[str]]


@dataclass(frozen=True)
class ImageFolders:
    """Labelled images on disk; a label is an index into `classes`."""

    layout: str  # in words
    classes: tuple[str, ...]
    train: Samples
    val: Samples
    remarks: list[str]  # what a person should know: counts that are not ImageNet's, files left out


def open_folders(root: Path, *, reindex: bool = False, say: Say = lambda _: None) -> ImageFolders:
    """The images below `root`, in whichever layout they lie (see `layouts`).

    The index is kept in $XDG_CACHE_HOME/resnet_cli (~/.cache/resnet_cli). Class folders in which
    files came or went since are indexed again, and that is told to `say`; so does `reindex`. Raises
    DataError where images are missing or broken, or where a tar or list is not the one that was
    indexed.
    """
    root = Path(os.path.abspath(root))
    try:
        layout = recognise(root)
        stamps: Stamps = [[str(source), *stamp(source)] for source in layout.sources]
        cache = cache_file(root)
        with one_at_a_time(cache):
            scanned = None if reindex else load(cache, layout=layout, stamps=stamps, say=say)
            if scanned is None:
                scanned = build(root, layout, say=say)
                save(cache, scanned, layout=layout, stamps=stamps, say=say)
    except OSError as error:
        raise DataError(
            f"{error.filename or root} cannot be read: {error.strerror or error}"
        ) from error
    return ImageFolders(
        layout.name, scanned.classes, scanned.train, scanned.val, [*count(scanned), *scanned.notes]
    )


def build(root: Path, layout: Layout, *, say: Say) -> Scanned:
    """Scans and checks that every class has training images, if any has."""
    say(f"indexing {root} ({layout.name})")
    start = time.monotonic()
    scanned = layout.scan()
    empty = np.flatnonzero(np.bincount(scanned.train.labels, minlength=len(scanned.classes)) == 0)
    if 0 < len(empty) < len(scanned.classes):
        raise DataError(
            f"{root}: class {scanned.classes[empty[0]]} has no training image ({len(empty):,} "
            "such classes)"
        )
    if not len(scanned.val):
        raise DataError(f"{root}: there is no validation image")
    say(
        f"indexed {len(scanned.train):,} + {len(scanned.val):,} images in "
        f"{time.monotonic() - start:.1f} s"
    )
    return scanned


def count(scanned: Scanned) -> list[str]:
    """Remarks on how many there are."""
    found = (len(scanned.classes), len(scanned.train), len(scanned.val))
    remarks = []
    if found != IMAGENET:
        known = " / ".join(f"{number:,}" for number in IMAGENET)
        remarks.append(
            f"{found[0]:,} classes, {found[1]:,} training and {found[2]:,} validation images: "
            f"not ImageNet's {known}"
        )
    missing = len(scanned.classes) - len(np.unique(scanned.val.labels))
    if missing:
        remarks.append(f"{missing:,} of {len(scanned.classes):,} classes have no validation image")
    return remarks


def cache_file(root: Path) -> Path:
    """Where the index of `root` is kept."""
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return (
        Path(caches)
        / "resnet_cli"
        / f"index-{hashlib.sha256(os.fsencode(root)).hexdigest()[:16]}.npz"
    )


@contextmanager
def one_at_a_time(cache: Path) -> Iterator[None]:
    """Processes that start together build one index, not one each; where nothing can be locked,
    they do.
    """
    lock = FileLock(f"{cache}.lock")
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, NotImplementedError):
        yield
        return
    try:
        yield
    finally:
        lock.release()


def load(cache: Path, *, layout: Layout, stamps: Stamps, say: Say) -> Scanned | None:
    """The index that was kept, or None where there is none or it is stale.

    Raises DataError where a tar or list changed.
    """
    try:
        with np.load(cache, allow_pickle=False) as file:
            about = parse_json(file["about"].tobytes().decode())
            if about["form"] != FORM:
                return None
            kept = parse(_About, about)
            if kept.layout != layout.name:
                say(f"{kept.layout} before, now {layout.name}")
                return None
            if about["stamps"] != stamps:
                say(f"{difference(about['stamps'], stamps)} since it was indexed")
                return None
            train, val = (
                Samples(
                    tuple(kept.containers[split]),
                    **{name: file[f"{split}_{name}"] for name in ARRAYS},
                )
                for split in ("train", "val")
            )
        for samples in (train, val):
            samples.validate(classes=len(kept.classes))
        return Scanned(tuple(kept.classes), train, val, tuple(kept.notes))
    except FileNotFoundError:
        return None
    except DataError:
        raise
    except Exception as error:  # on foreign or cut-off bytes np.load raises anything at all
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        say(f"the index {cache} cannot be read ({reason})")
        return None


def difference(before: Stamps, now: Stamps) -> str:
    """Which source changed, in words.

    Raises DataError if it is a tar or a list: nobody adds to those in passing.
    """
    old, new = ({path: tuple(rest) for path, *rest in stamps} for stamps in (before, now))
    for path, stamps in old.items():
        is_file = stamps[0] >= 0
        if is_file and new.get(path) != stamps:
            raise DataError(changed(path) if path in new else missing(path))
    came = [path for path in new if path not in old]
    went = [path for path in old if path not in new]
    moved = [path for path in new if path in old and new[path] != old[path]]
    some = next(
        (
            f"{paths[0]} {what}"
            for paths, what in ((came, "came"), (went, "went"), (moved, "changed"))
            if paths
        ),
        "",
    )
    count = len(came) + len(went) + len(moved)
    return f"{some} and {count - 1:,} more" if count > 1 else some


def save(cache: Path, scanned: Scanned, *, layout: Layout, stamps: Stamps, say: Say) -> None:
    """Keeps the index; a disk that will not is no failure."""
    splits = {"train": scanned.train, "val": scanned.val}
    about = {
        "form": FORM,
        "layout": layout.name,
        "stamps": stamps,
        "classes": scanned.classes,
        "notes": scanned.notes,
    }
    about["containers"] = {name: samples.containers for name, samples in splits.items()}
    arrays = {
        f"{split}_{name}": getattr(samples, name)
        for split, samples in splits.items()
        for name in ARRAYS
    }
    buffer = io.BytesIO()
    np.savez(buffer, about=np.frombuffer(json.dumps(about).encode(), dtype=np.uint8), **arrays)
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        write_whole(cache, buffer.getvalue())
    except OSError as error:
        say(
            f"the index cannot be kept in {cache.parent} ({error.strerror}): the next start "
            "will build it again"
        )
