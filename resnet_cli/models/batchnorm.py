"""Batch normalisation as the paper's two GPUs did it: each for its own 64 of the 128 images."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from resnet_cli.models.fusible import Normalise

seen_before: ContextVar[bool] = ContextVar("seen_before", default=False)


class BatchNorm(nn.BatchNorm2d):
    """BN whose training statistics are those of every `group` images, as on a device of their own; None: of all.

    The running averages are the first group's, as the first device's are what is kept of several.
    """

    group: int | None = None

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> the same; N must be a multiple of `group` while training."""
        if not self.training:
            return super().forward(x)
        first, *others = x.split(self.group or len(x))
        return torch.cat([self.watched(first), *map(self.unwatched, others)]) if others else self.watched(x)

    def watched(self, x: Tensor) -> Tensor:
        """Normalises by the statistics of `x`, which enter the running averages."""
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        assert self.momentum is not None
        if seen_before.get():  # the same call as before, on copies
            averages = self.running_mean.clone(), self.running_var.clone()
            return batch_norm(x, *averages, self.weight, self.bias, training=True, momentum=self.momentum, eps=self.eps)
        if not torch.compiler.is_compiling():
            return super().forward(x)
        y, mean, variance = Normalise.apply(x, self.weight, self.bias, self.eps)
        count = x.numel() // x.shape[1]
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)  # unbiased
        return y

    def unwatched(self, x: Tensor) -> Tensor:
        """The same, leaving the running averages alone."""
        if torch.compiler.is_compiling():
            return Normalise.apply(x, self.weight, self.bias, self.eps)[0]
        return batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)


@contextmanager
def seeing_again() -> Iterator[None]:
    """Meanwhile a batch is normalised again that the running averages have seen already."""
    token = seen_before.set(True)
    try:
        yield
    finally:
        seen_before.reset(token)


def normalise_in_groups(network: nn.Module, group: int | None) -> None:
    """Sets the group of every BN layer of a network."""
    for layer in network.modules():
        if isinstance(layer, BatchNorm):
            layer.group = group
