"""Photographs for evaluation: each once, in order, cut into views by worker processes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from PIL.Image import Image
from torch import Tensor
from torch.utils.data import Dataset

from resnet_cli.data.photographs import BadImages, open_photograph
from resnet_cli.data.prefetch import prefetch
from resnet_cli.data.samples import Samples
from resnet_cli.data.sampling import ALL, Part
from resnet_cli.runtime.errors import DataError

# a photograph -> uint8 tensor [views, 3, S, S], or a list of uint8 [3, H, W] of several sizes
_MakeViews = Callable[[Image], Any]


class _EvalBatch(NamedTuple):
    """A batch for evaluation as a worker hands it over."""

    views: Any  # uint8 [N, views, 3, S, S], or for one image a list of uint8 [1, 3, H, W]
    labels: Tensor  # int64 [N]
    indices: Tensor  # int64 [N]
    failures: list[str]


@dataclass(frozen=True, kw_only=True)
class _EvalViews(Dataset[_EvalBatch]):
    """Maps the number of a batch to its views; runs in a worker."""

    samples: Samples
    make_views: _MakeViews
    batch_size: int

    def __getitem__(self, batch: int) -> _EvalBatch:
        views, decoded, failures = [], [], []
        start = batch * self.batch_size
        for index in range(start, min(start + self.batch_size, len(self.samples))):
            try:
                views.append(self._views_of(index))
                decoded.append(index)
            except DataError as error:
                failures.append(str(error))
        indices = torch.tensor(decoded, dtype=torch.int64)
        labels = torch.from_numpy(self.samples.labels[indices.numpy()])
        return _EvalBatch(_stack(views), labels, indices, failures)

    def _views_of(self, index: int) -> Any:
        """The views of one photograph. Raises DataError with its path."""
        photograph = open_photograph(self.samples, index)
        try:
            return self.make_views(photograph)
        except DataError as error:
            raise DataError(f"{self.samples.path(index)}: {error}") from error


def _stack(views: list[Any]) -> Any:
    """The views of several images as one tensor, or those of one image as a list of batches."""
    if not views:
        return torch.empty(0)
    if isinstance(views[0], list):
        return [view[None] for view in views[0]]
    return torch.stack(views)


@dataclass(frozen=True, kw_only=True)
class ViewStream:
    """All images of a split once, in order, as views.

    Views of several sizes need `batch_size` 1. With several processes, they take turns at the
    batches: each makes its `part` of them.
    """

    samples: Samples
    make_views: _MakeViews
    batch_size: int
    workers: int
    device: torch.device
    bad: BadImages = field(default_factory=BadImages)
    part: Part = ALL

    def __iter__(self) -> Iterator[tuple[Any, Tensor, Tensor]]:
        """Views and labels on the device, and the indices of the images on the CPU.

        Raises DataError for an image that cannot be decoded, unless it may be skipped.
        """
        dataset = _EvalViews(
            samples=self.samples, make_views=self.make_views, batch_size=self.batch_size
        )
        rank, world = self.part
        batches = range(rank, (len(self.samples) + self.batch_size - 1) // self.batch_size, world)
        for batch in prefetch(dataset, batches, workers=self.workers, device=self.device):
            self.bad.report(batch.failures)
            if len(batch.indices):
                several_sizes = isinstance(batch.views, list)
                views = (
                    [view.to(self.device) for view in batch.views]
                    if several_sizes
                    else batch.views.to(self.device)
                )
                yield views, batch.labels.to(self.device), batch.indices
