"""Errors counted exactly, against a loop over single images."""

from typing import Any

import pytest
import torch
from torch import nn

from resnet_cli.data.choices import Normalization
from resnet_cli.data.images import Split, fit_normalizer
from resnet_cli.evaluation.metrics import ErrorCount, measure
from resnet_cli.evaluation.protocol import ImageTest

pytestmark = pytest.mark.numerical


class Linear(nn.Module):
    """Logits straight from the pixels."""

    def __init__(self, seed: int, classes: int = 10) -> None:
        super().__init__()
        self.weight = nn.Parameter(
            0.1 * torch.randn(3 * 4 * 4, classes, generator=torch.Generator().manual_seed(seed))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1) @ self.weight


DRAWN = torch.Generator().manual_seed(0)
SPLIT = Split(
    torch.randint(0, 256, (101, 3, 4, 4), dtype=torch.uint8, generator=DRAWN),
    torch.randint(0, 10, (101,), generator=DRAWN),
)
NORMALIZER = fit_normalizer(Normalization.cifar, SPLIT)


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_errors_are_a_count_over_single_images(seeds: tuple[int, ...]) -> None:
    networks: list[Any] = [Linear(seed) for seed in seeds]
    top1 = top5 = 0
    loss = 0.0
    for image, label in zip(SPLIT.images, SPLIT.labels, strict=True):
        each = [network(NORMALIZER(image[None])).softmax(1)[0] for network in networks]
        scores = torch.stack(each).mean(dim=0)
        order = scores.argsort(descending=True).tolist()
        top1 += order[0] != label
        top5 += label not in order[:5]
        loss -= scores[label].log().item()
    for batch_size in (7, 101, 1000):  # the ragged last batch weighs what it should
        ours = measure(
            [(network, NORMALIZER) for network in networks],
            ImageTest(SPLIT, batch_size),
            dtype=torch.float32,
        )
        assert ours.top1_error == pytest.approx(top1 / 1.01)
        assert ours.top5_error == pytest.approx(top5 / 1.01)
        assert ours.count == 101
        assert ours.loss == pytest.approx(loss / 101, rel=1e-4)


def test_a_network_of_nans_is_not_perfect() -> None:
    network: Any = Linear(0)
    nn.init.constant_(network.weight, float("nan"))
    assert measure([(network, NORMALIZER)], ImageTest(SPLIT), dtype=torch.float32).top1_error > 50


def test_a_stream_counts_as_the_whole() -> None:
    scores, labels = torch.randn(100, 10).softmax(dim=1), torch.randint(0, 10, (100,))
    whole, stream, ranks = (ErrorCount(torch.device("cpu")) for _ in range(3))
    whole.add(scores, labels)
    for batch in torch.arange(100).split(7):
        stream.add(scores[batch], labels[batch])
    for rank in range(3):  # shares of unequal size, added up as processes do
        one = ErrorCount(torch.device("cpu"))
        one.add(scores[rank::3], labels[rank::3])
        ranks.totals += one.totals
    for other in (stream.errors(), ranks.errors()):
        assert (other.top1_error, other.top5_error, other.count) == (
            whole.errors().top1_error,
            whole.errors().top5_error,
            100,
        )
        assert other.loss == pytest.approx(whole.errors().loss)


def test_few_classes_are_all_among_five() -> None:
    count = ErrorCount(torch.device("cpu"))
    count.add(torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]]), torch.tensor([0, 0, 1]))
    errors = count.errors()
    assert errors.top1_error == pytest.approx(200 / 3)
    assert (errors.top5_error, errors.count) == (0, 3)


def test_a_certain_miss_has_a_finite_loss() -> None:
    count = ErrorCount(torch.device("cpu"))
    count.add(torch.tensor([[1.0, 0.0]]), torch.tensor([1]))
    assert 80 < count.errors().loss < 100


def test_nothing_measured_is_no_error_of_nought() -> None:
    with pytest.raises(ValueError, match="no images"):
        ErrorCount(torch.device("cpu")).errors()
