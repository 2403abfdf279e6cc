"""The gradient at every block, and the identity in it (He et al. 2016, "Identity Mappings", Eq. 5).

Where x_{l+1} = x_l + F(x_l), as in a stage of a pre-activation network, x_L = x_l + sum F and

    dE/dx_l = dE/dx_L (1 + d/dx_l sum F),

so dE/dx_L reaches every block of the stage undiminished. In the original networks a ReLU follows
the addition; there the right side is an approximation, and how far off it is is measured here.
BN normalises by the batch, as when training.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from resnet_cli.analysis.chain import Place
from resnet_cli.analysis.paths import norms
from resnet_cli.models.resnet import ResNet
from resnet_cli.paper.why.records import Gradient


@dataclass(frozen=True)
class Maps:
    """A forward pass taken apart: x_0 ... x_n, every block's F, and the summed loss."""

    x: list[Tensor]
    residuals: list[Tensor]
    loss: Tensor


def forward(network: ResNet, images: Tensor, labels: Tensor) -> Maps:
    """The maps as parts of one graph."""
    x = [network.stem(images)]
    if not x[0].requires_grad:
        x[0].requires_grad_()
    residuals = []
    for block in network.named_blocks().values():
        residuals.append(block.branch(x[-1]))
        x.append(block.combine(residuals[-1], x[-1]))
    loss = cross_entropy(network.head(x[-1]), labels, reduction="sum")
    return Maps(x, residuals, loss)


def at_maps(maps: Maps) -> list[Tensor]:
    """dE/dx_l for l = 0 ... n, E the loss summed over the batch: the product form."""
    return list(torch.autograd.grad(maps.loss, maps.x, retain_graph=True))


def additive(maps: Maps, gradients: Sequence[Tensor], *, first: int, last: int) -> list[Tensor]:
    """dE/dx_L (1 + d/dx_l sum F) for l = first ... L = last, all maps of one shape."""
    carried = gradients[last]
    if first == last:
        return [carried]
    total = torch.stack(maps.residuals[first:last]).sum(dim=0)
    slopes = torch.autograd.grad(total, maps.x[first:last], carried, retain_graph=True)
    return [*(carried + slope for slope in slopes), carried]


def stretches(line: Sequence[Place]) -> list[tuple[int, int]]:
    """The first and last map of each stretch of blocks that keep the shape and have a shortcut."""
    found, start = [], 0
    for number, one in enumerate(line):
        if not one.keeps_shape:
            found.append((start, number))
            start = number + 1
    return [*found, (start, len(line))]


def gradients(
    network: ResNet, line: Sequence[Place], images: Tensor, labels: Tensor, *, of: dict[str, Any]
) -> list[Gradient]:
    """A row for each map; the network itself is left as it is."""
    copied = copy.deepcopy(network).train().requires_grad_(False)
    maps = forward(copied, images, labels)
    exact_form = at_maps(maps)
    by_map: dict[int, dict[str, Any]] = {}
    residual = line[-1].block.downsample is not None
    for first, last in stretches(line) if residual else []:
        if first == last:
            continue
        exact = all(
            torch.equal(maps.x[at + 1], maps.x[at] + maps.residuals[at])
            for at in range(first, last)
        )
        sums = additive(maps, exact_form, first=first, last=last)
        for at, approximation in zip(range(first, last + 1), sums, strict=True):
            true = exact_form[at]
            by_map[at] = {
                "identity": float(norms(exact_form[last]).mean()),
                "additive": float(norms(approximation).mean()),
                "deviation": float((approximation - true).norm() / true.norm()),
                "exact": exact,
            }
    empty = {"identity": None, "additive": None, "deviation": None, "exact": False}
    stages = [1, *(one.stage for one in line)]
    return [
        Gradient(
            **of,
            block=number,
            stage=stages[number],
            norm=float(norms(gradient).mean()),
            **by_map.get(number, empty),
        )
        for number, gradient in enumerate(exact_form)
    ]
