"""The paper's evaluation protocols end to end: how images become views, and how they are scored."""

import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from resnet_cli.data.images import Normalizer, Split
from resnet_cli.data.photographs import BadImages
from resnet_cli.data.samples import Samples
from resnet_cli.data.view_stream import ViewStream
from resnet_cli.evaluation.choices import Views
from resnet_cli.evaluation.views import (
    center_crop,
    five_crop,
    image_to_tensor,
    multi_scale_scores,
    resize_shorter,
    scores_of,
    ten_crop_scores,
    window_of,
)
from resnet_cli.models.resnet import Network, ResNet
from resnet_cli.runtime.distributed import Context

# photographs at a time; dense views differ in size, so they come one by one
BATCH = {Views.single: 100, Views.ten: 10, Views.dense: 1}
_SINGLE_PROCESS = Context()
# shorter sides of the dense evaluation of networks trained on crops of 224 (section 3.4)
_SCALES = (224, 256, 384, 480, 640)


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How photographs are evaluated, for networks trained on crops of `image_size` pixels.

    The shorter side is resized in the paper's proportion, 256 for crops of 224; with dense views,
    to each of `scales` (`default_scales` if there are none).
    """

    views: Views
    image_size: int
    scales: tuple[int, ...] = ()

    def make_views(self, photograph: Image) -> Any:
        """Cuts a photograph into views: uint8 [views, 3, S, S].

        With dense views, a list of uint8 [3, H, W], one per scale.
        """
        if self.views is Views.dense:
            return [
                image_to_tensor(resize_shorter(photograph, scale))
                for scale in self.scales or default_scales(self.image_size)
            ]
        resized = resize_shorter(photograph, round(self.image_size * 256 / 224))
        crop = five_crop if self.views is Views.ten else center_crop
        return crop(resized, self.image_size)

    def score(
        self, network: Network, normalizer: Normalizer, *, views: Any, dtype: torch.dtype
    ) -> Tensor:
        """Softmax scores of N photographs, float32 [N, classes], from their stacked `views`."""
        if self.views is Views.dense:
            assert isinstance(network, ResNet), "others are refused before"
            window = window_of(network, self.image_size)
            return multi_scale_scores(
                network, (normalizer(images) for images in views), window=window, dtype=dtype
            )
        if self.views is Views.ten:
            return ten_crop_scores(network, normalizer(views), dtype=dtype)
        return scores_of(network, normalizer(views.flatten(0, 1)), dtype=dtype)


# a network in eval mode, and the normalizer of its input
TestedNetwork = tuple[Network, Normalizer]
# softmax scores float32 [N, classes] and labels int64 [N] on the device; indices int64 [N]
Scored = tuple[Tensor, Tensor, Tensor]


class Test(typing.Protocol):
    """Labeled images, and how they are scored."""

    def __len__(self) -> int:
        """Number of images."""

    def scores(
        self,
        networks: Sequence[TestedNetwork],
        *,
        dtype: torch.dtype,
        context: Context = _SINGLE_PROCESS,
    ) -> Iterator[Scored]:
        """Scores every image once, batch by batch; several networks form an ensemble.

        The ranks of a `context` share the batches, which do not depend on the number of ranks.
        """


@dataclass(frozen=True)
class ImageTest:
    """Images on the device, each evaluated as a single view, unchanged (section 4.2)."""

    split: Split
    batch_size: int = 250

    def __len__(self) -> int:
        return len(self.split)

    def scores(
        self,
        networks: Sequence[TestedNetwork],
        *,
        dtype: torch.dtype,
        context: Context = _SINGLE_PROCESS,
    ) -> Iterator[Scored]:
        """See `Test.scores`."""
        columns = self.split.images, self.split.labels, torch.arange(len(self.split))
        batches = zip(*(column.split(self.batch_size) for column in columns), strict=True)
        for images, labels, indices in islice(batches, context.rank, None, context.world):
            scores = [
                scores_of(network, normalizer(images), dtype=dtype)
                for network, normalizer in networks
            ]
            yield _average(scores), labels, indices


@dataclass(frozen=True, kw_only=True)
class PhotographTest:
    """Photographs from files, evaluated by a `protocol`."""

    samples: Samples
    protocol: Protocol
    workers: int
    device: torch.device
    bad: BadImages

    def __len__(self) -> int:
        return len(self.samples)

    def scores(
        self,
        networks: Sequence[TestedNetwork],
        *,
        dtype: torch.dtype,
        context: Context = _SINGLE_PROCESS,
    ) -> Iterator[Scored]:
        """See `Test.scores`.

        Raises DataError for a photograph that cannot be decoded, unless it may be skipped.
        """
        protocol = self.protocol
        stream = ViewStream(
            samples=self.samples,
            make_views=protocol.make_views,
            batch_size=BATCH[protocol.views],
            workers=self.workers,
            device=self.device,
            bad=self.bad,
            part=context.part,
        )
        for views, labels, indices in stream:
            scores = [
                protocol.score(network, normalizer, views=views, dtype=dtype)
                for network, normalizer in networks
            ]
            yield _average(scores), labels, indices


def _average(scores: list[Tensor]) -> Tensor:
    """The mean of the networks' softmax scores (section 4.1)."""
    return torch.stack(scores).mean(dim=0)


def default_scales(image_size: int) -> tuple[int, ...]:
    """The paper's five scales, in proportion for networks trained on crops of another size.

    224, 256, 384, 480 and 640 for crops of 224; 64, 73, 110, 137 and 183 for crops of 64.
    """
    return tuple(round(scale * image_size / 224) for scale in _SCALES)
