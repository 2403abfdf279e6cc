"""What a user can mend: one clear line on stderr and an exit code. A traceback is for our bugs."""

import difflib
import errno
import os
import signal
import sys
from collections.abc import Callable, Iterable

FAILED, BAD_USAGE, BAD_DATA, DIVERGED = 1, 2, 3, 4
LOST, SILENT = 75, 76  # between the processes of one run: another one is gone, or does not answer

# Full, read-only or forbidden disks: the user's to mend, whichever file they hit first.
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}


class UserError(Exception):
    """Bad usage or configuration; a checkpoint missing, unreadable or of another network."""

    exit_code = BAD_USAGE

    def __str__(self) -> str:
        """The message in one line, whatever a file or its name put into it."""
        text = super().__str__()
        return text if text.isprintable() else "".join(map(_printable, text))


def _printable(character: str) -> str:
    """A character, or what Python would write for it: a terminal acts on escape sequences."""
    return character if character.isprintable() else ascii(character)[1:-1]


class DataError(UserError):
    """A data set that is missing or broken."""

    exit_code = BAD_DATA


class Diverged(UserError):
    """The loss is no longer a number."""

    exit_code = DIVERGED


class Failed(UserError):
    """Anything else the user can mend: a full disk, too little memory."""

    exit_code = FAILED


class Lost(UserError):
    """Another process of the same run is gone or silent; started anew, the run goes on from its
    last checkpoint.
    """

    def __init__(self, message: str, *, silent: bool) -> None:
        super().__init__(message)
        self.exit_code = SILENT if silent else LOST


class Told(UserError):
    """What another process of ours ended with."""

    def __init__(self, message: str, *, code: int) -> None:
        super().__init__(message)
        self.exit_code = code


class Stopped(UserError):
    """A signal asked the run to stop; it is saved and the same command continues it."""

    def __init__(self, message: str, *, signum: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signum


def did_you_mean(word: str, known: Iterable[str], *, otherwise: str = "") -> str:
    """`: did you mean 'resnet20'?`, or `otherwise`, or the list of what there is."""
    names = [str(name) for name in known]
    near = difflib.get_close_matches(word, names, n=2, cutoff=0.6)
    if near:
        return ": did you mean " + " or ".join(f"'{name}'" for name in near) + "?"
    return f": {otherwise or 'there is ' + ', '.join(names)}"


def explain(error: BaseException) -> tuple[str, int]:
    """The line and the exit code for an error a user can mend.

    Raises the error itself where it is our bug.
    """
    if isinstance(error, UserError):
        return str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return "stopped", 128 + signal.SIGINT
    if isinstance(error, BrokenPipeError):
        return "nobody reads stdout any more", 128 + signal.SIGPIPE
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        where = f" ({error.filename})" if error.filename else ""
        return f"cannot read or write: {error.strerror}{where}", FAILED
    # PyTorch raises it wherever the process happens to be
    if isinstance(error, RuntimeError) and "DataLoader worker" in str(error):
        reason = str(error).splitlines()[0].strip()
        return (
            f"a loader process died ({reason}); was memory short? dataset.workers=0 does "
            "without; the same command continues",
            FAILED,
        )
    raise error


def run_command(name: str, body: Callable[[], int]) -> int:
    """Runs the body of a command; an error a user can mend becomes `NAME: line` on stderr and
    its exit code.
    """
    try:
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
