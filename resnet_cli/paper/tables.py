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
    """A row a network and length: errors of the last iterate in percent, over seeds; the paper's beside them."""
    on_papers_data = any(run.dataset == "cifar10" for run in runs)
    head = ["network", "iterations", "seeds", "training error %", "test error %"]
    head += [f"paper's test error % ({FULL:,} iterations)"] * on_papers_data
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for (_, _, iterations), group in groupby(runs, key=lambda run: (run.dataset, run.network, run.iterations)):
        same = list(group)
        done = [run for run in same if run.result]
        shown = done or same
        train = [value for run in shown if (value := run.last("train/error")) is not None]
        test = [value for run in shown if (value := run.last("test/error")) is not None]
        length = f"{iterations:,}" if done else f"{min(run.iteration for run in same):,} of {iterations:,}, running"
        seeds = ", ".join(str(run.seed) for run in shown)
        cells = [same[0].network, length, seeds, spread(train) if train else "-", spread(test) if test else "-"]
        cells += [paper_error(same[0])] * on_papers_data
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
