"""Paths and gradients against enumeration, autograd and finite differences, in float64."""

import math
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, relu

from resnet_cli.analysis.chain import Place, places
from resnet_cli.analysis.gradients import additive, at_maps, forward, gradients, stretches
from resnet_cli.analysis.paths import (
    along,
    factors,
    number_of_paths,
    path_lengths,
    share_of_paths,
    summed_by_length,
)
from resnet_cli.models.architecture import Shortcut, cifar
from resnet_cli.models.blocks import BasicBlock
from resnet_cli.models.resnet import ResNet
from resnet_cli.paper.why.paths import effective
from resnet_cli.paper.why.records import Gradient, PathLength, from_csv
from tests.helpers.commands import TINY, Command, check_refused
from tests.helpers.networks import stir

OF = {"network": "it", "seed": 0, "iteration": 9, "dataset": "cifar10", "images": 3}


class PreActivation(BasicBlock):
    """A block without ReLU after the addition: y = x + F(x), as F begins with one."""

    def residual(self, x: Tensor) -> Tensor:
        return super().residual(relu(x))

    def combine(self, residual: Tensor, x: Tensor) -> Tensor:
        assert self.downsample is not None
        return residual + self.downsample(x)


def small(depth: int, *, pre_activation: bool = False) -> tuple[ResNet, list[Place]]:
    network = stir(ResNet(cifar(depth, shortcut=Shortcut.A))).double()
    if pre_activation:
        for block in network.named_blocks().values():
            block.__class__ = PreActivation
    return network, places(network, image_size=8)


def batch() -> tuple[Tensor, Tensor]:
    return torch.randn(3, 3, 8, 8, dtype=torch.float64), torch.tensor([1, 7, 2])


def test_paths_are_binomial() -> None:
    counts = [0] * 7
    for choice in range(2**6):
        counts[choice.bit_count()] += 1
    assert number_of_paths(6) == counts
    assert sum(number_of_paths(54)) == 2**54
    assert share_of_paths(54, 5, 17) == pytest.approx(0.4537, abs=5e-5)  # Veit et al., section 5


@pytest.mark.numerical
@pytest.mark.parametrize("pre_activation", [False, True])
def test_the_gradient_is_the_sum_over_all_paths(pre_activation: bool) -> None:
    network, line = small(14, pre_activation=pre_activation)  # six blocks
    images, labels = batch()
    network.requires_grad_(False)
    blocks = [one.block for one in line]
    chain, last = factors(network, blocks, images, labels)
    paths = {
        through: along(chain, last, set(through))
        for length in range(7)
        for through in combinations(range(6), length)
    }
    assert len(paths) == 64
    x = network.stem(images).requires_grad_()
    y = x
    for block in blocks:
        y = block(y)
    (true,) = torch.autograd.grad(cross_entropy(network.head(y), labels, reduction="sum"), x)
    sums = summed_by_length(chain, last)
    torch.testing.assert_close(torch.stack(list(paths.values())).sum(0), true)
    torch.testing.assert_close(torch.stack(sums).sum(0), true)
    for length in range(7):
        of_length = [g for through, g in paths.items() if len(through) == length]
        torch.testing.assert_close(sums[length], torch.stack(of_length).sum(0))
    rows = path_lengths(network, line, images, labels, paths=64, seed=0, of=OF)
    for row in rows:
        enumerated = [
            g.flatten(1).norm(dim=1).mean().item()
            for through, g in paths.items()
            if len(through) == row.length
        ]
        assert row.sampled == len(enumerated) == math.comb(6, row.length)
        assert row.path_norm == pytest.approx(sum(enumerated) / len(enumerated))
    products = [row.sampled * row.path_norm for row in rows]
    assert [row.total for row in rows] == pytest.approx([100 * p / sum(products) for p in products])
    first, final = effective(rows)
    assert sum(row.total for row in rows[first : final + 1]) >= 95
    narrower = final - first  # lengths in one less
    assert all(
        sum(row.total for row in rows[at : at + narrower]) < 95 for at in range(8 - narrower)
    )


@pytest.mark.numerical
def test_gradients_are_those_of_finite_differences() -> None:
    network, line = small(14)
    images, labels = batch()
    maps = forward(network, images, labels)
    for at, gradient in enumerate(at_maps(maps)):
        x, step = maps.x[at].detach(), 1e-6 * torch.randn_like(maps.x[at])

        def loss(x: Tensor, at: int = at) -> float:
            for place in line[at:]:
                x = place.block(x)
            return cross_entropy(network.head(x), labels, reduction="sum").item()

        slope = loss(x + step) - loss(x - step)
        assert slope == pytest.approx(2 * (gradient * step).sum().item(), rel=1e-4)


@pytest.mark.numerical
def test_the_sum_form_is_exact_where_nothing_follows_the_addition() -> None:
    images, labels = batch()
    for pre_activation in (True, False):
        network, line = small(20, pre_activation=pre_activation)
        maps = forward(network, images, labels)
        true = at_maps(maps)
        assert stretches(line) == [(0, 3), (4, 6), (7, 9)]
        for first, last in stretches(line):
            sums = additive(maps, true, first=first, last=last)
            off = [
                float((one - other).norm() / other.norm())
                for one, other in zip(sums, true[first : last + 1], strict=True)
            ]
            assert off[-1] == 0
            assert max(off) < 1e-12 if pre_activation else max(off) > 1e-3
        rows = gradients(network, line, images, labels, of=OF)
        assert {row.exact for row in rows if row.additive is not None} == {pre_activation}
        assert [row.block for row in rows] == list(range(10))


def _trained(command: Command, runs: Path, words: Sequence[str]) -> Path:
    assert command("resnet-train", *TINY, *words, f"runs={runs}").code == 0
    return next(path.parent for path in runs.rglob("result.json"))


def test_the_commands(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "out"
    residual = _trained(command, tmp_path / "a", ["model.depth=14"])
    plain = _trained(
        command, tmp_path / "b", ["model=plain20", "model.depth=14", "keep_checkpoints=[3,16]"]
    )
    stayed = [one.name for one in (plain / "checkpoints").glob("iteration-*")]
    assert sorted(stayed) == ["iteration-16.pt", "iteration-3.pt"]
    previous, same = (
        torch.load(plain / "checkpoints" / name)["network"]
        for name in ("previous.pt", "iteration-16.pt")  # TINY saves every eight iterations
    )
    assert all(torch.equal(previous[name], value) for name, value in same.items())
    options = ["--images", 8, "--out", out, "device=cpu"]
    done = command("resnet-analyze", "paths", "--ckpt", residual, *options, "--paths", 2)
    assert done.code == 0 and "64 paths" in done.out, done
    rows = from_csv(PathLength, out / "paths.csv")
    assert sum(row.share for row in rows) == pytest.approx(100)
    assert sum(row.total for row in rows) == pytest.approx(100)
    done = command("resnet-analyze", "gradients", "--ckpt", plain, residual, *options)
    assert done.code == 0, done.err
    found = from_csv(Gradient, out / "gradients.csv")
    assert {(row.network, row.iteration) for row in found} == {
        ("plain14", 0), ("plain14", 3), ("plain14", 16), ("plain14", 24), ("resnet14-A", 0),
        ("resnet14-A", 24),
    }  # fmt: skip
    assert "After 3 iterations, in plain-14 the gradient at the stem" in done.out
    assert (out / "paths.png").is_file() and (out / "gradients.png").is_file()
    check_refused(
        command("resnet-analyze", "paths", "--ckpt", plain, *options), 2, "has no shortcuts"
    )
