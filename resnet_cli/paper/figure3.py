"""Fig. 3 of any network as SVG: its layers from the image down, plain beside residual, and VGG-19
beside those for photographs.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from xml.sax.saxutils import escape

from resnet_cli.models.architecture import (
    EXPANSION,
    Activation,
    Architecture,
    Block,
    Family,
    Shortcut,
    Stem,
    StrideIn,
)
from resnet_cli.models.comparison import VGG_STAGES, AnyNetwork, make_comparison, vgg_width
from resnet_cli.models.complexity import multiply_adds, parameters

_WHOLE = 62  # layers; of a deeper network a stage shows few blocks and how many more there are
_SHOWN = 2  # blocks of such a stage
# (fill, edge) of each stage, as light as the paper's
_COLOURS = (
    ("#f3f3f3", "#9a9a9a"),
    ("#e6e0f2", "#8f7dbb"),
    ("#dcecd6", "#6fa35c"),
    ("#f9dcdc", "#cf7b7b"),
    ("#d9e7f5", "#6b97c4"),
)
_BOX, _HEIGHT, _GAP, _BLOCK_GAP, _STAGE_GAP = 150, 22, 11, 36, 12  # pixels
_ADDS, _FORKS = 12, 23  # below a block: its addition, and where the next shortcut leaves
_COLUMN, _BESIDE, _LEFT, _TOP, _REACH, _ROUND = 330, 260, 215, 84, 98, 12
_VGG = make_comparison(Family.vgg, 19)
_FONT = "font-family='Helvetica, Arial, sans-serif'"


@dataclass(frozen=True)
class _Box:
    """One layer, or a pool, or the note of blocks left out."""

    text: str
    stage: int  # 0: the stem and what follows the last stage
    y: float
    is_note: bool = False

    @property
    def bottom(self) -> float:
        return self.y + _HEIGHT


@dataclass(frozen=True)
class _Shortcut:
    """From above a block's first layer to the addition below its last."""

    start: float
    end: float
    label: str  # empty for an identity


@dataclass(frozen=True)
class _Drawing:
    """The layers of a network from top to bottom; shortcuts are those of its residual form."""

    boxes: list[_Box]
    shortcuts: list[_Shortcut]
    maps: list[tuple[float, str]]  # where the map's size changes, and to what
    height: float


def as_svg(net: Architecture) -> str:
    """The network beside its plain counterpart; beside its residual form if it is plain."""
    residual = replace(net, shortcut=Shortcut.A) if net.shortcut is Shortcut.none else net
    plain = replace(residual, shortcut=Shortcut.none)
    drawing = _lay_out(residual)
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
        parts += _column(_VGG, _vgg_boxes(drawing.maps), x=_LEFT, title="VGG-19")
    for number, one in enumerate((plain, residual)):
        x, kind = left + number * _COLUMN, ("plain", "residual")[number]
        parts += _column(one, drawing.boxes, x=x, title=f"{one.depth}-layer {kind}")
        for shortcut in drawing.shortcuts if one is residual else ():
            parts += _curve(shortcut, x=x)
    parts += _legend(residual, x=left - 75, y=drawing.height + 24)
    return "\n".join([*parts, "</svg>", ""])


def _vgg_boxes(maps: list[tuple[float, str]]) -> list[_Box]:
    """VGG-19's layers, each where the networks beside it have a map of its size."""
    at = {size: y for y, size in maps}
    boxes, side = [_Box("image", 0, _TOP)], 224
    for stage, convolutions in enumerate(VGG_STAGES[_VGG.depth], start=1):
        colour = max(0, stage - 2)  # that of the stage with the same map
        layers = [f"3x3 conv, {vgg_width(stage)}"] * convolutions
        y = boxes[0].bottom + _GAP
        if stage > 1:
            y, layers = at[f"{side}x{side}"], ["2x2 max pool, /2", *layers]
        boxes += [_Box(text, colour, y + n * (_HEIGHT + _GAP)) for n, text in enumerate(layers)]
        side //= 2
    boxes.append(_Box("2x2 max pool, /2", 4, at[f"{side}x{side}"]))
    ends = ("fc, 4096", "fc, 4096", f"fc, {_VGG.num_classes}")
    return [*boxes, *(_Box(t, 0, at["1x1"] + n * (_HEIGHT + _GAP)) for n, t in enumerate(ends))]


def _lay_out(net: Architecture) -> _Drawing:
    """Where everything stands."""
    cifar = net.stem is Stem.cifar
    side, y = net.image_size, float(_TOP)
    boxes, shortcuts, maps = [_Box("image", 0, y)], [], [(y, f"{side}x{side}")]
    beside = 2 * (_HEIGHT + _GAP)  # room for VGG's two layers more of the larger maps

    def add(text: str, stage: int, *, gap: float = _GAP, is_note: bool = False) -> None:
        boxes.append(_Box(text, stage, boxes[-1].bottom + gap, is_note))

    if cifar:
        add(f"3x3 conv, {net.stem_channels}", 0, gap=_BLOCK_GAP)
    else:
        add(f"7x7 conv, {net.stem_channels}, /2", 0, gap=_BLOCK_GAP + beside)
        maps.append((boxes[-1].y, f"{side // 2}x{side // 2}"))
        add("3x3 max pool, /2", 0, gap=_GAP + beside)
        side //= 4
        maps.append((boxes[-1].y, f"{side}x{side}"))
    inputs = net.stem_channels
    for stage, (width, blocks) in enumerate(zip(net.widths, net.blocks, strict=True), start=1):
        shown = blocks if net.depth <= _WHOLE or blocks <= _SHOWN + 1 else _SHOWN
        for block in range(shown):
            halves = stage > 1 and block == 0
            start = boxes[-1].bottom + _FORKS
            gap: float = _BLOCK_GAP + (_STAGE_GAP if block == 0 else 0)
            first = True
            for text in _texts(net, width, halves=halves):
                add(text, stage, gap=gap if first else _GAP)
                first = False
                gap = _GAP
            if halves:
                side //= 2
                maps.append((boxes[-net.block_depth].y, f"{side}x{side}"))
            outputs = EXPANSION[net.block] * width
            label = _label(net, inputs, outputs, halves=halves)
            shortcuts.append(_Shortcut(start, boxes[-1].bottom + _ADDS, label))
            inputs = outputs
        if shown < blocks:
            add(f"... {blocks - shown} more of these blocks", stage, gap=_BLOCK_GAP, is_note=True)
    add("global average pool", 0, gap=_BLOCK_GAP + _STAGE_GAP)
    maps.append((boxes[-1].y, "1x1"))
    add(f"fc, {net.num_classes}", 0)
    below = 0 if cifar else _HEIGHT + _GAP  # VGG's third fc layer
    return _Drawing(boxes, shortcuts, maps, boxes[-1].bottom + below)


def _texts(net: Architecture, width: int, *, halves: bool) -> Iterator[str]:
    """The layers of a block, as Fig. 3 writes them."""
    stride = ", /2" if halves else ""
    if net.block is Block.basic:
        yield f"3x3 conv, {width}{stride}"
        for _ in range(net.block_depth - 1):
            yield f"3x3 conv, {width}"
        return
    inner, in_first = net.inner_width(width), net.stride_in is StrideIn.first
    groups = f", {net.groups} groups" if net.groups > 1 else ""
    yield f"1x1 conv, {inner}{stride if in_first else ''}"
    yield f"3x3 conv, {inner}{groups}{'' if in_first else stride}"
    yield f"1x1 conv, {EXPANSION[net.block] * width}"


def _label(net: Architecture, inputs: int, outputs: int, *, halves: bool) -> str:
    changes = halves or inputs != outputs
    if net.shortcut is Shortcut.C or (net.shortcut is Shortcut.B and changes):
        return f"1x1, {outputs}{', /2' if halves else ''}"
    return f"zeros{', /2' if halves else ''}" if changes else ""


def _sizes(drawing: _Drawing, width: int) -> Iterator[str]:
    """The size of the map beside where it changes, over a faint line."""
    for y, size in drawing.maps:
        yield (
            f"<line x1='16' x2='{width - 16}' y1='{y - 6:g}' y2='{y - 6:g}' stroke='#ddd' "
            "stroke-dasharray='2 4'/>"
        )
        yield f"<text x='18' y='{y + 9:g}' font-size='11' fill='#777'>{size}</text>"


def _column(net: AnyNetwork, boxes: list[_Box], *, x: float, title: str) -> Iterator[str]:
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
                f"<rect x='{x - _BOX / 2:g}' y='{box.y:g}' width='{_BOX}' height='{_HEIGHT}' "
                f"rx='4' fill='{'white' if box.is_note else fill}' stroke='{edge}'{dash}/>"
            )
            yield _text(x, box.y + _HEIGHT / 2 + 4, box.text, size=11.5)


def _curve(one: _Shortcut, *, x: float) -> Iterator[str]:
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
