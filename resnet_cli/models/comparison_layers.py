"""The layers of the networks to compare with, by arithmetic, as torchvision builds them."""

from collections.abc import Iterator

from resnet_cli.models.architecture import Family
from resnet_cli.models.comparison import DENSENET_BLOCKS, VGG_STAGES, Comparison, vgg_width
from resnet_cli.models.cost import Layer, halved

_GROWTH, _BOTTLENECK = 32, 4 * 32  # DenseNet: maps a layer adds, and those of its 1x1
# GoogLeNet, Table 1: name, 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection
_INCEPTIONS = (
    ("inception3a", 64, 96, 128, 16, 32, 32),
    ("inception3b", 128, 128, 192, 32, 96, 64),
    ("inception4a", 192, 96, 208, 16, 48, 64),
    ("inception4b", 160, 112, 224, 24, 64, 64),
    ("inception4c", 128, 128, 256, 24, 64, 64),
    ("inception4d", 112, 144, 288, 32, 64, 64),
    ("inception4e", 256, 160, 320, 32, 128, 128),
    ("inception5a", 256, 160, 320, 32, 128, 128),
    ("inception5b", 384, 192, 384, 48, 128, 128),
)


def comparison_layers(net: Comparison, *, image_size: int) -> Iterator[Layer]:
    """Every layer with weights, for images of `image_size` pixels a side."""
    if net.family is Family.vgg:
        return _vgg(net, image_size)
    if net.family is Family.alexnet:
        return _alexnet(net, image_size)
    if net.family is Family.googlenet:
        return _googlenet(net, image_size)
    return _densenet(net, image_size)


def _fc(inputs: int, outputs: int, *, normalized: int = 0) -> Layer:
    return Layer(
        row="fc",
        inputs=inputs,
        outputs=outputs,
        size=1,
        side=1,
        bias=True,
        normalized=normalized,
    )


def _pooled(side: int) -> int:
    """After a 3x3 max pool of stride 2 without padding."""
    return (side - 3) // 2 + 1


def _pooled_up(side: int) -> int:
    """After a 3x3 max pool of stride 2 whose last window may reach over the border."""
    return max(1, side // 2)


def _vgg(net: Comparison, side: int) -> Iterator[Layer]:
    inputs = 3
    for stage, count in enumerate(VGG_STAGES[net.depth], start=1):
        width = vgg_width(stage)
        for _ in range(count):
            yield Layer(
                row=f"conv{stage}",
                inputs=inputs,
                outputs=width,
                size=3,
                side=side,
                bias=True,
                normalized=width if net.batch_norm else 0,
            )
            inputs = width
        side //= 2
    if net.image_size == 32:  # the head for CIFAR-10
        yield _fc(inputs, net.num_classes)
        return
    yield _fc(inputs * 7 * 7, 4096)
    yield _fc(4096, 4096)
    yield _fc(4096, net.num_classes)


def _alexnet(net: Comparison, side: int) -> Iterator[Layer]:
    def layer(number: int, inputs: int, outputs: int, *, size: int, stride: int = 1) -> Layer:
        return Layer(
            row=f"conv{number}",
            inputs=inputs,
            outputs=outputs,
            size=size,
            side=side,
            stride=stride,
            bias=True,
        )

    side = (side + 4 - 11) // 4 + 1
    yield layer(1, 3, 64, size=11, stride=4)
    side = _pooled(side)
    yield layer(2, 64, 192, size=5)
    side = _pooled(side)
    yield layer(3, 192, 384, size=3)
    yield layer(4, 384, 256, size=3)
    yield layer(5, 256, 256, size=3)
    yield _fc(256 * 6 * 6, 4096)
    yield _fc(4096, 4096)
    yield _fc(4096, net.num_classes)


def _googlenet(net: Comparison, side: int) -> Iterator[Layer]:
    def layer(row: str, inputs: int, outputs: int, *, size: int, stride: int = 1) -> Layer:
        return Layer(
            row=row,
            inputs=inputs,
            outputs=outputs,
            size=size,
            side=side,
            stride=stride,
            normalized=outputs,
        )

    side = halved(side)
    yield layer("conv1", 3, 64, size=7, stride=2)
    side = _pooled_up(side)
    yield layer("conv2", 64, 64, size=1)
    yield layer("conv3", 64, 192, size=3)
    side, inputs = _pooled_up(side), 192
    for row, one, three_in, three, five_in, five, pool in _INCEPTIONS:
        if row == "inception4a":
            side = _pooled_up(side)
        elif row == "inception5a":
            side = halved(side)  # 2x2
        yield layer(row, inputs, one, size=1)
        yield layer(row, inputs, three_in, size=1)
        yield layer(row, three_in, three, size=3)
        yield layer(row, inputs, five_in, size=1)
        yield layer(row, five_in, five, size=3)  # 5x5 in the paper
        yield layer(row, inputs, pool, size=1)
        inputs = one + three + five + pool
    yield _fc(inputs, net.num_classes)


def _densenet(net: Comparison, side: int) -> Iterator[Layer]:
    def layer(row: str, inputs: int, outputs: int, *, size: int) -> Layer:
        """A convolution, with the BN before it."""
        return Layer(
            row=row, inputs=inputs, outputs=outputs, size=size, side=side, normalized=inputs
        )

    side, inputs = halved(side), 64
    yield Layer(
        row="conv0", inputs=3, outputs=inputs, size=7, side=side, stride=2, normalized=inputs
    )
    side = halved(side)
    blocks = DENSENET_BLOCKS[net.depth]
    for number, count in enumerate(blocks, start=1):
        for _ in range(count):
            yield layer(f"dense{number}", inputs, _BOTTLENECK, size=1)
            yield layer(f"dense{number}", _BOTTLENECK, _GROWTH, size=3)
            inputs += _GROWTH
        if number < len(blocks):
            yield layer(f"trans{number}", inputs, inputs // 2, size=1)
            side, inputs = side // 2, inputs // 2
    yield _fc(inputs, net.num_classes, normalized=inputs)
