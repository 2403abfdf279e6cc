"""One process at a time: a lock file, also where the file system has no locks."""

import errno
import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock

# what flock answers on many clusters' file systems
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


def stand_in(path: Path) -> Path:
    """The file that exists while `path` is locked without flock."""
    return path.with_name(f"{path.name}.held")


@contextmanager
def locked(
    path: Path, *, timeout: float = -1, say: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Holds the lock file `path`; waits for another holder for `timeout` seconds, -1 for ever.

    Without flock, a second file is created that tells the holder's process and host. One that a
    killed process of this host has left is taken over; `say` is told. Raises filelock.Timeout, and
    OSError where nothing can be written.
    """
    lock: BaseFileLock = FileLock(path)
    try:
        lock.acquire(timeout=timeout)
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise
        lock = SoftFileLock(stand_in(path))
        lock.acquire(timeout=timeout)
        if say is not None:
            say(f"{path.parent} is on a file system without locks; {stand_in(path).name} stands in")
    try:
        yield
    finally:
        lock.release()


def is_held(path: Path) -> bool:
    """Whether another process, or another part of this one, holds the lock file `path` now.

    Asks for a shared lock and drops it at once. Nothing is written, so that the folders of others
    can be asked about, too.
    """
    if stand_in(path).exists():
        return True
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no such file, or no locks and no stand-in
        return False
    return False
