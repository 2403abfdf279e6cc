"""The learning rate at every milestone, a warm-up that ends by error (section 4.2), and
plateaus of made-up curves.
"""

from typing import Any

import pytest

from resnet_cli.training.schedule import Plateau, PlateauState, Schedule


def paper(iterations: int = 64_000, **warmup: Any) -> Schedule:
    return Schedule(lr=0.1, iterations=iterations, gamma=0.1, milestones=(0.5, 0.75), **warmup)


@pytest.mark.parametrize(
    ("iteration", "lr"),
    [
        (0, 0.1),
        (31_999, 0.1),
        (32_000, 0.01),
        (32_001, 0.01),
        (47_999, 0.01),
        (48_000, 0.001),
        (48_001, 0.001),
        (63_999, 0.001),
    ],
)
def test_the_rate_falls_at_32k_and_48k(iteration: int, lr: float) -> None:
    assert paper().lr_at(iteration) == pytest.approx(lr)


@pytest.mark.parametrize(
    ("iteration", "lr"), [(1_999, 0.1), (2_000, 0.01), (2_999, 0.01), (3_000, 0.001)]
)
def test_a_shorter_schedule_is_the_same_recipe(iteration: int, lr: float) -> None:
    assert paper(4_000).lr_at(iteration) == pytest.approx(lr)


def test_no_milestone_lowers_the_warmup_rate() -> None:
    schedule = paper(warmup_lr=0.01)
    assert [
        schedule.lr_at(iteration, in_warmup=True) for iteration in (0, 400, 32_000, 48_000)
    ] == [0.01] * 4
    assert schedule.lr_at(400, in_warmup=False) == pytest.approx(0.1)


@pytest.mark.parametrize(("error", "over"), [(80.01, False), (80.0, False), (79.99, True)])
def test_the_warmup_is_over_under_80_percent(error: float, over: bool) -> None:
    assert paper(warmup_lr=0.01).warmup_is_over(error) is over


def falls(
    errors: list[float], *, patience: int = 3, progress: float = 0.1, drops: int = 3
) -> list[int]:
    """The evaluations, counted from 1, after which the rate falls."""
    rule, seen, at = (
        Plateau(patience=patience, min_delta=progress, max_drops=drops),
        PlateauState(),
        [],
    )
    for number, error in enumerate(errors, 1):
        before, seen = seen.drops, rule.update(seen, error)
        if seen.drops > before:
            at.append(number)
    return at


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([60, 50, 40, 30, 20, 10], []),  # progress all along
        ([60, 50, 50, 50, 50], [5]),  # three without
        ([60, 50, 51, 49.95, 50.2], [5]),  # 0.05 points are no progress
        ([60, 50, 51, 51, 49.9, 51, 51], []),  # 0.1 points are, at the last moment
        ([50, 51, 52, 53, 54, 55, 56, 57, 58], [4, 7]),  # after a fall the count begins anew
        ([50, 51, 52, 53, 40, 41, 41, 41], [4, 8]),  # the fall helped, then nothing
        ([50] * 30, [4, 7, 10]),  # at most three
        # small steps add up: each is measured against the best that counted
        ([50, 49.95, 49.9, 49.85, 49.8, 49.75], []),
    ],
)
def test_the_rate_falls_at_plateaus(errors: list[float], expected: list[int]) -> None:
    assert falls(errors) == expected


def test_one_image_of_a_thousand_is_a_tenth_of_a_point() -> None:
    rule = Plateau(patience=2, min_delta=0.1, max_drops=3)
    for wrong in range(1, 1000):
        assert (
            rule.update(
                PlateauState(best=100 * (wrong + 1) / 1000), 100 * wrong / 1000
            ).bad_evaluations
            == 0
        ), wrong


def test_a_fall_divides_the_rate() -> None:
    schedule = Schedule(
        lr=0.1,
        iterations=600_000,
        gamma=0.1,
        plateau=Plateau(patience=10, min_delta=0.1, max_drops=3),
    )
    assert [schedule.lr_at(1, drops=drops) for drops in range(4)] == pytest.approx(
        [0.1, 0.01, 0.001, 0.0001]
    )
    assert schedule.lr_at(599_999) == 0.1
