"""The figure of gradients, and what it says."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

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
# column -> line, marker, what it is
_FORMS: dict[str, tuple[Any, str, str]] = {
    "norm": ("-", "o", "right: dE/dx_l, the product form"),
    "additive": ("--", "s", "right: dE/dx_L (1 + d/dx_l ΣF), the sum form"),
    "identity": (":", "", "right: dE/dx_L, what the identity carries"),
}


def _after(rows: Sequence[Gradient], *, start: bool) -> list[Gradient]:
    """Those of the initial weights, or of the last checkpoint of each seed."""
    if start:
        return [row for row in rows if row.iteration == 0]
    last = {row.seed: row.iteration for row in sorted(rows, key=lambda row: row.iteration or 0)}
    return [row for row in rows if row.iteration == last[row.seed] and row.iteration != 0]


def figure(rows: Sequence[Gradient]) -> Figure:
    """Left: before and after training. Right: the identity's part, after training."""
    of = by_network(rows)
    shades = colours(of)
    residual = {name: its for name, its in of.items() if any(row.additive for row in its)}
    sheet = Figure(figsize=(12 if residual else 7, 4.4), layout="constrained")
    grid = sheet.subplots(1, 1 + bool(residual), squeeze=False).flatten()
    for name, its in of.items():
        for start, line, marker in ((True, "--", "."), (False, "-", "o")):
            points = _points(_after(its, start=start), "norm")
            if points:
                band(grid[0], points, colour=shades[name], line=line, marker=marker)
    dress(grid[0], title="before and after training", x="after block (0: the stem)",
          y="norm of dE/dx, log scale")  # fmt: skip
    for name, its in residual.items():
        trained = _after(its, start=False)
        for column, (line, marker, _) in _FORMS.items():
            for points in _stretches(trained, column):
                band(grid[1], points, colour=shades[name], line=line, marker=marker, shaded=False)
    if residual:
        exact = all(row.exact for its in residual.values() for row in its if row.additive)
        words = "exact: pre-activation" if exact else "approximate: a ReLU follows the addition"
        dress(grid[1], title=f"1 + dF/dx within a stage, after training\n({words})",
              x="after block (0: the stem)", y="norm, log scale")  # fmt: skip
    for axes in grid:
        log_y(axes)
    handles = [
        Line2D([], [], color=shades[name], label=name_of(its), linewidth=2)
        for name, its in of.items()
    ]
    handles += [
        Line2D([], [], color=GREY, linestyle="--", marker=".", label="left: initial weights"),
        Line2D([], [], color=GREY, marker="o", markersize=4.5, label="left: trained"),
    ]
    if residual:
        handles += [
            Line2D([], [], color=GREY, linestyle=line, marker=marker, markersize=4.5, label=label)
            for line, marker, label in _FORMS.values()
        ]
    sheet.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
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
    """Three sentences, from the rows alone."""
    of = by_network(rows)
    told = []
    for start, when in ((True, "With initial weights"), (False, "After training")):
        parts = []
        for name, its in of.items():
            norms = mean_by(_after(its, start=start), "block", "norm")
            if len(norms) > 1:
                ratio = norms[min(norms)] / norms[max(norms)]
                parts.append(
                    f"in {spoken(name)} the gradient at the stem is {_times(ratio)} times that at "
                    "the last block"
                )
        told.append(f"{when}, {'; '.join(parts)}." if parts else "")
    parts = []
    for name, its in of.items():
        off = [row.deviation for row in _after(its, start=False) if row.deviation is not None]
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
