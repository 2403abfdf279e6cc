"""Caffe's SGD, which the paper used, beside PyTorch's: the same at a constant rate, and how far
they part where it changes.
"""

import pytest
import torch
from torch import Tensor, nn

from resnet_cli.training.step import make_optimizer

pytestmark = pytest.mark.numerical

LOW, HIGH = (torch.tensor(rate).item() for rate in (0.01, 0.1))  # as the optimizer holds them
MOMENTUM, BEFORE, AFTER = 0.9, 200, 100  # steps at the first rate, and at the second


class Quadratic(nn.Module):
    """Twenty weights; the loss is a bowl of curvatures 0.01 to 1."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, 20, dtype=torch.float64))
        self.curvatures = torch.logspace(-2, 0, 20, dtype=torch.float64)

    def gradient(self, weight: Tensor, noise: Tensor) -> Tensor:
        """That of a mini-batch."""
        return self.curvatures * weight + noise


def noise_of(step: int) -> Tensor:
    generator = torch.Generator().manual_seed(step)
    return 0.1 * torch.randn(20, dtype=torch.float64, generator=generator)


def pytorchs(rates: list[float]) -> list[Tensor]:
    """The weights after every step of the optimizer that we train with."""
    bowl = Quadratic()
    optimizer = make_optimizer(
        bowl,
        lr=rates[0],
        momentum=MOMENTUM,
        weight_decay=0.0,
        nesterov=False,
    )
    path = []
    for step, rate in enumerate(rates):
        optimizer.param_groups[0]["lr"].fill_(rate)
        bowl.weight.grad = bowl.gradient(bowl.weight.detach(), noise_of(step))
        optimizer.step()
        path.append(bowl.weight.detach().clone())
    return path


def caffes(rates: list[float]) -> list[Tensor]:
    """v = m v + r g; w = w - v."""
    bowl = Quadratic()
    weight, velocity, path = bowl.weight.detach(), torch.zeros(20, dtype=torch.float64), []
    for step, rate in enumerate(rates):
        velocity = MOMENTUM * velocity + rate * bowl.gradient(weight, noise_of(step))
        weight = weight - velocity
        path.append(weight)
    return path


def test_at_a_constant_rate_they_are_one() -> None:
    rates = [HIGH] * 100
    torch.testing.assert_close(pytorchs(rates)[-1], caffes(rates)[-1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    # the first step's difference, relative to Caffe's step; the largest, relative to the weights,
    # and after how many steps: what docs/recipe.md tells
    ("first", "second", "step", "largest", "after"),
    [(HIGH, LOW, 0.88, 0.31, 20), (LOW, HIGH, 1.12, 0.18, 9)],
)
def test_a_change_of_the_rate_parts_them(
    first: float, second: float, step: float, largest: float, after: int
) -> None:
    """By the formulas, the first step after it differs by (second - first) m v, with PyTorch's
    velocity v; what the velocity carries on of that falls as m^k.
    """
    rates = [first] * BEFORE + [second] * AFTER
    ours, theirs = pytorchs(rates), caffes(rates)
    torch.testing.assert_close(ours[BEFORE - 1], theirs[BEFORE - 1], rtol=1e-12, atol=1e-12)
    velocity = (ours[BEFORE - 2] - ours[BEFORE - 1]) / first
    apart = theirs[BEFORE] - ours[BEFORE]
    torch.testing.assert_close(apart, (second - first) * MOMENTUM * velocity, rtol=1e-9, atol=1e-12)

    gaps = [float((one - other).norm()) for one, other in zip(ours, theirs, strict=True)][BEFORE:]
    weights, moved = theirs[BEFORE - 1].norm(), (theirs[BEFORE] - theirs[BEFORE - 1]).norm()
    assert gaps[0] / float(moved) == pytest.approx(step, abs=0.01)
    assert max(gaps) / float(weights) == pytest.approx(largest, abs=0.01)
    assert gaps.index(max(gaps)) + 1 == after
