"""BN and ReLU in plain sums and products, for PyTorch's compiler to fuse with what stands beside them.

Not for use without it: one by one their kernels are quicker.
"""

from typing import Any

import torch
from torch import Tensor

MAP, BATCH = (2, 3), (0,)


def kept(x: Tensor) -> Tensor:
    """x, which a ReLU gave and a pool takes; the compiler will keep it for the backward pass."""
    return Keep.apply(x) if torch.compiler.is_compiling() else x


class Keep(torch.autograd.Function):
    """Passes the gradient through the ReLU a second time, which changes nothing but that numbers are needed for it.

    Without that the compiler would keep a mask of bools instead, which it writes and reads one by one.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grads[0] * x.sign()


class Normalise(torch.autograd.Function):
    """BN of a batch (Ioffe and Szegedy 2015, Alg. 1 and the gradients of their section 3).

    PyTorch's own way of taking it apart sums more slowly, and keeps mean and deviation in bf16 for the backward pass.
    Here they stay in float32, as in its kernels.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        """x [N, C, H, W] -> normalised, the same; mean and biased variance of the batch, float32 [C]."""
        values, count = x.float(), x.numel() // x.shape[1]
        near = values[:1, :, :1, :1]  # some value of each channel: what is summed is small, so the variance loses no digits
        apart = values - near
        mean = total(apart) * (1 / count)
        variance = (total(apart * apart) * (1 / count) - mean * mean).clamp_min(0)
        mean = mean + near
        inverse = (variance + eps).rsqrt()
        scale = per_channel(weight) * inverse
        ctx.save_for_backward(x, weight, mean, inverse)
        mean_, variance_ = mean.flatten(), variance.flatten()
        ctx.mark_non_differentiable(mean_, variance_)
        return (values * scale + (per_channel(bias) - mean * scale)).to(x.dtype), mean_, variance_

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """The gradients of x, weight and bias."""
        x, weight, mean, inverse = ctx.saved_tensors
        share = x.shape[1] / x.numel()
        grad = grads[0].float()
        grad_bias = total(grad)
        product = total(grad * (x.float() - mean)) * inverse  # with the normalised values: the gradient of the weight
        scale = per_channel(weight) * inverse
        slope = -scale * inverse * product * share
        start = -scale * grad_bias * share - mean * slope
        return (grad * scale + x.float() * slope + start).to(x.dtype), product.flatten(), grad_bias.flatten(), None


def total(values: Tensor) -> Tensor:
    """Over images and places, map by map: [N, C, H, W] -> [1, C, 1, 1]. Short sums lose few digits."""
    return values.sum(MAP, keepdim=True).sum(BATCH, keepdim=True)


def per_channel(values: Tensor) -> Tensor:
    return values[None, :, None, None]
