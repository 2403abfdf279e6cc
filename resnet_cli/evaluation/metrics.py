"""Exact errors, counted image by image and independent of how images are batched."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from resnet_cli.evaluation.protocol import Test, TestedNetwork
from resnet_cli.runtime.device import is_limited
from resnet_cli.runtime.distributed import Context


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Errors in percent over `count` images, each counted once.

    `loss` is the mean cross-entropy in nats.
    """

    top1_error: float
    top5_error: float
    loss: float
    count: int


class ErrorCount:
    """Counts wrong images on the device, without waiting for it until `errors`.

    `totals` float64 [4] holds the top-1 errors, the top-5 errors, the summed loss and the number of
    images: counts that several processes can add up. float32 on mps, which counts 16 million.
    """

    def __init__(self, device: torch.device) -> None:
        wide = torch.float32 if is_limited(device) else torch.float64
        self.totals = torch.zeros(4, dtype=wide, device=device)

    @torch.inference_mode()
    def add(self, scores: Tensor, labels: Tensor) -> None:
        """Adds a batch: softmax scores float32 [N, classes] and labels int64 [N].

        With fewer than five classes, no image is a top-5 error.
        """
        right = scores.topk(min(5, scores.shape[1])).indices == labels[:, None]
        loss = -scores.gather(1, labels[:, None]).clamp_min(torch.finfo(scores.dtype).tiny).log()
        self.totals[:3] += torch.stack(
            [(~right[:, 0]).sum(), (~right.any(dim=1)).sum(), loss.to(self.totals.dtype).sum()]
        )
        self.totals[3] += len(labels)

    def errors(self) -> Errors:
        """The errors so far; waits for the device.

        Raises ValueError if no image was added.
        """
        top1, top5, loss, count = self.totals.tolist()
        if count == 0:
            raise ValueError("no images to measure")
        return Errors(
            top1_error=100 * top1 / count,
            top5_error=100 * top5 / count,
            loss=loss / count,
            count=int(count),
        )


def measure(
    networks: Sequence[TestedNetwork],
    test: Test,
    *,
    dtype: torch.dtype,
    context: Context | None = None,
) -> Errors:
    """The errors of one network, or of several as an ensemble; all must be in eval mode.

    The ranks of a `context` share the batches, and every image is counted once. Raises ValueError
    if there are no images.
    """
    context = context or Context()
    count = ErrorCount(networks[0][1].mean.device)
    for scores, labels, _ in test.scores(networks, dtype=dtype, context=context):
        count.add(scores, labels)
    count.totals = context.gather(count.totals).sum(dim=0)
    return count.errors()


_WNID_OR_NUMBER = re.compile(r"n\d{8}|\d{1,3}")


def top(scores: Tensor, classes: Sequence[str], *, k: int = 5) -> list[tuple[str, float]]:
    """The `k` most likely classes of one image with their probabilities, most likely first.

    `scores` [classes] are softmax probabilities; fewer than `k` classes are all returned.
    """
    assert scores.shape == (len(classes),), (scores.shape, len(classes))
    values, indices = scores.float().topk(min(k, len(classes)))
    return [
        (classes[index], value)
        for index, value in zip(indices.tolist(), values.tolist(), strict=True)
    ]


def names_of(classes: Sequence[str]) -> tuple[str, ...]:
    """Class names for people: ImageNet's in words ("tench"), if `classes` are its wnids or numbers.

    Otherwise `classes` themselves.
    """
    if len(classes) != 1000 or not all(_WNID_OR_NUMBER.fullmatch(name) for name in classes):
        return tuple(classes)
    # not at the top: importing all networks of torchvision takes a second
    from torchvision.models import ResNet50_Weights

    return tuple(ResNet50_Weights.DEFAULT.meta["categories"])
