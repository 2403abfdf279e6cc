"""BN and ReLU in plain sums and products, for PyTorch's compiler to fuse with what stands beside
them.

Not for use without it: one by one their kernels are quicker.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

MAP, BATCH = (2, 3), (0,)


def save_for_backward(x: Tensor) -> Tensor:
    """x, which a ReLU gave and a pool takes; the compiler will keep it for the backward pass."""
    return SaveForBackward.apply(x) if torch.compiler.is_compiling() else x


class SaveForBackward(torch.autograd.Function):
    """Passes the gradient through the ReLU a second time, which changes nothing but that numbers
    are needed for it.

    Without that the compiler would keep a mask of bools instead, which it writes and reads one by
    one.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grads[0] * x.sign()


class BatchNormFunction(torch.autograd.Function):
    """BN of a batch (Ioffe and Szegedy 2015, Alg. 1 and the gradients of their section 3).

    PyTorch's own way of taking it apart sums more slowly, and keeps mean and deviation in bf16 for
    the backward pass. Here they stay in float32, as in its kernels.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """x [N, C, H, W] -> normalised, the same; mean and biased variance of the batch,
        float32 [C].
        """
        values, count = x.float(), x.numel() // x.shape[1]
        # some value of each channel: what is summed is small, so the variance loses no digits
        near = values[:1, :, :1, :1]
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
        # with the normalised values: the gradient of the weight
        product = total(grad * (x.float() - mean)) * inverse
        scale = per_channel(weight) * inverse
        slope = -scale * inverse * product * share
        start = -scale * grad_bias * share - mean * slope
        return (
            (grad * scale + x.float() * slope + start).to(x.dtype),
            product.flatten(),
            grad_bias.flatten(),
            None,
        )


def total(values: Tensor) -> Tensor:
    """Over images and places, map by map: [N, C, H, W] -> [1, C, 1, 1]. Short sums lose few
    digits.
    """
    return values.sum(MAP, keepdim=True).sum(BATCH, keepdim=True)


def per_channel(values: Tensor) -> Tensor:
    return values[None, :, None, None]


is_recomputing: ContextVar[bool] = ContextVar("is_recomputing", default=False)


class BatchNorm(nn.BatchNorm2d):
    """BN whose training statistics are those of every `group` images, as on a device of their own;
    None: of all.

    The running averages are the first group's, as the first device's are what is kept of several.
    """

    group: int | None = None

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> the same; N must be a multiple of `group` while training."""
        if not self.training:
            return super().forward(x)
        first, *others = x.split(self.group or len(x))
        return (
            torch.cat([self.normalize_tracked(first), *map(self.normalize_untracked, others)])
            if others
            else self.normalize_tracked(x)
        )

    def normalize_tracked(self, x: Tensor) -> Tensor:
        """Normalises by the statistics of `x`, which enter the running averages."""
        assert (
            self.running_mean is not None
            and self.running_var is not None
            and self.num_batches_tracked is not None
        )
        assert self.momentum is not None
        if is_recomputing.get():  # the same call as before, on copies
            averages = self.running_mean.clone(), self.running_var.clone()
            return batch_norm(
                x,
                *averages,
                self.weight,
                self.bias,
                training=True,
                momentum=self.momentum,
                eps=self.eps,
            )
        if not torch.compiler.is_compiling():
            return super().forward(x)
        y, mean, variance = BatchNormFunction.apply(x, self.weight, self.bias, self.eps)
        count = x.numel() // x.shape[1]
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)  # unbiased
        return y

    def normalize_untracked(self, x: Tensor) -> Tensor:
        """The same, leaving the running averages alone."""
        if torch.compiler.is_compiling():
            return BatchNormFunction.apply(x, self.weight, self.bias, self.eps)[0]
        return batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)


@contextmanager
def recomputing() -> Iterator[None]:
    """Meanwhile a batch is normalised again that the running averages have seen already."""
    token = is_recomputing.set(True)
    try:
        yield
    finally:
        is_recomputing.reset(token)


def set_bn_groups(network: nn.Module, group: int | None) -> None:
    """Sets the group of every BN layer of a network."""
    for layer in network.modules():
        if isinstance(layer, BatchNorm):
            layer.group = group
