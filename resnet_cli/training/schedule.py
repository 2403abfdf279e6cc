"""The learning rate: drops at milestones or on plateaus, a cosine, and warm-ups."""

import math
from dataclasses import dataclass, field, replace
from enum import StrEnum

from resnet_cli.runtime.parse import UNBOUNDED

WARMUP_WINDOW = 100  # iterations over which the training error of a warm-up is measured


class Rule(StrEnum):
    """What lowers the learning rate."""

    steps = "steps"  # milestones (section 4.2)
    plateau = "plateau"  # "when the error plateaus" (section 3.4)
    cosine = "cosine"  # half a period, down to 0 (Loshchilov and Hutter 2017)


@dataclass(kw_only=True)
class PlateauState:
    """The state of the plateau rule: plain values, for a checkpoint."""

    best: float = field(default=math.inf, metadata=UNBOUNDED)  # percent
    bad_evaluations: int = 0  # in a row without progress since the rate last dropped
    drops: int = 0


@dataclass(frozen=True, kw_only=True)
class Plateau:
    """Lowers the learning rate when the error plateaus (section 3.4).

    That is after `patience` evaluations in a row whose error is not at least `min_delta` percentage
    points below the best; at most `max_drops` times. A drop resets the count, not the best.
    """

    patience: int
    min_delta: float
    max_drops: int

    def update(self, state: PlateauState, error: float) -> PlateauState:
        """The state after one more evaluation, with an error in percent."""
        # errors are quotients of counts: 50.1 - 50.0 must count as 0.1
        if state.best - error >= self.min_delta - 1e-9:
            return PlateauState(best=error, drops=state.drops)
        if state.bad_evaluations + 1 < self.patience:
            return replace(state, bad_evaluations=state.bad_evaluations + 1)
        drops = min(state.drops + 1, self.max_drops)
        return PlateauState(best=state.best, drops=drops)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The learning rate: `lr`, multiplied by `gamma` at each milestone or plateau.

    `milestones` are fractions of `iterations`. With `warmup_lr`, that is the rate until the
    training error is below `warmup_until_error` (section 4.2, ResNet-110).

    Not in the paper: `cosine`, in place of milestones and plateaus, and `linear_warmup`, a fraction
    of the iterations in which the rate rises to `lr` in equal parts (Goyal et al. 2017). The cosine
    begins behind it.
    """

    lr: float
    iterations: int
    gamma: float
    milestones: tuple[float, ...] = ()
    plateau: Plateau | None = None
    warmup_lr: float | None = None
    warmup_until_error: float = 80.0  # percent
    cosine: bool = False
    linear_warmup: float = 0.0

    @property
    def milestone_iterations(self) -> list[int]:
        """The first iteration, counted from 0, of each lower rate: 32,000 and 48,000 of 64,000."""
        return [round(fraction * self.iterations) for fraction in self.milestones]

    def lr_at(self, iteration: int, *, in_warmup: bool = False, drops: int = 0) -> float:
        """The rate of an iteration, counted from 0, after `drops` plateaus.

        The rate of the warm-up is constant.
        """
        if in_warmup:
            assert self.warmup_lr is not None
            return self.warmup_lr
        rising = round(self.linear_warmup * self.iterations)
        if iteration < rising:
            return self.lr * (iteration + 1) / rising
        if self.cosine:
            done = (iteration - rising) / (self.iterations - rising)
            return self.lr * (1 + math.cos(math.pi * done)) / 2
        passed = sum(iteration >= milestone for milestone in self.milestone_iterations)
        return self.lr * self.gamma ** (passed + drops)

    def warmup_is_over(self, training_error: float) -> bool:
        """Whether the warm-up ends at this error, in percent over WARMUP_WINDOW iterations."""
        return training_error < self.warmup_until_error
