"""Draws a `Plot` as PNG and SVG.

No window system, no global state, the same bytes for the same data.
"""

import warnings
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from resnet_cli.paper.figures import Panel, Plot
from resnet_cli.paper.prose import clean

# Okabe and Ito's colours, told apart by colour-blind eyes too; one a depth.
COLOURS = {
    18: "#E69F00",
    20: "#E69F00",
    32: "#0072B2",
    34: "#D55E00",
    44: "#009E73",
    56: "#D55E00",
    110: "#000000",
    1202: "#CC79A7",
}
OTHERS = ("#56B4E9", "#999999", "#0072B2", "#009E73")
_LONGEST = 120  # characters of a title
GAP = 1 / 22  # between two names, of the axes' height
THIN: dict[str, Any] = {"linestyle": "--", "linewidth": 0.9}
BOLD: dict[str, Any] = {"linestyle": "-", "linewidth": 2.2}


def draw(plot: Plot, folder: Path) -> list[Path]:
    """Writes NAME.png and NAME.svg into `folder`; returns them."""
    paths = [folder / f"{plot.name}.{kind}" for kind in ("png", "svg")]
    # a dollar in somebody's name begins no formula
    with (
        matplotlib.rc_context({"svg.hashsalt": plot.name, "text.parse_math": False}),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure = _figure(plot)
        for path, metadata in zip(paths, ({}, {"Date": None}), strict=True):
            figure.savefig(path, dpi=150, metadata=metadata)
    return paths


def _figure(plot: Plot) -> Figure:
    figure = Figure(
        figsize=(9, 7.5) if plot.stacked else (max(7.5, 1 + 4.5 * len(plot.panels)), 4.4),
        layout="constrained",
    )
    shape = (len(plot.panels), 1) if plot.stacked else (1, len(plot.panels))
    grid = figure.subplots(*shape, sharex=True, sharey=True, squeeze=False).flatten()
    depths = sorted({curve.depth for panel in plot.panels for curve in panel.curves})
    shades = {depth: colour(depth, depths) for depth in depths}
    for axes, panel in zip(grid, plot.panels, strict=True):
        draw_panel(axes, panel, plot, shades)
    for axes in grid if plot.stacked else grid[:1]:
        axes.set_ylabel(plot.y_label)
    if plot.log:
        grid[0].set_yscale("log")
    else:
        grid[0].set_ylim(*plot.y_limits)
    if plot.x_end:
        grid[0].set_xlim(0, plot.x_end / plot.unit)
    for axes, panel in zip(grid, plot.panels, strict=True):
        name_ends(axes, panel, plot, shades)
    thin, bold = plot.styles
    styles = [
        Line2D([], [], color="grey", label=thin, **THIN),
        Line2D([], [], color="grey", label=bold, **BOLD),
    ]
    if any(panel.marks for panel in plot.panels):
        styles.append(
            Line2D(
                [],
                [],
                color="grey",
                label=plot.marks_are,
                linestyle="",
                marker="D",
                markerfacecolor="white",
            )
        )
    figure.legend(handles=styles, loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle(_shown(plot.title), fontsize=11)
    return figure


def draw_panel(axes: Axes, panel: Panel, plot: Plot, shades: dict[int, str]) -> None:
    """The curves and marks of one panel; a single point is a dot."""
    for curve in panel.curves:
        style = BOLD if curve.bold else THIN
        dot = "o" if len(curve.x) == 1 else None
        axes.plot(
            [x / plot.unit for x in curve.x],
            curve.y,
            color=shades[curve.depth],
            marker=dot,
            **style,
        )
    for mark in panel.marks:
        x = (plot.x_end or 0) / plot.unit
        axes.plot(
            [x],
            [mark.y],
            "D",
            color=shades[mark.depth],
            markerfacecolor="white",
            markersize=6,
            clip_on=False,
            zorder=5,
        )
    axes.set_title(_shown(panel.title))
    axes.set_xlabel(plot.x_label, fontsize=9)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def name_ends(axes: Axes, panel: Panel, plot: Plot, shades: dict[int, str]) -> None:
    """Names the networks where their bold curves end (the others' where there is none), on the
    plot and apart from each other.
    """
    # data -> 0 ... 1 from the bottom to the top of the axes
    to_height = axes.transScale + axes.transLimits
    bold = {curve.name for curve in panel.curves if curve.bold}
    named = [curve for curve in panel.curves if curve.bold or curve.name not in bold]
    for end in sorted({curve.x[-1] for curve in named}):
        here = [
            (min(1.0, to_height.transform((1, curve.y[-1]))[1]), curve)
            for curve in named
            if curve.x[-1] == end
        ]
        height = -GAP
        for exact, curve in sorted(here, key=lambda one: one[0]):
            height = max(exact, height + GAP)
            text = axes.annotate(
                _shown(curve.name),
                (end / plot.unit, height),
                (7, 0),
                axes.get_xaxis_transform(),
                "offset points",
                va="center",
            )
            text.set(color=shades[curve.depth], fontsize=9)


def _shown(text: str) -> str:
    """What fits and prints."""
    words = clean(text)
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST]}..."


def colour(depth: int, depths: list[int]) -> str:
    others = [one for one in depths if one not in COLOURS]
    return COLOURS.get(depth) or OTHERS[others.index(depth) % len(OTHERS)]
