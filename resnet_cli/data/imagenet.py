"""ImageNet, or any folder of classes: scanned once, then read from an index."""

import hashlib
import io
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from resnet_cli.data.holding_out import hold_out
from resnet_cli.data.layouts import Layout, Scanned, recognize
from resnet_cli.data.samples import Samples, changed_message, missing_message, stamp
from resnet_cli.runtime.errors import DataError, UserError
from resnet_cli.runtime.files import cache_folder, write_whole
from resnet_cli.runtime.locks import locked
from resnet_cli.runtime.parse import parse, parse_json

_IMAGENET = (1_000, 1_281_167, 50_000)  # classes, training images, validation images
INDEX_VERSION = 2  # an index of another version is rebuilt
_SPLITS = ("train", "val", "test")
ARRAYS = [field.name for field in fields(Samples) if field.name != "containers"]

_PATIENCE = 600.0  # seconds that another process may take to build the same index

_Say = Callable[[str], None]
_Stamps = list[list[Any]]  # path, bytes, mtime of each source


@dataclass(frozen=True, kw_only=True)
class _About:
    """What an index says besides its arrays."""

    form: int
    layout: str
    stamps: list[list[Any]]  # nanoseconds are beyond what `parse` takes for a count
    classes: list[str]
    notes: list[str]
    containers: dict[str, list[str]]

    def __post_init__(self) -> None:
        """Raises ValueError for stamps that are none."""
        for parts in self.stamps:
            if [type(part) for part in parts] != [str, int, int]:
                raise ValueError("the stamps of its sources do not fit")

    def validate_below(self, root: Path) -> None:
        """Raises ValueError if a source or container is not at or below `root`."""
        sources = [parts[0] for parts in self.stamps]
        for path in (*sources, *chain(*self.containers.values())):
            if not Path(path).is_relative_to(root) or ".." in Path(path).parts:
                raise ValueError(f"{path!r} does not lie below {root}")


@dataclass(frozen=True, kw_only=True)
class ImageFolders:
    """Labeled images on disk; a label is an index into `classes`."""

    layout: str  # in words
    classes: tuple[str, ...]
    train: Samples
    val: Samples
    test: Samples | None
    remarks: list[str]  # counts that are not ImageNet's, files left out, images held out


def open_folders(
    root: Path,
    *,
    validation: int | float = 0,
    split_seed: int = 0,
    reindex: bool = False,
    say: _Say = lambda _: None,
) -> ImageFolders:
    """Opens the images below `root`, in any layout that `layouts` recognizes.

    Of class folders that are not split, `validation` images are held out (`hold_out`).

    The index is stored in $XDG_CACHE_HOME/resnet_cli (~/.cache/resnet_cli). It is rebuilt with
    `reindex`, or if files have been added to or removed from the class folders; `say` is told so.
    Raises DataError if images are missing or broken, or if a tar or list has changed since it was
    indexed; UserError if `validation` does not fit.
    """
    root = Path(os.path.abspath(root))
    try:
        layout = recognize(root)
        stamps: _Stamps = [[str(source), *stamp(source)] for source in layout.sources]
        cache = index_path(root)
        with _locked(cache):
            scanned = (
                None
                if reindex
                else _load_index(cache, root=root, layout=layout, stamps=stamps, say=say)
            )
            if scanned is None:
                scanned = build_index(root, layout, say=say)
                _save_index(cache, scanned, layout=layout, stamps=stamps, say=say)
    except OSError as error:
        raise DataError(
            f"{error.filename or root} cannot be read: {error.strerror or error}"
        ) from error
    if layout.is_split:
        if validation:
            raise UserError(
                f"dataset.validation={validation}: the images of val/ are the validation images"
            )
        train, val, split = scanned.train, scanned.val, []
    else:
        train, val, words = hold_out(
            scanned.train, validation, seed=split_seed, class_name=scanned.classes.__getitem__
        )
        split = [words]
    return ImageFolders(
        layout=layout.name,
        classes=scanned.classes,
        train=train,
        val=val,
        test=scanned.test if len(scanned.test) else None,
        remarks=[*_count_remarks(scanned.classes, train, val), *split, *scanned.remarks],
    )


def build_index(root: Path, layout: Layout, *, say: _Say) -> Scanned:
    """Scans `root`.

    Raises DataError if some classes have training images and others none, or if there are no
    validation images.
    """
    say(f"indexing {root} ({layout.name})")
    start = time.monotonic()
    scanned = layout.scan()
    empty = np.flatnonzero(np.bincount(scanned.train.labels, minlength=len(scanned.classes)) == 0)
    if 0 < len(empty) < len(scanned.classes):
        raise DataError(
            f"{root}: class {scanned.classes[empty[0]]} has no training image ({len(empty):,} "
            "such classes)"
        )
    if layout.is_split and not len(scanned.val):
        raise DataError(f"{root}: there is no validation image")
    parts = [len(part) for part in (scanned.train, scanned.val, scanned.test) if len(part)]
    say(
        f"indexed {' + '.join(f'{count:,}' for count in parts)} images in "
        f"{time.monotonic() - start:.1f} s"
    )
    return scanned


def _count_remarks(classes: tuple[str, ...], train: Samples, val: Samples) -> list[str]:
    """Remarks on the numbers of classes and images; ImageNet's are named where classes are called
    as they are there.
    """
    found = (len(classes), len(train), len(val))
    remarks = []
    if found != _IMAGENET:
        told = f"{found[0]:,} classes, {found[1]:,} training and {found[2]:,} validation images"
        known = " / ".join(f"{number:,}" for number in _IMAGENET)
        is_imagenet = re.fullmatch(r"n\d{8}|\d+", classes[0])
        remarks.append(told + (f": not ImageNet's {known}" if is_imagenet else ""))
    missing = len(classes) - len(np.unique(val.labels))
    if missing:
        remarks.append(f"{missing:,} of {len(classes):,} classes have no validation image")
    return remarks


def index_path(root: Path) -> Path:
    """The file that the index of `root` is stored in."""
    digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    return cache_folder() / f"index-{digest}.npz"


@contextmanager
def _locked(cache: Path) -> Iterator[None]:
    """Makes processes that start together build one index instead of one each.

    Does nothing if the cache cannot be locked, or another process holds it for too long.
    """
    with ExitStack() as stack:
        with suppress(OSError):
            cache.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(cache.with_name(f"{cache.name}.lock"), timeout=_PATIENCE))
        yield


def _load_index(
    cache: Path, *, root: Path, layout: Layout, stamps: _Stamps, say: _Say
) -> Scanned | None:
    """Reads the index; None if there is none or it is stale, in which case `say` is told why.

    Raises DataError if a tar or list has changed since it was indexed.
    """
    try:
        with np.load(cache, allow_pickle=False) as file:
            about = parse_json(file["about"].tobytes().decode())
            if about["form"] != INDEX_VERSION:
                return None
            kept = parse(_About, about)
            kept.validate_below(root)
            if kept.layout != layout.name:
                say(f"the layout was {kept.layout} and is now {layout.name}")
                return None
            if about["stamps"] != stamps:
                say(f"{_difference(about['stamps'], stamps)} since it was indexed")
                return None
            splits = {
                split: Samples(
                    containers=tuple(kept.containers[split]),
                    **{name: file[f"{split}_{name}"] for name in ARRAYS},
                )
                for split in _SPLITS
            }
        for samples in splits.values():
            samples.validate(classes=len(kept.classes))
        return Scanned(classes=tuple(kept.classes), **splits, remarks=tuple(kept.notes))
    except FileNotFoundError:
        return None
    except DataError:
        raise
    except Exception as error:  # on foreign or cut-off bytes np.load raises anything at all
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        say(f"the index {cache} cannot be read ({reason})")
        return None


def _difference(before: _Stamps, now: _Stamps) -> str:
    """Describes which sources have changed.

    Raises DataError if one of them is a tar or a list: those do not change by accident.
    """
    old, new = ({path: tuple(rest) for path, *rest in stamps} for stamps in (before, now))
    for path, stamps in old.items():
        is_file = stamps[0] >= 0
        if is_file and new.get(path) != stamps:
            raise DataError(changed_message(path) if path in new else missing_message(path))
    differences = [
        *(f"{path} was added" for path in new if path not in old),
        *(f"{path} was removed" for path in old if path not in new),
        *(f"{path} changed" for path in new if path in old and new[path] != old[path]),
    ]
    if len(differences) > 1:
        return f"{differences[0]}, and {len(differences) - 1:,} more changed,"
    return "".join(differences)


def _save_index(
    cache: Path, scanned: Scanned, *, layout: Layout, stamps: _Stamps, say: _Say
) -> None:
    """Stores the index; if the disk does not allow it, `say` is told, and the run goes on."""
    splits: dict[str, Samples] = {split: getattr(scanned, split) for split in _SPLITS}
    about = {
        "form": INDEX_VERSION,
        "layout": layout.name,
        "stamps": stamps,
        "classes": scanned.classes,
        "notes": scanned.remarks,
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
            f"the index cannot be stored in {cache.parent} ({error.strerror}): the next start "
            "will build it again"
        )
