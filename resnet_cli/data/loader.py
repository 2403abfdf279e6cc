"""Batches from images that stay on the training device as uint8."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from resnet_cli.data.augment import crop_and_flip, draw_crops_and_flips
from resnet_cli.data.images import Normalizer, Split
from resnet_cli.data.sampling import ALL, Part, batch_indices


class Loader(Protocol):
    """Where training batches come from: a pure function of the iteration.

    Of several processes each takes its `part` of the same batch of `batch_size` images.
    """

    batch_size: int

    @property
    def count(self) -> int: ...

    def batch(self, iteration: int) -> tuple[Tensor, Tensor]: ...

    def close(self) -> None: ...


@dataclass
class ResidentLoader:
    """The training split on its device; `batch` is a pure function of the iteration."""

    split: Split
    normalizer: Normalizer
    batch_size: int
    seed: int
    part: Part = ALL

    @property
    def count(self) -> int:
        """Training images in an epoch."""
        return len(self.split)

    def batch(self, iteration: int) -> tuple[Tensor, Tensor]:
        """Augmented images float32 [N, 3, H, W] in channels_last memory, and labels int64 [N], of this process's `part` of a batch."""
        device = self.split.labels.device
        indices, epochs = batch_indices(iteration, batch_size=self.batch_size, count=len(self.split), seed=self.seed, part=self.part)
        indices, epochs = _to(indices, device), _to(epochs, device)
        images = self.normalizer(self.split.images[indices])
        return crop_and_flip(images, *draw_crops_and_flips(indices, epochs, seed=self.seed)), self.split.labels[indices]

    def close(self) -> None:
        """Nothing runs beside this process."""


def _to(tensor: Tensor, device: torch.device) -> Tensor:
    """To the device without waiting for it."""
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)
