"""Where the layers of Fig. 3 stand: a network from top to bottom, in pixels."""

from collections.abc import Iterator
from dataclasses import dataclass

from resnet_cli.models.architecture import (
    EXPANSION,
    Architecture,
    Block,
    Family,
    Shortcut,
    Stem,
    StrideIn,
)
from resnet_cli.models.comparison import VGG_STAGES, make_comparison, vgg_width

VGG = make_comparison(Family.vgg, 19)
HEIGHT, TOP = 22, 84  # of a layer's box; of the first box
_WHOLE = 62  # layers; of a deeper network a stage shows few blocks and how many more there are
_SHOWN = 2  # blocks of such a stage
_GAP, _BLOCK_GAP, _STAGE_GAP = 11, 36, 12
_ADDS, _FORKS = 12, 23  # below a block: its addition, and where the next shortcut leaves


@dataclass(frozen=True)
class Box:
    """One layer, or a pool, or the note of blocks left out."""

    text: str
    stage: int  # 0: the stem and what follows the last stage
    y: float
    is_note: bool = False

    @property
    def bottom(self) -> float:
        return self.y + HEIGHT


@dataclass(frozen=True)
class Bypass:
    """From above a block's first layer to the addition below its last."""

    start: float
    end: float
    label: str  # empty for an identity


@dataclass(frozen=True)
class Drawing:
    """The layers of a network from top to bottom; shortcuts are those of its residual form."""

    boxes: list[Box]
    shortcuts: list[Bypass]
    maps: list[tuple[float, str]]  # where the map's size changes, and to what
    height: float


def vgg_boxes(maps: list[tuple[float, str]]) -> list[Box]:
    """VGG-19's layers, each where the networks beside it have a map of its size."""
    at = {size: y for y, size in maps}
    boxes, side = [Box("image", 0, TOP)], 224
    for stage, convolutions in enumerate(VGG_STAGES[VGG.depth], start=1):
        colour = max(0, stage - 2)  # that of the stage with the same map
        layers = [f"3x3 conv, {vgg_width(stage)}"] * convolutions
        y = boxes[0].bottom + _GAP
        if stage > 1:
            y, layers = at[f"{side}x{side}"], ["2x2 max pool, /2", *layers]
        boxes += [Box(text, colour, y + n * (HEIGHT + _GAP)) for n, text in enumerate(layers)]
        side //= 2
    boxes.append(Box("2x2 max pool, /2", 4, at[f"{side}x{side}"]))
    ends = ("fc, 4096", "fc, 4096", f"fc, {VGG.num_classes}")
    return [*boxes, *(Box(t, 0, at["1x1"] + n * (HEIGHT + _GAP)) for n, t in enumerate(ends))]


def lay_out(net: Architecture) -> Drawing:
    """Where everything stands."""
    cifar = net.stem is Stem.cifar
    side, y = net.image_size, float(TOP)
    boxes, shortcuts, maps = [Box("image", 0, y)], [], [(y, f"{side}x{side}")]
    beside = 2 * (HEIGHT + _GAP)  # room for VGG's two layers more of the larger maps

    def add(text: str, stage: int, *, gap: float = _GAP, is_note: bool = False) -> None:
        boxes.append(Box(text, stage, boxes[-1].bottom + gap, is_note))

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
            shortcuts.append(Bypass(start, boxes[-1].bottom + _ADDS, label))
            inputs = outputs
        if shown < blocks:
            add(f"... {blocks - shown} more of these blocks", stage, gap=_BLOCK_GAP, is_note=True)
    add("global average pool", 0, gap=_BLOCK_GAP + _STAGE_GAP)
    maps.append((boxes[-1].y, "1x1"))
    add(f"fc, {net.num_classes}", 0)
    below = 0 if cifar else HEIGHT + _GAP  # VGG's third fc layer
    return Drawing(boxes, shortcuts, maps, boxes[-1].bottom + below)


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
