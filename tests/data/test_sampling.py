"""Order and draws are pure functions of (seed, epoch, sample)."""

import pytest
import torch

from resnet_cli.data.sampling import batch_indices, epoch_order, mix, uniform
from tests.helpers.numbers import assert_same

pytestmark = pytest.mark.numerical


def test_an_epoch_shows_each_image_once() -> None:
    assert sorted(epoch_order(1000, seed=3, epoch=5).tolist()) == list(range(1000))


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = [
        tuple(epoch_order(100, seed=seed, epoch=epoch).tolist())
        for seed in (0, 1)
        for epoch in (0, 1, 2)
    ]
    assert len(set(orders)) == 6


def test_batches_run_on_across_epochs() -> None:
    """100 batches of 7 from 30 images are the epochs' orders, end to end."""
    batches = [batch_indices(iteration, batch_size=7, count=30, seed=9) for iteration in range(100)]
    stream = torch.cat([indices for indices, _ in batches])
    expected = torch.cat([epoch_order(30, seed=9, epoch=epoch) for epoch in range(24)])[:700]
    assert_same(stream, expected)
    assert torch.cat([epochs for _, epochs in batches]).tolist() == [
        place // 30 for place in range(700)
    ]


def test_a_batch_may_be_longer_than_the_set() -> None:
    indices, epochs = batch_indices(0, batch_size=25, count=10, seed=0)
    assert torch.bincount(epochs).tolist() == [10, 10, 5]
    assert sorted(indices[:10].tolist()) == list(range(10))


def test_the_hash_is_splitmix64() -> None:
    """Against the reference in Python's own unbounded integers."""
    wrap = (1 << 64) - 1

    def reference(key: int, value: int) -> int:
        x = (key + (value + 1) * 0x9E3779B97F4A7C15) & wrap
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & wrap
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & wrap
        return x ^ (x >> 31)

    keys = [0, 1, 12345, (1 << 62) + 17]
    values = [0, 1, 49_999, 1 << 40]
    ours = [int(mix(torch.tensor(key), value)) & wrap for key in keys for value in values]
    assert ours == [reference(key, value) for key in keys for value in values]


def test_draws_are_uniform_and_of_every_value() -> None:
    bits = mix(torch.zeros(90_000, dtype=torch.int64), torch.arange(90_000))
    for lowest in (0, 20, 40):
        counts = torch.bincount(uniform(bits, 9, lowest=lowest), minlength=9).double()
        chi_square = ((counts - 10_000) ** 2 / 10_000).sum().item()
        # 8 degrees of freedom: 1 in 5,000 is above 30, and the draw is fixed
        assert chi_square < 30
