"""Writes files atomically: after a crash, a file is complete or absent."""

import os
from pathlib import Path


def write_whole(path: Path, content: bytes | str, *, keep: Path | None = None) -> None:
    """Writes under another name, flushes to the disk, and renames to `path`.

    What was at `path` before becomes `keep`. Raises OSError if that fails; the old file is then
    unchanged.
    """
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        if keep is not None and path.exists():
            os.replace(path, keep)
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
