"""Training batches from images that stay on the training device as uint8."""

from dataclasses import dataclass

import torch
from torch import Tensor

from resnet_cli.data.augment import crop_and_flip, draw_crops_and_flips
from resnet_cli.data.images import Normalizer, Split
from resnet_cli.data.sampling import ALL, Part, epoch_order


@dataclass(kw_only=True)
class ResidentLoader:
    """Makes batches of a training split on its device (see `Loader`).

    The orders of two epochs are on the device, too: a step needs only its number from the host.
    """

    split: Split
    normalizer: Normalizer
    batch_size: int
    seed: int
    part: Part = ALL

    def __post_init__(self) -> None:
        rank, world = self.part
        device, share = self.split.labels.device, self.batch_size // world
        # positions within a batch of the images of this process
        self.positions = torch.arange(rank * share, (rank + 1) * share, device=device)
        # of an even epoch and of an odd one
        self.orders = torch.zeros(2, self.count, dtype=torch.int64, device=device)
        self.epochs = [-1, -1]  # that the orders are of
        self.start = torch.zeros((), dtype=torch.int64, device=device)

    @property
    def count(self) -> int:
        """Training images in an epoch."""
        return len(self.split)

    def draw(self, iteration: int) -> tuple[Tensor]:
        """The number of images shown before this batch: int64 [], overwritten by the next call.

        Raises ValueError if a batch is larger than an epoch.
        """
        if self.batch_size > self.count:
            raise ValueError(
                f"a batch of {self.batch_size} images is larger than the {self.count} there are"
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
        """This process's `part` of a batch: augmented images and labels.

        float32 [N, 3, H, W] in channels_last memory, and int64 [N].
        """
        position = drawn[0] + self.positions
        epochs, offsets = position // self.count, position % self.count
        indices = self.orders[epochs % 2, offsets]
        images = self.normalizer(self.split.images[indices])
        top, left, flip = draw_crops_and_flips(indices, epochs, seed=self.seed)
        images = crop_and_flip(images, top=top, left=left, flip=flip)
        return images, self.split.labels[indices]

    def batch(self, iteration: int) -> tuple[Tensor, Tensor]:
        """Both halves, one after the other."""
        return self.prepare(*self.draw(iteration))

    def close(self) -> None:
        """Does nothing: there are no worker processes."""
