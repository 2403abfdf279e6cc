"""The paper's figures of errors as frames to fill: which networks on which data, in which
panels, on which axis.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from resnet_cli.paper.captions import how, off_the_plot, opening, redo, unfinished
from resnet_cli.paper.experiments import networks
from resnet_cli.paper.prose import Code, Prose, Span, listed, prose, sentences
from resnet_cli.paper.published import (
    CIFAR10_PLAIN_TEST_ERROR_READ_OFF,
    CIFAR10_TEST_ERROR,
    FULL_ITERATIONS,
    IMAGENET_TEN_CROP_ERROR,
)
from resnet_cli.paper.runs import TRAINING, Run, fraction, title_of


@dataclass(frozen=True)
class Frame:
    """One of the paper's figures.

    `panels` are titles and the networks in each; `marks` the paper's ends in percent.
    """

    name: str
    title: str
    dataset: str
    panels: tuple[tuple[str, tuple[str, ...]], ...]
    y_limits: tuple[float, float]
    marks: dict[str, float | None]
    marks_are: str
    legend: str = "the paper's end"
    by_error: bool = False  # panels are training and test error, not groups of networks

    @property
    def networks(self) -> list[str]:
        return list(dict.fromkeys(name for _, names in self.panels for name in names))


def _side(experiment: str, kind: str) -> tuple[str, ...]:
    """The plain or the residual networks of an experiment."""
    return tuple(name for name in networks(experiment) if name.startswith(kind))


CIFAR10_ENDS = {**CIFAR10_TEST_ERROR, **CIFAR10_PLAIN_TEST_ERROR_READ_OFF}
CIFAR10_ENDS_ARE = (
    "the paper's test errors at the end of its schedule (Table 6; of plain "
    "networks as read off Fig. 6)"
)
FRAMES = (
    Frame(
        "figure1",
        "Figure 1: plain networks of 20 and 56 layers on CIFAR-10",
        "cifar10",
        (("training error", networks("figure1")), ("test error", networks("figure1"))),
        (0, 20),
        CIFAR10_ENDS,
        CIFAR10_ENDS_ARE,
        by_error=True,
    ),
    Frame(
        "figure4",
        "Figure 4: plain and residual networks of 18 and 34 layers on ImageNet",
        "imagenet",
        (("plain", _side("figure4", "plain")), ("residual", _side("figure4", "resnet"))),
        (20, 60),
        {name: errors[0] for name, errors in IMAGENET_TEN_CROP_ERROR.items()},
        "the paper's 10-crop errors (Table 2), a little lower than the centre crop drawn "
        "here, whose ends it does not print",
        legend="the paper's 10-crop error",
    ),
    Frame(
        "figure6",
        "Figure 6: plain and residual networks on CIFAR-10",
        "cifar10",
        (
            ("plain", (*_side("figure6", "plain"), "plain110")),
            ("residual", _side("figure6", "resnet")),
            ("residual, 110 and 1202 layers", ("resnet110-A", "resnet1202-A")),
        ),
        (0, 20),
        CIFAR10_ENDS,
        CIFAR10_ENDS_ARE,
    ),
)


@dataclass(frozen=True)
class Curve:
    name: str  # of the network
    depth: int  # one colour a depth
    bold: bool  # the held-out error; training error is thin and dashed
    x: list[int]
    y: list[float]


@dataclass(frozen=True)
class Mark:
    """The paper's own value where its curve ends."""

    depth: int
    y: float


@dataclass(frozen=True)
class Panel:
    title: str
    curves: tuple[Curve, ...]
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class Plot:
    """A figure. x is divided by `unit` where it is drawn."""

    name: str  # of its files
    dataset: str
    title: str
    caption: Prose
    panels: tuple[Panel, ...]
    x_label: str
    y_label: str = "error (%)"
    unit: int = 1
    y_limits: tuple[float, float | None] = (0, None)
    x_end: int | None = None  # where the marks stand and the axis ends
    styles: tuple[str, str] = ("training error", "test error")  # what dashed and bold stand for
    marks_are: str = "the paper's end"
    stacked: bool = False  # panels one above the other
    log: bool = False  # the y axis


def together(runs: Sequence[Run], networks: Sequence[str], dataset: str) -> list[Run]:
    """The runs a figure of the paper shows: of the paper's recipe, one seed each, all of one
    length and alike in what that recipe leaves open.

    That is the longest at which two of its networks were trained, so that there is something to
    compare; else the longest.
    """
    groups = by_length(runs, networks, dataset)
    return next((drawn for drawn in groups if len(drawn) > 1), groups[0] if groups else [])


def by_length(runs: Sequence[Run], networks: Sequence[str], dataset: str) -> list[list[Run]]:
    """The runs of the paper's recipe that may share a figure, the first seed of every network;
    the longest first, and of one length those with the most networks.
    """
    papers = [
        run
        for run in runs
        if run.dataset == dataset and run.network in networks and not run.deviations
    ]
    groups = alike_but_for_the_network(papers)
    return sorted(groups, key=lambda group: (-group[0].iterations, -len(group)))


def alike_but_for_the_network(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs with something to draw, of one recipe and length each, the first seed of every
    network.
    """
    groups: dict[tuple[object, ...], dict[str, Run]] = {}
    for run in runs:
        if run.metrics:
            alike = (run.iterations, run.differences, run.deviations)
            groups.setdefault(alike, {}).setdefault(run.network, run)
    return [list(of.values()) for of in groups.values()]


def comparable(runs: Sequence[Run]) -> list[Run]:
    """The runs of one data set to compare: those of the recipe with the most networks, else of
    the longest; the first seeds.
    """
    groups = alike_but_for_the_network(runs)
    return max(groups, key=lambda group: (len(group), group[0].iterations), default=[])


def papers_figure(frame: Frame, runs: Sequence[Run]) -> Plot | None:
    """A figure of the paper from our runs, or None where nothing of it was run."""
    drawn = together(runs, frame.networks, frame.dataset)
    return fill(frame, drawn, name=frame.name) if drawn else None


def whole_schedule(frame: Frame, runs: Sequence[Run]) -> Plot | None:
    """What was run of the paper's whole schedule, where that is too little for `papers_figure`,
    which then compares shorter runs.
    """
    groups = by_length(runs, frame.networks, frame.dataset)
    full = groups[0] if groups and groups[0][0].iterations == FULL_ITERATIONS[frame.dataset] else []
    return (
        fill(frame, full, name=f"{frame.name}-full")
        if full and full[0] not in together(runs, frame.networks, frame.dataset)
        else None
    )


def fill(frame: Frame, drawn: Sequence[Run], *, name: str) -> Plot:
    """The frame with these runs, all of one length, in it."""
    panels = []
    for title, names in frame.panels:
        of = [run for run in drawn if run.network in names]
        kinds = {title == "test error"} if frame.by_error else {True, False}
        shown = tuple(curve for run in of for curve in curves(run) if curve.bold in kinds)
        marks = tuple(
            Mark(run.depth, end) for run in of if (end := frame.marks.get(run.network)) is not None
        )
        if shown:
            panels.append(Panel(title, shown, marks if any(curve.bold for curve in shown) else ()))
    iterations, full = drawn[0].iterations, FULL_ITERATIONS[frame.dataset]
    whole = iterations == full
    limits = frame.y_limits if whole else fitted(drawn)
    missing = [name for name in frame.networks if name not in {run.network for run in drawn}]
    caption: list[Span | Prose] = [
        opening(drawn),
        how(drawn),
        f"Diamonds: {frame.marks_are}{'' if whole else f', after {full:,} iterations'}.",
        unfinished(drawn),
        f"Not run{'' if whole else ' at this length'}: {', '.join(missing)}." if missing else "",
        off_the_plot(drawn, limits[1]),
        redo(frame.name, frame.dataset, iterations),
    ]
    axis = "iterations (1e4)" + (
        "" if whole else f"; shortened to {fraction(frame.dataset, iterations)}"
    )
    return Plot(
        name,
        frame.dataset,
        frame.title
        + (
            f", {iterations:,} of {full:,} iterations"
            if not whole
            else ""
            if name == frame.name
            else ", what was run in full"
        ),
        sentences(*caption),
        tuple(panels),
        axis,
        unit=10_000,
        y_limits=limits,
        x_end=iterations,
        styles=(
            "training error",
            "validation error" if drawn[0].held_out == "val/error" else "test error",
        ),
        marks_are=f"{frame.legend}, {full:,} iterations",
    )


def degradation(runs: Sequence[Run]) -> Plot | None:
    """Plain beside residual networks of one data set and setting, whichever it is."""
    drawn = comparable(runs)
    if not drawn:
        return None
    sides = [
        (title, [run for run in drawn if run.is_plain == plain])
        for title, plain in (("plain", True), ("residual", False))
    ]
    panels = tuple(
        Panel(title, tuple(curve for run in side for curve in curves(run)))
        for title, side in sides
        if side
    )
    first = drawn[0]
    iterations = max(run.iterations for run in drawn)
    unit = next(power for power in (10_000, 1_000, 1) if iterations >= 2 * power or power == 1)
    others: list[Span] = [Code(str(run.folder)) for run in runs if run not in drawn]
    caption: list[Span | Prose] = [
        opening(drawn),
        how(drawn),
        unfinished(drawn),
        prose("Not drawn here, being of another setting or seed: ", listed(others), ".")
        if others
        else "",
    ]
    return Plot(
        f"degradation-{first.dataset}",
        first.dataset,
        f"{title_of(first.dataset)}: plain and residual networks, {iterations:,} iterations",
        sentences(*caption),
        panels,
        "iterations" + ("" if unit == 1 else f" ({unit:.0e})".replace("e+0", "e")),
        unit=unit,
        y_limits=fitted(drawn),
        x_end=iterations,
        styles=(
            "training error",
            "validation error" if first.held_out == "val/error" else "test error",
        ),
    )


def curves(run: Run) -> list[Curve]:
    """Both curves of a run, as its log has them."""
    pairs = [(bold, run.curve(name)) for bold, name in ((False, TRAINING), (True, run.held_out))]
    return [Curve(run.network, run.depth, bold, x, y) for bold, (x, y) in pairs if x]


def fitted(runs: Sequence[Run]) -> tuple[float, float]:
    """From 0 to well above the worst end."""
    ends = [
        value
        for run in runs
        for name in (TRAINING, run.held_out)
        if (value := run.last(name)) is not None
    ]
    return 0, min(100.0, max(20.0, 1.6 * max(ends, default=100.0)))
