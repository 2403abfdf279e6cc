"""SIGINT, SIGTERM, SIGUSR1 and SIGUSR2 ask a run to stop; the loop looks at its next step, saves, and leaves with 128 + signal.

SIGUSR1 is what SLURM is told to send a while before the time is up; SIGUSR2 is submitit's word for it.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class StopRequest:
    """The signal that asked, or None."""

    def __init__(self) -> None:
        self.signum: int | None = None

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is not None:
            raise KeyboardInterrupt  # asked twice: leave at once, the last checkpoint stands
        self.signum = signum


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """While open, signals only set the request."""
    request = StopRequest()
    before = {signum: signal.signal(signum, request) for signum in STOPPING}
    try:
        yield request
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
