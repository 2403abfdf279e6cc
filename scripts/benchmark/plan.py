"""What a benchmark consists of: parts, run in order of importance until the time is up."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from scripts.benchmark.report import Figures, Report


class NotMeasured(Exception):
    """A row or a part without figures; the message says why."""


class TimeUp(NotMeasured):
    def __init__(self) -> None:
        super().__init__("the time was up")


class Deadline:
    """When the benchmark has to be done."""

    def __init__(self, minutes: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.now = clock
        self.end = clock() + 60 * minutes

    def left(self) -> float:
        """Seconds, infinite if there is no deadline."""
        return max(0.0, self.end - self.now())

    def timeout(self) -> float | None:
        """The same, as the standard library takes it."""
        return None if math.isinf(self.end) else self.left()


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What all plans are told."""

    device: torch.device
    rounds: int
    seconds: float  # of each contestant's turn
    deadline: Deadline


@dataclass(frozen=True, kw_only=True)
class Part:
    """Something to measure: its key in the JSON file, its title in the Markdown file."""

    key: str
    title: str
    measure: Callable[[], tuple[str, Any]]  # Markdown, figures; raises NotMeasured
    beside: Callable[[], Figures] = dict  # further entries of the JSON file, asked for afterwards


def measure_each(rows: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    """Measures row by row; a row that fails is lost alone."""
    found: dict[str, Any] = {}
    for name, measure in rows.items():
        try:
            found[name] = measure()
        except NotMeasured as reason:
            found[name] = not_measured(reason)
    return found


def not_measured(reason: object) -> Figures:
    return {"not_measured": str(reason)}


def has_figures(found: Any) -> bool:
    """Whether anything was measured."""
    if not isinstance(found, dict):
        return True
    return "not_measured" not in found and any(map(has_figures, found.values()))


def run(parts: Sequence[Part], *, deadline: Deadline, report: Report) -> bool:
    """Measures one part after the other and reports each as soon as it is done.

    Returns whether anything was measured.
    """
    late: list[Part] = []
    measured = False
    for part in parts:
        if not deadline.left():
            late.append(part)
            continue
        try:
            markdown, figures = part.measure()
        except NotMeasured as reason:
            markdown, figures = f"Not measured: {reason}", not_measured(reason)
        measured |= has_figures(figures)
        report.add(f"\n{part.title}\n\n{markdown}", {part.key: figures} | part.beside())
    if late:
        titles = "; ".join(part.title for part in late)
        report.add(
            f"\nNot measured, as the time was up: {titles}",
            {part.key: not_measured(TimeUp()) for part in late},
        )
    return measured
