"""Exact errors: counted over images resident on the device, or over a stream of batches."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from resnet_cli.evaluation.protocol import Subject, Test
from resnet_cli.runtime.distributed import Context


@dataclass(frozen=True)
class Errors:
    """Errors in percent over `count` images, each counted once; `loss` is the mean
    cross-entropy in nats.
    """

    top1_error: float
    top5_error: float
    loss: float
    count: int


class ErrorCount:
    """Counts wrong images batch by batch, on the device; nothing waits for it until `errors`.

    `totals` float64 [4] holds images wrong at first guess, images wrong at five, the summed loss
    and the images seen: counts that several processes can add up.
    """

    def __init__(self, device: torch.device) -> None:
        self.totals = torch.zeros(4, dtype=torch.float64, device=device)

    @torch.inference_mode()
    def add(self, scores: Tensor, labels: Tensor) -> None:
        """Scores (softmax probabilities) float32 [N, classes] and labels int64 [N].

        Of fewer than five classes, all are guessed.
        """
        right = scores.topk(min(5, scores.shape[1])).indices == labels[:, None]
        loss = -scores.gather(1, labels[:, None]).clamp_min(torch.finfo(scores.dtype).tiny).log()
        self.totals[:3] += torch.stack(
            [(~right[:, 0]).sum(), (~right.any(dim=1)).sum(), loss.double().sum()]
        )
        self.totals[3] += len(labels)

    def errors(self) -> Errors:
        """The errors so far; the one wait for the device.

        Raises ValueError where no image was added.
        """
        top1, top5, loss, count = self.totals.tolist()
        if count == 0:
            raise ValueError("no images to measure")
        return Errors(100 * top1 / count, 100 * top5 / count, loss / count, int(count))


def measure(
    subjects: Sequence[Subject], test: Test, *, dtype: torch.dtype, context: Context | None = None
) -> Errors:
    """The errors of one network or, several of them, of their ensemble. The networks must be in
    eval mode.

    The ranks of a `context` each take their share of the batches, and count every image once.
    """
    context = context or Context()
    count = ErrorCount(subjects[0][1].mean.device)
    for scores, labels, _ in test.scores(subjects, dtype=dtype, context=context):
        count.add(scores, labels)
    count.totals = context.gather(count.totals).sum(dim=0)
    return count.errors()


WNID_OR_NUMBER = re.compile(r"n\d{8}|\d{1,3}")


def top(scores: Tensor, classes: Sequence[str], k: int = 5) -> list[tuple[str, float]]:
    """The `k` likeliest classes of one image (all of them where there are fewer), likeliest first,
    with their probabilities.

    `scores` [classes] are softmax probabilities.
    """
    assert scores.shape == (len(classes),), (scores.shape, len(classes))
    values, indices = scores.float().topk(min(k, len(classes)))
    return [
        (classes[index], value)
        for index, value in zip(indices.tolist(), values.tolist(), strict=True)
    ]


def names_of(classes: Sequence[str]) -> tuple[str, ...]:
    """ImageNet's 1,000 classes in words ("tench"), where `classes` are its wnids in order or
    mere numbers; else `classes` themselves.
    """
    if len(classes) != 1000 or not all(WNID_OR_NUMBER.fullmatch(name) for name in classes):
        return tuple(classes)
    # here: importing every network of torchvision takes a second
    from torchvision.models import ResNet50_Weights

    return tuple(ResNet50_Weights.DEFAULT.meta["categories"])
