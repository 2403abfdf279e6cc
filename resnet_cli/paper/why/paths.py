"""The figure of paths, and what it says."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resnet_cli.paper.runs import spoken
from resnet_cli.paper.why.records import PathLength
from resnet_cli.paper.why.style import GREY, by_network, colours, dress, extent, ink, log_y, mean_by

NAME = "paths"
TITLE = "Paths through a residual network"
_PART = 95.0  # percent of the gradient that the effective paths carry


def figure(rows: Sequence[PathLength]) -> Figure:
    """Paths of each length; the gradient along one of them; both multiplied."""
    of = by_network(rows)
    shades = colours(of)
    sheet = Figure(figsize=(13, 4.2), layout="constrained")
    count, norm, total = sheet.subplots(1, 3)
    for number, (name, its) in enumerate(of.items()):
        colour = shades[name]
        first, last = effective(its)
        _area(count, mean_by(its, "length", "share"), colour, (first, last))
        _area(total, mean_by(its, "length", "total"), colour, (first, last))
        sums = mean_by(its, "length", "sum_norm")
        whole = sum(sums.values()) or 1.0
        total.plot(
            list(sums),
            [100 * value / whole for value in sums.values()],
            color=colour,
            linestyle=":",
            linewidth=1.4,
        )
        lengths = mean_by(its, "length", "path_norm")
        shown = {at: value for at, value in lengths.items() if value > 0}
        norm.plot(list(shown), list(shown.values()), color=colour, marker="o", markersize=3.5)
        blocks = its[0].blocks
        told = (
            f"{spoken(name)}: lengths {first}-{last}\n{_share(its):.3g} % of the 2^{blocks} paths"
        )
        count.annotate(
            told,
            (0.98, 0.98 - 0.12 * number),
            xycoords="axes fraction",
            ha="right",
            va="top",
            fontsize=8,
            color=ink(colour),
        )
    log_y(norm)
    dress(
        count, title="how many paths", x="length: blocks passed through F", y="share of paths (%)"
    )
    dress(norm, title="gradient along one path", x="length", y="norm of dE/dx_0, log scale")
    dress(total, title="paths × gradient of one path", x="length", y="share of the gradient (%)")
    total.annotate(
        "dotted: norm of the sum\nof all paths of a length",
        (0.98, 0.97),
        xycoords="axes fraction",
        ha="right",
        va="top",
        fontsize=8,
        color=GREY,
    )
    for axes in (count, total):  # room for the words
        axes.set_ylim(0, axes.get_ylim()[1] * (1.15 + 0.15 * len(of)))
    sheet.supxlabel(
        f"shaded: the shortest range of lengths that carries {_PART:g} % of the gradient",
        fontsize=8,
        color=GREY,
    )
    sheet.suptitle(f"{TITLE} ({extent(rows)})", fontsize=11)
    return sheet


def _area(axes: Axes, points: dict[int, float], colour: str, between: tuple[int, int]) -> None:
    x, y = list(points), list(points.values())
    axes.plot(x, y, color=colour, marker="o", markersize=3.5, linewidth=1.4)
    inside = [at for at in x if between[0] <= at <= between[1]]
    axes.fill_between(inside, [points[at] for at in inside], color=colour, alpha=0.25, linewidth=0)


def effective(rows: Sequence[PathLength]) -> tuple[int, int]:
    """The shortest range of lengths that carries 95 % of the gradient."""
    sums = [0.0, *accumulate(mean_by(rows, "length", "total").values())]
    ranges = [
        (last - first, first, last)
        for first in range(len(sums) - 1)
        if (last := bisect_left(sums, sums[first] + _PART - 1e-9) - 1) < len(sums) - 1
    ]
    _, first, last = min(ranges, default=(0, 0, len(sums) - 2))
    return first, last


def _share(rows: Sequence[PathLength]) -> float:
    """Of all paths, how many percent the effective ones are."""
    first, last = effective(rows)
    share = mean_by(rows, "length", "share")
    return sum(value for length, value in share.items() if first <= length <= last)


def sentences(rows: Sequence[PathLength]) -> list[str]:
    """Three sentences, from the rows alone."""
    of = by_network(rows)
    counted, carried, falling = [], [], []
    for name, its in of.items():
        blocks, (first, last) = its[0].blocks, effective(its)
        counted.append(
            f"{spoken(name)} has {blocks} blocks and so "
            f"{f'{2**blocks:,}' if blocks <= 20 else f'2^{blocks}'} paths, of length "
            f"{blocks / 2:g} on average"
        )
        carried.append(
            f"in {spoken(name)}, {_PART:g} % of the gradient comes along paths of {first} to "
            f"{last} blocks, which are {_share(its):.3g} % of all"
        )
        norms = mean_by(its, "length", "path_norm")
        shortest, longest = norms[0], norms[blocks]
        if longest > 0:
            falling.append(
                f"along the one path through every F of {spoken(name)} the gradient is "
                f"{longest / shortest:.2g} times that along the bare shortcuts"
            )
    return [_sentence(counted), _sentence(carried), _sentence(falling)]


def _sentence(parts: Sequence[str]) -> str:
    told = "; ".join(parts)
    return f"{told[0].upper()}{told[1:]}." if told else ""
