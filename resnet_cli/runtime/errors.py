"""Errors that a user can fix: one clear line on stderr and an exit code.

A traceback is for our own bugs.
"""

import difflib
import errno
import os
import signal
import sys
from collections.abc import Callable, Iterable

from resnet_cli.runtime.signals import Interrupted, stop_on_signal

FAILED, _BAD_USAGE, _BAD_DATA, _DIVERGED = 1, 2, 3, 4
# between the processes of one run: another process is gone, or does not answer
LOST, SILENT = 75, 76

LONGEST = 1000  # characters of a message: a file may hold a name of any length

# full, read-only, forbidden or failing disks, and folders that are gone: what helps
DISK_ERRORS = {
    errno.ENOSPC: "make room on that disk",
    errno.EDQUOT: "make room within the quota",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "choose a place that can be written",
    errno.EACCES: "it is not yours to read or write",
    errno.EPERM: "it is not yours to read or write",
    errno.EIO: "the disk or its connection fails: look at the system's log",
    errno.ESTALE: "the file server has lost it: mount it anew",
    errno.ENOENT: "was it deleted or moved?",
    errno.ENOTDIR: "was it deleted or moved?",
    errno.ENAMETOOLONG: "choose shorter names",
}
# what a process or the machine has too few of
_SHORTAGES = {
    errno.EMFILE: "raise the limit on open files (ulimit -n), or lower dataset.workers",
    errno.ENFILE: "the whole machine has too many files open",
    errno.EAGAIN: "raise the limit on processes (ulimit -u), or lower dataset.workers",
    errno.ENOMEM: "the machine is short of memory",
}
_REMEDIES = DISK_ERRORS | _SHORTAGES
# how PyTorch and Python word two of them
_WORDED = {
    "received 0 items of ancdata": errno.EMFILE,
    "Too many open files": errno.EMFILE,
    "can't start new thread": errno.EAGAIN,
}
# these are mistakes in a call, so our own
_BUGS = {None, errno.EBADF, errno.EFAULT, errno.EINVAL}


class UserError(Exception):
    """Bad usage or configuration; a checkpoint missing, unreadable or of another network."""

    exit_code = _BAD_USAGE

    def __str__(self) -> str:
        """The message in one line, whatever a file or its name put into it."""
        text = super().__str__()
        if not text.isprintable():
            text = "".join(map(_printable, text))
        return text if len(text) <= LONGEST else f"{text[: LONGEST - 205]} ... {text[-200:]}"


def _printable(character: str) -> str:
    """A character, or what Python would write for it: a terminal acts on escape sequences."""
    return character if character.isprintable() else ascii(character)[1:-1]


class DataError(UserError):
    """A data set that is missing or broken."""

    exit_code = _BAD_DATA


class Diverged(UserError):
    """The loss or a weight has become NaN or infinite."""

    exit_code = _DIVERGED


class Failed(UserError):
    """Anything else that the user can fix: a full disk, too little memory."""

    exit_code = FAILED


class Lost(UserError):
    """Another process of the same run is gone or does not answer.

    When the run is started again, it continues from its last checkpoint.
    """

    def __init__(self, message: str, *, silent: bool) -> None:
        super().__init__(message)
        self.exit_code = SILENT if silent else LOST


class Told(UserError):
    """The error that another process of ours ended with."""

    def __init__(self, message: str, *, code: int) -> None:
        super().__init__(message)
        self.exit_code = code


class Stopped(UserError):
    """A signal asked the run to stop; it is saved, and the same command continues it."""

    def __init__(self, message: str, *, signum: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signum


def did_you_mean(word: str, known: Iterable[str], *, otherwise: str = "") -> str:
    """A hint for an unknown word: `: did you mean 'resnet20'?`.

    If no known word is similar: `otherwise`, or the list of known words.
    """
    names = [str(name) for name in known]
    near = difflib.get_close_matches(word, names, n=2, cutoff=0.6)
    if near:
        return ": did you mean " + " or ".join(f"'{name}'" for name in near) + "?"
    return f": {otherwise or 'there is ' + ', '.join(names)}"


def explain(error: BaseException) -> tuple[str, int]:
    """The line and the exit code for an error that a user can fix.

    Raises the error itself if it is our own bug.
    """
    if isinstance(error, UserError):
        return str(error), error.exit_code
    if isinstance(error, Interrupted):
        return f"stopped by {signal.Signals(error.signum).name}", 128 + error.signum
    if isinstance(error, KeyboardInterrupt):
        return "stopped", 128 + signal.SIGINT
    if isinstance(error, BrokenPipeError):
        return "stdout was closed by its reader", 128 + signal.SIGPIPE
    if isinstance(error, OSError) and error.errno not in _BUGS:
        return _explain_os_error(error), FAILED
    for words, code in _WORDED.items():
        if isinstance(error, RuntimeError) and words in str(error):
            return _explain_os_error(OSError(code, os.strerror(code))), FAILED
    if isinstance(error, RuntimeError) and "DataLoader timed out" in str(error):
        waited = str(error).partition(" after ")[2]
        return (
            f"the loader processes have sent nothing for {waited}; does a disk or a file server "
            "hang? the same command continues",
            FAILED,
        )
    # PyTorch raises this at any point of the program
    if isinstance(error, RuntimeError) and "DataLoader worker" in str(error):
        reason = str(error).splitlines()[0].strip()
        return (
            f"a loader process died ({reason}); was memory short, or a container's --shm-size? "
            "dataset.workers=0 uses none; the same command continues",
            FAILED,
        )
    raise error


def _explain_os_error(error: OSError) -> str:
    what = f"cannot read or write {error.filename}: " if error.filename else ""
    remedy = f"; {_REMEDIES[error.errno]}" if error.errno in _REMEDIES else ""
    text = f"{what}{error.strerror or error}{remedy}"
    return text if text.isprintable() else "".join(map(_printable, text))


def _open_streams() -> None:
    """stdout and stderr that take any text, and nothing where they were closed (`>&-`)."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # as ASCII has no plus-minus


def run_command(name: str, body: Callable[[], int]) -> int:
    """Runs the body of a command and returns its exit code.

    An error that a user can fix becomes `NAME: line` on stderr, and so does a signal.
    """
    _open_streams()
    try:
        with stop_on_signal():
            code = body()
            sys.stdout.flush()
        return code
    except BrokenPipeError:  # `resnet-info | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (UserError, KeyboardInterrupt, OSError, RuntimeError) as error:
        line, code = explain(error)
        print(f"{name}: {line}", file=sys.stderr)
        return code
