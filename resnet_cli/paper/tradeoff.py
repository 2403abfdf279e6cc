"""Published error against multiply-adds, with parameters as the size of the dots."""

import io
import re
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.ticker import NullFormatter
from matplotlib.transforms import Bbox

from resnet_cli.models.architecture import Architecture, Shortcut
from resnet_cli.models.complexity import multiply_adds, parameters
from resnet_cli.models.zoo import NETWORKS
from resnet_cli.paper.legend import legend_below
from resnet_cli.paper.published import (
    CIFAR10_PLAIN_TEST_ERROR_READ_OFF,
    CIFAR10_TEST_ERROR,
    IMAGENET_TEN_CROP_ERROR,
    LATER_CIFAR10_TEST_ERROR,
)
from resnet_cli.paper.runs import spoken
from resnet_cli.runtime.errors import UserError
from resnet_cli.runtime.files import write_whole

_COLOURS = {"plain": "#D55E00", "resnet": "#0072B2", "preact": "#009E73", "wrn": "#CC79A7"}
# where a name may stand beside its dot: direction, and the text's own alignment
_SIDES = (
    (1, 0, "left", "center"),
    (-1, 0, "right", "center"),
    (0, -1, "center", "top"),
    (0, 1, "center", "bottom"),
    (0.8, 0.8, "left", "bottom"),
    (-0.8, -0.8, "right", "top"),
    (0.8, -0.8, "left", "top"),
    (-0.8, 0.8, "right", "bottom"),
)
_LABELS = {
    "plain": "plain",
    "resnet": "residual",
    "preact": "residual, pre-activation",
    "wrn": "Wide ResNet",
}
# what differs from one day to the next, left out
_METADATA = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}


@dataclass(frozen=True, kw_only=True)
class Dot:
    name: str
    kind: str
    error: float  # percent
    multiply_adds: int
    parameters: int
    read_off: bool = False  # a curve of Fig. 6, not printed


def dots(errors: dict[str, float | None], *, image_size: int, read_off: bool = False) -> list[Dot]:
    """A dot for each network of ours with a published error in percent."""
    every = [*NETWORKS.values()]
    every += [replace(net, shortcut=one) for net in every for one in Shortcut]
    known: dict[str, Architecture] = {}
    for net in every:
        known.setdefault(net.name, net)
    return [
        Dot(
            name=spoken(name).replace("pre-activation ", "").replace(" bottleneck B", ""),
            kind=re.sub(r"\d.*", "", name),  # plain of plain56
            error=error,
            multiply_adds=multiply_adds(known[name], image_size=image_size),
            parameters=parameters(known[name]),
            read_off=read_off,
        )
        for name, error in errors.items()
        if error is not None
    ]


def draw(path: Path) -> None:
    """Writes the figure as PNG, SVG or PDF, by the suffix. Raises UserError for another one."""
    kind = path.suffix.removeprefix(".")
    if kind not in _METADATA or not path.absolute().parent.is_dir():
        endings = ", ".join(f".{one}" for one in _METADATA)
        raise UserError(f"--plot {path}: name a file in a folder that exists, ending in {endings}")
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "tradeoff", "text.parse_math": False}):
        _figure().savefig(buffer, format=kind, dpi=150, metadata=_METADATA[kind])
    write_whole(path, buffer.getvalue())


def _figure() -> Figure:
    figure = Figure(figsize=(11.5, 5.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    top1 = {name: errors[0] for name, errors in IMAGENET_TEN_CROP_ERROR.items()}
    _panel(left, dots(top1, image_size=224), unit=1e9, area=3.2e-6)
    left.set_title("ImageNet validation, ten-crop (Tables 2 and 3)", fontsize=10)
    left.set_xlabel("multiply-adds for an image (billions)")
    left.set_ylabel("published top-1 error (%)")
    read_off = dots(dict(CIFAR10_PLAIN_TEST_ERROR_READ_OFF), image_size=32, read_off=True)
    printed = LATER_CIFAR10_TEST_ERROR | CIFAR10_TEST_ERROR
    _panel(right, dots(printed, image_size=32) + read_off, unit=1e6, area=4e-5)
    right.set_xscale("log")
    right.xaxis.set_major_formatter("{x:g}")
    right.xaxis.set_minor_formatter(NullFormatter())
    right.set_title("CIFAR-10 test (Table 6, later papers; hollow: read off Fig. 6)", fontsize=10)
    right.set_xlabel("multiply-adds for an image (millions)")
    right.set_ylabel("published test error (%)")
    figure.suptitle("Published error against multiply-adds; a dot's area is its parameters")
    handles = [
        Line2D([], [], linestyle="", marker="o", color=colour, label=_LABELS[kind])
        for kind, colour in _COLOURS.items()
    ]
    legend_below(figure, handles)
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.margins(0.14)
    figure.draw_without_rendering()  # where things lie is known from here on
    figure.set_layout_engine("none")
    for axes in (left, right):
        _name(axes)
    return figure


def _panel(axes: Axes, found: list[Dot], *, unit: float, area: float) -> None:
    """The dots, the largest behind; their names are left to `_name`."""
    for dot in sorted(found, key=lambda dot: -dot.parameters):
        colour = _COLOURS[dot.kind]
        axes.scatter(
            dot.multiply_adds / unit,
            dot.error,
            s=max(12, dot.parameters * area),
            facecolor="none" if dot.read_off else colour,
            edgecolor=colour,
            alpha=0.75,
            label=dot.name,
        )


def _name(axes: Axes) -> None:
    """Writes each dot's name beside it, where it covers neither another name nor a dot."""
    taken: list[Bbox] = []
    dots_there = [one for one in axes.collections if isinstance(one, PathCollection)]
    for dot in dots_there:
        at = axes.transData.transform(np.asarray(dot.get_offsets())[0])
        radius = float(np.sqrt(dot.get_sizes()[0] / np.pi)) * axes.figure.dpi / 72
        taken.append(Bbox.from_extents(*(at - radius), *(at + radius)))
    for dot, own in zip(dots_there, list(taken), strict=True):
        tried: list[tuple[int, Annotation]] = []
        away = (own.width / 2) * 72 / axes.figure.dpi + 3  # points
        for x, y, ha, va in _SIDES:
            text = axes.annotate(
                str(dot.get_label()),
                np.asarray(dot.get_offsets())[0],
                xytext=(x * away, y * away),
                textcoords="offset points",
                ha=ha,
                va=va,
                fontsize=8,
            )
            box = text.get_window_extent()
            covered = sum(box.overlaps(other) for other in taken if other is not own)
            inside = axes.bbox.contains(box.x0, box.y0) and axes.bbox.contains(box.x1, box.y1)
            covered += 2 * (not inside)
            tried.append((covered, text))
        _, best = min(tried, key=lambda one: one[0])
        for _, text in tried:
            if text is not best:
                text.remove()
        taken.append(best.get_window_extent())
