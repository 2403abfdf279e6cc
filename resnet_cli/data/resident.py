"""Training batches from images that stay on the training device as uint8."""

from dataclasses import dataclass

import torch
from torch import Tensor

from resnet_cli.data.augment import crop_and_flip, draw_crops_and_flips
from resnet_cli.data.images import Normalizer, Split
from resnet_cli.data.sampling import ALL, Part, epoch_order
from resnet_cli.runtime.device import is_limited


@dataclass(kw_only=True)
class ResidentLoader:
    """Makes batches of a training split on its device (see `Loader`).

    What is drawn for two epochs is on the device, too: a step needs only its number from the host.
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
        # image, top, left and flip of all places in an even epoch, then in an odd one
        self.drawn = torch.zeros(4, 2 * self.count, dtype=torch.int64, device=device)
        self.epochs = [-1, -1]  # that they are of
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
                self._draw_epoch(epoch)
                self.epochs[epoch % 2] = epoch
        self.start.fill_(start)
        return (self.start,)

    def _draw_epoch(self, epoch: int) -> None:
        """Draws an epoch's order on the host, and its crops and flips on the device."""
        order = epoch_order(self.count, seed=self.seed, epoch=epoch)
        drawn = self.drawn.view(4, 2, -1)[:, epoch % 2]
        drawn[0].copy_(order.pin_memory() if self.start.is_cuda else order, non_blocking=True)
        # hashes of 64 bits are for a GPU that is known to have them
        images = order if is_limited(self.start.device) else drawn[0]
        crops = draw_crops_and_flips(images, torch.full_like(images, epoch), seed=self.seed)
        for place, values in zip(drawn[1:], crops, strict=True):
            place.copy_(values)

    def prepare(self, *drawn: Tensor) -> tuple[Tensor, Tensor]:
        """This process's `part` of a batch: augmented images and labels.

        float32 [N, 3, H, W] in channels_last memory, and int64 [N].
        """
        places = (drawn[0] + self.positions) % (2 * self.count)
        indices, top, left, flip = self.drawn[:, places]
        images = self.normalizer(self.split.images[indices])
        images = crop_and_flip(images, top=top, left=left, flip=flip.bool())
        return images, self.split.labels[indices]

    def batch(self, iteration: int) -> tuple[Tensor, Tensor]:
        """Both halves, one after the other."""
        return self.prepare(*self.draw(iteration))

    def close(self) -> None:
        """Does nothing: there are no worker processes."""
