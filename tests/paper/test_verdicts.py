"""What is said of the paper's claims, against differences worked out by hand."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from resnet_cli.paper import figure7
from resnet_cli.paper.figures import papers_figure
from resnet_cli.paper.frames import frames
from resnet_cli.paper.runs import find
from resnet_cli.paper.verdicts import Outcome, margin
from tests.paper.made_up import make_run

FIGURE = {frame.name: frame for frame in frames()}


def verdicts(root: Path, figure: str = "figure6") -> list[str]:
    plot = papers_figure(FIGURE[figure], find([root])[0])
    assert plot is not None
    return [verdict.words for verdict in plot.verdicts]


def runs(root: Path, iterations: int = 64_000, **errors: Sequence[float] | float) -> None:
    """Finished runs: a network's final test errors, one for each seed; half that in training."""
    for name, values in errors.items():
        network = f"{name}-A" if name.startswith("resnet") else name
        for seed, value in enumerate([values] if isinstance(values, float) else values):
            make_run(root, network, seed=seed, errors=(60.0, value), iterations=iterations)


def test_degradation_and_its_cure(tmp_path: Path) -> None:
    runs(tmp_path, plain20=9.8, plain56=13.0, resnet20=8.5, resnet56=7.4)
    assert verdicts(tmp_path) == [
        "Training error of plain-56 is above plain-20's by 1.6 points: degradation, as in the "
        "paper; one seed each.",
        "Test error of ResNet-56 is below ResNet-20's by 1.1 points: deeper is better, as in the "
        "paper; one seed each.",
        "Test error of ResNet-56 is below plain-56's by 5.6 points: shortcuts cure it, as in the "
        "paper; one seed each.",
    ]
    assert verdicts(tmp_path, "figure1")[1] == (
        "Test error of plain-56 is above plain-20's by 3.2 points: degradation, as in the paper; "
        "one seed each."
    )


def test_a_short_schedule_says_the_order_alone(tmp_path: Path) -> None:
    """One seed of plain-56 ended at 75 %, another at 87: by how much is chance."""
    runs(tmp_path, 4000, plain20=20.0, plain56=64.0, resnet20=16.6, resnet56=35.6)
    assert verdicts(tmp_path) == [
        "Training error of plain-56 is above plain-20's: degradation, as in the paper; 1/16 of the "
        "schedule, one seed each.",
        "Test error of ResNet-56 is above ResNet-20's: not as in the paper; 1/16 of the schedule, "
        "one seed each.",
        "Test error of ResNet-56 is below plain-56's: shortcuts reduce it, as in the paper; 1/16 "
        "of the schedule, one seed each.",
    ]


def test_a_cure_leaves_no_degradation(tmp_path: Path) -> None:
    """Better than plain-56 is not enough: ResNet-56 must not end behind ResNet-20."""
    runs(tmp_path / "worse", plain20=9.8, plain56=13.0, resnet20=8.5, resnet56=9.5)
    assert "by 3.5 points: shortcuts reduce it, as in" in verdicts(tmp_path / "worse")[2]
    runs(tmp_path / "alike", plain20=9.8, plain56=13.0, resnet20=8.5, resnet56=8.6)
    assert "by 4.4 points: shortcuts cure it, as in" in verdicts(tmp_path / "alike")[2]


def test_several_seeds_decide_by_their_own_spread(tmp_path: Path) -> None:
    # 9.0 +- 0.2 and 9.4 +- 0.2, n = 3: apart by 0.4, two standard errors of that are 0.327
    runs(tmp_path / "a", resnet20=(9.2, 9.4, 9.6), resnet56=(8.8, 9.0, 9.2))
    assert verdicts(tmp_path / "a") == [
        "Test error of ResNet-56 is below ResNet-20's by 0.4 points: deeper is better, as in the "
        "paper; 3 seeds each."
    ]
    # the same means, but a std of 0.5: 0.816
    runs(tmp_path / "b", resnet20=(8.9, 9.4, 9.9), resnet56=(8.5, 9.0, 9.5))
    (words,) = verdicts(tmp_path / "b")
    assert "differ by 0.4 points, no more than seeds may: undecided; 3 seeds each" in words
    # the paper's spread of one seed, their own of two: 2 x sqrt(0.16^2 + 0.4^2 / 2) = 0.65
    runs(tmp_path / "c", resnet20=9.4, resnet56=(8.6, 9.1657))
    assert "differ by 0.5 points, no more than seeds may: undecided" in verdicts(tmp_path / "c")[0]
    assert "undecided; 2 and 1 seeds." in verdicts(tmp_path / "c")[0]
    # two seeds that agree by chance: 2 x sqrt(2 x 0.16^2 / 2) = 0.32
    runs(tmp_path / "d", resnet20=(8.40, 8.41), resnet56=(8.36, 8.37))
    assert "undecided; 2 seeds each" in verdicts(tmp_path / "d")[0]


def test_of_single_seeds_the_spread_is_the_papers() -> None:
    assert margin([9.0], [9.4]) == pytest.approx(0.4525, abs=1e-4)  # 2 x sqrt(2) x 0.16


@pytest.mark.parametrize("seeds", [(1, 1), (2, 1), (2, 2), (3, 3), (5, 1), (5, 5)])
def test_chance_is_seldom_taken_for_an_effect(seeds: tuple[int, int]) -> None:
    """Networks alike but for the paper's spread of seeds are told apart in less than 1 of 20."""
    draws = np.random.default_rng(0)
    pairs = [[draws.normal(8.4, 0.16, n).tolist() for n in seeds] for _ in range(2000)]
    told_apart = [abs(np.mean(one) - np.mean(other)) > margin(one, other) for one, other in pairs]
    assert np.mean(told_apart) < 0.057  # 4.55 % for a normal law, and 2.5 standard errors more


def test_no_pair_no_verdict(tmp_path: Path) -> None:
    runs(tmp_path, plain20=9.8, resnet1202=7.9, resnet110=6.5)
    make_run(tmp_path, "plain56", iterations=64_000, done=False)
    assert verdicts(tmp_path) == []


def test_figure_7_compares_responses(tmp_path: Path) -> None:
    runs(tmp_path, plain20=9.8, plain56=13.0, resnet20=8.5, resnet56=7.4)
    stds = {"plain20": [1.0], "plain56": [1.0], "resnet20-A": [0.5], "resnet56-A": [0.6, 0.2, 0.6]}
    measured = [(run, stds[run.network]) for run in figure7.to_measure(find([tmp_path])[0])]
    plot = figure7.figure7(measured, images=1000)
    assert plot is not None
    assert [verdict.outcome for verdict in plot.verdicts] == [
        Outcome.holds,
        Outcome.holds,
        Outcome.fails,
    ]
    assert plot.verdicts[2].words == (
        "Layers of ResNet-56 respond more than ResNet-20's (median std 0.60 and 0.50): not as in "
        "the paper; one seed each."
    )
