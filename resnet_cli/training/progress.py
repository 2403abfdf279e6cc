"""How far a run has come."""

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from resnet_cli.training.schedule import PlateauState

Totals = tuple[int, float, int]  # since the start: iterations, summed loss, wrong images

# Names in checkpoints that differ from those of the fields; they cannot change.
_STORED = {
    "in_warmup": "warming",
    "at_log": "logged",
    "at_warmup_check": "warmed",
    "plateau": "watched",
}
_STORED_PLATEAU = {"bad_evaluations": "waited", "drops": "fallen"}


@dataclass(kw_only=True)
class Progress:
    """All that changes while a run trains, except weights, momentum and the current totals."""

    iteration: int = 0
    seconds: float = 0.0  # of training, evaluation and saving, over all starts
    in_warmup: bool = False
    warmup_ended_at: int | None = None
    at_log: Totals = (0, 0.0, 0)  # at the last log point
    at_warmup_check: Totals = (0, 0.0, 0)  # when the warm-up's training error was last measured
    last: dict[str, float] = field(default_factory=dict)  # the latest value of each metric
    # percent, on the validation images, or on the test images if there are none
    best_error: float | None = None
    best_iteration: int | None = None
    plateau: PlateauState = field(default_factory=PlateauState)
    skipped: list[str] = field(default_factory=list)  # images that could not be decoded, in words
    precisions: list[str] = field(default_factory=list)  # number formats it was trained in, so far
    # metrics of this iteration that were not logged, as its evaluation was stopped; it is still due
    unwritten: dict[str, float] | None = None

    def go_on_in(self, precision: str) -> None:
        """Notes what the next steps multiply in; precision=auto depends on the machine."""
        if precision not in self.precisions:
            self.precisions.append(precision)

    def to_plain(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        plain = _renamed(dataclasses.asdict(self), _STORED)
        plain["watched"] = _renamed(plain["watched"], _STORED_PLATEAU)
        if self.unwritten is None:  # so that older versions read all but the rare checkpoint
            del plain["unwritten"]
        if not self.precisions:  # of an older checkpoint that nothing has been trained from since
            del plain["precisions"]
        return plain


def progress_fields(plain: dict[str, Any]) -> dict[str, Any]:
    """The stored values under the names of the fields, unchecked."""
    values = _renamed(plain, {stored: name for name, stored in _STORED.items()})
    if isinstance(values.get("plateau"), dict):
        names = {stored: name for name, stored in _STORED_PLATEAU.items()}
        values["plateau"] = _renamed(values["plateau"], names)
    return values


def _renamed(values: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in values.items()}


class Clock:
    """Measures the seconds of a run over all its starts, and the speed of training alone."""

    def __init__(self, before: float, iteration: int) -> None:
        """`before`: seconds of the earlier starts. `iteration`: where this one begins."""
        self.started = time.perf_counter() - before
        self.lap_started, self.lap_iteration = time.perf_counter(), iteration

    def total(self) -> float:
        """Seconds of all starts."""
        return time.perf_counter() - self.started

    def lap(self, iteration: int) -> float:
        """Steps per second since the last lap, or since this start."""
        now = time.perf_counter()
        rate = (iteration - self.lap_iteration) / (now - self.lap_started)
        self.lap_started, self.lap_iteration = now, iteration
        return rate

    @contextmanager
    def paused(self) -> Iterator[None]:
        """While open, laps do not count the time."""
        since = time.perf_counter()
        yield
        self.lap_started += time.perf_counter() - since
