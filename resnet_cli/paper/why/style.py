"""How the figures of resnet-analyze look: colours, axes, bands and files."""

import statistics
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from resnet_cli.paper.draw import METADATA, readable
from resnet_cli.paper.published import FULL_ITERATIONS
from resnet_cli.paper.runs import spoken
from resnet_cli.paper.why.records import Measured, Row, is_plain

# Okabe and Ito's colours: warm for plain networks, cool for residual ones.
_PLAIN = ("#D55E00", "#E69F00", "#CC79A7")
_RESIDUAL = ("#0072B2", "#009E73", "#56B4E9", "#000000")
GREY = "#777777"
CHANCE = {"cifar10": 90.0}  # error of guessing, in percent


def colours(networks: Iterable[str]) -> dict[str, str]:
    """A colour for each network."""
    found: dict[str, str] = {}
    for name in dict.fromkeys(networks):
        family = _PLAIN if is_plain(name) else _RESIDUAL
        taken = sum(one in family for one in found.values())
        found[name] = family[taken % len(family)]
    return found


def by_network(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each network, plain before residual."""
    found: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda one: not one.is_plain):
        found.setdefault(row.network, []).append(row)
    return found


def mean_by(rows: Sequence[Measured], key: str, value: str) -> dict[int, float]:
    """The mean of a column at each value of another, in rising order."""
    found: dict[int, list[float]] = {}
    for row in rows:
        found.setdefault(getattr(row, key), []).append(getattr(row, value))
    return {at: statistics.fmean(found[at]) for at in sorted(found)}


def band(
    axes: Axes,
    points: dict[float, list[float]],
    *,
    colour: str,
    marker: str = "o",
    line: str = "-",
    shaded: bool = True,
) -> None:
    """The mean at each x, and from the lowest to the highest value where there are several."""
    x = sorted(points)
    mean = [statistics.fmean(points[at]) for at in x]
    axes.plot(
        x,
        mean,
        color=colour,
        marker=marker,
        linestyle=line,
        markersize=4.5,
        linewidth=1.6,
    )
    if shaded and any(len(values) > 1 for values in points.values()):
        low, high = [min(points[at]) for at in x], [max(points[at]) for at in x]
        axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)


def dress(axes: Axes, *, title: str, x: str, y: str = "") -> None:
    """Title, labels and a light grid."""
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x, fontsize=9)
    if y:
        axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def log_y(axes: Axes) -> None:
    """A log scale with numbers at 1, 2 and 5, without formulas, which text.parse_math forbids."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    steps = (1.0, 2.0, 5.0) if high < 100 * low else (1.0,)
    axes.yaxis.set_major_locator(LogLocator(subs=steps, numticks=12))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def note(axes: Axes, text: str, at: tuple[float, float], **more: object) -> None:
    """Small grey words at a place in data coordinates."""
    options: dict[str, object] = {"fontsize": 8, "color": GREY, **more}
    axes.annotate(text, at, **options)  # type: ignore[arg-type]


def name_of(rows: Sequence[Measured]) -> str:
    """`ResNet-56`, `plain-20 (2 seeds)`."""
    seeds = {row.seed for row in rows}
    return spoken(rows[0].network) + (f" ({len(seeds)} seeds)" if len(seeds) > 1 else "")


def extent(rows: Sequence[Measured]) -> str:
    """`400 of 64,000 iterations, 1,000 images`: how long the runs were, and what was measured.

    Where networks were trained for different times, it tells which for how long.
    """
    full = FULL_ITERATIONS.get(rows[0].dataset)
    last = {
        (row.network, row.seed): row.iteration
        for row in sorted(rows, key=lambda row: row.iteration or 0)
    }
    lengths = sorted({iteration for iteration in last.values() if iteration})
    told = " and ".join(f"{one:,}" for one in lengths[:3])
    by_name = {spoken(network): iteration for (network, _), iteration in last.items() if iteration}
    if len(lengths) > 1 and len(by_name) == len(last):
        told = ", ".join(f"{name} {by_name[name]:,}" for name in by_name)
    if told and full and lengths != [full]:
        told += f" of {full:,}"
    images = f"{rows[0].images:,} images"
    return f"{told} iterations, {images}" if told else images


def save(
    name: str, make: Callable[[], Figure], folder: Path, formats: Sequence[str] = ("png",)
) -> list[Path]:
    """Draws by `make` and writes NAME.png ... into `folder`: the same bytes for the same data."""
    paths = [folder / f"{name}.{kind}" for kind in formats]
    with (
        matplotlib.rc_context({"svg.hashsalt": name, "text.parse_math": False}),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure = make()
        for path, kind in zip(paths, formats, strict=True):
            figure.savefig(path, dpi=150, metadata=METADATA[kind])
    return paths


def ink(colour: str) -> str:
    """The colour, dark enough for text."""
    return readable(colour)
