"""What a network costs, layer by layer: parameters, multiply-adds (the paper's "FLOPs"), maps.

Arithmetic on an `Architecture`; nothing is built, so no PyTorch is needed.
"""

from collections.abc import Iterator
from dataclasses import replace

from resnet_cli.models.architecture import (
    EXPANSION,
    Activation,
    Architecture,
    Block,
    Shortcut,
    Stem,
    StrideIn,
)
from resnet_cli.models.comparison import AnyNetwork, Comparison
from resnet_cli.models.comparison_layers import comparison_layers
from resnet_cli.models.cost import Layer, halved


def parameters(net: AnyNetwork) -> int:
    """Learned values: convolutions, the scales and shifts of the BN behind each, fc."""
    return sum(layer.parameters for layer in layers(net, image_size=net.image_size))


def multiply_adds(net: AnyNetwork, *, image_size: int) -> int:
    """Multiply-adds of convolutions and fc for one image (Table 1's count).

    `image_size`: pixels a side.
    """
    return sum(layer.multiply_adds for layer in layers(net, image_size=image_size))


def layers(net: AnyNetwork, *, image_size: int) -> Iterator[Layer]:
    """Every layer with weights, in the order images of `image_size` pixels a side pass them; a
    block's projection comes after its other layers.
    """
    if isinstance(net, Comparison):
        yield from comparison_layers(net, image_size=image_size)
        return
    inputs, pre = net.stem_channels, net.activation is Activation.pre
    stem = Layer(
        row="conv1",
        inputs=3,
        outputs=inputs,
        size=3,
        side=image_size,
        normalized=0 if pre else inputs,
    )
    if net.stem is Stem.cifar:
        side = image_size
        yield stem
    else:
        side = halved(image_size)
        yield replace(stem, size=7, side=side, stride=2)
        side = halved(side)  # max pool
    for stage, (width, blocks) in enumerate(zip(net.widths, net.blocks, strict=True)):
        for block in range(blocks):
            halves = stage > 0 and block == 0
            yield from _block(
                net, inputs, row=f"conv{stage + 2}_x", width=width, side=side, halves=halves
            )
            inputs = EXPANSION[net.block] * width
            side = halved(side) if halves else side
    yield Layer(
        row="fc",
        inputs=inputs,
        outputs=net.num_classes,
        size=1,
        side=1,
        bias=True,
        normalized=inputs if pre else 0,  # the last map, before it is pooled
    )


def _block(
    net: Architecture, inputs: int, *, row: str, width: int, side: int, halves: bool
) -> Iterator[Layer]:
    """The convolutions of a building block, whose input's map is of `side` pixels."""
    after, stride = (halved(side), 2) if halves else (side, 1)
    pre = net.activation is Activation.pre

    def layer(inputs: int, outputs: int, size: int, *, halves: bool = False) -> Layer:
        return Layer(
            row=row,
            inputs=inputs,
            outputs=outputs,
            size=size,
            side=after,
            stride=stride if halves else 1,
            normalized=inputs if pre else outputs,
        )

    outputs = EXPANSION[net.block] * width
    changes = halves or inputs != outputs
    if net.block is Block.basic:
        yield layer(inputs, width, 3, halves=True)
        for _ in range(net.block_depth - 1):
            yield layer(width, width, 3)
    else:
        inner, in_first = net.inner_width(width), net.stride_in is StrideIn.first
        yield replace(layer(inputs, inner, 1, halves=in_first), side=after if in_first else side)
        yield replace(layer(inner, inner, 3, halves=not in_first), groups=net.groups)
        yield layer(inner, outputs, 1)
    if net.shortcut is Shortcut.C or (net.shortcut is Shortcut.B and changes):
        projection = replace(layer(inputs, outputs, 1, halves=True), is_shortcut=True)
        yield replace(projection, normalized=0) if pre else projection
