"""What a network costs, layer by layer: parameters, multiply-adds (the paper's "FLOPs"), maps.

Arithmetic on an `Architecture`; nothing is built, so no PyTorch is needed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from resnet_cli.models.architecture import (
    EXPANSION,
    Activation,
    Architecture,
    Block,
    Shortcut,
    Stem,
    StrideIn,
)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A convolution, or the fully connected layer as one of 1x1, with the BN that belongs to it."""

    row: str  # of Table 1: conv1, conv2_x, ...
    inputs: int  # channels
    outputs: int
    size: int  # of the kernel
    side: int  # of the map it makes, in pixels
    stride: int = 1
    groups: int = 1
    bias: bool = False
    normalized: int = 0  # channels of its BN, each with a scale and a shift
    is_shortcut: bool = False

    @property
    def weights(self) -> int:
        """Of the kernel alone."""
        return self.size**2 * self.inputs // self.groups * self.outputs

    @property
    def parameters(self) -> int:
        """All that is learned: weights, biases, and BN's scales and shifts."""
        return self.weights + self.bias * self.outputs + 2 * self.normalized

    @property
    def multiply_adds(self) -> int:
        """For one image; biases and BN are not counted (Table 1's count)."""
        return self.weights * self.side**2

    @property
    def values(self) -> int:
        """Of the maps it makes of one image."""
        return self.outputs * self.side**2


def parameters(net: Architecture) -> int:
    """Learned values: convolutions, the scales and shifts of the BN behind each, fc."""
    return sum(layer.parameters for layer in layers(net, image_size=1))


def multiply_adds(net: Architecture, *, image_size: int) -> int:
    """Multiply-adds of convolutions and fc for one image (Table 1's count).

    `image_size`: pixels a side.
    """
    return sum(layer.multiply_adds for layer in layers(net, image_size=image_size))


def layers(net: Architecture, *, image_size: int) -> Iterator[Layer]:
    """Every layer with weights, in the order images of `image_size` pixels a side pass them; a
    block's projection comes after its other layers.
    """
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
        side = _halved(image_size)
        yield replace(stem, size=7, side=side, stride=2)
        side = _halved(side)  # max pool
    for stage, (width, blocks) in enumerate(zip(net.widths, net.blocks, strict=True)):
        for block in range(blocks):
            halves = stage > 0 and block == 0
            yield from _block(
                net, inputs, row=f"conv{stage + 2}_x", width=width, side=side, halves=halves
            )
            inputs = EXPANSION[net.block] * width
            side = _halved(side) if halves else side
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
    after, stride = (_halved(side), 2) if halves else (side, 1)
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


def _halved(side: int) -> int:
    """After a stride of 2."""
    return (side + 1) // 2
