"""What lies in a tar, and where: offsets, so that nothing is unpacked."""

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from resnet_cli.runtime.errors import DataError

BLOCK = 512  # bytes; a tar ends with two blocks of zeros

Member = tuple[str, int, int]  # name, offset of its bytes in the file, how many


def list_members(path: Path, *, start: int = 0) -> Iterator[Member]:
    """The files in a tar, or in one that lies in it from byte `start` on.

    Raises DataError where it is cut off or corrupt.
    """
    with path.open("rb", buffering=0) as file:
        yield from read_members(file, path=path, start=start)


def read_members(file: BinaryIO, *, path: Path, start: int) -> Iterator[Member]:
    file.seek(start)
    try:
        with tarfile.TarFile(fileobj=file) as tar:
            while (entry := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # it would keep a KB for each
                if entry.isreg():
                    yield entry.name, entry.offset_data, entry.size
            end = tar.offset
    except tarfile.TarError as error:
        raise DataError(f"{path} is cut off or no tar: {error}") from error
    file.seek(end)
    # The reader takes a file that just stops, or goes on with anything else, for the end.
    if file.read(BLOCK) != bytes(BLOCK):
        size = os.fstat(file.fileno()).st_size
        raise DataError(
            f"{path} is {'cut off' if size < end + BLOCK else 'corrupt'} at byte {end:,} of "
            f"{size:,}"
        )
