"""What a network costs: parameters and multiply-adds, the paper's "FLOPs".

Arithmetic on an `Architecture`; nothing is built, so no PyTorch is needed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from resnet_cli.models.architecture import EXPANSION, Architecture, Block, Shortcut, Stem, StrideIn


@dataclass(frozen=True, kw_only=True)
class _Convolution:
    inputs: int
    outputs: int
    size: int  # of the kernel
    side: int  # of the map it makes
    groups: int = 1

    @property
    def weights(self) -> int:
        return self.size**2 * self.inputs // self.groups * self.outputs


def parameters(net: Architecture) -> int:
    """Learned values: convolutions, the scales and shifts of the BN behind each, fc."""
    convolutions = sum(one.weights + 2 * one.outputs for one in _convolutions(net, image_size=1))
    return convolutions + (_features(net) + 1) * net.num_classes


def multiply_adds(net: Architecture, *, image_size: int) -> int:
    """Multiply-adds of convolutions and fc for one image (Table 1's count).

    `image_size`: pixels a side.
    """
    convolutions = sum(
        one.weights * one.side**2 for one in _convolutions(net, image_size=image_size)
    )
    return convolutions + _features(net) * net.num_classes


def _features(net: Architecture) -> int:
    """Channels of the last map."""
    return EXPANSION[net.block] * net.widths[-1]


def _convolutions(net: Architecture, *, image_size: int) -> Iterator[_Convolution]:
    """Every convolution of the network, in the order images pass them."""
    inputs = net.widths[0]
    if net.stem is Stem.cifar:
        side = image_size
        yield _Convolution(inputs=3, outputs=inputs, size=3, side=side)
    else:
        side = _halved(image_size)
        yield _Convolution(inputs=3, outputs=inputs, size=7, side=side)
        side = _halved(side)  # max pool
    for stage, (width, blocks) in enumerate(zip(net.widths, net.blocks, strict=True)):
        for block in range(blocks):
            halves = stage > 0 and block == 0
            yield from _block(net, inputs=inputs, width=width, side=side, halves=halves)
            inputs = EXPANSION[net.block] * width
            side = _halved(side) if halves else side


def _block(
    net: Architecture, *, inputs: int, width: int, side: int, halves: bool
) -> Iterator[_Convolution]:
    """The convolutions of a building block, whose input's map is of `side` pixels."""
    outputs, after = EXPANSION[net.block] * width, _halved(side) if halves else side
    if net.block is Block.basic:
        yield _Convolution(inputs=inputs, outputs=width, size=3, side=after)
        yield _Convolution(inputs=width, outputs=width, size=3, side=after)
    else:
        inner = net.inner_width(width)
        first = after if net.stride_in is StrideIn.first else side
        yield _Convolution(inputs=inputs, outputs=inner, size=1, side=first)
        yield _Convolution(inputs=inner, outputs=inner, size=3, side=after, groups=net.groups)
        yield _Convolution(inputs=inner, outputs=outputs, size=1, side=after)
    changes = halves or inputs != outputs
    if net.shortcut is Shortcut.C or (net.shortcut is Shortcut.B and changes):
        yield _Convolution(inputs=inputs, outputs=outputs, size=1, side=after)


def _halved(side: int) -> int:
    """After a stride of 2."""
    return (side + 1) // 2
