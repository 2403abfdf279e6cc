"""Errors counted exactly, against a loop over single images."""

import pytest
import torch
from torch import nn

from resnet_cli.data.images import Normalization, Split, fit_normalizer
from resnet_cli.evaluation.evaluator import measure


class Linear(nn.Module):
    """Logits straight from the pixels."""

    def __init__(self, seed: int, classes: int = 10) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.1 * torch.randn(3 * 4 * 4, classes, generator=torch.Generator().manual_seed(seed)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1) @ self.weight


SPLIT = Split(torch.randint(0, 256, (101, 3, 4, 4), dtype=torch.uint8), torch.randint(0, 10, (101,)))
NORMALIZER = fit_normalizer(Normalization.cifar, SPLIT)


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_errors_are_a_count_over_single_images(seeds: tuple[int, ...]) -> None:
    networks = [Linear(seed) for seed in seeds]
    top1 = top5 = 0
    loss = 0.0
    for image, label in zip(SPLIT.images, SPLIT.labels, strict=True):
        scores = sum(network(NORMALIZER(image[None])).softmax(1)[0] for network in networks) / len(networks)
        order = scores.argsort(descending=True).tolist()
        top1 += order[0] != label
        top5 += label not in order[:5]
        loss -= scores[label].log().item()
    for batch_size in (7, 101, 1000):  # the ragged last batch weighs what it should
        ours = measure([(network, NORMALIZER) for network in networks], SPLIT, dtype=torch.float32, batch_size=batch_size)
        assert (ours.top1_error, ours.top5_error, ours.count) == (pytest.approx(top1 / 1.01), pytest.approx(top5 / 1.01), 101)
        assert ours.loss == pytest.approx(loss / 101, rel=1e-4)


def test_a_network_of_nans_is_not_perfect() -> None:
    network = Linear(0)
    nn.init.constant_(network.weight, float("nan"))
    assert measure([(network, NORMALIZER)], SPLIT, dtype=torch.float32).top1_error > 50
