"""Lists the members of a tar with their offsets, so that nothing is unpacked."""

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from resnet_cli.runtime.errors import DataError

_BLOCK = 512  # bytes; a tar ends with two blocks of zeros

_Member = tuple[str, int, int]  # name, offset of its bytes in the file, size


def list_members(path: Path, *, start: int = 0) -> Iterator[_Member]:
    """The files in a tar, or in the tar within it that begins at byte `start`.

    Raises DataError if it is cut off or corrupt, OSError.
    """
    with path.open("rb", buffering=0) as file:
        yield from read_members(file, path=path, start=start)


def read_members(file: BinaryIO, *, path: Path, start: int) -> Iterator[_Member]:
    """`list_members` of an open file; `path` names it in errors."""
    file.seek(start)
    try:
        with tarfile.TarFile(fileobj=file) as tar:
            while (entry := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # they would take a KB each
                if entry.isreg():
                    yield entry.name, entry.offset_data, entry.size
            end = tar.offset
    except tarfile.TarError as error:
        raise DataError(f"{path} is cut off or not a tar: {error}") from error
    file.seek(end)
    # tarfile takes a file that stops here, or that continues with anything else, for complete.
    if file.read(_BLOCK) != bytes(_BLOCK):
        size = os.fstat(file.fileno()).st_size
        raise DataError(
            f"{path} is {'cut off' if size < end + _BLOCK else 'corrupt'} at byte {end:,} of "
            f"{size:,}"
        )
