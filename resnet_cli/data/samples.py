"""The labeled files of a split, read by number: separate files, or members of tars."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from stat import S_ISDIR

import numpy as np
from numpy.typing import NDArray

from resnet_cli.runtime.errors import DataError

_NO_STAMP = (-1, -1)  # of a folder: its files are not checked before they are read
OPEN_TARS = 256  # per process; many systems allow 1,024 open files


@dataclass(frozen=True, eq=False, kw_only=True)
class Samples:
    """The labeled files of one split, as arrays.

    A million of them take a few dozen MB, which forked workers share.
    """

    containers: tuple[str, ...]  # folders and tars
    # [containers, 2]: bytes and mtime in ns of a tar when it was indexed, NO_STAMP for a folder
    stamps: NDArray[np.int64]
    container: NDArray[np.int32]  # [N], indices into `containers`
    names: NDArray[np.uint8]  # file names, end to end
    name_start: NDArray[np.int64]  # [N]
    name_length: NDArray[np.int32]  # [N]
    offset: NDArray[np.int64]  # [N], bytes from the start of the tar; -1: a separate file
    size: NDArray[np.int64]  # [N], bytes; -1: a separate file
    labels: NDArray[np.int64]  # [N]

    def __len__(self) -> int:
        return len(self.labels)

    def validate(self, *, classes: int) -> None:
        """Raises ValueError where an array is not as it is described above: what lies beyond one
        would be read.
        """
        count, containers = len(self.labels), len(self.containers)
        rows = {
            "container": (np.int32, containers),
            "name_start": (np.int64, None),
            "name_length": (np.int32, None),
            "offset": (np.int64, None),
            "size": (np.int64, None),
            "labels": (np.int64, classes),
        }
        for field, (kind, end) in rows.items():
            values = getattr(self, field)
            least = -1 if field in ("offset", "size") else 0
            if values.dtype != kind or values.shape != (count,):
                raise ValueError(f"{field} is {values.dtype} {values.shape}")
            if count and (values.min() < least or (end is not None and values.max() >= end)):
                raise ValueError(f"{field} is out of range")
        if self.stamps.dtype != np.int64 or self.stamps.shape != (containers, 2):
            raise ValueError(f"stamps is {self.stamps.dtype} {self.stamps.shape}")
        if self.names.dtype != np.uint8 or self.names.ndim != 1:
            raise ValueError(f"names is {self.names.dtype} {self.names.shape}")
        # one by one, so that no sum can overflow
        if (self.name_start > len(self.names) - self.name_length).any():
            raise ValueError("name_start is out of range")
        if ((self.offset < 0) != (self.size < 0)).any():
            raise ValueError("offset and size do not go together")

    def name(self, index: int) -> str:
        """The file's name in its folder or tar."""
        start = int(self.name_start[index])
        return os.fsdecode(self.names[start : start + int(self.name_length[index])].tobytes())

    def path(self, index: int) -> str:
        """`.../train/n01440764/n01440764_10026.JPEG`; in a tar, `.../train-000001.tar:key.jpg`."""
        separator = os.sep if self.offset[index] < 0 else ":"
        return self.containers[self.container[index]] + separator + self.name(index)

    def read(self, index: int) -> bytes:
        """Reads the file's bytes.

        Raises DataError if it is missing or cut off, or if its tar has changed since indexing.
        """
        offset, size = int(self.offset[index]), int(self.size[index])
        container = int(self.container[index])
        try:
            if offset < 0:
                with open(self.path(index), "rb") as file:
                    return file.read()
            length, mtime = self.stamps[container].tolist()
            # bound to a name, so that it stays open during the read
            tar = open_tar(self.containers[container], length=length, mtime=mtime)
            content = os.pread(tar.fd, size, offset)
        except FileNotFoundError as error:
            raise DataError(missing_message(self.path(index))) from error
        except OSError as error:
            raise DataError(f"{self.path(index)} cannot be read: {error.strerror}") from error
        if len(content) < size:
            raise DataError(f"{self.path(index)} is cut off: {len(content):,} of {size:,} bytes")
        return content

    def take(self, indices: NDArray[np.int64]) -> "Samples":
        """The samples at `indices`, in that order; the names are shared."""
        each = ("container", "name_start", "name_length", "offset", "size", "labels")
        return replace(self, **{field: getattr(self, field)[indices] for field in each})


class _OpenTar:
    """A file descriptor that is closed when nobody refers to it any longer.

    `pread` does not move its position, so forked processes may share it.
    """

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_RDONLY)

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        """`close` is named here since modules go before the last object does."""
        if hasattr(self, "fd"):
            close(self.fd)


@lru_cache(maxsize=OPEN_TARS)
def open_tar(path: str, *, length: int, mtime: int) -> _OpenTar:
    """Opens a tar after checking that its length in bytes and its mtime in ns are as indexed.

    Raises DataError if they are not, and OSError.
    """
    tar = _OpenTar(path)
    if stamp(tar.fd) != (length, mtime):
        raise DataError(changed_message(path))
    return tar


def stamp(path: Path | int) -> tuple[int, int]:
    """What shows that a file has changed: its length in bytes, and its mtime in ns.

    The length of a folder is -1. Raises OSError.
    """
    status = os.stat(path)
    return (-1 if S_ISDIR(status.st_mode) else status.st_size, status.st_mtime_ns)


def changed_message(path: str) -> str:
    """Tells that a source has changed since it was indexed, and what to do."""
    return (
        f"{path} has changed since it was indexed; if that is intended, index it again with "
        "dataset.reindex=true"
    )


def missing_message(path: str) -> str:
    """Tells that a source was there when it was indexed, and what to do."""
    return (
        f"{path} is missing, but was there when it was indexed; put it back, or index again "
        "with dataset.reindex=true"
    )


class SamplesBuilder:
    """Collects samples during a scan, as compactly as `Samples` stores them."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}  # of the containers
        self.stamps: list[tuple[int, int]] = []
        self.names = bytearray()
        self.columns: dict[str, list[NDArray[np.int64]]] = {
            key: [] for key in ("container", "length", "offset", "size", "label")
        }

    def add(
        self,
        container: Path,
        names: Sequence[str],
        *,
        labels: int | Sequence[int],
        offsets: Sequence[int] | None = None,
        sizes: Sequence[int] | None = None,
        stamp: tuple[int, int] = _NO_STAMP,
    ) -> None:
        """Adds files of one folder, or of one tar with their `offsets`, `sizes` and its `stamp`.

        `labels`: one per file, or one for all.
        """
        number = self.numbers.setdefault(str(container), len(self.numbers))
        if number == len(self.stamps):
            self.stamps.append(stamp)
        encoded = [os.fsencode(name) for name in names]
        self.names += b"".join(encoded)
        found: dict[str, int | Sequence[int]] = {
            "container": number,
            "length": [len(name) for name in encoded],
            "offset": -1 if offsets is None else offsets,
            "size": -1 if sizes is None else sizes,
            "label": labels,
        }
        for key, values in found.items():
            self.columns[key].append(
                np.broadcast_to(np.asarray(values, dtype=np.int64), len(names))
            )

    def build(self) -> Samples:
        """The samples that were added."""
        joined = {
            key: np.concatenate([np.empty(0, np.int64), *parts])
            for key, parts in self.columns.items()
        }
        lengths = joined["length"]
        return Samples(
            containers=tuple(self.numbers),
            stamps=np.array(self.stamps, dtype=np.int64).reshape(-1, 2),
            container=joined["container"].astype(np.int32),
            names=np.frombuffer(bytes(self.names), dtype=np.uint8),
            name_start=np.cumsum(lengths) - lengths,
            name_length=lengths.astype(np.int32),
            offset=joined["offset"],
            size=joined["size"],
            labels=joined["label"],
        )
