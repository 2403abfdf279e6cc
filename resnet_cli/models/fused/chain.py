"""A network's convolutions in the order in which images pass them, and its shortcuts."""

from dataclasses import dataclass

from torch import Tensor, nn

from resnet_cli.models.blocks import ZeroPadIdentity
from resnet_cli.models.layers import BatchNorm
from resnet_cli.models.resnet import ResNet


@dataclass(frozen=True, kw_only=True)
class Shortcut:
    """Shortcut A, from the map that layer `start` reads to where it is added."""

    start: int
    stride: int = 1
    before: int = 0  # new channels before the old ones


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A convolution and the BN behind it; with the last of a block its shortcut ends."""

    conv: nn.Conv2d
    bn: BatchNorm
    shortcut: Shortcut | None = None

    @property
    def parameters(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weights of the convolution, scale and shift of BN."""
        return self.conv.weight, self.bn.weight, self.bn.bias

    @property
    def stride(self) -> int:
        """Of the convolution."""
        return self.conv.stride[0]


def chain(network: ResNet) -> list[Layer]:
    """The stem and the layers of all basic blocks."""
    assert isinstance(network.bn1, BatchNorm)
    layers = [Layer(conv=network.conv1, bn=network.bn1)]
    for block in network.named_blocks().values():
        start, parts = len(layers), dict(block.named_children())
        depth = sum(isinstance(part, nn.Conv2d) for part in parts.values())
        for number in range(1, depth + 1):
            convolution, bn = parts[f"conv{number}"], parts[f"bn{number}"]
            assert isinstance(convolution, nn.Conv2d) and isinstance(bn, BatchNorm)
            shortcut = _shortcut(block.downsample, start) if number == depth else None
            layers.append(Layer(conv=convolution, bn=bn, shortcut=shortcut))
    return layers


def _shortcut(module: nn.Module | None, start: int) -> Shortcut | None:
    if module is None:
        return None
    if isinstance(module, ZeroPadIdentity):
        return Shortcut(start=start, stride=module.stride, before=module.before)
    assert isinstance(module, nn.Identity), "projections have a convolution and a BN of their own"
    return Shortcut(start=start)
