"""SIGINT, SIGTERM, SIGUSR1 and SIGUSR2 ask a run to stop; the loop looks at its next step, saves,
and leaves with 128 + signal.

SIGUSR1 is what SLURM is told to send a while before the time is up; SIGUSR2 is submitit's word for
it.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class StopRequest:
    """The signal that asked, or None."""

    def __init__(self, *, patient: bool = False) -> None:
        """`patient`: one of several processes, which may hear of one signal twice: from a
        scheduler, and from the parent.
        """
        self.signum: int | None = None
        self.patient = patient

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is None:
            self.signum = signum
        elif not self.patient:
            raise KeyboardInterrupt  # asked twice: leave at once, the last checkpoint stands


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
