"""A way of testing from end to end: what a worker cuts from a photograph, and how the network
scores it.
"""

import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from resnet_cli.data.images import Normalizer, Split
from resnet_cli.data.samples import Samples
from resnet_cli.data.streaming import BadImages, ViewStream
from resnet_cli.evaluation.views import (
    Views,
    centre,
    corners_and_centre,
    multi_scale_scores,
    resize_shorter,
    scores_of,
    ten_crop_scores,
    whole,
    window_of,
)
from resnet_cli.models.resnet import ResNet
from resnet_cli.runtime.distributed import Context

# Photographs at a time; dense views differ in size, so they come one by one.
BATCH = {Views.single: 100, Views.ten: 10, Views.dense: 1}
ALONE = Context()
# shorter sides of the dense test (section 3.4), for networks trained on 224
SCALES = (224, 256, 384, 480, 640)


@dataclass(frozen=True)
class Protocol:
    """One of the paper's ways of testing, for networks trained on crops of `image_size` pixels.

    Photographs are resized in the paper's proportion: to a shorter side of 256 for crops of 224;
    dense, to each of `scales`.
    """

    views: Views
    image_size: int
    scales: tuple[int, ...] = ()

    def show(self, photograph: Image) -> Any:
        """What the network is to see: uint8 [views, 3, S, S], or dense a list of uint8 [3, H,
        W], one a scale.
        """
        if self.views is Views.dense:
            return [
                whole(resize_shorter(photograph, scale))
                for scale in self.scales or in_proportion(self.image_size)
            ]
        resized = resize_shorter(photograph, round(self.image_size * 256 / 224))
        cut = corners_and_centre if self.views is Views.ten else centre
        return cut(resized, self.image_size)

    def score(
        self, network: ResNet, normalizer: Normalizer, shown: Any, *, dtype: torch.dtype
    ) -> Tensor:
        """Softmax scores of what `show` showed, stacked over N photographs: float32 [N,
        classes].
        """
        if self.views is Views.dense:
            window = window_of(network, self.image_size)
            return multi_scale_scores(
                network, (normalizer(images) for images in shown), window=window, dtype=dtype
            )
        if self.views is Views.ten:
            return ten_crop_scores(network, normalizer(shown), dtype=dtype)
        return scores_of(network, normalizer(shown.flatten(0, 1)), dtype=dtype)


Subject = tuple[ResNet, Normalizer]  # a network in eval mode, and how its pixels are normalised
# softmax scores float32 [N, classes], labels int64 [N] on the device; which images, int64 [N]
Scored = tuple[Tensor, Tensor, Tensor]


class Test(typing.Protocol):
    """Labelled images and the way they are scored."""

    def __len__(self) -> int: ...

    def scores(
        self, subjects: Sequence[Subject], *, dtype: torch.dtype, context: Context = ALONE
    ) -> Iterator[Scored]:
        """Every image once, batch by batch; of several networks, an ensemble, the softmax scores
        are averaged.

        Each rank of a `context` sees its share of the batches, which are the same whatever their
        number.
        """


@dataclass(frozen=True)
class ImageTest:
    """Images on the device, each scored by its single view, as it is (section 4.2)."""

    split: Split
    batch_size: int = 250

    def __len__(self) -> int:
        return len(self.split)

    def scores(
        self, subjects: Sequence[Subject], *, dtype: torch.dtype, context: Context = ALONE
    ) -> Iterator[Scored]:
        every = torch.arange(len(self.split))
        batches = zip(
            *(
                part.split(self.batch_size)
                for part in (self.split.images, self.split.labels, every)
            ),
            strict=True,
        )
        for images, labels, indices in islice(batches, context.rank, None, context.world):
            yield (
                ensemble(
                    [
                        scores_of(network, pixels(images), dtype=dtype)
                        for network, pixels in subjects
                    ]
                ),
                labels,
                indices,
            )


@dataclass(frozen=True)
class PhotographTest:
    """Photographs from files, scored as the `protocol` says."""

    samples: Samples
    protocol: Protocol
    workers: int
    device: torch.device
    bad: BadImages

    def __len__(self) -> int:
        return len(self.samples)

    def scores(
        self, subjects: Sequence[Subject], *, dtype: torch.dtype, context: Context = ALONE
    ) -> Iterator[Scored]:
        """Raises DataError at a photograph that cannot be decoded, unless it is to be left out."""
        protocol = self.protocol
        stream = ViewStream(
            self.samples,
            protocol.show,
            BATCH[protocol.views],
            self.workers,
            self.device,
            self.bad,
            context.part,
        )
        for shown, labels, indices in stream:
            yield (
                ensemble(
                    [
                        protocol.score(network, pixels, shown, dtype=dtype)
                        for network, pixels in subjects
                    ]
                ),
                labels,
                indices,
            )


def ensemble(scores: list[Tensor]) -> Tensor:
    """Section 4.1: the mean of the networks' softmax scores."""
    return torch.stack(scores).mean(dim=0)


def in_proportion(image_size: int) -> tuple[int, ...]:
    """The paper's scales for a network trained on crops of another size: 64, 73, 110, 137 and
    183 for 64.
    """
    return tuple(round(scale * image_size / 224) for scale in SCALES)
