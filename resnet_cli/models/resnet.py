"""Plain and residual networks, one code path: shortcut -> block -> stage -> network.

Modules carry torchvision's names (`conv1`, `bn1`, `layer1.0.conv1`, `downsample.0`, `fc`), so
weights go both ways.
"""

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu
from torch.utils.checkpoint import checkpoint

from resnet_cli.models.architecture import EXPANSION, Architecture, Block, Shortcut, Stem, StrideIn
from resnet_cli.models.layers import BatchNorm, recomputing, save_for_backward


def conv(inputs: int, outputs: int, *, size: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution as every one of the paper: no bias (BN follows), the map's size kept but
    for the stride.
    """
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, groups=groups, bias=False)


class ZeroPadIdentity(nn.Module):
    """Option A where dimensions change: every second pixel, and zeros for the new channels, which
    come last.

    [N, inputs, H, W] -> [N, outputs, ceil(H / stride), ceil(W / stride)]; no parameters.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.new_channels, self.stride = outputs - inputs, stride

    def forward(self, x: Tensor) -> Tensor:
        return pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new_channels))


def projection(inputs: int, outputs: int, *, stride: int) -> nn.Sequential:
    """W_s of Eq. 2: a 1x1 convolution and BN."""
    return nn.Sequential(conv(inputs, outputs, size=1, stride=stride), BatchNorm(outputs))


def make_shortcut(option: Shortcut, inputs: int, outputs: int, *, stride: int) -> nn.Module | None:
    """The shortcut of one block (section 3.3), or None for a plain block."""
    if option is Shortcut.none:
        return None
    if option is Shortcut.C:
        return projection(inputs, outputs, stride=stride)
    if inputs == outputs and stride == 1:
        return nn.Identity()  # Eq. 1
    if option is Shortcut.B:
        return projection(inputs, outputs, stride=stride)
    return ZeroPadIdentity(inputs, outputs, stride=stride)


class BasicBlock(nn.Module):
    """Fig. 5 left: [N, inputs, H, W] -> [N, width, H / stride, W / stride]."""

    def __init__(self, net: Architecture, inputs: int, width: int, *, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, width, size=3, stride=stride), BatchNorm(width)
        self.conv2, self.bn2 = conv(width, width, size=3), BatchNorm(width)
        self.downsample = make_shortcut(net.shortcut, inputs, width, stride=stride)

    def residual(self, x: Tensor) -> Tensor:
        """F(x): what is left to learn once x is carried past."""
        return self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))

    def forward(self, x: Tensor) -> Tensor:
        if self.downsample is None:
            return relu(self.residual(x))
        return relu(self.residual(x) + self.downsample(x))  # Eq. 1, Eq. 2


class Bottleneck(BasicBlock):
    """Fig. 5 right: [N, inputs, H, W] -> [N, 4 width, H / stride, W / stride], the 3x3 on a
    quarter of the channels.
    """

    def __init__(self, net: Architecture, inputs: int, width: int, *, stride: int) -> None:
        nn.Module.__init__(self)
        inner, outputs = net.inner_width(width), EXPANSION[Block.bottleneck] * width
        first, middle = (stride, 1) if net.stride_in is StrideIn.first else (1, stride)
        self.conv1, self.bn1 = conv(inputs, inner, size=1, stride=first), BatchNorm(inner)
        self.conv2, self.bn2 = (
            conv(inner, inner, size=3, stride=middle, groups=net.groups),
            BatchNorm(inner),
        )
        self.conv3, self.bn3 = conv(inner, outputs, size=1), BatchNorm(outputs)
        self.downsample = make_shortcut(net.shortcut, inputs, outputs, stride=stride)

    def residual(self, x: Tensor) -> Tensor:
        """F(x): 1x1 down, 3x3, 1x1 up."""
        return self.bn3(self.conv3(relu(self.bn2(self.conv2(relu(self.bn1(self.conv1(x))))))))


BLOCKS = {Block.basic: BasicBlock, Block.bottleneck: Bottleneck}


class Stage(nn.Sequential):
    """Blocks of one width.

    With `checkpointing`, training keeps the maps between blocks alone and computes those within a
    block again for its backward pass: a fraction of the memory for one forward pass more (Chen et
    al. 2016). The numbers are the same.
    """

    checkpointing = False

    def forward(self, x: Tensor) -> Tensor:
        for block in self:
            x = recompute(block, x) if self.checkpointing and self.training else block(x)
        return x


def recompute(block: nn.Module, x: Tensor) -> Tensor:
    """block(x), of which only x is kept until the backward pass."""
    return checkpoint(
        block,
        x,
        use_reentrant=False,
        preserve_rng_state=False,
        context_fn=lambda: (nullcontext(), recomputing()),
    )


class MaxPool(nn.MaxPool2d):
    """In training always PyTorch's kernel: its compiler would scatter the gradients on a CPU
    one by one.
    """

    def forward(self, x: Tensor) -> Tensor:
        return self.kernel(x) if self.training else super().forward(x)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def kernel(self, x: Tensor) -> Tensor:
        return super().forward(x)


class ResNet(nn.Module):
    """The network an `Architecture` describes: images [N, 3, H, W] -> logits [N, num_classes]."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture, self.checkpoints = architecture, False
        cifar = architecture.stem is Stem.cifar
        stem = architecture.widths[0]
        self.conv1 = conv(3, stem, size=3) if cifar else conv(3, stem, size=7, stride=2)
        self.bn1 = BatchNorm(stem)
        self.maxpool = None if cifar else MaxPool(3, stride=2, padding=1)
        expansion = EXPANSION[architecture.block]
        outputs = [expansion * width for width in architecture.widths]
        inputs = [stem, *outputs[:-1]]
        # the map halves in the first block of every stage but the first
        strides = [1] + [2] * (len(outputs) - 1)
        rows = zip(inputs, architecture.widths, strides, architecture.blocks, strict=True)
        self.stages = [f"layer{number}" for number in range(1, len(outputs) + 1)]
        for name, (channels, width, stride, blocks) in zip(self.stages, rows, strict=True):
            self.add_module(name, self.make_stage(channels, width, stride=stride, blocks=blocks))
        self.fc = nn.Linear(outputs[-1], architecture.num_classes)
        self.apply(initialise)

    def make_stage(self, inputs: int, width: int, *, stride: int, blocks: int) -> Stage:
        """`blocks` blocks of one width; only the first changes dimensions."""
        net = self.architecture
        outputs = EXPANSION[net.block] * width
        dimensions = [(inputs, stride)] + [(outputs, 1)] * (blocks - 1)
        return Stage(
            *(BLOCKS[net.block](net, inputs, width, stride=stride) for inputs, stride in dimensions)
        )

    def checkpoint(self, on: bool) -> None:
        """Whether training keeps little and computes it again."""
        for stage in self.stages:
            layers = self.get_submodule(stage)
            assert isinstance(layers, Stage)
            layers.checkpointing = on
        self.checkpoints = on

    def features(self, x: Tensor) -> Tensor:
        """The last map: images [N, 3, H, W] -> [N, C, H / stride, W / stride], rounded up."""
        x = relu(self.bn1(self.conv1(x)))
        if self.maxpool is not None:
            x = self.maxpool(save_for_backward(x))
        for stage in self.stages:
            x = self.get_submodule(stage)(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(save_for_backward(self.features(x)).mean(dim=(2, 3)))  # global average pool


@torch.no_grad()
def initialise(module: nn.Module) -> None:
    """He initialisation (He et al. 2015, Eq. 10: normal, fan-in, as Caffe's MSRA filler);
    biases 0, BN 1 and 0.
    """
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
