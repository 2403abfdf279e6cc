"""Fig. 3 of any network as SVG: its layers from the image down, plain beside residual, and VGG-19
beside those for photographs.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby, pairwise
from xml.sax.saxutils import escape

from resnet_cli.models.architecture import (
    Activation,
    Architecture,
    Shortcut,
    Stem,
)
from resnet_cli.models.comparison import AnyNetwork
from resnet_cli.models.complexity import multiply_adds, parameters
from resnet_cli.paper.layout import HEIGHT, VGG, Box, Bypass, Drawing, lay_out, vgg_boxes

# (fill, edge) of each stage, as light as the paper's
_COLOURS = (
    ("#f3f3f3", "#9a9a9a"),
    ("#e6e0f2", "#8f7dbb"),
    ("#dcecd6", "#6fa35c"),
    ("#f9dcdc", "#cf7b7b"),
    ("#d9e7f5", "#6b97c4"),
)
_BOX = 150  # pixels, as all that follow
_COLUMN, _BESIDE, _LEFT, _REACH, _ROUND = 330, 260, 215, 98, 12
_FONT = "font-family='Helvetica, Arial, sans-serif'"


def as_svg(net: Architecture) -> str:
    """The network beside its plain counterpart; beside its residual form if it is plain."""
    residual = replace(net, shortcut=Shortcut.A) if net.shortcut is Shortcut.none else net
    plain = replace(residual, shortcut=Shortcut.none)
    drawing = lay_out(residual)
    with_vgg = net.stem is Stem.imagenet
    left = _LEFT + with_vgg * _BESIDE
    width, height = left + 2 * _COLUMN - 60, drawing.height + 58
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height:g}' "
        f"width='{width}' height='{height:g}' role='img' {_FONT}>",
        f"<title>{'VGG-19, ' * with_vgg}{escape(plain.name)} and {escape(residual.name)}</title>",
        "<defs><marker id='tip' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='6' "
        "markerHeight='6' orient='auto'><path d='M0,0.6 L7.4,4 L0,7.4 z' fill='#333'/></marker>"
        "</defs>",
        f"<rect width='{width}' height='{height:g}' fill='white'/>",
        *_sizes(drawing, width),
    ]
    if with_vgg:
        parts += _column(VGG, vgg_boxes(drawing.maps), x=_LEFT, title="VGG-19")
    for number, one in enumerate((plain, residual)):
        x, kind = left + number * _COLUMN, ("plain", "residual")[number]
        parts += _column(one, drawing.boxes, x=x, title=f"{one.depth}-layer {kind}")
        for shortcut in drawing.shortcuts if one is residual else ():
            parts += _curve(shortcut, x=x)
    parts += _legend(residual, x=left - 75, y=drawing.height + 24)
    return "\n".join([*parts, "</svg>", ""])


def _sizes(drawing: Drawing, width: int) -> Iterator[str]:
    """The size of the map beside where it changes, over a faint line."""
    for y, size in drawing.maps:
        yield (
            f"<line x1='16' x2='{width - 16}' y1='{y - 6:g}' y2='{y - 6:g}' stroke='#ddd' "
            "stroke-dasharray='2 4'/>"
        )
        yield f"<text x='18' y='{y + 9:g}' font-size='11' fill='#777'>{size}</text>"


def _column(net: AnyNetwork, boxes: list[Box], *, x: float, title: str) -> Iterator[str]:
    """One network, its middle at `x`."""
    work = multiply_adds(net, image_size=net.image_size)
    yield _text(x, 30, title, size=16, weight="bold")
    if isinstance(net, Architecture) and net.activation is Activation.pre:
        yield _text(x, 66, "BN and ReLU before each convolution", size=11, fill="#555")
    cost = f"{parameters(net) / 1e6:,.2f}M parameters, {work / 1e6:,.0f}M multiply-adds"
    yield _text(x, 50, cost, size=11, fill="#555")
    for above, below in pairwise(boxes):
        yield (
            f"<line x1='{x}' x2='{x}' y1='{above.bottom:g}' y2='{below.y - 1:g}' stroke='#333' "
            "stroke-width='1.1' marker-end='url(#tip)'/>"
        )
    for stage, alike in groupby(boxes, key=lambda box: box.stage):
        fill, edge = _COLOURS[stage % len(_COLOURS)]
        for box in alike:
            dash = " stroke-dasharray='3 3'" if box.is_note else ""
            yield (
                f"<rect x='{x - _BOX / 2:g}' y='{box.y:g}' width='{_BOX}' height='{HEIGHT}' "
                f"rx='4' fill='{'white' if box.is_note else fill}' stroke='{edge}'{dash}/>"
            )
            yield _text(x, box.y + HEIGHT / 2 + 4, box.text, size=11.5)


def _curve(one: Bypass, *, x: float) -> Iterator[str]:
    """A shortcut to the right of its block, and the addition that it ends in."""
    dash = " stroke-dasharray='4 3'" if one.label else ""
    yield (
        f"<path d='M{x:g},{one.start:g} h{_REACH - _ROUND} q{_ROUND},0 {_ROUND},{_ROUND} "
        f"V{one.end - _ROUND:g} q0,{_ROUND} {-_ROUND},{_ROUND} H{x + 7:g}' fill='none' "
        f"stroke='#333' stroke-width='1.1'{dash} marker-end='url(#tip)'/>"
    )
    yield (
        f"<circle cx='{x:g}' cy='{one.end:g}' r='5.5' fill='white' stroke='#333'/>"
        f"<path d='M{x - 3:g},{one.end:g} h6 M{x:g},{one.end - 3:g} v6' stroke='#333'/>"
    )
    if one.label:
        middle = (one.start + one.end) / 2 + 4
        yield _text(x + _REACH + 7, middle, one.label, size=10.5, fill="#555", anchor="start")


def _legend(net: Architecture, *, x: float, y: float) -> Iterator[str]:
    changes = (
        "the dimensions change: " + ("zeros" if net.shortcut is Shortcut.A else "a projection")
        if net.shortcut is not Shortcut.C
        else "a projection"
    )
    at = x
    for dash, told, room in (("", "identity", 100), (" stroke-dasharray='4 3'", changes, 0)):
        yield (
            f"<line x1='{at:g}' x2='{at + 26:g}' y1='{y - 4:g}' y2='{y - 4:g}' "
            f"stroke='#333'{dash}/>"
        )
        yield _text(at + 33, y, told, size=11, fill="#555", anchor="start")
        at += room


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: float,
    fill: str = "#222",
    weight: str = "normal",
    anchor: str = "middle",
) -> str:
    return (
        f"<text x='{x:g}' y='{y:g}' font-size='{size:g}' font-weight='{weight}' fill='{fill}' "
        f"text-anchor='{anchor}'>{escape(text)}</text>"
    )
