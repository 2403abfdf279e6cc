"""A table of all our runs of one data set, whatever their recipe."""

from collections.abc import Sequence
from itertools import groupby

from resnet_cli.paper.blocks import Grid
from resnet_cli.paper.evaluations import Evaluation
from resnet_cli.paper.numbers import CIFAR10_PLAIN_TEST_ERROR_READ_OFF, CIFAR10_TEST_ERROR, FULL_ITERATIONS
from resnet_cli.paper.ours import spread
from resnet_cli.paper.runs import TRAINING, Run


def runs_table(runs: Sequence[Run]) -> Grid:
    """A row for each network and recipe, errors of the last iterate over seeds, the paper's beside them.

    Where a network was trained in several ways, the rows say which.
    """
    dataset = runs[0].dataset
    known = dataset == "cifar10"
    what = "validation" if runs[0].held_out == "val/error" else "test"
    header = ["network", "iterations", "seeds", "training error %", f"{what} error %"]
    rows = []
    groups = [list(group) for _, group in groupby(runs, key=lambda run: (run.network, run.recipe))]
    for same in groups:
        first = same[0]
        several = sum(group[0].network == first.network for group in groups) > 1
        done = [run for run in same if run.result]
        shown = done or same
        train = [value for run in shown if (value := run.last(TRAINING)) is not None]
        test = [value for run in shown if (value := run.last(run.held_out)) is not None]
        name = f"{first.network} ({first.setting or 'as the paper'})" if several else first.network
        iterations = f"{first.iterations:,}" if done else f"{min(run.iteration for run in same):,} of {first.iterations:,}, running"
        seeds = ", ".join(str(run.seed) for run in shown)
        cells = [name, iterations, seeds, spread(train) if train else "-", spread(test) if test else "-"]
        rows.append(cells + [paper_error(first)] * known)
    return Grid(header + [f"paper's test error % ({FULL_ITERATIONS['cifar10']:,} iterations)"] * known, rows)


def evaluations_table(evaluations: Sequence[Evaluation]) -> Grid:
    """A row for each file of resnet-eval: how it was measured, and top-1 and top-5 errors."""
    rows = [[one.network, one.told, *(f"{one.errors[k]:.2f}" for k in ("top-1", "top-5"))] for one in evaluations]
    return Grid(["network", "measured", "top-1 error %", "top-5 error %"], rows)


def paper_error(run: Run) -> str:
    """What the paper reports of a network on CIFAR-10."""
    if error := CIFAR10_TEST_ERROR.get(run.network):
        return f"{error:.2f}"
    read_off = CIFAR10_PLAIN_TEST_ERROR_READ_OFF.get(run.network)
    return f"about {read_off:g} (Fig. 6)" if read_off else "-"
