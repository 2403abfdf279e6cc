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
    size, end = os.fstat(file.fileno()).st_size, start
    try:
        with tarfile.TarFile(fileobj=file) as tar:
            while (entry := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # they would take a KB each
                # a size below zero would lead back, and round for ever
                holds = not entry.isreg() or 0 <= entry.size <= size - entry.offset_data
                if tar.offset <= end or not holds:
                    raise DataError(
                        f"{path} is cut off or not a tar: at byte {entry.offset:,} of {size:,}, "
                        f"{entry.name} claims {entry.size:,} bytes"
                    )
                end = tar.offset
                if entry.issparse():
                    raise DataError(f"{path}:{entry.name} is sparse and cannot be read in place")
                if entry.isreg():
                    yield entry.name, entry.offset_data, entry.size
            end = tar.offset
    except (OSError, DataError):
        raise
    # tarfile's own, and on made-up headers anything: a number too large, names upon names
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} is cut off or not a tar: {reason}") from error
    file.seek(end)
    # tarfile takes a file that stops here, or that continues with anything else, for complete.
    if file.read(_BLOCK) != bytes(_BLOCK):
        raise DataError(
            f"{path} is {'cut off' if size < end + _BLOCK else 'corrupt'} at byte {end:,} of "
            f"{size:,}"
        )
