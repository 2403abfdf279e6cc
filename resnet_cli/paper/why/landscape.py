"""The figure of loss landscapes, and what it says."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.tri import Triangulation
from mpl_toolkits.mplot3d import Axes3D

from resnet_cli.paper.runs import spoken
from resnet_cli.paper.why.records import Point
from resnet_cli.paper.why.style import dress, extent

NAME = "landscape"
TITLE = "The loss around the weights"
_HIGHEST = 1000.0  # nats; what is above is drawn as this, and the scale says so
_LEVELS = 25


def _by_run(rows: Sequence[Point]) -> dict[tuple[str, int | None], list[Point]]:
    """The points of each run, plain before residual."""
    found: dict[tuple[str, int | None], list[Point]] = {}
    for row in sorted(rows, key=lambda one: not one.is_plain):
        found.setdefault((row.network, row.seed), []).append(row)
    return {key: its for key, its in found.items() if _spans_a_plane(its)}


def _spans_a_plane(rows: Sequence[Point]) -> bool:
    return len({row.a for row in rows}) > 1 and len({row.b for row in rows}) > 1


def _height(row: Point) -> float:
    """log10 of the loss, within what is drawn."""
    loss = row.loss if math.isfinite(row.loss) else _HIGHEST
    return math.log10(min(max(loss, 1e-6), _HIGHEST))


def figure(rows: Sequence[Point]) -> Figure:
    """Each run as a surface above, as contours below, all in one scale."""
    runs = _by_run(rows)
    sheet = Figure(figsize=(1.2 + 4.6 * len(runs), 8.4), layout="constrained")
    heights = [_height(row) for its in runs.values() for row in its]
    low, high = min(heights), max(max(heights), min(heights) + 0.1)
    levels, ticks = np.linspace(low, high, _LEVELS), _ticks(low, high)
    levels[-1] += 1e-6 * (high - low)  # the last level leaves out a plateau as high as itself
    above, below = [], []
    for number, ((network, seed), its) in enumerate(runs.items()):
        plane = Triangulation([row.a for row in its], [row.b for row in its])
        z = np.array([_height(row) for row in its])
        name = spoken(network) + (f", seed {seed}" if seed is not None else "")
        surface = sheet.add_subplot(2, len(runs), 1 + number, projection="3d")
        assert isinstance(surface, Axes3D)
        surface.plot_trisurf(plane, z, cmap="viridis", vmin=low, vmax=high, linewidth=0.1,
                             edgecolor=(1, 1, 1, 0.15), antialiased=True)  # fmt: skip
        surface.set_zlim(low, high)
        surface.set_zticks(list(ticks), labels=list(ticks.values()))
        surface.tick_params(labelsize=7, pad=0)
        reach = max(max(abs(row.a), abs(row.b)) for row in its)
        surface.set_xticks([-reach, 0, reach], labels=[f"{-reach:g}", "0", f"{reach:g}"])
        surface.set_yticks([-reach, 0, reach], labels=[f"{-reach:g}", "0", f"{reach:g}"])
        surface.view_init(elev=32, azim=-58)
        surface.set_title(name, fontsize=11)
        flat = sheet.add_subplot(2, len(runs), 1 + len(runs) + number)
        filled = flat.tricontourf(plane, z, levels=levels, cmap="viridis")
        flat.tricontour(plane, z, levels=levels[::2], colors="white", linewidths=0.5, alpha=0.7)
        flat.plot([0], [0], marker="*", color="white", markeredgecolor="black", markersize=11)
        flat.set_aspect("equal")
        flat.xaxis.set_major_locator(MaxNLocator(4))
        flat.yaxis.set_major_locator(MaxNLocator(4))
        middle = min(its, key=lambda row: row.a**2 + row.b**2)
        title = f"star: the trained weights, loss {middle.loss:.3g}, error {middle.error:.2f} %"
        dress(flat, title=title, x="along direction 1", y="along direction 2" if not number else "")
        flat.grid(visible=False)
        above.append(surface)
        below.append(flat)
    bar = sheet.colorbar(filled, ax=below, location="bottom", shrink=0.6, aspect=40, pad=0.03)
    beyond = math.log10(_HIGHEST)
    bar.set_ticks(list(ticks), labels=["≥" * (at == beyond) + word for at, word in ticks.items()])
    bar.set_label("loss (nats), log scale; directions in lengths of the filters", fontsize=9)
    sheet.suptitle(f"{TITLE} ({extent(rows)})", fontsize=11)
    return sheet


def can_draw(rows: Sequence[Point]) -> bool:
    """Whether a run has points enough."""
    return bool(_by_run(rows))


def _ticks(low: float, high: float) -> dict[float, str]:
    """Where on the log scale the losses 1, 2, 5, 10 ... are, and how they are written."""
    for steps in ((1, 2, 5), (1,)):
        losses = [step * 10.0**power for power in range(-6, 4) for step in steps]
        inside = {
            math.log10(loss): f"{loss:g}" for loss in losses if low <= math.log10(loss) <= high
        }
        if len(inside) <= 9:
            break
    return inside if len(inside) > 1 else {at: f"{10**at:.3g}" for at in (low, high)}


def sentences(rows: Sequence[Point]) -> list[str]:
    """Three sentences, from the rows alone: the middle, the basin, the edge."""
    middle, basin, edge = [], [], []
    for (network, _), its in _by_run(rows).items():
        name = spoken(network)
        centre = min(its, key=lambda row: row.a**2 + row.b**2)
        reach = max(max(abs(row.a), abs(row.b)) for row in its)
        middle.append(f"{name} has a loss of {centre.loss:.3g}")
        near = [row for row in its if row.loss <= 2 * centre.loss]
        basin.append(f"{100 * len(near) / len(its):.3g} % of the points for {name}")
        border = [row for row in its if max(abs(row.a), abs(row.b)) == reach]
        finite = sorted(row.loss for row in border if math.isfinite(row.loss))
        if finite:
            edge.append(f"{finite[len(finite) // 2]:.3g} for {name}")
    return [
        f"At the trained weights, {'; '.join(middle)}.",
        f"The loss is at most twice that at {'; '.join(basin)}.",
        f"Its median on the border of the square is {'; '.join(edge)}." if edge else "",
    ]
