"""Folds BN into the preceding convolutions.

In eval mode the statistics of BN are constants, so the folded network computes the same function
with fewer operations.
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
from resnet_cli.runtime.signals import held_back


class FoldedBN:
    """An inference-only copy of a network with BN folded into its convolutions.

    `refresh` copies the current weights of the original into it.
    """

    def __init__(self, original: ResNet) -> None:
        self.network = copy.deepcopy(original).eval().requires_grad_(False)
        self.original = original
        self.pairs = list(zip(_conv_bn_pairs(original), _conv_bn_pairs(self.network), strict=True))
        for _, (parent, conv_name, bn_name) in self.pairs:
            conv = parent.get_submodule(conv_name)
            assert isinstance(conv, nn.Conv2d)
            conv.bias = nn.Parameter(conv.weight.new_zeros(len(conv.weight)), requires_grad=False)
            setattr(parent, bn_name, nn.Identity())
        self.refresh()

    def compile(self) -> None:
        """Compiles the copy. No signal reaches the compiler, which any call may start."""
        start_compiling()
        # Without this option the compiler skips some roundings to bf16, and the measured errors
        # would differ from those of the eager network.
        compiled = torch.compile(
            self.network.forward, dynamic=False, options={"emulate_precision_casts": True}
        )
        self.network.forward = held_back()(compiled)  # type: ignore[method-assign]

    def capture(self, capture: Callable[..., CapturedGraph]) -> None:
        """Replays one captured CUDA graph for all batches of the shape of the first."""
        self.network.forward = capture(self.network.forward, state=tuple)  # type: ignore[assignment, method-assign]

    @torch.no_grad()
    def refresh(self) -> None:
        """Folds the current weights of the original in place, so that graphs stay valid."""
        for (parent, conv_name, bn_name), (folded_parent, _, _) in self.pairs:
            conv, bn = parent.get_submodule(conv_name), parent.get_submodule(bn_name)
            folded = folded_parent.get_submodule(conv_name)
            assert isinstance(conv, nn.Conv2d) and isinstance(folded, nn.Conv2d)
            assert isinstance(bn, _BatchNorm) and folded.bias is not None
            assert bn.running_mean is not None and bn.running_var is not None
            weight, bias = fuse_conv_bn_weights(
                conv.weight,
                conv_b=None,
                bn_rm=bn.running_mean,
                bn_rv=bn.running_var,
                bn_eps=bn.eps,
                bn_w=bn.weight,
                bn_b=bn.bias,
            )
            folded.weight.copy_(weight)
            folded.bias.copy_(bias)
        pairs = zip(self.network.fc.parameters(), self.original.fc.parameters(), strict=True)
        for folded_parameter, parameter in pairs:
            folded_parameter.copy_(parameter)


def _conv_bn_pairs(network: nn.Module) -> Iterator[tuple[nn.Module, str, str]]:
    """Every convolution and the BN after it: their parent module, and their names in it."""
    for parent in network.modules():
        children = list(parent.named_children())
        convs = [name for name, child in children if isinstance(child, nn.Conv2d)]
        norms = [name for name, child in children if isinstance(child, _BatchNorm)]
        yield from ((parent, conv, norm) for conv, norm in zip(convs, norms, strict=True))
