"""Files that are whole or absent, whatever happens while they are written."""

import os
from pathlib import Path


def write_whole(path: Path, content: bytes | str, *, keep: Path | None = None) -> None:
    """Writes `path` under another name, flushes it to the disk and renames it; what was there
    before becomes `keep`.

    Raises OSError where the disk takes no more; then the old file stands.
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
