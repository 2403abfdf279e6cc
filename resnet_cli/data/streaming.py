"""Photographs from files: read, decoded and cut by worker processes, uint8 over to the device,
coloured and normalised there.

Like the rest of `data`, a training batch is a pure function of the iteration: the workers have no
state and no random numbers.
"""

import itertools
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor
from torch.utils.data import Dataset

from resnet_cli.data.augment import colour_noise, flip_some
from resnet_cli.data.choices import Augmentation
from resnet_cli.data.crops import box, cut, draws
from resnet_cli.data.decode import decode
from resnet_cli.data.fetching import fetch
from resnet_cli.data.images import Normalizer
from resnet_cli.data.samples import Samples
from resnet_cli.data.sampling import ALL, Part, batch_indices, sample_hashes
from resnet_cli.runtime.errors import DataError

PATIENCE = 1000  # broken images in a row

# a photograph -> uint8 tensor [views, 3, S, S], or a list of uint8 [3, H, W] of several sizes
View = Callable[[Image], Any]


@dataclass
class BadImages:
    """What to do about a file that cannot be decoded: stop, or leave up to `cap` of them out
    and list them.
    """

    skip: bool = False
    cap: int = 0
    warn: Callable[[str], None] = lambda _: None
    found: list[str] = field(default_factory=list)  # a line for each

    def tell(self, failures: list[str]) -> None:
        """Takes note of failures. Raises DataError where they are too many."""
        for failure in failures:
            if failure in self.found:
                continue
            if not self.skip:
                raise DataError(f"{failure}; dataset.on_error=skip leaves such images out")
            self.found.append(failure)
            self.warn(f"skipped: {failure} ({len(self.found)} of at most {self.cap})")
            if len(self.found) > self.cap:
                raise DataError(
                    f"more than dataset.max_skipped={self.cap} images are broken, the last: "
                    f"{failure}"
                )


class Crops(NamedTuple):
    """A training batch as a worker hands it over."""

    images: Tensor  # uint8 [N, S, S, 3]
    labels: Tensor  # int64 [N]
    indices: Tensor  # int64 [N]: which images
    epochs: Tensor  # int64 [N]: their showing
    failures: list[str]


@dataclass(frozen=True)
class TrainCrops(Dataset[Crops]):
    """Iteration number -> its crops; runs in a worker."""

    samples: Samples
    augmentation: Augmentation
    image_size: int
    batch_size: int
    seed: int
    part: Part = ALL

    def __getitem__(self, iteration: int) -> Crops:
        indices, epochs = batch_indices(
            iteration,
            batch_size=self.batch_size,
            count=len(self.samples),
            seed=self.seed,
            part=self.part,
        )
        bits = draws(sample_hashes(indices, epochs, seed=self.seed), self.augmentation)
        images = np.empty((len(indices), self.image_size, self.image_size, 3), np.uint8)
        failures: list[str] = []
        for place, index in enumerate(indices.tolist()):
            index, photograph = self.readable(index, failures)
            indices[place] = index
            images[place] = cut(
                photograph,
                box(photograph, bits[place], self.augmentation, image_size=self.image_size),
                size=self.image_size,
            )
        return Crops(
            torch.from_numpy(images),
            torch.from_numpy(self.samples.labels[indices.numpy()]),
            indices,
            epochs,
            failures,
        )

    def readable(self, index: int, failures: list[str]) -> tuple[int, Image]:
        """The photograph `index`, or the next one that can be decoded, so that every batch is
        full.
        """
        count = len(self.samples)
        for other in range(index, index + min(count, PATIENCE)):
            try:
                return other % count, photograph(self.samples, other % count)
            except DataError as error:
                failures.append(str(error))
        raise DataError(failures[-1])


def photograph(samples: Samples, index: int) -> Image:
    """One image, RGB. Raises DataError with its path."""
    return decode(samples.read(index), where=samples.path(index))


@dataclass
class StreamingLoader:
    """Training batches from files; `batch` is a pure function of the iteration, and quick when
    drawn in order.
    """

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
        self.ahead: Generator[Crops] | None = None
        self.next_iteration = -1

    @property
    def count(self) -> int:
        """Training images in an epoch."""
        return len(self.samples)

    def draw(self, iteration: int) -> tuple[Tensor, ...]:
        """This process's `part` of a batch as `Crops` has it, on the device.

        Raises DataError for an image that cannot be decoded, unless it is to be skipped.
        """
        if self.ahead is None or iteration != self.next_iteration:
            self.close()
            dataset = TrainCrops(
                self.samples,
                self.augmentation,
                self.image_size,
                self.batch_size,
                self.seed,
                self.part,
            )
            self.ahead = fetch(
                dataset, itertools.count(iteration), workers=self.workers, device=self.device
            )
        crops = next(self.ahead)
        self.next_iteration = iteration + 1
        self.bad.tell(crops.failures)
        return tuple(part.to(self.device, non_blocking=True) for part in crops[:4])

    def prepare(self, *drawn: Tensor) -> tuple[Tensor, Tensor]:
        """Augmented images float32 [N, 3, S, S] in channels_last memory, and labels int64 [N]."""
        images, labels, indices, epochs = drawn
        hashes = sample_hashes(indices, epochs, seed=self.seed)
        mean, std = self.normalizer.mean, self.normalizer.std
        shift = colour_noise(hashes) - mean if self.augmentation is Augmentation.paper else -mean
        pixels = flip_some(images.permute(0, 3, 1, 2), hashes).float()
        # (x / 255 + noise - mean) / std
        return pixels.mul_(1 / (255 * std)).add_(shift / std), labels

    def batch(self, iteration: int) -> tuple[Tensor, Tensor]:
        """Both halves."""
        return self.prepare(*self.draw(iteration))

    def close(self) -> None:
        """Sends the workers home; `batch` would call others."""
        if self.ahead is not None:
            self.ahead.close()
            self.ahead = None

    @property
    def device(self) -> torch.device:
        return self.normalizer.mean.device


class Seen(NamedTuple):
    """Some images as a worker hands them over for testing."""

    views: Any  # uint8 [N, views, 3, S, S], or for one image a list of uint8 [1, 3, H, W]
    labels: Tensor  # int64 [N]
    indices: Tensor  # int64 [N]
    failures: list[str]


@dataclass(frozen=True)
class EvalViews(Dataset[Seen]):
    """A chunk's number -> its images as `view` shows them; runs in a worker."""

    samples: Samples
    view: View
    batch_size: int

    def __getitem__(self, chunk: int) -> Seen:
        views, kept, failures = [], [], []
        for index in range(
            chunk * self.batch_size, min((chunk + 1) * self.batch_size, len(self.samples))
        ):
            try:
                views.append(self.view(photograph(self.samples, index)))
                kept.append(index)
            except DataError as error:
                failures.append(str(error))
        several = bool(views) and isinstance(views[0], list)
        shown = (
            [one[None] for one in views[0]]
            if several
            else torch.stack(views)
            if views
            else torch.empty(0)
        )
        indices = torch.tensor(kept, dtype=torch.int64)
        return Seen(
            shown, torch.from_numpy(self.samples.labels[indices.numpy()]), indices, failures
        )


@dataclass(frozen=True)
class ViewStream:
    """All images of a split once, in order, as `view` shows them; views of several sizes need
    batch_size 1.
    """

    samples: Samples
    view: View
    batch_size: int
    workers: int
    device: torch.device
    bad: BadImages = field(default_factory=BadImages)
    part: Part = ALL  # processes take turns, a batch at a time

    def __iter__(self) -> Iterator[tuple[Any, Tensor, Tensor]]:
        """Views and labels on the device, and the images' indices.

        Raises DataError as training does.
        """
        dataset = EvalViews(self.samples, self.view, self.batch_size)
        number, every = self.part
        chunks = range(number, (len(self.samples) + self.batch_size - 1) // self.batch_size, every)
        for seen in fetch(dataset, chunks, workers=self.workers, device=self.device):
            self.bad.tell(seen.failures)
            if len(seen.indices):
                views = (
                    [view.to(self.device) for view in seen.views]
                    if isinstance(seen.views, list)
                    else seen.views.to(self.device)
                )
                yield views, seen.labels.to(self.device), seen.indices
