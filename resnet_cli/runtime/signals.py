"""Signals that ask a command to stop: it exits with 128 + signal, a run saves first.

They are those that a person, a closed terminal, a limit of CPU time and a scheduler send. SLURM
sends SIGUSR1 some time before a job's time is up, if asked to; submitit uses SIGUSR2 for that.
"""

import os
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGXCPU", "SIGUSR1", "SIGUSR2")
STOPPING = tuple(signal.Signals[name] for name in _NAMES if hasattr(signal, name))
# The kernel repeats these without a person having lost patience: a terminal's end reaches a process
# from the terminal and from its shell, and SIGXCPU comes every second.
_REPEATED = {"SIGHUP", "SIGXCPU"}


class Interrupted(KeyboardInterrupt):
    """A signal came while there was nothing to save.

    As Python's own KeyboardInterrupt, it passes through every `except Exception`.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class StopRequest:
    """The first signal that has asked for a stop, in `signum`; None before.

    It raises Interrupted at once, except while it is `deferred`.
    """

    def __init__(self, *, patient: bool = False) -> None:
        """`patient`: ignores further signals.

        One of several processes may get a signal twice, from a scheduler and from its parent.
        """
        self.signum: int | None = None
        self.patient = patient
        self.reply = ""  # to a signal that is deferred, while it will take long to act on it
        self._deferred = 0  # how many runs there are that have something to save

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        name = signal.Signals(signum).name
        if name == "SIGHUP":
            _leave_closed_terminal()
        if self.signum is None:
            self.signum = signum
            if not self._deferred:
                raise Interrupted(signum)
            if self.reply:  # not by print: the signal may have come within one
                with suppress(OSError):
                    os.write(2, f"{self.reply}\n".encode())
        elif not self.patient and name not in _REPEATED:
            raise KeyboardInterrupt  # the second: exit now, the last checkpoint remains

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """While open, a signal is only noted, for who looks at `signum`."""
        self._deferred += 1
        try:
            yield
        finally:
            self._deferred -= 1

    @contextmanager
    def at_once(self, *, allowed: bool = True) -> Iterator[None]:
        """Within `deferred`: while open, a signal raises Interrupted nevertheless, if `allowed`.

        For what may wait for long and leaves nothing behind.
        """
        if not allowed:
            yield
            return
        before, self._deferred = self._deferred, 0
        try:
            if self.signum is not None:
                raise Interrupted(self.signum)
            yield
        finally:
            self._deferred = before


def _leave_closed_terminal() -> None:
    """Prints nowhere from here on if the terminal is gone: each line would be an error."""
    for stream in (1, 2):
        try:
            gone = stat.S_ISCHR(os.fstat(stream).st_mode) and not os.isatty(stream)
        except OSError:  # closed before
            continue
        if gone:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)


def handled() -> tuple[signal.Signals, ...]:
    """The stopping signals, without the SIGHUP that `nohup` has taken away."""
    return tuple(
        signum
        for signum in STOPPING
        if not (signum.name == "SIGHUP" and signal.getsignal(signum) is signal.SIG_IGN)
    )


@contextmanager
def stop_on_signal(*, patient: bool = False) -> Iterator[StopRequest]:
    """While open, signals go to the request."""
    request = StopRequest(patient=patient)
    before = {signum: signal.signal(signum, request) for signum in handled()}
    try:
        yield request
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextmanager
def held_back() -> Iterator[None]:
    """While open, this thread takes no stopping signal, nor do programs that it starts.

    A mask survives fork and exec. What has come meanwhile is acted on at the end. Costs 20
    microseconds, of a compiled step's milliseconds.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
