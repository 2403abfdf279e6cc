"""Draws a `Plot` as PNG, SVG and what else is asked for.

No window system, no global state, the same bytes for the same data.
"""

import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullFormatter

from resnet_cli.paper.legend import legend_below
from resnet_cli.paper.plot import Panel, Plot
from resnet_cli.paper.prose import clean
from resnet_cli.paper.published import READ_OFF_TO

# Okabe and Ito's colours, told apart by colour-blind eyes too; one a depth.
_COLOURS = {
    18: "#E69F00",
    20: "#E69F00",
    32: "#0072B2",
    34: "#D55E00",
    44: "#009E73",
    56: "#D55E00",
    110: "#000000",
    1202: "#CC79A7",
}
_OTHERS = ("#56B4E9", "#999999", "#0072B2", "#009E73")
_LONGEST = 120  # characters of a title
CARD, _CARD_LINE = 700, 50  # pixels of a TensorBoard card, twice what it has; characters of a line
_BAND_POINTS = 400
_GAP = 1 / 22  # between two names, of the axes' height
_CONTRAST = 4.5  # of text to the white behind it: WCAG 2.2, level AA
_THIN: dict[str, Any] = {"linestyle": "--", "linewidth": 0.9}
_BOLD: dict[str, Any] = {"linestyle": "-", "linewidth": 2.2}
_PRINTED: dict[str, Any] = {"linestyle": "", "marker": "D", "markerfacecolor": "white"}
_READ_OFF: dict[str, Any] = {"linestyle": "", "marker": "o", "markerfacecolor": "white"}
# Nothing in a file that would differ from one day to the next.
METADATA: dict[str, dict[str, Any]] = {
    "png": {},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}


def draw(plot: Plot, folder: Path, *, formats: Sequence[str] = ("png", "svg")) -> list[Path]:
    """Writes NAME.png, NAME.svg ... into `folder`; returns them."""
    paths = [folder / f"{plot.name}.{kind}" for kind in formats]
    with _settings(plot):
        figure = _figure(plot)
        for path, kind in zip(paths, formats, strict=True):
            figure.savefig(path, dpi=150, metadata=METADATA[kind])
    return paths


def draw_card(plot: Plot) -> bytes:
    """The figure as a PNG of `CARD` pixels' width, its panels one above the other."""
    png = BytesIO()
    with _settings(plot):
        figure = _figure(replace(plot, stacked=True), card=True)
        figure.savefig(png, format="png", dpi=CARD / figure.get_figwidth())
    return png.getvalue()


@contextmanager
def _settings(plot: Plot) -> Iterator[None]:
    """Matplotlib as all figures need it."""
    # a dollar in somebody's name begins no formula
    with (
        matplotlib.rc_context({"svg.hashsalt": plot.name, "text.parse_math": False}),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        yield


def _figure(plot: Plot, *, card: bool = False) -> Figure:
    size = (9.0, 7.5) if plot.stacked else (max(7.5, 1 + 4.5 * len(plot.panels)), 4.4)
    if card:
        size = (4.5, 1 + 2.6 * len(plot.panels))
    figure = Figure(figsize=size, layout="constrained")
    shape = (len(plot.panels), 1) if plot.stacked else (1, len(plot.panels))
    grid = figure.subplots(*shape, sharex=True, sharey=True, squeeze=False).flatten()
    depths = sorted({curve.depth for panel in plot.panels for curve in panel.curves})
    shades = {depth: _colour(depth, depths) for depth in depths}
    for axes, panel in zip(grid, plot.panels, strict=True):
        _draw_panel(axes, panel, plot, shades)
    for axes in grid if plot.stacked else grid[:1]:
        axes.set_ylabel(plot.y_label)
    if plot.log:
        grid[0].set_yscale("log")
        for axes in grid:  # without formulas, which text.parse_math forbids
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        grid[0].set_ylim(*plot.y_limits)
    if plot.x_end:
        grid[0].set_xlim(0, plot.x_end / plot.unit)
    for axes, panel in zip(grid, plot.panels, strict=True):
        _name_ends(axes, panel, plot, shades)
    if card:
        for axes in grid:
            axes.label_outer()
    legend_below(figure, _legend(plot))
    title = _shown(plot.title)
    figure.suptitle(textwrap.fill(title, _CARD_LINE) if card else title, fontsize=11)
    return figure


def _legend(plot: Plot) -> list[Line2D | Patch | ErrorbarContainer]:
    """What lines, bands and marks stand for."""
    thin, bold = plot.styles
    grey: dict[str, Any] = {"color": "grey"}
    handles: list[Line2D | Patch | ErrorbarContainer] = [
        Line2D([], [], label=thin, **grey, **_THIN),
        Line2D([], [], label=bold, **grey, **_BOLD),
    ]
    if any(curve.band for panel in plot.panels for curve in panel.curves):
        handles.append(Patch(facecolor="grey", alpha=0.25, label="lowest to highest seed"))
    marks = [mark for panel in plot.panels for mark in panel.marks]
    if any(not mark.read_off for mark in marks):
        handles.append(Line2D([], [], label=plot.printed_are, **grey, **_PRINTED))
    if any(mark.read_off for mark in marks):
        label = f"the paper's end, read off its figure (±{READ_OFF_TO:g})"
        handles.append(Line2D([], [], label=label, **grey, **_READ_OFF))
    return handles


def _draw_panel(axes: Axes, panel: Panel, plot: Plot, shades: dict[int, str]) -> None:
    """The curves and marks of one panel; a single point is a dot."""
    for curve in panel.curves:
        style = _BOLD if curve.bold else _THIN
        dot = "o" if len(curve.x) == 1 else None
        x = [at / plot.unit for at in curve.x]
        axes.plot(x, curve.y, color=shades[curve.depth], marker=dot, **style)
        if curve.band:
            band = outlined(x, *curve.band)
            axes.fill_between(*band, color=shades[curve.depth], alpha=0.25, linewidth=0)
    for mark in panel.marks:
        x_end = (plot.x_end or 0) / plot.unit
        shared: dict[str, Any] = {"color": shades[mark.depth], "markersize": 6, "zorder": 5}
        if mark.read_off:
            bars = axes.errorbar(
                [x_end], [mark.y], yerr=READ_OFF_TO, capsize=3, **shared, **_READ_OFF
            )
            for part in bars.get_children():
                part.set_clip_on(False)
        else:
            axes.plot([x_end], [mark.y], clip_on=False, **shared, **_PRINTED)
    axes.set_title(_shown(panel.title))
    axes.set_xlabel(plot.x_label, fontsize=9)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def outlined(
    x: Sequence[float], low: Sequence[float], high: Sequence[float]
) -> tuple[Sequence[float], Sequence[float], Sequence[float]]:
    """A band of some 400 points at most that holds all of the given one: more would make a large
    file, and be narrower than a line.
    """
    step = -(-len(x) // _BAND_POINTS)
    if step <= 1:
        return x, low, high
    nodes = [*range(0, len(x) - 1, step), len(x) - 1]
    around = [slice(max(0, node - step), node + step + 1) for node in nodes]
    return (
        [x[node] for node in nodes],
        [min(low[part]) for part in around],
        [max(high[part]) for part in around],
    )


def _name_ends(axes: Axes, panel: Panel, plot: Plot, shades: dict[int, str]) -> None:
    """Names the networks where their bold curves end (the others' where there is none), on the
    plot and apart from each other.
    """
    # data -> 0 ... 1 from the bottom to the top of the axes
    to_height = axes.transScale + axes.transLimits
    bold = {curve.label for curve in panel.curves if curve.bold}
    named = [curve for curve in panel.curves if curve.bold or curve.label not in bold]
    for end in sorted({curve.x[-1] for curve in named}):
        here = [
            (min(1.0, to_height.transform((1, curve.y[-1]))[1]), curve)
            for curve in named
            if curve.x[-1] == end
        ]
        height = -_GAP
        for exact, curve in sorted(here, key=lambda one: one[0]):
            height = max(exact, height + _GAP)
            text = axes.annotate(
                _shown(curve.label),
                (end / plot.unit, height),
                (9, 0),
                axes.get_xaxis_transform(),
                "offset points",
                va="center",
            )
            text.set(color=readable(shades[curve.depth]), fontsize=9)


def _shown(text: str) -> str:
    """What fits and prints."""
    words = clean(text)
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST]}..."


def _colour(depth: int, depths: list[int]) -> str:
    others = [one for one in depths if one not in _COLOURS]
    return _COLOURS.get(depth) or _OTHERS[others.index(depth) % len(_OTHERS)]


def readable(colour: str) -> str:
    """The colour, as much darker as text on white needs."""
    shade = to_rgb(colour)
    while 1.05 / (luminance(shade) + 0.05) < _CONTRAST:
        shade = (0.95 * shade[0], 0.95 * shade[1], 0.95 * shade[2])
    return to_hex(shade)


def luminance(colour: tuple[float, float, float]) -> float:
    """WCAG's relative luminance of sRGB values in 0..1."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return sum(
        weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True)
    )
