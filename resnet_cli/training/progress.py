"""How far a run is."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from resnet_cli.training.schedule import PlateauState

Totals = tuple[int, float, int]  # where the counters stand: iteration, loss sum, wrong images


@dataclass
class Progress:
    """What changes while a run trains, besides weights and momentum. Plain values."""

    iteration: int = 0
    seconds: float = 0.0  # of training, evaluation and saving, over all starts
    warming: bool = False
    warmup_ended_at: int | None = None
    logged: Totals = (0, 0.0, 0)  # at the last log point
    warmed: Totals = (0, 0.0, 0)  # at the warm-up's last look
    last: dict[str, float] = field(default_factory=dict)  # the newest figure under each name
    # percent, on the validation images, or on the test images where there are none
    best_error: float | None = None
    best_iteration: int | None = None
    watched: PlateauState = field(default_factory=PlateauState)  # what a plateau rule has seen
    skipped: list[str] = field(default_factory=list)  # images that could not be decoded, in words


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
