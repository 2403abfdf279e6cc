"""BN statistics for testing, computed exactly over training data instead of as running averages
(section 3.4).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from resnet_cli.runtime.device import autocast


@dataclass
class Moments:
    """Of every channel: how many values, their mean and their summed squared deviation from it,
    in float64.
    """

    count: int = 0
    mean: Tensor = field(default_factory=lambda: torch.zeros(()))
    squares: Tensor = field(default_factory=lambda: torch.zeros(()))

    def add(self, values: Tensor) -> None:
        """Adds what one batch gave, [N, channels, H, W]."""
        values, count = values.float(), values.numel() // values.shape[1]
        # float32 within one image's map, float64 beyond: BN's own float32 sums lose four digits
        # over a large batch.
        mean = values.sum(dim=(2, 3)).double().sum(dim=0) / count
        squares = (
            (values - mean.float()[:, None, None]).square_().sum(dim=(2, 3)).double().sum(dim=0)
        )
        self.merge(count, mean, squares)

    def merge(self, count: int, mean: Tensor, squares: Tensor) -> None:
        """Adds `count` values a channel of this mean and summed squared deviation; exact (Chan
        et al. 1979).
        """
        total, apart = self.count + count, mean - self.mean
        self.mean = self.mean + apart * (count / total)
        self.squares = self.squares + squares + apart.square() * (self.count * count / total)
        self.count = total

    @property
    def variance(self) -> Tensor:
        """Unbiased."""
        return self.squares / (self.count - 1)


@torch.no_grad()
def population_statistics(
    network: nn.Module, batches: Iterable[Tensor], *, dtype: torch.dtype
) -> int:
    """Writes into every BN layer the mean and unbiased variance of all values it gets in one pass;
    returns the images seen.

    `batches` are training images, normalised, [N, 3, H, W]. Meanwhile each layer normalises by its
    batch's own statistics, as in training (Ioffe and Szegedy 2015, Alg. 2). Where their step 10
    averages the batches' variances, this is the variance of all values together: what lies between
    the batches' means counts, and a ragged last batch weighs what it should. Weights are untouched;
    the network, which must not be a compiled one, is in eval mode afterwards.

    What the first BN layer gets is independent of how the images are cut into batches. Later layers
    get images normalised beside the others of their batch, so their statistics depend on it, the
    less the larger the batches: give batches as large as those of training, and not in order of
    class.

    Raises ValueError where there are no images; then, and after any other error, the old statistics
    stand.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    images = 0
    network.eval()
    with recording(layers) as seen:
        for batch in batches:
            with autocast(batch.device, dtype):
                network(batch.contiguous(memory_format=torch.channels_last))
            images += len(batch)
    if images == 0:
        raise ValueError("no training images to take BN statistics from")
    for layer, moments in zip(layers, seen, strict=True):
        layer.get_buffer("running_mean").copy_(moments.mean)
        layer.get_buffer("running_var").copy_(moments.variance)
    return images


@contextmanager
def recording(layers: list[nn.BatchNorm2d]) -> Iterator[list[Moments]]:
    """Lets BN normalise by the batch, its running averages standing still, and records the
    moments of what each layer gets.
    """
    seen = [Moments() for _ in layers]
    handles = []
    try:
        for layer, moments in zip(layers, seen, strict=True):
            handles.append(
                layer.register_forward_pre_hook(
                    lambda _, inputs, moments=moments: moments.add(inputs[0])
                )
            )
            layer.train()
            layer.track_running_stats = False
        yield seen
    finally:
        for handle in handles:
            handle.remove()
        for layer in layers:
            layer.track_running_stats = True
            layer.eval()
