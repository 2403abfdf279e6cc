"""Exact errors of one network, or of several whose scores are averaged."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from resnet_cli.data.images import Normalizer, Split
from resnet_cli.hardware import autocast


@dataclass(frozen=True)
class Errors:
    """Errors in percent over `count` images, each counted once; `loss` is the mean cross-entropy in nats."""

    top1_error: float
    top5_error: float
    loss: float
    count: int


@torch.inference_mode()
def measure(networks: Sequence[tuple[nn.Module, Normalizer]], split: Split, *, dtype: torch.dtype, batch_size: int = 1000) -> Errors:
    """The single 32x32 view of section 4.2. Each network comes with its own normalisation and must be in eval mode.

    Several networks are an ensemble: their softmax scores are averaged.
    """
    device = split.labels.device
    totals = torch.zeros(3, dtype=torch.float64, device=device)
    for images, labels in zip(split.images.split(batch_size), split.labels.split(batch_size), strict=True):
        scores = torch.stack([_scores(network, normalizer(images), dtype=dtype) for network, normalizer in networks]).mean(dim=0)
        ranked = scores.topk(min(5, scores.shape[1])).indices == labels[:, None]
        loss = -(scores * one_hot(labels, scores.shape[1])).sum(dim=1).clamp_min(torch.finfo(scores.dtype).tiny).log()
        totals += torch.stack([(~ranked[:, 0]).sum(), (~ranked.any(dim=1)).sum(), loss.double().sum()])
    top1, top5, loss_sum = totals.tolist()  # the one wait for the device
    return Errors(100 * top1 / len(split), 100 * top5 / len(split), loss_sum / len(split), len(split))


def _scores(network: nn.Module, images: Tensor, *, dtype: torch.dtype) -> Tensor:
    """Softmax probabilities float32 [N, classes]."""
    with autocast(images.device, dtype):
        logits = network(images.contiguous(memory_format=torch.channels_last))
    return logits.float().softmax(dim=1)
