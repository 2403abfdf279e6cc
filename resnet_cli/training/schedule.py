"""The learning rate: falls at milestones or when the error plateaus, and ResNet-110's warm-up
that the training error ends.
"""

import math
from dataclasses import dataclass, field
from enum import StrEnum

from resnet_cli.runtime.parse import UNBOUNDED

WARMUP_WINDOW = 100  # iterations over which the training error of a warm-up is measured


class Rule(StrEnum):
    """What makes the rate fall."""

    steps = "steps"  # milestones (section 4.2)
    plateau = "plateau"  # "when the error plateaus" (section 3.4)


@dataclass
class PlateauState:
    """What the plateau rule has seen: plain values, for a checkpoint."""

    best: float = field(default=math.inf, metadata=UNBOUNDED)  # percent
    waited: int = 0  # evaluations since it was reached or the rate last fell
    fallen: int = 0  # times


@dataclass(frozen=True)
class Plateau:
    """The rate falls when the error has not come `progress` points under its best for `patience`
    evaluations; at most `drops` times.

    After a fall the count begins anew; the best stays.
    """

    patience: int
    progress: float
    drops: int

    def update(self, seen: PlateauState, error: float) -> PlateauState:
        """What has been seen after one more evaluation, of `error` percent."""
        # errors are counts over counts: 50.1 - 50.0 must be 0.1
        if seen.best - error >= self.progress - 1e-9:
            return PlateauState(error, 0, seen.fallen)
        if seen.waited + 1 < self.patience:
            return PlateauState(seen.best, seen.waited + 1, seen.fallen)
        return PlateauState(seen.best, 0, min(seen.fallen + 1, self.drops))


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """`lr`, times `gamma` at each milestone (fractions of `iterations`) or plateau."""

    lr: float
    iterations: int
    gamma: float
    milestones: tuple[float, ...] = ()
    plateau: Plateau | None = None
    warmup_lr: float | None = None
    warmup_until_error: float = 80.0  # percent

    @property
    def milestone_iterations(self) -> list[int]:
        """The first iteration, counted from 0, with each lower rate: 32,000 and 48,000 of
        64,000.
        """
        return [round(fraction * self.iterations) for fraction in self.milestones]

    def lr_at(self, iteration: int, *, warming: bool = False, fallen: int = 0) -> float:
        """The rate of the step numbered `iteration`, counted from 0, after `fallen` plateaus.

        A warm-up has its own rate, which nothing lowers.
        """
        if warming:
            assert self.warmup_lr is not None
            return self.warmup_lr
        passed = sum(iteration >= milestone for milestone in self.milestone_iterations)
        return self.lr * self.gamma ** (passed + fallen)

    def warmup_is_over(self, training_error: float) -> bool:
        """Whether the training error (percent, over the last WARMUP_WINDOW iterations) ends the
        warm-up.
        """
        return training_error < self.warmup_until_error
