"""The figure of lesions, and what it says."""

import statistics
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from resnet_cli.paper.legend import legend_below
from resnet_cli.paper.runs import spoken
from resnet_cli.paper.why.records import Change, Lesion
from resnet_cli.paper.why.style import (
    CHANCE,
    GREY,
    band,
    by_network,
    colours,
    dress,
    extent,
    name_of,
    note,
)

NAME = "lesion"
TITLE = "Deleting and exchanging blocks of trained networks"


def figure(rows: Sequence[Lesion]) -> Figure:
    """Left: one block deleted. Middle: k random blocks deleted. Right: k pairs exchanged."""
    of = by_network(rows)
    shades = colours(of)
    drawn = [one for one in (Change.random, Change.swap) if any(row.change is one for row in rows)]
    sheet = Figure(figsize=(12.4 if len(drawn) > 1 else 9.3, 4.2), layout="constrained")
    grid = sheet.subplots(
        1, 1 + len(drawn), sharey=True, squeeze=False, width_ratios=[2] + [1] * len(drawn)
    ).flatten()
    _draw_single(grid[0], of, shades)
    for axes, change in zip(grid[1:], drawn, strict=True):
        for name, its in of.items():
            _draw_several(axes, its, change, shades[name])
        words = ("k random blocks deleted", "blocks deleted")
        if change is Change.swap:
            words = ("k pairs of blocks exchanged", "pairs exchanged")
        dress(axes, title=words[0], x=words[1])
        axes.set_xscale("log", base=2)
        ks = sorted({row.k for row in rows if row.change is change})
        axes.set_xticks(ks, labels=map(str, ks))
        axes.minorticks_off()
    grid[0].set_ylim(0, 100)
    if chance := CHANCE.get(rows[0].dataset):
        for axes in grid:
            axes.axhline(chance, color=GREY, linewidth=0.8, linestyle=":")
        note(grid[-1], "chance", (1, chance), xycoords=("axes fraction", "data"), xytext=(0, 3),
             textcoords="offset points", ha="right")  # fmt: skip
    legend_below(sheet, _legend(of, shades), fontsize=8)
    sheet.suptitle(f"{TITLE} ({extent(rows)})", fontsize=11)
    return sheet


def _draw_single(axes: Axes, of: dict[str, list[Lesion]], shades: dict[str, str]) -> None:
    """The error after each block's deletion, where there is a block on each side of each other."""
    for name, rows in of.items():
        points: dict[float, list[float]] = {}
        hollow: set[int] = set()
        for row in rows:
            if row.change is Change.delete and row.position and row.error is not None:
                points.setdefault(row.position, []).append(row.error)
                hollow |= set() if row.keeps_shape else {row.position}
        band(axes, points, colour=shades[name])
        axes.plot(
            list(hollow),
            [statistics.fmean(points[at]) for at in hollow],
            linestyle="",
            marker="o",
            markersize=7.5,
            markerfacecolor="white",
            markeredgewidth=1.6,
            color=shades[name],
            zorder=4,
        )
        intact = _mean(rows, Change.intact)
        axes.axhline(intact, color=shades[name], linewidth=0.9, linestyle="--")
        skipped = [row.position for row in rows if row.change is Change.skipped and row.position]
        axes.plot(
            skipped, [intact] * len(skipped), linestyle="", marker="x", color=shades[name],
            markersize=6, zorder=4,
        )  # fmt: skip
    first, *others = (_starts(rows) for rows in of.values())
    alike = all(starts == first for starts in others)
    for number, at in enumerate([1, *first] if alike else []):
        if number:
            axes.axvline(at - 0.5, color=GREY, linewidth=0.6, alpha=0.6)
        note(axes, f"stage {number + 1}", (at - 0.4 if number else at - 0.3, 97), va="top")
    block = "block (VGG: layer)" if any(name.startswith("vgg") for name in of) else "block"
    dress(
        axes,
        title="one block deleted",
        x=f"{block}, from the input",
        y=f"{_split(next(iter(of.values())))} error (%)",
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _split(rows: Sequence[Lesion]) -> str:
    """Whose images they are: ImageNet's test images have no public labels."""
    return "validation" if rows[0].dataset.startswith("imagenet") else "test"


def _starts(rows: Sequence[Lesion]) -> list[int]:
    """Where a stage after the first begins."""
    stages: dict[int, int] = {}
    for row in rows:
        if row.stage and row.position:
            stages[row.stage] = min(row.position, stages.get(row.stage, row.position))
    return [at for stage, at in sorted(stages.items()) if stage > 1]


def _draw_several(axes: Axes, rows: Sequence[Lesion], change: Change, colour: str) -> None:
    points: dict[float, list[float]] = {}
    for row in rows:
        if row.change is change and row.error is not None:
            points.setdefault(row.k, []).append(row.error)
    if points:
        band(axes, points, colour=colour)


def _legend(of: dict[str, list[Lesion]], shades: dict[str, str]) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=shades[name], marker="o", markersize=4.5, label=name_of(rows))
        for name, rows in of.items()
    ]
    handles.append(Line2D([], [], color=GREY, linestyle="--", linewidth=0.9, label="intact"))
    hollow = {"marker": "o", "markersize": 7.5, "markerfacecolor": "white", "linestyle": ""}
    if any(
        row.change is Change.delete and not row.keeps_shape for rows in of.values() for row in rows
    ):
        label = "changes dimensions, shortcut kept"
        handles.append(Line2D([], [], color=GREY, label=label, **hollow))  # type: ignore[arg-type]
    if any(row.change is Change.skipped for rows in of.values() for row in rows):
        label = "cannot be deleted: changes dimensions"
        handles.append(Line2D([], [], color=GREY, marker="x", linestyle="", label=label))
    handles.append(
        Patch(facecolor=GREY, alpha=0.25, label="lowest to highest of seeds and random choices")
    )
    return handles


def _mean(rows: Sequence[Lesion], change: Change) -> float:
    return statistics.fmean(
        row.error for row in rows if row.change is change and row.error is not None
    )


def sentences(rows: Sequence[Lesion]) -> list[str]:
    """From the rows alone: one deletion, many deletions, exchanges, and what was left out."""
    of = by_network(rows)
    return [
        _told(of, _one_deleted, "With one block deleted, of those that keep the map's dimensions,"),
        _told(of, _many_deleted, "With several random blocks deleted,"),
        _told(of, _exchanged, "With pairs of blocks exchanged,"),
        _left_out(of),
    ]


def _left_out(of: dict[str, list[Lesion]]) -> str:
    skipped = {
        name: list(dict.fromkeys(row.blocks for row in rows if row.change is Change.skipped))
        for name, rows in of.items()
    }
    parts = [f"{', '.join(blocks)} of {spoken(name)}" for name, blocks in skipped.items() if blocks]
    return (
        f"Not deleted, as the map's dimensions change there: {'; '.join(parts)}." if parts else ""
    )


def _told(
    of: dict[str, list[Lesion]], tell: Callable[[Sequence[Lesion]], str], opening: str
) -> str:
    parts = [
        f"{'the error' if number == 0 else 'that'} of {spoken(name)} {words}"
        for number, (name, rows) in enumerate(of.items())
        if (words := tell(rows))
    ]
    return f"{opening} {'; '.join(parts)}." if parts else ""


def _one_deleted(rows: Sequence[Lesion]) -> str:
    intact = _mean(rows, Change.intact)
    single = [
        row.error
        for row in rows
        if row.change is Change.delete and row.error is not None and row.keeps_shape
    ]
    if not single:
        return ""
    return (
        f"goes from {intact:.2f} % to {statistics.median(single):.2f} % in the median and "
        f"{max(single):.2f} % at worst"
    )


def _many_deleted(rows: Sequence[Lesion]) -> str:
    k, _, last = _at_most(rows, Change.random)
    blocks = max(row.position or 0 for row in rows)
    return f"is {last:.2f} % on average when {k} of {blocks} are gone" if k else ""


def _exchanged(rows: Sequence[Lesion]) -> str:
    k, first, last = _at_most(rows, Change.swap)
    return f"is {first:.2f} % on average for one pair and {last:.2f} % for {k}" if k else ""


def _at_most(rows: Sequence[Lesion], change: Change) -> tuple[int, float, float]:
    """The largest k, and the mean errors at the smallest and at it; 0, 0, 0 where none is."""
    errors: dict[int, list[float]] = {}
    for row in rows:
        if row.change is change and row.error is not None:
            errors.setdefault(row.k, []).append(row.error)
    if not errors:
        return 0, 0.0, 0.0
    first, last = min(errors), max(errors)
    return last, statistics.fmean(errors[first]), statistics.fmean(errors[last])
