"""Mixed precision with one cast of all weights, and one of all their gradients, in each step.

Autocast casts weight by weight: 21 launches each way for ResNet-20, 111 for ResNet-110.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call


class CastOnce(nn.Module):
    """`network` with the weights of its convolutions and linear layers cast to `dtype` at once.

    Under autocast it computes what `network` does, to the last bit: the same weights are rounded in
    the same way, but by one multi-tensor copy. Parameters and gradients stay float32.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.dtype = network, dtype
        self.names = [
            f"{prefix}.{name}" if prefix else name
            for prefix, layer in network.named_modules()
            if isinstance(layer, nn.Conv2d | nn.Linear)
            for name, _ in layer.named_parameters(recurse=False)
        ]

    def forward(self, images: Tensor) -> Tensor:
        """[N, 3, H, W] -> what `network` makes of it."""
        weights = [self.network.get_parameter(name) for name in self.names]
        cast = _CastAll.apply(self.dtype, *weights)
        output: Tensor = functional_call(
            self.network, dict(zip(self.names, cast, strict=True)), (images,)
        )
        return output


class _CastAll(torch.autograd.Function):
    """Casts tensors to a dtype, and their gradients back."""

    @staticmethod
    def forward(ctx: Any, dtype: torch.dtype, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.dtype = tensors[0].dtype
        return _cast(tensors, dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return None, *_cast(grads, ctx.dtype)


def _cast(tensors: tuple[Tensor, ...], dtype: torch.dtype) -> tuple[Tensor, ...]:
    cast = tuple(torch.empty_like(tensor, dtype=dtype) for tensor in tensors)
    torch._foreach_copy_(cast, tensors)
    return cast
