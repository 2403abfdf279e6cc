"""Our runs, and what resnet-eval measured of them, a row each."""

from collections import Counter
from collections.abc import Sequence

from resnet_cli.paper.blocks import Grid, Words
from resnet_cli.paper.evaluations import Evaluation
from resnet_cli.paper.ours import remark_on, spread
from resnet_cli.paper.published import (
    CIFAR10_PLAIN_TEST_ERROR_READ_OFF,
    CIFAR10_TEST_ERROR,
    FULL_ITERATIONS,
)
from resnet_cli.paper.runs import TRAINING, Run, seeds_together, spoken


def runs_table(runs: Sequence[Run]) -> Grid:
    """A row for each network and recipe, errors of the last iterate over seeds, the paper's beside
    them; where rows differ in their settings, or in nothing but their precision, they say which.
    """
    known = runs[0].dataset == "cifar10"
    what = "validation" if runs[0].held_out == "val/error" else "test"
    header = ["network", "iterations", "seeds", "training error %", f"{what} error %"]
    usual = common_setting(runs)
    groups = seeds_together(runs)
    names = [_name(same[0], usual) for same in groups]
    alike = Counter((name, same[0].iterations) for name, same in zip(names, groups, strict=True))
    rows: list[list[Words]] = []
    for name, same in zip(names, groups, strict=True):
        first = same[0]
        if alike[name, first.iterations] > 1 and first.precision:
            name = f"{name}, {first.precision}"
        rows.append([name, *_row(same), *([_paper_error(first)] if known else [])])
    papers = f"paper's test error % ({FULL_ITERATIONS['cifar10']:,} iterations)"
    return Grid([*header, *([papers] if known else [])], rows)


def _name(run: Run, usual: str) -> str:
    """The network, and its settings where they are not `usual`."""
    return spoken(run.network) + _unusual(run, usual)


def _unusual(run: Run, usual: str) -> str:
    return f" ({run.setting})" if run.setting not in ("", usual) else ""


def _row(same: Sequence[Run]) -> list[Words]:
    """The other cells of one network and recipe: of its finished seeds, where there are any."""
    first = same[0]
    done = [run for run in same if run.result]
    shown = done or same
    train = [value for run in shown if (value := run.last(TRAINING)) is not None]
    test = [value for run in shown if (value := run.last(run.held_out)) is not None]
    iterations = f"{first.iterations:,}"
    if not done:
        reached = min(run.iteration for run in same)
        states = " or ".join(sorted({run.state for run in same}))
        iterations = f"{reached:,} of {first.iterations:,}, {states}"
    return [
        iterations,
        ", ".join(str(run.seed) for run in shown),
        spread(train) if train else "-",
        spread(test) if test else "-",
    ]


def common_setting(runs: Sequence[Run]) -> str:
    """What of all these runs is not the paper's; empty where they differ in that."""
    settings = {run.setting for run in runs}
    return settings.pop() if len(settings) == 1 else ""


def _paper_error(run: Run) -> str:
    """What the paper reports of a network on CIFAR-10."""
    if error := CIFAR10_TEST_ERROR.get(run.network):
        return f"{error:.2f}"
    read_off = CIFAR10_PLAIN_TEST_ERROR_READ_OFF.get(run.network)
    return f"about {read_off:g} (read off Fig. 6)" if read_off else "-"


def evaluations_table(evaluations: Sequence[Evaluation]) -> Grid:
    """A row for each file of resnet-eval: of which runs, where they are known; how it was
    measured, and top-1 and top-5 errors; of the paper's data also why it is in none of the
    paper's tables, where it is not.
    """
    papers = any(one.dataset in FULL_ITERATIONS for one in evaluations)
    known = all(all(one.members) for one in evaluations)
    usual = common_setting([run for one in evaluations for run in one.members if run])
    header = ["network", *(["trained"] if known else []), "measured"]
    rows: list[list[Words]] = [
        [
            one.network,
            *([_trained(one, usual)] if known else []),
            one.told,
            *(f"{one.errors[k]:.2f}" if k in one.errors else "-" for k in ("top-1", "top-5")),
            *([remark_on(one)] if papers else []),
        ]
        for one in evaluations
    ]
    header += ["top-1 error %", "top-5 error %"]
    return Grid([*header, *(["not in the paper's tables because"] if papers else [])], rows)


def _trained(evaluation: Evaluation, usual: str) -> str:
    """What sets the runs of one network apart: seed, length and settings that are not `usual`."""
    runs = [run for run in evaluation.members if run]
    told = [f"seed {run.seed}, {run.iterations:,} iterations{_unusual(run, usual)}" for run in runs]
    return " + ".join(dict.fromkeys(told))
