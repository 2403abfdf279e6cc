"""Precise BN: statistics computed over training data instead of running averages (section 3.4)."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from resnet_cli.runtime.device import autocast


@dataclass(kw_only=True)
class Moments:
    """Number, mean and summed squared deviation of the values of each channel, in float64."""

    count: int = 0
    mean: Tensor = field(default_factory=lambda: torch.zeros(()))
    squares: Tensor = field(default_factory=lambda: torch.zeros(()))

    def add(self, values: Tensor) -> None:
        """Adds the values of a batch [N, channels, H, W]."""
        values, count = values.float(), values.numel() // values.shape[1]
        # float32 within the map of one image, float64 beyond it: sums in float32, as BN's own,
        # lose four digits over a large batch.
        mean = values.sum(dim=(2, 3)).double().sum(dim=0) / count
        squares = (
            (values - mean.float()[:, None, None]).square_().sum(dim=(2, 3)).double().sum(dim=0)
        )
        self.merge(count, mean=mean, squares=squares)

    def merge(self, count: int, *, mean: Tensor, squares: Tensor) -> None:
        """Adds `count` values per channel with their mean and summed squared deviation.

        Exact up to rounding (Chan et al. 1979).
        """
        total, delta = self.count + count, mean - self.mean
        self.mean = self.mean + delta * (count / total)
        self.squares = self.squares + squares + delta.square() * (self.count * count / total)
        self.count = total

    @property
    def variance(self) -> Tensor:
        """The unbiased variance."""
        return self.squares / (self.count - 1)


@torch.no_grad()
def update_bn_stats(network: nn.Module, batches: Iterable[Tensor], *, dtype: torch.dtype) -> int:
    """Sets every BN layer to the mean and unbiased variance of all its inputs in one pass.

    `batches` are normalized training images [N, 3, H, W]. During the pass each layer normalizes by
    the statistics of the batch, as in training (Ioffe and Szegedy 2015, Alg. 2). Their step 10
    averages the variances of the batches; this is the variance of all values together, which
    includes that between the batches, and weighs a smaller last batch correctly. Weights do not
    change. The network must not be compiled, and is in eval mode afterwards.

    The inputs of the first BN layer do not depend on how the images are batched. Those of later
    layers do, the less the larger the batches: give batches as large as in training, and not
    ordered by class.

    Returns the number of images. Raises ValueError if there are none; after that or any other
    error the old statistics remain.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    images = 0
    network.eval()
    with _recording(layers) as recorded:
        for batch in batches:
            with autocast(batch.device, dtype):
                network(batch.contiguous(memory_format=torch.channels_last))
            images += len(batch)
    if images == 0:
        raise ValueError("no training images to compute BN statistics from")
    for layer, moments in zip(layers, recorded, strict=True):
        layer.get_buffer("running_mean").copy_(moments.mean)
        layer.get_buffer("running_var").copy_(moments.variance)
    return images


@contextmanager
def _recording(layers: list[nn.BatchNorm2d]) -> Iterator[list[Moments]]:
    """Makes BN normalize by the batch, and records the moments of each layer's inputs.

    While open, the running averages do not change; afterwards the layers are in eval mode.
    """
    recorded = [Moments() for _ in layers]
    handles = []
    try:
        for layer, moments in zip(layers, recorded, strict=True):
            handles.append(
                layer.register_forward_pre_hook(
                    lambda _, inputs, moments=moments: moments.add(inputs[0])
                )
            )
            layer.train()
            layer.track_running_stats = False
        yield recorded
    finally:
        for handle in handles:
            handle.remove()
        for layer in layers:
            layer.track_running_stats = True
            layer.eval()
