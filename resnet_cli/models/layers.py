"""BN and ReLU written as sums and products, which PyTorch's compiler fuses with their neighbors.

Eager code uses PyTorch's own kernels, which are faster one by one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

_MAP, _BATCH = (2, 3), (0,)  # dimensions of [N, C, H, W]


def save_for_backward(x: Tensor) -> Tensor:
    """Returns x, the output of a ReLU; compiled code saves it for the backward pass.

    Without this the compiler saves a mask of bools, which it writes and reads one by one.
    """
    return SaveForBackward.apply(x) if torch.compiler.is_compiling() else x


class SaveForBackward(torch.autograd.Function):
    """The identity; its backward pass applies the ReLU's gradient mask a second time.

    The second application changes no value, but it needs x itself, so that x is saved.
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
    """BN of a batch (Ioffe and Szegedy 2015, Alg. 1, and the gradients in their section 3).

    PyTorch's own decomposition sums more slowly, and saves mean and deviation for the backward
    pass in bf16. Here they stay in float32, as in PyTorch's kernels.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """x [N, C, H, W] -> normalized x, and the batch's mean and biased variance, float32 [C]."""
        values = x.float()
        mean, variance = _statistics(values)
        inverse = (variance + eps).rsqrt()
        scale = _per_channel(weight) * inverse
        ctx.save_for_backward(x, weight, mean, inverse)
        mean_, variance_ = mean.flatten(), variance.flatten()
        ctx.mark_non_differentiable(mean_, variance_)
        normalized = values * scale + (_per_channel(bias) - mean * scale)
        return _as(x.dtype, normalized), mean_, variance_

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Gradients of x, weight and bias."""
        x, weight, mean, inverse = ctx.saved_tensors
        per_value = x.shape[1] / x.numel()  # 1 / (N H W)
        grad = grads[0].float()
        grad_bias = _sum_per_channel(grad)
        grad_weight = _sum_per_channel(grad * (x.float() - mean)) * inverse
        scale = _per_channel(weight) * inverse
        slope = -scale * inverse * grad_weight * per_value
        offset = -scale * grad_bias * per_value - mean * slope
        return (
            _as(x.dtype, grad * scale + x.float() * slope + offset),
            grad_weight.flatten(),
            grad_bias.flatten(),
            None,
        )


def _statistics(values: Tensor) -> tuple[Tensor, Tensor]:
    """[N, C, H, W] -> mean and biased variance, [1, C, 1, 1]."""
    count = values.numel() // values.shape[1]
    # Shifted by some value of the channel, what is summed is small: the variance loses no digits to
    # cancellation.
    shift = values[:1, :, :1, :1]
    shifted = values - shift
    mean = _sum_per_channel(shifted) * (1 / count)
    variance = (_sum_per_channel(shifted * shifted) * (1 / count) - mean * mean).clamp_min(0)
    return mean + shift, variance


def _as(dtype: torch.dtype, values: Tensor) -> Tensor:
    """Cast only where that changes something: compiled by torch 2.11, a cast of float32 to float32
    at the end of a function's forward pass makes its gradients zero.
    """
    return values if values.dtype == dtype else values.to(dtype)


def _sum_per_channel(values: Tensor) -> Tensor:
    """[N, C, H, W] -> [1, C, 1, 1].

    On a CPU map by map first: short sums lose fewer digits. What is compiled for a GPU adds in
    short pieces anyway, and each stage is a launch.
    """
    if _is_on_cpu(values):
        return values.sum(_MAP, keepdim=True).sum(_BATCH, keepdim=True)
    return values.sum(_BATCH + _MAP, keepdim=True)


def _is_on_cpu(values: Tensor) -> bool:
    return values.is_cpu


def _per_channel(values: Tensor) -> Tensor:
    return values[None, :, None, None]


_is_recomputing: ContextVar[bool] = ContextVar("is_recomputing", default=False)


class BatchNorm(nn.BatchNorm2d):
    """BN that normalizes every `group_size` images of a training batch by their own statistics.

    It does not count its batches: with a constant momentum nothing reads the counter, and one
    operation a step counts for all layers (`bn_counters`).

    Known as ghost batch norm: as if each group were on a device of its own. None: the whole batch
    is one group. The running averages are those of the first group, as with several devices they
    are those of the first.
    """

    group_size: int | None = None

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, H, W]; in training N must be a multiple of `group_size`."""
        if not self.training:
            return super().forward(x)
        first, *others = x.split(self.group_size or len(x))
        return (
            torch.cat([self.normalize_tracked(first), *map(self.normalize_untracked, others)])
            if others
            else self.normalize_tracked(x)
        )

    def normalize_tracked(self, x: Tensor) -> Tensor:
        """Normalizes by the statistics of `x` and updates the running averages with them."""
        assert self.running_mean is not None and self.running_var is not None
        assert self.momentum is not None
        # what is compiled is never recomputed by us; and torch 2.11 cannot trace a ContextVar
        if not torch.compiler.is_compiling():
            if not self.track_running_stats:
                return self.normalize_untracked(x)
            averages = self.running_mean, self.running_var
            if _is_recomputing.get():  # the same call as the first time, but on copies
                averages = averages[0].clone(), averages[1].clone()
            return batch_norm(
                x,
                *averages,
                weight=self.weight,
                bias=self.bias,
                training=True,
                momentum=self.momentum,
                eps=self.eps,
            )
        y, mean, variance = BatchNormFunction.apply(x, self.weight, self.bias, self.eps)
        count = x.numel() // x.shape[1]
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)  # unbiased
        return y

    def normalize_untracked(self, x: Tensor) -> Tensor:
        """Normalizes by the statistics of `x` and leaves the running averages alone."""
        if torch.compiler.is_compiling():
            return BatchNormFunction.apply(x, self.weight, self.bias, self.eps)[0]
        return batch_norm(
            x, None, None, weight=self.weight, bias=self.bias, training=True, eps=self.eps
        )


@contextmanager
def recomputing() -> Iterator[None]:
    """While open, BN leaves its running averages alone: the forward pass is a recomputation."""
    token = _is_recomputing.set(True)
    try:
        yield
    finally:
        _is_recomputing.reset(token)


def bn_counters(network: nn.Module) -> list[Tensor]:
    """The `num_batches_tracked` of all layers of the class above, for whoever trains to count."""
    return [
        layer.num_batches_tracked
        for layer in network.modules()
        if isinstance(layer, BatchNorm) and layer.num_batches_tracked is not None
    ]


def set_bn_groups(network: nn.Module, group_size: int | None) -> None:
    """Sets how many images every BN layer of a network normalizes together (ghost batch norm)."""
    for layer in network.modules():
        if isinstance(layer, BatchNorm):
            layer.group_size = group_size
