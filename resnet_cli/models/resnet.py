"""Plain and residual networks on one code path: shortcut -> block -> stage -> network.

Modules have torchvision's names (`conv1`, `bn1`, `layer1.0.conv1`, `downsample.0`, `fc`), so that
weights can be exchanged with it.
"""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu
from torch.utils.checkpoint import checkpoint

from resnet_cli.models.architecture import EXPANSION, Architecture, Block, Shortcut, Stem, StrideIn
from resnet_cli.models.layers import BatchNorm, recomputing, save_for_backward


def _conv(inputs: int, outputs: int, *, size: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution of the paper: without bias, since BN follows; padded to keep the map's size."""
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, groups=groups, bias=False)


class ZeroPadIdentity(nn.Module):
    """Shortcut A where dimensions change: every `stride`-th pixel, zeros as the new channels.

    [N, inputs, H, W] -> [N, outputs, ceil(H / stride), ceil(W / stride)], the new channels last;
    no parameters (section 3.3).
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.new_channels, self.stride = outputs - inputs, stride

    def forward(self, x: Tensor) -> Tensor:
        return pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new_channels))


def _projection(inputs: int, outputs: int, *, stride: int) -> nn.Sequential:
    """W_s of Eq. 2: a 1x1 convolution and BN."""
    return nn.Sequential(_conv(inputs, outputs, size=1, stride=stride), BatchNorm(outputs))


def _make_shortcut(option: Shortcut, inputs: int, *, outputs: int, stride: int) -> nn.Module | None:
    """The shortcut of one block (section 3.3), or None for a plain block."""
    if option is Shortcut.none:
        return None
    if option is Shortcut.C:
        return _projection(inputs, outputs, stride=stride)
    if inputs == outputs and stride == 1:
        return nn.Identity()  # Eq. 1
    if option is Shortcut.B:
        return _projection(inputs, outputs, stride=stride)
    return ZeroPadIdentity(inputs, outputs, stride=stride)


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
        self.conv1, self.bn1 = _conv(inputs, width, size=3, stride=stride), BatchNorm(width)
        self.conv2, self.bn2 = _conv(width, width, size=3), BatchNorm(width)
        self.downsample = _make_shortcut(net.shortcut, inputs, outputs=width, stride=stride)

    def residual(self, x: Tensor) -> Tensor:
        """F(x): 3x3, 3x3."""
        return self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))


class Bottleneck(ResidualBlock):
    """Fig. 5 right: 1x1, 3x3 and 1x1 convolutions; its output has 4 `width` channels."""

    def __init__(self, net: Architecture, inputs: int, *, width: int, stride: int) -> None:
        super().__init__()
        inner, outputs = net.inner_width(width), EXPANSION[Block.bottleneck] * width
        first, middle = (stride, 1) if net.stride_in is StrideIn.first else (1, stride)
        self.conv1, self.bn1 = _conv(inputs, inner, size=1, stride=first), BatchNorm(inner)
        self.conv2 = _conv(inner, inner, size=3, stride=middle, groups=net.groups)
        self.bn2 = BatchNorm(inner)
        self.conv3, self.bn3 = _conv(inner, outputs, size=1), BatchNorm(outputs)
        self.downsample = _make_shortcut(net.shortcut, inputs, outputs=outputs, stride=stride)

    def residual(self, x: Tensor) -> Tensor:
        """F(x): 1x1 down, 3x3, 1x1 up."""
        return self.bn3(self.conv3(relu(self.bn2(self.conv2(relu(self.bn1(self.conv1(x))))))))


_BLOCKS: dict[Block, Callable[..., ResidualBlock]] = {
    Block.basic: BasicBlock,
    Block.bottleneck: Bottleneck,
}


class _Stage(nn.Sequential):
    """Blocks of one width.

    With `activation_checkpointing`, training saves only the maps between blocks and recomputes
    those within a block for its backward pass: a fraction of the memory for one more forward pass
    (Chen et al. 2016). The results are the same bit for bit.
    """

    activation_checkpointing = False

    def forward(self, x: Tensor) -> Tensor:
        for block in self:
            recompute = self.activation_checkpointing and self.training
            x = _checkpointed(block, x) if recompute else block(x)
        return x


def _checkpointed(block: nn.Module, x: Tensor) -> Tensor:
    """block(x), of which only x is saved for the backward pass."""
    return checkpoint(
        block,
        x,
        use_reentrant=False,
        preserve_rng_state=False,
        context_fn=lambda: (nullcontext(), recomputing()),
    )


class _MaxPool(nn.MaxPool2d):
    """Max pooling that in training always runs PyTorch's own kernel.

    On a CPU, compiled code would scatter the gradients one by one.
    """

    def forward(self, x: Tensor) -> Tensor:
        return self._eager(x) if self.training else super().forward(x)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _eager(self, x: Tensor) -> Tensor:
        return super().forward(x)


class ResNet(nn.Module):
    """The network that an `Architecture` describes.

    Normalized images [N, 3, H, W] -> logits [N, num_classes].
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture, self.activation_checkpointing = architecture, False
        cifar = architecture.stem is Stem.cifar
        stem = architecture.widths[0]
        self.conv1 = _conv(3, stem, size=3) if cifar else _conv(3, stem, size=7, stride=2)
        self.bn1 = BatchNorm(stem)
        self.maxpool = None if cifar else _MaxPool(3, stride=2, padding=1)
        expansion = EXPANSION[architecture.block]
        outputs = [expansion * width for width in architecture.widths]
        inputs = [stem, *outputs[:-1]]
        # the map halves in the first block of every stage but the first
        strides = [1] + [2] * (len(outputs) - 1)
        rows = zip(inputs, architecture.widths, strides, architecture.blocks, strict=True)
        self.stages = [f"layer{number}" for number in range(1, len(outputs) + 1)]
        for name, (channels, width, stride, blocks) in zip(self.stages, rows, strict=True):
            self.add_module(name, self._make_stage(channels, width, stride=stride, blocks=blocks))
        self.fc = nn.Linear(outputs[-1], architecture.num_classes)
        self.apply(_initialize)

    def _make_stage(self, inputs: int, width: int, *, stride: int, blocks: int) -> _Stage:
        """`blocks` blocks of one width; only the first changes dimensions."""
        net = self.architecture
        outputs = EXPANSION[net.block] * width
        dimensions = [(inputs, stride)] + [(outputs, 1)] * (blocks - 1)
        make_block = _BLOCKS[net.block]
        return _Stage(
            *(make_block(net, inputs, width=width, stride=stride) for inputs, stride in dimensions)
        )

    def set_activation_checkpointing(self, on: bool) -> None:
        """Whether training recomputes the maps within each block to save memory."""
        for name in self.stages:
            stage = self.get_submodule(name)
            assert isinstance(stage, _Stage)
            stage.activation_checkpointing = on
        self.activation_checkpointing = on

    def named_blocks(self) -> dict[str, ResidualBlock]:
        """The building blocks in the order images pass them, by their names (`layer1.0`)."""
        return {
            f"{stage}.{name}": block
            for stage in self.stages
            for name, block in self.get_submodule(stage).named_children()
            if isinstance(block, ResidualBlock)
        }

    def stem(self, x: Tensor) -> Tensor:
        """What the first block gets: images [N, 3, H, W] -> [N, C, H, W], or a quarter a side."""
        x = relu(self.bn1(self.conv1(x)))
        return x if self.maxpool is None else self.maxpool(save_for_backward(x))

    def features(self, x: Tensor) -> Tensor:
        """The last map: images [N, 3, H, W] -> [N, C, H / stride, W / stride], rounded up."""
        x = self.stem(x)
        for stage in self.stages:
            x = self.get_submodule(stage)(x)
        return x

    def head(self, x: Tensor) -> Tensor:
        """The last map [N, C, H, W] -> logits [N, num_classes]."""
        return self.fc(save_for_backward(x).mean(dim=(2, 3)))  # global average pool

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


@torch.no_grad()
def _initialize(module: nn.Module) -> None:
    """He initialization (He et al. 2015, Eq. 10): normal with fan-in, as Caffe's MSRA filler.

    Biases are 0; BN keeps its default scale 1 and shift 0.
    """
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
