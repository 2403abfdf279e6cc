"""The learning rate at every milestone, and a warm-up that ends by error, against section 4.2."""

import pytest

from resnet_cli.training.schedule import StepSchedule


def paper(iterations: int = 64_000, **warmup: float) -> StepSchedule:
    return StepSchedule(0.1, iterations, (0.5, 0.75), 0.1, **warmup)


@pytest.mark.parametrize(
    ("iteration", "lr"),
    [(0, 0.1), (31_999, 0.1), (32_000, 0.01), (32_001, 0.01), (47_999, 0.01), (48_000, 0.001), (48_001, 0.001), (63_999, 0.001)],
)
def test_the_rate_falls_at_32k_and_48k(iteration: int, lr: float) -> None:
    assert paper().lr_at(iteration) == pytest.approx(lr)


@pytest.mark.parametrize(("iteration", "lr"), [(1_999, 0.1), (2_000, 0.01), (2_999, 0.01), (3_000, 0.001)])
def test_a_shorter_schedule_is_the_same_recipe(iteration: int, lr: float) -> None:
    assert paper(4_000).lr_at(iteration) == pytest.approx(lr)


def test_no_milestone_lowers_the_warmup_rate() -> None:
    schedule = paper(warmup_lr=0.01)
    assert [schedule.lr_at(iteration, warming=True) for iteration in (0, 400, 32_000, 48_000)] == [0.01] * 4
    assert schedule.lr_at(400, warming=False) == pytest.approx(0.1)


@pytest.mark.parametrize(("error", "over"), [(80.01, False), (80.0, False), (79.99, True)])
def test_the_warmup_is_over_under_80_percent(error: float, over: bool) -> None:
    assert paper(warmup_lr=0.01).warmup_is_over(error) is over
