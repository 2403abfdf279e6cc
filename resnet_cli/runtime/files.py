"""Writes files atomically: after a crash, a file is complete or absent. Reads what others may have
written. And where files go.
"""

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from resnet_cli.runtime.errors import UserError

_MIB = 1 << 20


def write_whole(path: Path, content: bytes | str, *, keep: Path | None = None) -> None:
    """Writes under another name, flushes to the disk, and renames to `path`.

    What was at `path` before becomes `keep`. A reader finds a complete `path` at every moment, once
    there has been one. Raises OSError if the disk takes no more; the old file is then unchanged.
    """
    part = path.with_name(path.name + ".part")
    try:
        with naming(part), part.open("wb") as file:
            file.write(encode(content) if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        if keep is not None and path.exists():
            _also_as(keep, path)
        os.replace(part, path)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def read_regular(path: Path, *, largest: int) -> bytes:
    """A regular file of at most `largest` bytes, as anybody may have put it there.

    Raises OSError, and ValueError for a pipe, a device or too long a file.
    """
    # a pipe without a writer would be waited for
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("not a regular file")
        content = file.read(largest + 1)
    if len(content) > largest:
        raise ValueError(f"larger than {largest / _MIB:g} MiB")
    return content


def encode(text: str) -> bytes:
    """As UTF-8; bytes of a path that an ASCII locale could not read are what they were."""
    return text.encode("utf-8", "surrogateescape")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Makes an OSError say which file it is about: that of a write does not."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def _also_as(keep: Path, path: Path) -> None:
    """Makes `keep` the file that `path` is, without taking `path` away."""
    second = keep.with_name(keep.name + ".part")
    second.unlink(missing_ok=True)
    try:
        try:
            os.link(path, second)
        except OSError:  # a file system without hard links
            shutil.copyfile(path, second)
        os.replace(second, keep)
    finally:
        # a full disk; or both names were one file already, which rename(2) leaves as it is
        second.unlink(missing_ok=True)


def expand(path: str | Path) -> Path:
    """A path as a user typed it, with `~` resolved. Raises UserError where it leads nowhere."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(
            f"{path}: there is no such home folder here; write the whole path"
        ) from error


def as_file_name(text: str) -> str:
    """The text as a name that files and reports can bear anywhere; empty where nothing is left."""
    return re.sub(r"[^\w.+-]+", "_", text, flags=re.ASCII).strip("._")[:60]


def cache_folder() -> Path:
    """Where what can be made again is kept: for somebody without a home, a temporary folder."""
    if given := os.environ.get("XDG_CACHE_HOME"):
        return Path(given) / "resnet_cli"
    try:
        return Path.home() / ".cache" / "resnet_cli"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / f"resnet_cli-{os.getuid()}"
