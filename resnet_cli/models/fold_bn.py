"""BN folded into the convolutions before it: for testing, where its statistics stand still, the
same function with less to do.
"""

import copy
from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

from resnet_cli.models.resnet import ResNet
from resnet_cli.runtime.compile import start_compiling
from resnet_cli.runtime.cuda_graph import CapturedGraph


class FoldedBN:
    """A copy of a network for testing alone, `network`; `refresh` takes up what the original
    has learned since.
    """

    def __init__(self, original: ResNet) -> None:
        self.network = copy.deepcopy(original).eval().requires_grad_(False)
        self.original = original
        self.pairs = list(zip(convolutions(original), convolutions(self.network), strict=True))
        for _, (holder, conv, norm) in self.pairs:
            layer = holder.get_submodule(conv)
            assert isinstance(layer, nn.Conv2d)
            layer.bias = nn.Parameter(
                layer.weight.new_zeros(len(layer.weight)), requires_grad=False
            )
            setattr(holder, norm, nn.Identity())
        self.refresh()

    def compile(self) -> None:
        """With the roundings of the uncompiled network, so with its errors: in bf16 the
        compiler would leave some out.
        """
        start_compiling()
        self.network.compile(dynamic=False, options={"emulate_precision_casts": True})

    def capture(self, capture: Callable[..., CapturedGraph]) -> None:
        """Replays a recording for all batches as large as the first."""
        self.network.forward = capture(self.network.forward, state=tuple)  # type: ignore[assignment, method-assign]

    @torch.no_grad()
    def refresh(self) -> None:
        """In place, so that what was compiled or captured of `network` goes on."""
        for (holder, conv, norm), (mine, _, _) in self.pairs:
            theirs, layer, copied = (
                holder.get_submodule(conv),
                holder.get_submodule(norm),
                mine.get_submodule(conv),
            )
            assert (
                isinstance(theirs, nn.Conv2d)
                and isinstance(copied, nn.Conv2d)
                and isinstance(layer, _BatchNorm)
            )
            assert (
                copied.bias is not None
                and layer.running_mean is not None
                and layer.running_var is not None
            )
            mean, variance = layer.running_mean, layer.running_var
            weight, bias = fuse_conv_bn_weights(
                theirs.weight, None, mean, variance, layer.eps, layer.weight, layer.bias
            )
            copied.weight.copy_(weight)
            copied.bias.copy_(bias)
        for copied_, theirs_ in zip(
            self.network.fc.parameters(), self.original.fc.parameters(), strict=True
        ):
            copied_.copy_(theirs_)


def convolutions(network: nn.Module) -> Iterator[tuple[nn.Module, str, str]]:
    """Every convolution and the BN behind it: the module that holds both, and their names in it."""
    for holder in network.modules():
        children = list(holder.named_children())
        convs = [name for name, child in children if isinstance(child, nn.Conv2d)]
        norms = [name for name, child in children if isinstance(child, _BatchNorm)]
        yield from ((holder, conv, norm) for conv, norm in zip(convs, norms, strict=True))
