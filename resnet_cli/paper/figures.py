"""The paper's figures of errors, filled with our runs: those of one recipe and one length, with
what they say of degradation and its cure.
"""

from collections import Counter
from collections.abc import Sequence

from resnet_cli.paper import captions, verdicts
from resnet_cli.paper.curves import curves
from resnet_cli.paper.frames import Frame
from resnet_cli.paper.plot import Mark, Panel, Plot
from resnet_cli.paper.prose import Prose, Span, sentences
from resnet_cli.paper.published import (
    FULL_ITERATIONS,
)
from resnet_cli.paper.runs import TRAINING, Run, seeds_together, title_of
from resnet_cli.paper.verdicts import Verdict


def alike(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs with something to draw, those of one recipe and length together; of a network with
    finished seeds these alone, and those of one number format.
    """
    groups: dict[tuple[object, ...], list[Run]] = {}
    for run in runs:
        if run.metrics:
            groups.setdefault(_kind(run), []).append(run)
    return [_in_one_format(_finished_first(group)) for group in groups.values()]


def _kind(run: Run) -> tuple[object, ...]:
    return run.dataset, run.iterations, run.differences, run.deviations


def _finished_first(runs: list[Run]) -> list[Run]:
    done = {run.network for run in runs if run.result}
    return [run for run in runs if run.result or run.network not in done]


def _in_one_format(runs: list[Run]) -> list[Run]:
    """Of each network the seeds in one number format, as tables have them: the one with the most
    seeds, then the one that most runs of all networks have.
    """
    common = Counter(run.precision for run in runs)
    chosen: dict[str, list[Run]] = {}
    for seeds in seeds_together(runs):
        rival = chosen.setdefault(seeds[0].network, seeds)
        if max(rival, seeds, key=lambda of: (len(of), common[of[0].precision])) is seeds:
            chosen[seeds[0].network] = seeds
    return [run for run in runs if run in chosen[run.network]]


def _drawn(runs: Sequence[Run], names: Sequence[str], dataset: str) -> list[list[Run]]:
    """The groups of runs that a figure of the paper may show, the best first: the longest that
    has two finished networks to compare, then the longest with two, then the longest.
    """

    def rank(group: list[Run]) -> tuple[bool, bool, int, int]:
        there = {run.network for run in group}
        done = {run.network for run in group if run.result}
        return len(done) > 1, len(there) > 1, group[0].iterations, len(there)

    papers = [
        run
        for run in runs
        if run.dataset == dataset and run.network in names and not run.deviations
    ]
    return sorted(alike(papers), key=rank, reverse=True)


def together(runs: Sequence[Run], names: Sequence[str], dataset: str) -> list[Run]:
    """The runs a figure of the paper shows: of the paper's recipe, all of one length and alike in
    what that recipe leaves open; every seed.
    """
    return next(iter(_drawn(runs, names, dataset)), [])


def papers_figure(frame: Frame, runs: Sequence[Run]) -> Plot | None:
    """A figure of the paper from our runs, or None where nothing of it was run."""
    drawn = together(runs, frame.networks, frame.dataset)
    return _fill(frame, drawn, among=runs, name=frame.name) if drawn else None


def whole_schedule(frame: Frame, runs: Sequence[Run]) -> Plot | None:
    """What was run of the paper's whole schedule, where that is too little for `papers_figure`,
    which then compares shorter runs.
    """
    first, *others = _drawn(runs, frame.networks, frame.dataset) or [[]]
    full = FULL_ITERATIONS[frame.dataset]
    whole = next((group for group in others if group[0].iterations == full), None)
    if whole is None or first[0].iterations == full:
        return None
    return _fill(frame, whole, among=runs, name=f"{frame.name}-full")


def _fill(frame: Frame, drawn: Sequence[Run], *, among: Sequence[Run], name: str) -> Plot:
    """The frame with the runs `drawn`, all of one length, in it, chosen `among` ours."""
    first, full = drawn[0], FULL_ITERATIONS[frame.dataset]
    whole = first.iterations == full
    panels = []
    for title, names in frame.panels:
        of = [run for run in drawn if run.network in names]
        kinds = {title == "test error"} if frame.by_error else {True, False}
        shown = tuple(curve for curve in curves(of) if curve.bold in kinds)
        marks = _marks(frame, of) if whole and any(curve.bold for curve in shown) else ()
        if shown:
            panels.append(Panel(title=title, curves=shown, marks=marks))
    limits = frame.y_limits if whole else _fitted(drawn)
    caption: list[Span | Prose] = [
        captions.opening(drawn),
        captions.how(drawn, several=_several(drawn)),
        _marks_are(frame, panels)
        if whole
        else f"The paper's ends, after {full:,} iterations, are left out.",
        captions.unfinished(drawn),
        captions.other_formats(
            [run for run in among if _kind(run) == _kind(first) and run not in drawn], drawn
        ),
        captions.missing(
            frame.networks, drawn, verb="Not run" if whole else "Not run at this length"
        ),
        captions.off_the_plot(drawn, limits[1]),
        captions.redo(frame.name, frame.dataset, first.iterations),
    ]
    unit, axis = _axis(first.iterations)
    return Plot(
        name=name,
        dataset=frame.dataset,
        title=frame.title + (captions.shortened(first) if name == frame.name else captions.FULL),
        caption=sentences(*caption),
        panels=tuple(panels),
        runs=tuple(drawn),
        verdicts=_verdicts(drawn, plain_only=frame.by_error),
        x_label=axis,
        unit=unit,
        y_limits=limits,
        x_end=first.iterations,
        styles=("training error", _held_out(first)),
        printed_are="the paper's 10-crop error"
        if frame.dataset == "imagenet"
        else "the paper's end",
    )


def _marks(frame: Frame, runs: Sequence[Run]) -> tuple[Mark, ...]:
    """The paper's ends of these networks."""
    marks = []
    for name, depth in dict.fromkeys((run.network, run.depth) for run in runs):
        if (printed := frame.printed.get(name)) is not None:
            marks.append(Mark(depth=depth, y=printed))
        elif name in frame.read_off:
            marks.append(Mark(depth=depth, y=frame.read_off[name], read_off=True))
    return tuple(marks)


def _marks_are(frame: Frame, panels: Sequence[Panel]) -> str:
    marks = [mark for panel in panels for mark in panel.marks]
    told = []
    if any(not mark.read_off for mark in marks):
        told.append(f"Diamonds: {frame.printed_are}.")
    if any(mark.read_off for mark in marks):
        told.append(
            "Circles with bars: the paper's ends of plain networks, which it does not print, as "
            "others read them off Fig. 6, good to half a point."
        )
    return " ".join(told)


def _verdicts(drawn: Sequence[Run], *, plain_only: bool = False) -> tuple[Verdict, ...]:
    """What the finished runs say of degradation and its cure."""
    seeds: dict[str, list[Run]] = {}
    for run in drawn:
        if run.result:
            seeds.setdefault(run.network, []).append(run)
    held_out = drawn[0].held_out
    found = verdicts.degrades(seeds, TRAINING)
    if plain_only:
        return (*found, *verdicts.degrades(seeds, held_out))
    return (*found, *verdicts.improves(seeds, held_out), *verdicts.cures(seeds, held_out))


def degradation(runs: Sequence[Run]) -> Plot | None:
    """Plain beside residual networks of one data set and setting, whichever it is: the setting
    with the most networks, else the longest.
    """
    drawn = max(
        alike(runs),
        key=lambda group: (len({run.network for run in group}), group[0].iterations),
        default=[],
    )
    if not drawn:
        return None
    first = drawn[0]
    panels = []
    for title, plain in (("plain", True), ("residual", False)):
        if shown := curves([run for run in drawn if run.is_plain == plain]):
            panels.append(Panel(title=title, curves=tuple(shown)))
    unit, axis = _axis(first.iterations)
    caption: list[Span | Prose] = [
        captions.opening(drawn),
        captions.how(drawn, several=_several(drawn)),
        captions.unfinished(drawn),
        captions.not_drawn([run for run in runs if run not in drawn and run.metrics]),
    ]
    title = f"{title_of(first.dataset)}: plain and residual networks"
    return Plot(
        name=f"degradation-{first.dataset}",
        dataset=first.dataset,
        title=title + (captions.shortened(first) or f", {first.iterations:,} iterations"),
        caption=sentences(*caption),
        panels=tuple(panels),
        runs=tuple(drawn),
        verdicts=_verdicts(drawn),
        x_label=axis,
        unit=unit,
        y_limits=_fitted(drawn),
        x_end=first.iterations,
        styles=("training error", _held_out(first)),
    )


def _several(runs: Sequence[Run]) -> bool:
    return len(runs) > len({run.network for run in runs})


def _held_out(run: Run) -> str:
    return "validation error" if run.held_out == "val/error" else "test error"


def _axis(iterations: int) -> tuple[int, str]:
    """What iterations are divided by, and what the axis calls them."""
    return (1000, "iterations (thousands)") if iterations >= 2000 else (1, "iterations")


def _fitted(runs: Sequence[Run]) -> tuple[float, float]:
    """From 0 to well above the worst end."""
    ends = [
        value
        for run in runs
        for name in (TRAINING, run.held_out)
        if (value := run.last(name)) is not None
    ]
    return 0, min(100.0, max(20.0, 1.6 * max(ends, default=100.0)))
