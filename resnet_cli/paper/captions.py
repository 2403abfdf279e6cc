"""What captions say of the runs in a figure: how long, which seeds, what is unfinished or off
the plot, and how to make it again.
"""

from collections.abc import Sequence

from resnet_cli.paper.prose import Code, Prose, prose
from resnet_cli.paper.published import FULL_ITERATIONS
from resnet_cli.paper.runs import Run, fraction


def extent(run: Run) -> str:
    """`4,000 iterations, 1/16 of the paper's 64,000`."""
    return ", ".join(
        filter(None, [f"{run.iterations:,} iterations", fraction(run.dataset, run.iterations)])
    )


def opening(runs: Sequence[Run]) -> Prose:
    """Length, setting and seeds of the runs of a figure, which are alike in the first two."""
    setting = prose(" (", Code(runs[0].setting), ")") if runs[0].setting else ()
    return prose(extent(runs[0]), setting, f", {seeds(runs)}.")


def redo(experiment: str, dataset: str, iterations: int | None = None) -> Prose:
    """The commands that make a figure or table again."""
    part = 1 if iterations is None else iterations / FULL_ITERATIONS[dataset]
    scale = "" if part == 1 else f" scale={part:.10g}"
    command = Code(f"resnet-train experiment={experiment}{scale}")
    return prose("Again: ", command, ", then ", Code("resnet-report runs"), ".")


def how(runs: Sequence[Run]) -> str:
    what = "validation error, centre crop" if runs[0].held_out == "val/error" else "test error"
    return (
        f"Dashed: training error, running over augmented mini-batches. Bold: {what}. Nothing "
        "is smoothed."
    )


def seeds(runs: Sequence[Run]) -> str:
    numbers = sorted({run.seed for run in runs})
    return f"seed{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"


def unfinished(runs: Sequence[Run]) -> str:
    told = [f"{run.network} at {run.iteration:,}" for run in runs if run.result is None]
    return f"Not finished: {', '.join(told)}." if told else ""


def off_the_plot(runs: Sequence[Run], top: float) -> str:
    ends = [(run.network, run.last(run.held_out)) for run in runs]
    told = [f"{name} at {end:.2f} %" for name, end in ends if end is not None and end > top]
    return f"Off the plot: {', '.join(told)}." if told else ""
