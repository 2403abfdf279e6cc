"""The figure: training error dashed, test error bold, plain left and residual right, as Fig. 6 (and, of two depths, Fig. 1)."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from resnet_cli.paper.runs import Run

# Okabe and Ito's colours, told apart by colour-blind eyes too; one a depth.
COLOURS = {20: "#E69F00", 32: "#0072B2", 44: "#009E73", 56: "#D55E00", 110: "#000000", 1202: "#CC79A7"}
OTHERS = ("#56B4E9", "#999999")
PANELS = (("plain", True), ("residual", False))


def colour(depth: int, depths: Sequence[int]) -> str:
    others = [one for one in depths if one not in COLOURS]
    return COLOURS.get(depth) or OTHERS[others.index(depth) % len(OTHERS)]


def draw_degradation(runs: Sequence[Run], path: Path, *, title: str) -> None:
    """Draws the curves of `runs` (one for each network) into the PNG or SVG `path`. Errors in percent over iterations."""
    panels = [(name, [run for run in runs if run.is_plain == is_plain]) for name, is_plain in PANELS]
    panels = [(name, drawn) for name, drawn in panels if drawn]
    figure = Figure(figsize=(1 + 4.5 * len(panels), 4.4), layout="constrained")  # no window system, no global state
    depths = sorted({run.depth for run in runs})
    longest = max(run.iterations for run in runs)
    scale = next(power for power in (1e4, 1e3, 1.0) if longest >= 2 * power or power == 1)
    row = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (name, drawn) in zip(row, panels, strict=True):
        for run in drawn:
            draw_run(axes, run, colour(run.depth, depths), scale=scale)
        name_ends(axes, drawn, depths, scale=scale, gap=top(runs) / 22)
        axes.set_title(name)
        axes.set_xlabel("iterations" if scale == 1 else f"iterations ({scale:.0e})".replace("e+0", "e"))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    row[0].set_ylabel("error (%)")
    row[0].set_ylim(0, top(runs))
    styles = [
        Line2D([], [], color="grey", linestyle="--", linewidth=1, label="training error"),
        Line2D([], [], color="grey", linewidth=2.4, label="test error"),
    ]
    figure.legend(handles=styles, loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=150)


def draw_run(axes: Axes, run: Run, shade: str, *, scale: float) -> None:
    """Both curves of one run; a single point is a dot."""
    for name, style, width in (("train/error", "--", 1.0), ("test/error", "-", 2.4)):
        x, y = run.curve(name)
        axes.plot([one / scale for one in x], y, style, color=shade, linewidth=width, marker="o" if len(x) == 1 else None)


def name_ends(axes: Axes, runs: Sequence[Run], depths: Sequence[int], *, scale: float, gap: float) -> None:
    """Names the runs where their bold curves end, from the lowest up and at least `gap` percent apart."""
    ends = sorted(((y[-1], x[-1], run) for run in runs for x, y in [run.curve("test/error")] if x), key=lambda end: end[0])
    height = -gap
    for error, iteration, run in ends:
        height = max(error, height + gap)
        shade = colour(run.depth, depths)
        axes.annotate(run.network, (iteration / scale, height), (4, 0), textcoords="offset points", color=shade, va="center", fontsize=9)


def top(runs: Sequence[Run]) -> float:
    """The axis' end: the paper's 20 % where every curve ends below it, else room for the worst."""
    ends = [value for run in runs for name in ("train/error", "test/error") if (value := run.last(name)) is not None]
    worst = max(ends, default=100.0)
    return 20.0 if worst < 18 and all(run.iterations >= 64_000 for run in runs) else min(100.0, max(40.0, 1.6 * worst))
