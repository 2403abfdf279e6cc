"""The time a run takes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Seconds of a run over all its starts, and steps per second of the training alone."""

    def __init__(self, before: float, iteration: int) -> None:
        self.began = time.perf_counter() - before
        self.lap_began, self.lap_iteration = time.perf_counter(), iteration

    def total(self) -> float:
        return time.perf_counter() - self.began

    def lap(self, iteration: int) -> float:
        """Steps per second since the last lap, or since this start."""
        now = time.perf_counter()
        rate = (iteration - self.lap_iteration) / (now - self.lap_began)
        self.lap_began, self.lap_iteration = now, iteration
        return rate

    @contextmanager
    def paused(self) -> Iterator[None]:
        """While open, laps do not count."""
        since = time.perf_counter()
        yield
        self.lap_began += time.perf_counter() - since
