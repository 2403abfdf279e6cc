"""What captions say of the runs in a figure: how long, which seeds, what is unfinished or off
the plot, and how to make it again.
"""

from collections.abc import Sequence

from resnet_cli.paper.prose import Code, Prose, listed, prose
from resnet_cli.paper.published import FULL_ITERATIONS
from resnet_cli.paper.runs import Run, fraction, spoken

# What a title adds beside the same figure of shortened runs.
FULL = ", the full schedule as far as it was run"


def extent(run: Run) -> str:
    """`4,000 iterations, 1/16 of the paper's 64,000`."""
    told = [f"{run.iterations:,} iterations", fraction(run.dataset, run.iterations)]
    return ", ".join(filter(None, told))


def shortened(run: Run) -> str:
    """What a title adds where a run is not as long as the paper's."""
    full = FULL_ITERATIONS.get(run.dataset, run.iterations)
    if run.iterations == full:
        return ""
    return f" (shortened: {run.iterations:,} of {full:,} iterations)"


def opening(runs: Sequence[Run]) -> Prose:
    """Length, setting, seeds and number format of the runs of a figure, which are alike in the
    first two.
    """
    setting = prose(" (", Code(runs[0].setting), ")") if runs[0].setting else ()
    formats = sorted({run.precision for run in runs if run.precision})
    in_formats = f", in {' and '.join(formats)}" if formats else ""
    return prose(extent(runs[0]), setting, f", {seeds(runs)}{in_formats}.")


def seeds(runs: Sequence[Run]) -> str:
    """`seed 0`, or `seeds 0, 1, 2 (plain-20: 0, 1)` where networks differ in them."""
    of: dict[str, list[int]] = {}
    for run in runs:
        of.setdefault(run.network, []).append(run.seed)
    usual = max(of.values(), key=len)
    told = f"seed{'s' * (len(usual) > 1)} {_numbers(usual)}"
    others = [f"{spoken(name)}: {_numbers(them)}" for name, them in of.items() if them != usual]
    return told + (f" ({'; '.join(others)})" if others else "")


def _numbers(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def redo(experiment: str, dataset: str, iterations: int | None = None) -> Prose:
    """The commands that make a figure or table again."""
    part = 1 if iterations is None else iterations / FULL_ITERATIONS[dataset]
    scale = "" if part == 1 else f" scale={part:.10g}"
    command = Code(f"resnet-train experiment={experiment}{scale}")
    return prose("Again: ", command, ", then ", Code("resnet-report runs"), ".")


def how(runs: Sequence[Run], *, several: bool) -> str:
    """What is drawn of each run."""
    what = "validation error, centre crop" if runs[0].held_out == "val/error" else "test error"
    drawn = (
        "Curves are means over the seeds, bands reach from the lowest seed to the highest."
        if several
        else "Nothing is smoothed."
    )
    return f"Dashed: training error, running over augmented mini-batches. Bold: {what}. {drawn}"


def unfinished(runs: Sequence[Run]) -> str:
    told = [
        f"{spoken(run.network)} {run.state} at {run.iteration:,}" for run in runs if not run.result
    ]
    return f"Not finished: {', '.join(told)}." if told else ""


def other_formats(runs: Sequence[Run], drawn: Sequence[Run]) -> str:
    """Which finished seeds of the networks that are drawn were computed otherwise."""
    there = {run.network for run in drawn}
    told = [
        f"{spoken(run.network)}'s seed {run.seed} in {run.precision or 'an unknown format'}"
        for run in runs
        if run.network in there and run.result
    ]
    why = "Not drawn, as other seeds are in another number format"
    return f"{why}: {', '.join(told)}." if told else ""


def missing(networks: Sequence[str], runs: Sequence[Run], *, verb: str) -> str:
    """Which of the networks are not among the runs."""
    there = {run.network for run in runs}
    names = [spoken(name) for name in networks if name not in there]
    return f"{verb}: {', '.join(names)}." if names else ""


def off_the_plot(runs: Sequence[Run], top: float) -> str:
    ends = [(run.network, run.last(run.held_out)) for run in runs]
    told = [f"{spoken(name)} at {end:.2f} %" for name, end in ends if end is not None and end > top]
    return f"Off the plot: {', '.join(told)}." if told else ""


def not_drawn(runs: Sequence[Run]) -> Prose:
    """Runs of the same data that another figure would be of."""
    if not runs:
        return ()
    folders = listed([Code(str(run.folder)) for run in runs])
    return prose("Not drawn here, being of another setting: ", folders, ".")
