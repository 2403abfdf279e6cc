"""The building blocks of Fig. 5 and their shortcuts, and those that He et al. 2016 made of them.

Modules have torchvision's names and stand in the order in which they compute.
"""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.functional import pad, relu

from resnet_cli.models.architecture import (
    EXPANSION,
    Activation,
    Architecture,
    Block,
    Shortcut,
    StrideIn,
    ZeroPadding,
    zeros_before,
)
from resnet_cli.models.layers import BatchNorm


def conv(inputs: int, outputs: int, *, size: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution of the paper: without bias, since BN follows; padded to keep the map's size."""
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, groups=groups, bias=False)


class ZeroPadIdentity(nn.Module):
    """Shortcut A where dimensions change: every `stride`-th pixel, zeros as the new channels.

    [N, inputs, H, W] -> [N, outputs, ceil(H / stride), ceil(W / stride)], the new channels last,
    or on both sides of the old ones; no parameters (section 3.3).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        stride: int,
        padding: ZeroPadding = ZeroPadding.after,
    ) -> None:
        super().__init__()
        self.before, self.stride = zeros_before(outputs - inputs, padding), stride
        self.behind = outputs - inputs - self.before

    def forward(self, x: Tensor) -> Tensor:
        kept = x[:, :, :: self.stride, :: self.stride]
        return pad(kept, (0, 0, 0, 0, self.before, self.behind))


def _projection(net: Architecture, inputs: int, *, outputs: int, stride: int) -> nn.Sequential:
    """W_s of Eq. 2: a 1x1 convolution, and BN unless that stands before each convolution."""
    projection = conv(inputs, outputs, size=1, stride=stride)
    if net.activation is Activation.pre:
        return nn.Sequential(projection)
    return nn.Sequential(projection, BatchNorm(outputs))


def _make_shortcut(
    net: Architecture, inputs: int, *, outputs: int, stride: int
) -> nn.Module | None:
    """The shortcut of one block (section 3.3), or None for a plain block."""
    option = net.shortcut
    if option is Shortcut.none:
        return None
    if option is Shortcut.C:
        return _projection(net, inputs, outputs=outputs, stride=stride)
    if inputs == outputs and stride == 1:
        return nn.Identity()  # Eq. 1
    if option is Shortcut.B:
        return _projection(net, inputs, outputs=outputs, stride=stride)
    return ZeroPadIdentity(inputs, outputs, stride=stride, padding=net.zero_padding)


class ResidualBlock(nn.Module):
    """What both building blocks share: y = F(x) + x, or F(x) alone in a plain network."""

    downsample: nn.Module | None  # the shortcut, by torchvision's name

    def residual(self, x: Tensor) -> Tensor:
        """F(x): what is left to learn once the shortcut carries x."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, outputs, H / stride, W / stride], rounded up."""
        return self.combine(self.branch(x), x)

    def branch(self, x: Tensor) -> Tensor:
        """F as a function of the block's input."""
        return self.residual(x)

    def combine(self, residual: Tensor, x: Tensor) -> Tensor:
        """The block's output, from F(x) and x."""
        if self.downsample is None:
            return relu(residual)
        return relu(residual + self.downsample(x))  # Eq. 1, Eq. 2


class BasicBlock(ResidualBlock):
    """Fig. 5 left: two 3x3 convolutions; its output has `width` channels."""

    def __init__(self, net: Architecture, inputs: int, *, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, width, size=3, stride=stride), BatchNorm(width)
        self.conv2, self.bn2 = conv(width, width, size=3), BatchNorm(width)
        self.downsample = _make_shortcut(net, inputs, outputs=width, stride=stride)

    def residual(self, x: Tensor) -> Tensor:
        """F(x): 3x3, 3x3."""
        return self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))


class Bottleneck(ResidualBlock):
    """Fig. 5 right: 1x1, 3x3 and 1x1 convolutions; its output has 4 `width` channels."""

    def __init__(self, net: Architecture, inputs: int, *, width: int, stride: int) -> None:
        super().__init__()
        inner, outputs = net.inner_width(width), EXPANSION[Block.bottleneck] * width
        first, middle = (stride, 1) if net.stride_in is StrideIn.first else (1, stride)
        self.conv1, self.bn1 = conv(inputs, inner, size=1, stride=first), BatchNorm(inner)
        self.conv2 = conv(inner, inner, size=3, stride=middle, groups=net.groups)
        self.bn2 = BatchNorm(inner)
        self.conv3, self.bn3 = conv(inner, outputs, size=1), BatchNorm(outputs)
        self.downsample = _make_shortcut(net, inputs, outputs=outputs, stride=stride)

    def residual(self, x: Tensor) -> Tensor:
        """F(x): 1x1 down, 3x3, 1x1 up."""
        return self.bn3(self.conv3(relu(self.bn2(self.conv2(relu(self.bn1(self.conv1(x))))))))


class StackedBlock(ResidualBlock):
    """A basic block of another number of layers than two, each 3x3.

    Of a single one section 3.2 says: y = W_1 x + x, "for which we have not observed advantages".
    """

    def __init__(self, net: Architecture, inputs: int, *, width: int, stride: int) -> None:
        super().__init__()
        self.layers = net.layers_per_block
        for number in range(1, self.layers + 1):
            first = number == 1
            layer = conv(inputs if first else width, width, size=3, stride=stride if first else 1)
            self.add_module(f"conv{number}", layer)
            self.add_module(f"bn{number}", BatchNorm(width))
        self.downsample = _make_shortcut(net, inputs, outputs=width, stride=stride)

    def residual(self, x: Tensor) -> Tensor:
        """F(x): 3x3, 3x3, ..."""
        for number in range(1, self.layers + 1):
            x = self.get_submodule(f"bn{number}")(self.get_submodule(f"conv{number}")(x))
            x = relu(x) if number < self.layers else x
        return x


class PreactBlock(ResidualBlock):
    """A block whose BN and ReLU stand before its convolutions (He et al. 2016, Fig. 4e).

    Nothing is behind the addition, so that the identity is not touched on its way through the
    network: x_L = x_l + the sum of all F between them (their Eq. 4).
    """

    bn1: BatchNorm
    # Whether the shortcut, too, gets the activated map: in the network's first block, and where
    # it is a projection (their appendix).
    shares_activation: bool

    def _set_shortcut(self, net: Architecture, inputs: int, *, outputs: int, stride: int) -> None:
        self.downsample = _make_shortcut(net, inputs, outputs=outputs, stride=stride)
        self.shares_activation = isinstance(self.downsample, nn.Sequential)

    def residual(self, x: Tensor) -> Tensor:
        """F of the activated map."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, outputs, H / stride, W / stride], rounded up."""
        activated = relu(self.bn1(x))
        return self._add(self.residual(activated), activated if self.shares_activation else x)

    def branch(self, x: Tensor) -> Tensor:
        """F as a function of the block's input, its activation included."""
        return self.residual(relu(self.bn1(x)))

    def combine(self, residual: Tensor, x: Tensor) -> Tensor:
        """The block's output, from F and x: x_{l+1} = x_l + F (their Eq. 4)."""
        return self._add(residual, relu(self.bn1(x)) if self.shares_activation else x)

    def _add(self, residual: Tensor, carried: Tensor) -> Tensor:
        return residual if self.downsample is None else residual + self.downsample(carried)


class PreactBasicBlock(PreactBlock):
    """Two 3x3 convolutions; its output has `width` channels. Wide ResNets are made of it."""

    def __init__(self, net: Architecture, inputs: int, *, width: int, stride: int) -> None:
        super().__init__()
        self.bn1, self.conv1 = BatchNorm(inputs), conv(inputs, width, size=3, stride=stride)
        self.bn2, self.conv2 = BatchNorm(width), conv(width, width, size=3)
        self._set_shortcut(net, inputs, outputs=width, stride=stride)

    def residual(self, x: Tensor) -> Tensor:
        """F of the activated map: 3x3, 3x3."""
        return self.conv2(relu(self.bn2(self.conv1(x))))


class PreactBottleneck(PreactBlock):
    """1x1, 3x3 and 1x1 convolutions; its output has 4 `width` channels."""

    def __init__(self, net: Architecture, inputs: int, *, width: int, stride: int) -> None:
        super().__init__()
        inner, outputs = net.inner_width(width), EXPANSION[Block.bottleneck] * width
        first, middle = (stride, 1) if net.stride_in is StrideIn.first else (1, stride)
        self.bn1, self.conv1 = BatchNorm(inputs), conv(inputs, inner, size=1, stride=first)
        self.bn2, self.conv2 = BatchNorm(inner), conv(inner, inner, size=3, stride=middle)
        self.bn3, self.conv3 = BatchNorm(inner), conv(inner, outputs, size=1)
        self._set_shortcut(net, inputs, outputs=outputs, stride=stride)

    def residual(self, x: Tensor) -> Tensor:
        """F of the activated map: 1x1 down, 3x3, 1x1 up."""
        return self.conv3(relu(self.bn3(self.conv2(relu(self.bn2(self.conv1(x)))))))


_BLOCKS: dict[tuple[Activation, Block], Callable[..., nn.Module]] = {
    (Activation.post, Block.basic): BasicBlock,
    (Activation.post, Block.bottleneck): Bottleneck,
    (Activation.pre, Block.basic): PreactBasicBlock,
    (Activation.pre, Block.bottleneck): PreactBottleneck,
}


def make_block(net: Architecture, inputs: int, *, width: int, stride: int) -> nn.Module:
    """A block of the network; its output has EXPANSION times `width` channels."""
    if net.layers_per_block != 2:
        return StackedBlock(net, inputs, width=width, stride=stride)
    return _BLOCKS[net.activation, net.block](net, inputs, width=width, stride=stride)
