"""What analyses start from: a network as its stem, its blocks one by one, and its head."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from resnet_cli.models.architecture import Family
from resnet_cli.models.blocks import ResidualBlock
from resnet_cli.models.comparison import Comparison
from resnet_cli.models.resnet import Network, ResNet
from resnet_cli.runtime.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a block stands in its network."""

    name: str  # `layer1.0`
    block: ResidualBlock
    stage: int  # from 1
    before: torch.Size  # [C, H, W] of what the block gets
    after: torch.Size  # of what it makes
    pool: nn.Module | None = None  # VGG's, behind the block, whichever stands here

    @property
    def keeps_shape(self) -> bool:
        return self.before == self.after

    def leave(self, x: Tensor) -> Tensor:
        """What the next place gets of a block's output."""
        return x if self.pool is None else self.pool(x)


@dataclass(frozen=True)
class Chain:
    """A network taken apart: normalized images -> stem -> blocks -> head -> logits."""

    stem: Callable[[Tensor], Tensor]
    line: list[Place]
    head: Callable[[Tensor], Tensor]


def in_blocks(network: nn.Module) -> ResNet:
    """The network itself, if it is made of the paper's blocks. Raises UserError."""
    if not isinstance(network, ResNet):
        raise UserError("this network is not made of blocks, so there is nothing to take apart")
    return network


@torch.no_grad()
def places(network: nn.Module, *, image_size: int) -> list[Place]:
    """The blocks of a network in order. Raises UserError for one that has none."""
    network = in_blocks(network)
    x = network.stem(_image(network, image_size))
    found = []
    for name, block in network.named_blocks().items():
        y = block(x)
        stage = network.stages.index(name.split(".")[0]) + 1
        found.append(
            Place(name=name, block=block, stage=stage, before=x.shape[1:], after=y.shape[1:])
        )
        x = y
    return found


def take_apart(network: Network, *, image_size: int) -> Chain:
    """A network of the paper's blocks, or VGG. Raises UserError for others."""
    net = network.architecture
    if isinstance(net, Comparison) and net.family is Family.vgg:
        return _vgg(network, image_size)
    line = places(network, image_size=image_size)
    return Chain(in_blocks(network).stem, line, in_blocks(network).head)


class _VGGLayer(ResidualBlock):
    """A layer of VGG as a plain block of one: convolution, BN where it has any, ReLU."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        super().__init__()
        self.layer, self.downsample = nn.Sequential(*modules), None

    def residual(self, x: Tensor) -> Tensor:
        """What the ReLU gets."""
        return self.layer(x)


@torch.no_grad()
def _vgg(network: Network, image_size: int) -> Chain:
    """The names are those of its paper: `conv3_2`."""
    features = list(network.get_submodule("features").children())
    starts = [at for at, module in enumerate(features) if isinstance(module, nn.Conv2d)]
    x, line, stage, number = _image(network, image_size), [], 1, 1
    for start, end in pairwise([*starts, len(features)]):
        *modules, last = features[start:end]
        pool = last if isinstance(last, nn.MaxPool2d) else None
        block = _VGGLayer(one for one in [*modules, last] if not isinstance(one, _NO_LAYER))
        y = block(x)
        line.append(
            Place(
                name=f"conv{stage}_{number}",
                block=block,
                stage=stage,
                before=x.shape[1:],
                after=y.shape[1:],
                pool=pool,
            )
        )
        x = line[-1].leave(y)
        stage, number = (stage, number + 1) if pool is None else (stage + 1, 1)
    pooled, classifier = network.get_submodule("avgpool"), network.get_submodule("classifier")
    return Chain(lambda x: x, line, lambda x: classifier(pooled(x).flatten(1)))


_NO_LAYER = (nn.ReLU, nn.MaxPool2d)


def _image(network: nn.Module, side: int) -> Tensor:
    return next(network.parameters()).new_zeros(1, 3, side, side)


def without_residual(block: ResidualBlock, x: Tensor) -> Tensor:
    """The block's output with F deleted: what the shortcut carries, and of a plain block, which
    then must not change dimensions, x itself.
    """
    return x if block.downsample is None else block.combine(x.new_zeros(()), x)
