"""Paths (Veit et al. 2016, sections 3 and 5): a network of n blocks y = F(x) + x is the sum over
2^n paths, each of which takes F or the shortcut at every block.

For the gradient at fixed maps that sum is exact, with a ReLU after the addition as well as without:
every factor of the product rule is a sum of two terms, (dF/dx) + (shortcut), both behind the same
mask. dE/dx_0 is therefore the sum of 2^n products; those with k factors dF/dx are the paths of
length k.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from resnet_cli.analysis.chain import Place
from resnet_cli.models.blocks import ResidualBlock
from resnet_cli.models.resnet import ResNet
from resnet_cli.paper.why.records import PathLength


def number_of_paths(blocks: int) -> list[int]:
    """How many paths there are of length 0 ... blocks: the binomial coefficients."""
    return [math.comb(blocks, length) for length in range(blocks + 1)]


def share_of_paths(blocks: int, first: int, last: int) -> float:
    """Which part of all paths has a length of first ... last, in percent."""
    return 100 * sum(number_of_paths(blocks)[first : last + 1]) / 2**blocks


@dataclass(frozen=True)
class Factor:
    """One block at fixed maps: how it takes the gradient back, along F or along the shortcut."""

    x: Tensor
    through_f: Tensor
    through_shortcut: Tensor

    def back(self, gradient: Tensor, *, along_f: bool) -> Tensor:
        """[N, C', H', W'] -> [N, C, H, W]: one of the two terms of the block's factor."""
        y = self.through_f if along_f else self.through_shortcut
        return torch.autograd.grad(y, self.x, gradient, retain_graph=True)[0]


def factors(
    network: ResNet, blocks: Sequence[ResidualBlock], images: Tensor, labels: Tensor
) -> tuple[list[Factor], Tensor]:
    """The factors in order, and the gradient of each image's own loss at the last map; `network`
    is in eval mode, its weights without gradients.
    """
    x, found = network.stem(images), []
    for block in blocks:
        x = x.detach().requires_grad_()
        residual = block.branch(x)
        through_f = block.combine(residual, x.detach())
        found.append(Factor(x, through_f, block.combine(residual.detach(), x)))
        x = through_f
    x = x.detach().requires_grad_()
    loss = cross_entropy(network.head(x), labels, reduction="sum")
    return found, torch.autograd.grad(loss, x)[0]


def along(chain: Sequence[Factor], last: Tensor, through: set[int]) -> Tensor:
    """The gradient at x_0 that comes along one path: through the F of these blocks alone."""
    for number in reversed(range(len(chain))):
        last = chain[number].back(last, along_f=number in through)
    return last


def summed_by_length(chain: Sequence[Factor], last: Tensor) -> list[Tensor]:
    """The gradient at x_0 summed over all paths of each length 0 ... n, exactly, in n^2 steps
    instead of 2^n.
    """
    sums = [last]
    for factor in reversed(chain):
        straight = [factor.back(one, along_f=False) for one in sums]
        bent = [factor.back(one, along_f=True) for one in sums]
        sums = [
            straight[0],
            *(one + other for one, other in zip(straight[1:], bent[:-1], strict=True)),
            bent[-1],
        ]
    return sums


def some_paths(blocks: int, length: int, *, count: int, seed: int) -> list[set[int]]:
    """At most `count` paths of a length, all where there are no more, else drawn at random."""
    if math.comb(blocks, length) <= count:
        return [set(path) for path in combinations(range(blocks), length)]
    dice = random.Random(f"{seed} {length}")
    return [set(dice.sample(range(blocks), length)) for _ in range(count)]


def norms(gradient: Tensor) -> Tensor:
    """The norm for each image: [N, C, H, W] -> float64 [N]."""
    return gradient.double().flatten(1).norm(dim=1)


def path_lengths(
    network: ResNet,
    line: Sequence[Place],
    images: Tensor,
    labels: Tensor,
    *,
    paths: int,
    seed: int,
    of: dict[str, Any],
    progress: Callable[[Any, int], Any] = lambda steps, _total: steps,
) -> list[PathLength]:
    """A row for each length; `paths` of each are sampled for the norm along one of them."""
    blocks = len(line)
    network.requires_grad_(False)
    chain, last = factors(network, [one.block for one in line], images, labels)
    sums = summed_by_length(chain, last)
    sampled, found = [], []
    for length in progress(range(blocks + 1), blocks + 1):
        chosen = some_paths(blocks, length, count=paths, seed=seed)
        values = torch.stack([norms(along(chain, last, through)).mean() for through in chosen])
        sampled.append((len(chosen), float(values.mean())))
    logs = [math.log10(count) for count in number_of_paths(blocks)]
    # 10^16 paths times 10^-20 each: by logarithms
    weights = [
        log + math.log10(norm) if norm > 0 else -math.inf
        for log, (_, norm) in zip(logs, sampled, strict=True)
    ]
    top = max(weights)
    parts = [10 ** (weight - top) if top > -math.inf else 0.0 for weight in weights]
    for length, (count, norm) in enumerate(sampled):
        row = PathLength(
            **of,
            blocks=blocks,
            length=length,
            log10_paths=logs[length],
            share=share_of_paths(blocks, length, length),
            sampled=count,
            path_norm=norm,
            total=100 * parts[length] / (sum(parts) or 1.0),
            sum_norm=float(norms(sums[length]).mean()),
        )
        found.append(row)
    return found
