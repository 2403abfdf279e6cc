"""Signals that ask a run to stop: the loop saves at its next step and exits with 128 + signal.

They are SIGINT, SIGTERM, SIGUSR1 and SIGUSR2. SLURM sends SIGUSR1 some time before a job's time is
up, if asked to; submitit uses SIGUSR2 for that.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class StopRequest:
    """The first signal that has asked for a stop, in `signum`; None before."""

    def __init__(self, *, patient: bool = False) -> None:
        """`patient`: ignores further signals.

        One of several processes may get a signal twice, from a scheduler and from its parent.
        """
        self.signum: int | None = None
        self.patient = patient

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is None:
            self.signum = signum
        elif not self.patient:
            raise KeyboardInterrupt  # the second: exit now, the last checkpoint remains


@contextmanager
def stop_on_signal(*, patient: bool = False) -> Iterator[StopRequest]:
    """While open, signals only set the request."""
    request = StopRequest(patient=patient)
    before = {signum: signal.signal(signum, request) for signum in STOPPING}
    try:
        yield request
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
