"""Batches from images that stay on the training device as uint8."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from resnet_cli.data.augment import crop_and_flip, draw_crops_and_flips
from resnet_cli.data.images import Normalizer, Split
from resnet_cli.data.sampling import ALL, Part, epoch_order


class Loader(Protocol):
    """Where training batches come from: a pure function of the iteration, in two halves.

    `draw` is the host's: it brings what the batch is made of to the device, and does not wait for
    it. `prepare` is the device's: it augments, a function of those tensors alone, so that it can be
    compiled and captured with the step. Of several processes each takes its `part` of the same
    batch of `batch_size` images.
    """

    batch_size: int

    @property
    def count(self) -> int: ...

    def draw(self, iteration: int) -> tuple[Tensor, ...]: ...

    def prepare(self, *drawn: Tensor) -> tuple[Tensor, Tensor]: ...

    def batch(self, iteration: int) -> tuple[Tensor, Tensor]: ...

    def close(self) -> None: ...


@dataclass
class ResidentLoader:
    """The training split on its device, and beside it the order in which two epochs show it:
    all a step needs is its number.
    """

    split: Split
    normalizer: Normalizer
    batch_size: int
    seed: int
    part: Part = ALL

    def __post_init__(self) -> None:
        rank, world = self.part
        device, share = self.split.labels.device, self.batch_size // world
        # places within a batch
        self.mine = torch.arange(rank * share, (rank + 1) * share, device=device)
        # of an even epoch and of an odd one
        self.orders = torch.zeros(2, self.count, dtype=torch.int64, device=device)
        self.epochs = [-1, -1]  # which these are
        self.start = torch.zeros((), dtype=torch.int64, device=device)

    @property
    def count(self) -> int:
        """Training images in an epoch."""
        return len(self.split)

    def draw(self, iteration: int) -> tuple[Tensor]:
        """How many images were shown before this batch: int64 [], overwritten by the next call.

        Raises ValueError for a batch larger than an epoch.
        """
        if self.batch_size > self.count:
            raise ValueError(
                f"a batch of {self.batch_size} images is more than the {self.count} there are"
            )
        start = iteration * self.batch_size
        for epoch in range(start // self.count, (start + self.batch_size - 1) // self.count + 1):
            if self.epochs[epoch % 2] != epoch:
                order = epoch_order(self.count, seed=self.seed, epoch=epoch)
                self.orders[epoch % 2].copy_(
                    order.pin_memory() if self.start.is_cuda else order, non_blocking=True
                )
                self.epochs[epoch % 2] = epoch
        self.start.fill_(start)
        return (self.start,)

    def prepare(self, *drawn: Tensor) -> tuple[Tensor, Tensor]:
        """Augmented images float32 [N, 3, H, W] in channels_last memory, and labels int64 [N],
        of this process's `part` of a batch.
        """
        position = drawn[0] + self.mine
        epochs, places = position // self.count, position % self.count
        indices = self.orders[epochs % 2, places]
        images = self.normalizer(self.split.images[indices])
        return crop_and_flip(
            images, *draw_crops_and_flips(indices, epochs, seed=self.seed)
        ), self.split.labels[indices]

    def batch(self, iteration: int) -> tuple[Tensor, Tensor]:
        """Both halves."""
        return self.prepare(*self.draw(iteration))

    def close(self) -> None:
        """Nothing runs beside this process."""
