"""The index of an image folder: what a scan has found, kept so that the next start is quick."""

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from resnet_cli.data.layouts import Layout, Scanned
from resnet_cli.data.samples import Samples, changed_message, missing_message, stamp
from resnet_cli.runtime.errors import DataError
from resnet_cli.runtime.files import cache_folder, write_whole
from resnet_cli.runtime.locks import locked
from resnet_cli.runtime.parse import parse, parse_json

INDEX_VERSION = 2  # an index of another version is rebuilt
_SPLITS = ("train", "val", "test")
ARRAYS = [field.name for field in fields(Samples) if field.name != "containers"]

_PATIENCE = 600.0  # seconds that another process may take to build the same index

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


def index_path(root: Path) -> Path:
    """The file that the index of `root` is stored in."""
    digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    return cache_folder() / f"index-{digest}.npz"


class Index:
    """The index of a folder, in $XDG_CACHE_HOME/resnet_cli (~/.cache/resnet_cli).

    Built from the sources (folders, tars, lists) of a `layout`, whose sizes and times it holds.
    """

    def __init__(self, root: Path, layout: Layout, *, say: Callable[[str], None]) -> None:
        """Reads the stamps of the sources; `say` is told what happens. Raises OSError."""
        self.root, self.layout, self.say = root, layout, say
        self.path = index_path(root)
        self.stamps: _Stamps = [[str(source), *stamp(source)] for source in layout.sources]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Makes processes that start together build one index instead of one each.

        Does nothing if the cache cannot be locked, or another process holds it for too long.
        """
        with ExitStack() as stack:
            with suppress(OSError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(
                    locked(self.path.with_name(f"{self.path.name}.lock"), timeout=_PATIENCE)
                )
            yield

    def load(self) -> Scanned | None:
        """Reads the index; None if there is none or it is stale, in which case `say` is told why.

        Raises DataError if a tar or list has changed since it was indexed.
        """
        try:
            with np.load(self.path, allow_pickle=False) as file:
                about = parse_json(file["about"].tobytes().decode())
                if about["form"] != INDEX_VERSION:
                    return None
                kept = parse(_About, about)
                kept.validate_below(self.root)
                if kept.layout != self.layout.name:
                    self.say(f"the layout was {kept.layout} and is now {self.layout.name}")
                    return None
                if about["stamps"] != self.stamps:
                    self.say(f"{_difference(about['stamps'], self.stamps)} since it was indexed")
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
            self.say(f"the index {self.path} cannot be read ({reason})")
            return None

    def save(self, scanned: Scanned) -> None:
        """Stores the index; if the disk does not allow it, `say` is told, and the run goes on."""
        splits: dict[str, Samples] = {split: getattr(scanned, split) for split in _SPLITS}
        about = {
            "form": INDEX_VERSION,
            "layout": self.layout.name,
            "stamps": self.stamps,
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
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, buffer.getvalue())
        except OSError as error:
            self.say(
                f"the index cannot be stored in {self.path.parent} ({error.strerror}): the next "
                "start will build it again"
            )


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
