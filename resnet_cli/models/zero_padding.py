"""Networks whose shortcut A pads zeros on both sides, as the same function with zeros behind.

The channels of the residual stream may stand in any order, as long as all that reads and writes
them agrees. In the order that puts the old channels first, zeros on both sides are zeros behind.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from resnet_cli.models.architecture import (
    EXPANSION,
    Activation,
    Architecture,
    ZeroPadding,
    zeros_before,
)

_OF_BN = ("weight", "bias", "running_mean", "running_var")


def with_zeros_behind(
    net: Architecture, state: Mapping[str, Tensor]
) -> tuple[Architecture, dict[str, Tensor]]:
    """A network and its weights as those of `zero_padding=after` that compute the same logits.

    `state` must be the network's own, under our names.
    """
    moved = dict(state)

    def reorder(name: str, order: list[int], *, dim: int) -> None:
        moved[name] = moved[name].index_select(dim, torch.tensor(order))

    writes = list(range(net.stem_channels))
    for block, reads, writes in _orders(net):
        reorder(f"{block}.conv1.weight", reads, dim=1)
        reorder(f"{block}.conv{net.block_depth}.weight", writes, dim=0)
        for part in _OF_BN:
            if net.activation is Activation.pre:
                reorder(f"{block}.bn1.{part}", reads, dim=0)
            else:
                reorder(f"{block}.bn{net.block_depth}.{part}", writes, dim=0)
    for part in _OF_BN if net.activation is Activation.pre else ():
        reorder(f"bn.{part}", writes, dim=0)
    reorder("fc.weight", writes, dim=1)
    return replace(net, zero_padding=ZeroPadding.after), moved


def _orders(net: Architecture) -> Iterator[tuple[str, list[int], list[int]]]:
    """Each block, and where the channels that it reads and that it writes are in `net`."""
    reads = list(range(net.stem_channels))
    for stage, (width, blocks) in enumerate(zip(net.widths, net.blocks, strict=True), start=1):
        outputs = EXPANSION[net.block] * width
        for block in range(blocks):
            before = zeros_before(outputs - len(reads), net.zero_padding)
            kept = [before + channel for channel in reads]
            writes = kept + sorted(set(range(outputs)) - set(kept))
            yield f"layer{stage}.{block}", reads, writes
            reads = writes
