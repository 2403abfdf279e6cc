"""The figure of gradients, and what it says."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from resnet_cli.paper.legend import legend_below
from resnet_cli.paper.runs import spoken
from resnet_cli.paper.why.records import Gradient
from resnet_cli.paper.why.style import (
    GREY,
    band,
    by_network,
    colours,
    dress,
    extent,
    log_y,
    mean_by,
    name_of,
)

NAME = "gradients"
TITLE = "The gradient at every block"
_ON_THE_WAY = 3  # moments drawn between the start and the end
# column -> line, marker, what it is
_FORMS: dict[str, tuple[Any, str, str]] = {
    "norm": ("-", "o", "right: dE/dx_l, the product form"),
    "additive": ("--", "s", "right: dE/dx_L (1 + d/dx_l ΣF), the sum form"),
    "identity": (":", "", "right: dE/dx_L, what the identity carries"),
}


def _moments(rows: Sequence[Gradient]) -> list[tuple[str, list[Gradient]]]:
    """Moments of training by name, and their rows: the start, at most three on the way, the end."""
    last: dict[tuple[str, int | None], int] = {}
    for row in rows:
        key = row.network, row.seed
        last[key] = max(last.get(key, 0), row.iteration or 0)
    end = [
        row
        for row in rows
        if row.iteration is None or 0 < row.iteration == last[row.network, row.seed]
    ]
    past = {row.iteration for row in end}
    way = sorted({row.iteration for row in rows if row.iteration} - past)
    if len(way) > _ON_THE_WAY:
        way = [way[0], way[len(way) // 2], way[-1]]
    named = {0: "with initial weights"} | {at: f"after {at:,} iterations" for at in way}
    found = [(name, [row for row in rows if row.iteration == at]) for at, name in named.items()]
    return [(name, its) for name, its in [*found, ("after training", end)] if its]


def figure(rows: Sequence[Gradient]) -> Figure:
    """A panel for each moment of training, and last the identity's part after it."""
    of, moments = by_network(rows), _moments(rows)
    shades = colours(of)
    end = by_network(moments[-1][1])
    residual = {name: its for name, its in end.items() if any(row.additive for row in its)}
    count = len(moments)
    sheet = Figure(
        figsize=(max(7, 1 + 2.3 * count + 4 * bool(residual)), 4.4), layout="constrained"
    )
    grid = sheet.subplots(
        1, count + bool(residual), squeeze=False, width_ratios=[3] * count + [5] * bool(residual)
    ).flatten()
    for number, (name, its) in enumerate(moments):
        axes = grid[number]
        if number:
            axes.sharey(grid[0])
        for network, ours in by_network(its).items():
            if points := _points(ours, "norm"):
                band(axes, points, colour=shades[network])
        y = "" if number else "norm of dE/dx_l, log scale"
        dress(axes, title=name, x="after block l (0: the stem)", y=y)
    for name, its in residual.items():
        for column, (line, marker, _) in _FORMS.items():
            for points in _stretches(its, column):
                band(grid[-1], points, colour=shades[name], line=line, marker=marker, shaded=False)
    handles = [
        Line2D([], [], color=shades[name], label=name_of(its), linewidth=2)
        for name, its in of.items()
    ]
    if residual:
        exact = all(row.exact for its in residual.values() for row in its if row.additive)
        words = "exact: pre-activation" if exact else "approximate: a ReLU follows the addition"
        dress(grid[-1], title=f"1 + dF/dx within a stage, {moments[-1][0]}\n({words})",
              x="after block l (0: the stem)", y="norm, log scale")  # fmt: skip
        handles += [
            Line2D([], [], color=GREY, linestyle=line, marker=marker, markersize=4.5, label=label)
            for line, marker, label in _FORMS.values()
        ]
    for axes in grid:
        log_y(axes)
    legend_below(sheet, handles, fontsize=8)
    sheet.suptitle(f"{TITLE} ({extent(rows)})", fontsize=11)
    return sheet


def _points(rows: Sequence[Gradient], column: str) -> dict[float, list[float]]:
    points: dict[float, list[float]] = {}
    for row in rows:
        value = getattr(row, column)
        if value is not None and value > 0:
            points.setdefault(row.block, []).append(value)
    return points


def _stretches(rows: Sequence[Gradient], column: str) -> list[dict[float, list[float]]]:
    """The points of each stage, whose lines do not meet."""
    stages = sorted({row.stage for row in rows if row.additive is not None})
    return [
        _points([row for row in rows if row.stage == stage and row.additive is not None], column)
        for stage in stages
    ]


def sentences(rows: Sequence[Gradient]) -> list[str]:
    """From the rows alone: one for each moment of training, and one on the sum form."""
    told = []
    moments = _moments(rows)
    for when, of_moment in moments:
        parts = []
        for name, its in by_network(of_moment).items():
            norms = mean_by(its, "block", "norm")
            if len(norms) > 1:
                ratio = norms[min(norms)] / norms[max(norms)]
                parts.append(
                    f"in {spoken(name)} the gradient at the stem is {_times(ratio)} times that at "
                    "the last block"
                )
        told.append(f"{when.capitalize()}, {'; '.join(parts)}." if parts else "")
    parts = []
    for name, its in by_network(moments[-1][1]).items():
        off = [row.deviation for row in its if row.deviation is not None]
        if off:
            exact = all(row.exact for row in its if row.deviation is not None)
            kind = "exact, and differs" if exact else "an approximation, and differs"
            parts.append(
                f"for {spoken(name)} the sum form 1 + dF/dx is {kind} from the true gradient by up "
                f"to {_times(100 * max(off))} %"
            )
    told.append(f"Within a stage, {'; '.join(parts)}." if parts else "")
    return told


def _times(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.2g}"
