"""The learning rate: steps down at milestones, and ResNet-110's warm-up that the training error ends (section 4.2)."""

from dataclasses import dataclass

WARMUP_WINDOW = 100  # iterations over which the training error of a warm-up is measured


@dataclass(frozen=True)
class StepSchedule:
    """`lr`, times `gamma` at each milestone; milestones are fractions of `iterations`."""

    lr: float
    iterations: int
    milestones: tuple[float, ...]
    gamma: float
    warmup_lr: float | None = None
    warmup_until_error: float = 80.0  # percent

    @property
    def milestone_iterations(self) -> list[int]:
        """The first iteration, counted from 0, with each lower rate: 32,000 and 48,000 of 64,000."""
        return [round(fraction * self.iterations) for fraction in self.milestones]

    def lr_at(self, iteration: int, *, warming: bool = False) -> float:
        """The rate of the step numbered `iteration`, counted from 0. A warm-up has its own rate, which no milestone lowers."""
        if warming:
            assert self.warmup_lr is not None
            return self.warmup_lr
        passed = sum(iteration >= milestone for milestone in self.milestone_iterations)
        return self.lr * self.gamma**passed

    def warmup_is_over(self, training_error: float) -> bool:
        """Whether the training error (percent, over the last WARMUP_WINDOW iterations) ends the warm-up."""
        return training_error < self.warmup_until_error
