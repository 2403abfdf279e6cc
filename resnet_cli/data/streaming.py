"""Training batches of photographs from files.

Worker processes read, decode and crop; the device flips, adds color noise and normalizes. As
everywhere in `data`, a training batch is a pure function of the iteration: the workers have no
state and no random numbers.
"""

import itertools
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor
from torch.utils.data import Dataset

from resnet_cli.data.augment import color_noise, flip_half
from resnet_cli.data.choices import Augmentation
from resnet_cli.data.crops import crop_and_resize, crop_box, draw_bits
from resnet_cli.data.images import Normalizer
from resnet_cli.data.photographs import BadImages, open_photograph
from resnet_cli.data.prefetch import prefetch
from resnet_cli.data.samples import Samples
from resnet_cli.data.sampling import ALL, Part, batch_indices, sample_hashes
from resnet_cli.runtime.errors import DataError

_MAX_BROKEN_RUN = 1000  # broken images in a row


class _TrainBatch(NamedTuple):
    """A training batch as a worker hands it over."""

    images: Tensor  # uint8 [N, S, S, 3]
    labels: Tensor  # int64 [N]
    indices: Tensor  # int64 [N], of the images
    epochs: Tensor  # int64 [N]
    failures: list[str]


@dataclass(frozen=True, kw_only=True)
class TrainCrops(Dataset[_TrainBatch]):
    """Maps an iteration to its cropped photographs; runs in a worker."""

    samples: Samples
    augmentation: Augmentation
    image_size: int
    batch_size: int
    seed: int
    part: Part = ALL

    def __getitem__(self, iteration: int) -> _TrainBatch:
        indices, epochs = batch_indices(
            iteration,
            batch_size=self.batch_size,
            count=len(self.samples),
            seed=self.seed,
            part=self.part,
        )
        bits = draw_bits(sample_hashes(indices, epochs, seed=self.seed), self.augmentation)
        size = self.image_size
        images = np.empty((len(indices), size, size, 3), np.uint8)
        failures: list[str] = []
        for position, wanted in enumerate(indices.tolist()):
            index, photograph = self._first_readable(wanted, failures)
            indices[position] = index
            box = crop_box(photograph, self.augmentation, bits=bits[position], image_size=size)
            images[position] = crop_and_resize(photograph, box, size=size)
        return _TrainBatch(
            images=torch.from_numpy(images),
            labels=torch.from_numpy(self.samples.labels[indices.numpy()]),
            indices=indices,
            epochs=epochs,
            failures=failures,
        )

    def _first_readable(self, index: int, failures: list[str]) -> tuple[int, Image]:
        """The first photograph from `index` on that can be decoded, so that the batch is full.

        Adds to `failures` those that cannot; raises DataError if there are too many in a row.
        """
        count = len(self.samples)
        for other in range(index, index + min(count, _MAX_BROKEN_RUN)):
            try:
                return other % count, open_photograph(self.samples, other % count)
            except DataError as error:
                failures.append(str(error))
        raise DataError(failures[-1])


@dataclass(kw_only=True)
class StreamingLoader:
    """Makes training batches from files (see `Loader`); fast when iterations come in order."""

    samples: Samples
    augmentation: Augmentation
    normalizer: Normalizer
    batch_size: int
    seed: int
    image_size: int
    workers: int
    bad: BadImages = field(default_factory=BadImages)
    part: Part = ALL

    def __post_init__(self) -> None:
        self.prefetched: Generator[_TrainBatch] | None = None
        self.next_iteration = -1

    @property
    def count(self) -> int:
        """Training images in an epoch."""
        return len(self.samples)

    def draw(self, iteration: int) -> tuple[Tensor, ...]:
        """This process's `part` of a batch: cropped images, labels, indices and epochs.

        uint8 [N, S, S, 3] and three int64 [N] on the device. Raises DataError for an image that
        cannot be decoded, unless it may be skipped.
        """
        if self.prefetched is None or iteration != self.next_iteration:
            self.close()
            dataset = TrainCrops(
                samples=self.samples,
                augmentation=self.augmentation,
                image_size=self.image_size,
                batch_size=self.batch_size,
                seed=self.seed,
                part=self.part,
            )
            iterations = itertools.count(iteration)
            self.prefetched = prefetch(
                dataset, iterations, workers=self.workers, device=self.device
            )
        batch = next(self.prefetched)
        self.next_iteration = iteration + 1
        self.bad.report(batch.failures)
        return tuple(part.to(self.device, non_blocking=True) for part in batch[:4])

    def prepare(self, *drawn: Tensor) -> tuple[Tensor, Tensor]:
        """Augmented images float32 [N, 3, S, S] in channels_last memory, and labels int64 [N]."""
        images, labels, indices, epochs = drawn
        hashes = sample_hashes(indices, epochs, seed=self.seed)
        mean, std = self.normalizer.mean, self.normalizer.std
        shift = color_noise(hashes) - mean if self.augmentation is Augmentation.paper else -mean
        pixels = flip_half(images.permute(0, 3, 1, 2), hashes).float()
        # (x / 255 + noise - mean) / std
        return pixels.mul_(1 / (255 * std)).add_(shift / std), labels

    def batch(self, iteration: int) -> tuple[Tensor, Tensor]:
        """Both halves, one after the other."""
        return self.prepare(*self.draw(iteration))

    def close(self) -> None:
        """Ends the worker processes; the next `draw` starts new ones."""
        if self.prefetched is not None:
            self.prefetched.close()
            self.prefetched = None

    @property
    def device(self) -> torch.device:
        """The device that batches are brought to."""
        return self.normalizer.mean.device
