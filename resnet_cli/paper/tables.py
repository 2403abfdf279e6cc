"""The table: ours beside the paper's, in Markdown."""

import statistics
from collections.abc import Sequence
from itertools import groupby

from resnet_cli.paper.numbers import CIFAR10_PLAIN_TEST_ERROR_READ_OFF, CIFAR10_TEST_ERROR
from resnet_cli.paper.runs import Run

FULL = 64_000  # iterations of the paper's CIFAR-10 schedule


def spread(values: Sequence[float]) -> str:
    """One value, or the paper's `best (mean ± std)` of several; std is the sample's."""
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{min(values):.2f} ({statistics.mean(values):.2f} ± {statistics.stdev(values):.2f})"


def paper_error(run: Run) -> str:
    """What the paper reports of a network on CIFAR-10."""
    if run.network in CIFAR10_TEST_ERROR:
        return f"{CIFAR10_TEST_ERROR[run.network]:.2f}"
    read_off = CIFAR10_PLAIN_TEST_ERROR_READ_OFF.get(run.network)
    return f"about {read_off:g} (Fig. 6)" if read_off else "-"


def error_table(runs: Sequence[Run]) -> str:
    """One row for each network and recipe: errors of the last iterate in percent, over seeds; the paper's beside them.

    Where a network was trained in several ways, the rows say which.
    """
    on_papers_data = any(run.dataset == "cifar10" for run in runs)
    head = ["network", "iterations", "seeds", "training error %", "test error %"]
    head += [f"paper's test error % ({FULL:,} iterations)"] * on_papers_data
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    rows = [list(group) for _, group in groupby(runs, key=lambda run: (run.dataset, run.network, run.recipe))]
    for same in rows:
        first = same[0]
        several = sum(row[0].network == first.network for row in rows) > 1
        done = [run for run in same if run.result]
        shown = done or same
        train = [value for run in shown if (value := run.last("train/error")) is not None]
        test = [value for run in shown if (value := run.last("test/error")) is not None]
        name = f"{first.network} ({first.setting or 'as the paper'})" if several else first.network
        length = f"{first.iterations:,}" if done else f"{min(run.iteration for run in same):,} of {first.iterations:,}, running"
        seeds = ", ".join(str(run.seed) for run in shown)
        cells = [name, length, seeds, spread(train) if train else "-", spread(test) if test else "-"]
        cells += [paper_error(first)] * on_papers_data
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
