"""Batch normalisation as the paper's two GPUs did it: each for its own 64 of the 128 images."""

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm


class BatchNorm(nn.BatchNorm2d):
    """BN whose training statistics are those of every `group` images, as on a device of their own; None: of all.

    The running averages are the first group's, as the first device's are what is kept of several.
    """

    group: int | None = None

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> the same; N must be a multiple of `group` while training."""
        if not self.training or self.group is None or self.group == len(x):
            return super().forward(x)
        first, *others = x.split(self.group)
        alike = (batch_norm(part, None, None, self.weight, self.bias, training=True, eps=self.eps) for part in others)
        return torch.cat([super().forward(first), *alike])


def normalise_in_groups(network: nn.Module, group: int | None) -> None:
    """Sets the group of every BN layer of a network."""
    for layer in network.modules():
        if isinstance(layer, BatchNorm):
            layer.group = group
