"""Lesions (Veit et al. 2016, section 4): the error of a trained network after blocks lost their
residual function F, or changed places.

An image is carried through the trained network once. A changed network starts from the map before
its first change, so deleting each of n blocks in turn costs about n/2 forward passes.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from resnet_cli.analysis.chain import Chain, Place, take_apart, without_residual
from resnet_cli.analysis.walk import batches
from resnet_cli.data.images import Split
from resnet_cli.models.resnet import Network
from resnet_cli.paper.why.records import Change, Lesion
from resnet_cli.runtime.device import autocast
from resnet_cli.runtime.errors import UserError

SOME = (1, 2, 4, 8, 16)  # blocks deleted, pairs exchanged, where nobody says how many


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A changed network: at each place the number of the block that stands there, or None for the
    bare shortcut.
    """

    change: Change
    order: tuple[int | None, ...]
    k: int = 0
    draw: int = 0

    @property
    def changed(self) -> list[int]:
        return [place for place, block in enumerate(self.order) if block != place]

    @property
    def kendall_tau(self) -> float:
        """Kendall's rank correlation between the order of the blocks and the trained one."""
        left = [block for block in self.order if block is not None]
        pairs = list(combinations(left, 2))
        return sum(1 if one < other else -1 for one, other in pairs) / len(pairs) if pairs else 1.0


def removable(line: Sequence[Place]) -> list[int]:
    """The blocks that F can be deleted from: where a shortcut is left, or x itself fits."""
    return [
        number
        for number, one in enumerate(line)
        if one.keeps_shape or one.block.downsample is not None
    ]


def single(line: Sequence[Place]) -> list[Variant]:
    """Each removable block deleted, one at a time."""
    return [_without(line, {number}, Change.delete) for number in removable(line)]


def drawn(
    line: Sequence[Place], ks: Iterable[int], *, draws: int, seed: int, network: str
) -> list[Variant]:
    """For each k, `draws` random choices of k blocks to delete, and of k exchanges in turn of two
    blocks of the same shape; only blocks that keep the map's dimensions take part.

    Raises UserError where there are not so many.
    """
    free = [number for number, one in enumerate(line) if one.keeps_shape]
    pairs = [
        (one, other) for one, other in combinations(free, 2) if line[one].after == line[other].after
    ]
    found = []
    for k in ks:
        if not 1 <= k <= len(free):
            raise UserError(
                f"--k {k}: {network} has {len(free)} blocks that keep the map's dimensions; use 1 "
                f"to {len(free)}"
            )
        for draw in range(draws):
            dice = random.Random(f"{seed} {k} {draw}")
            gone = set(dice.sample(free, k))
            found.append(_without(line, gone, Change.random, k=k, draw=draw))
            if pairs:
                order = list(range(len(line)))
                for one, other in (dice.choice(pairs) for _ in range(k)):
                    order[one], order[other] = order[other], order[one]
                found.append(Variant(change=Change.swap, order=tuple(order), k=k, draw=draw))
    return found


def _without(
    line: Sequence[Place], gone: set[int], change: Change, *, k: int = 1, draw: int = 0
) -> Variant:
    order = tuple(None if number in gone else number for number in range(len(line)))
    return Variant(change=change, order=order, k=k, draw=draw)


@torch.inference_mode()
def wrong_images(
    chain: Chain,
    variants: Sequence[Variant],
    *,
    split: Split,
    normalizer: Callable[[Tensor], Tensor],
    dtype: torch.dtype,
    batch_size: int = 250,
    progress: Callable[[Any, int], Any] = lambda batches, _total: batches,
) -> tuple[int, list[int]]:
    """How many images the intact network and each variant get wrong."""
    line = chain.line
    starting: dict[int, list[int]] = {}
    for number, variant in enumerate(variants):
        starting.setdefault(min(variant.changed, default=len(line)), []).append(number)
    intact = torch.zeros((), dtype=torch.int64, device=split.labels.device)
    wrong = torch.zeros(len(variants), dtype=torch.int64, device=split.labels.device)
    total = -(-len(split) // batch_size)
    for images, labels in progress(batches(split, normalizer, batch_size), total):
        with autocast(images.device, dtype):
            x = chain.stem(images)
            for place, here in enumerate(line):
                for number in starting.get(place, ()):
                    y = run_from(line, variants[number].order, x, start=place)
                    wrong[number] += _wrong(chain.head(y), labels)
                x = here.leave(here.block(x))
            found = _wrong(chain.head(x), labels)
        intact += found
        for number in starting.get(len(line), ()):  # exchanged and exchanged back
            wrong[number] += found
    return int(intact), wrong.tolist()


def run_from(
    line: Sequence[Place], order: Sequence[int | None], x: Tensor, *, start: int
) -> Tensor:
    """What the head gets, from the map before place `start`."""
    for place in range(start, len(line)):
        block = order[place]
        x = without_residual(line[place].block, x) if block is None else line[block].block(x)
        x = line[place].leave(x)
    return x


def _wrong(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits.argmax(dim=1) != labels).sum()


def records(
    line: Sequence[Place],
    variants: Sequence[Variant],
    wrong: tuple[int, list[int]],
    *,
    of: dict[str, Any],
) -> list[Lesion]:
    """A row for the intact network and for every variant, and for the blocks that were skipped."""

    def row(change: Change, numbers: Sequence[int], found: int | None, **more: Any) -> Lesion:
        alone = numbers[0] if len(numbers) == 1 else None
        given: dict[str, Any] = {"k": 0, "draw": 0, "kendall_tau": 1.0} | more
        return Lesion(
            **of,
            **given,
            change=change,
            blocks=" ".join(line[number].name for number in numbers),
            position=None if alone is None else alone + 1,
            stage=None if alone is None else line[alone].stage,
            keeps_shape=all(line[number].keeps_shape for number in numbers),
            error=None if found is None else 100 * found / of["images"],
        )

    intact, changed = wrong
    there = set(removable(line))
    left_out = [number for number in range(len(line)) if number not in there]
    return [
        row(Change.intact, (), intact),
        *(row(Change.skipped, [number], None) for number in left_out),
        *(
            row(
                one.change,
                one.changed,
                found,
                k=one.k,
                draw=one.draw,
                kendall_tau=one.kendall_tau,
            )
            for one, found in zip(variants, changed, strict=True)
        ),
    ]


def lesions(
    network: Network,
    split: Split,
    normalizer: Callable[[Tensor], Tensor],
    *,
    image_size: int,
    ks: Iterable[int] | None,
    draws: int,
    seed: int,
    dtype: torch.dtype,
    of: dict[str, Any],
    progress: Callable[[Any, int], Any],
) -> list[Lesion]:
    """All lesions of one network that is ready to be tested; ks None: `SOME`, as far as it has
    blocks. Raises UserError.
    """
    chain = take_apart(network, image_size=image_size)
    line = chain.line
    free = sum(one.keeps_shape for one in line)
    chosen = [k for k in SOME if k <= free] if ks is None else ks
    variants = single(line)
    variants += drawn(line, chosen, draws=draws, seed=seed, network=of["network"])
    wrong = wrong_images(
        chain,
        variants,
        split=split,
        normalizer=normalizer,
        dtype=dtype,
        progress=progress,
    )
    return records(line, variants, wrong, of=of)
