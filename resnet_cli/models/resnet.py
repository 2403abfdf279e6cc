"""Plain and residual networks on one code path: block -> stage -> network.

Modules have torchvision's names (`conv1`, `bn1`, `layer1.0.conv1`, `downsample.0`, `fc`), so that
weights can be exchanged with it.
"""

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch._compile import _disable_dynamo
from torch.nn.functional import relu
from torch.utils.checkpoint import checkpoint

from resnet_cli.models.architecture import EXPANSION, Activation, Architecture, Stem
from resnet_cli.models.blocks import PreactBlock, ResidualBlock, conv, make_block
from resnet_cli.models.comparison import AnyNetwork
from resnet_cli.models.layers import BatchNorm, recomputing, save_for_backward


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

    # torch.compiler.disable would wake the compiler, which takes seconds, for a mere definition
    @_disable_dynamo
    def _eager(self, x: Tensor) -> Tensor:
        return super().forward(x)


class Network(nn.Module):
    """What is trained and tested: normalized images [N, 3, H, W] -> logits [N, num_classes]."""

    architecture: AnyNetwork
    activation_checkpointing: bool


class ResNet(Network):
    """The network that an `Architecture` describes.

    Normalized images [N, 3, H, W] -> logits [N, num_classes].
    """

    architecture: Architecture

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture, self.activation_checkpointing = architecture, False
        cifar, pre = architecture.stem is Stem.cifar, architecture.activation is Activation.pre
        stem = architecture.stem_channels
        self.conv1 = conv(3, stem, size=3) if cifar else conv(3, stem, size=7, stride=2)
        self.bn1 = None if pre else BatchNorm(stem)
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
        # where BN and ReLU stand before convolutions, the last addition has none behind it yet
        self.bn = BatchNorm(outputs[-1]) if pre else None
        self.fc = nn.Linear(outputs[-1], architecture.num_classes)
        first = self.get_submodule("layer1.0")
        if isinstance(first, PreactBlock):
            first.shares_activation = True  # its BN and ReLU are those of the stem
        self.apply(initialize)

    def _make_stage(self, inputs: int, width: int, *, stride: int, blocks: int) -> _Stage:
        """`blocks` blocks of one width; only the first changes dimensions."""
        net = self.architecture
        outputs = EXPANSION[net.block] * width
        dimensions = [(inputs, stride)] + [(outputs, 1)] * (blocks - 1)
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
        x = self.conv1(x)
        if self.bn1 is not None:
            x = relu(self.bn1(x))
        return x if self.maxpool is None else self.maxpool(save_for_backward(x))

    def _body(self, x: Tensor) -> Tensor:
        """Images -> what the last block makes of them."""
        x = self.stem(x)
        for stage in self.stages:
            x = self.get_submodule(stage)(x)
        return x

    def _activated(self, x: Tensor) -> Tensor:
        """The last block's output as the head sees it."""
        return x if self.bn is None else relu(self.bn(x))

    def features(self, x: Tensor) -> Tensor:
        """The last map: images [N, 3, H, W] -> [N, C, H / stride, W / stride], rounded up."""
        return self._activated(self._body(x))

    def head(self, x: Tensor) -> Tensor:
        """What the last block made, [N, C, H, W] -> logits [N, num_classes]."""
        x = self._activated(x)
        return self.fc(save_for_backward(x).mean(dim=(2, 3)))  # global average pool

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self._body(x))


@torch.no_grad()
def initialize(module: nn.Module) -> None:
    """He initialization (He et al. 2015, Eq. 10): normal with fan-in, as Caffe's MSRA filler.

    Biases are 0; BN keeps its default scale 1 and shift 0.
    """
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
