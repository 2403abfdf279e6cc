"""What all analyses start from: a network's blocks, one by one, and images for them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from resnet_cli.analysis.measure import Bench
from resnet_cli.analysis.subject import Subject
from resnet_cli.data.images import Split
from resnet_cli.data.samples import Samples
from resnet_cli.data.view_stream import ViewStream
from resnet_cli.evaluation.protocol import BATCH, Protocol
from resnet_cli.evaluation.views import Views
from resnet_cli.models.blocks import ResidualBlock
from resnet_cli.models.resnet import ResNet
from resnet_cli.run.build import choose_workers
from resnet_cli.runtime.device import free_memory
from resnet_cli.runtime.errors import DataError, UserError


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a block stands in its network."""

    name: str  # `layer1.0`
    block: ResidualBlock
    stage: int  # from 1
    before: torch.Size  # [C, H, W] of what it gets
    after: torch.Size

    @property
    def keeps_shape(self) -> bool:
        return self.before == self.after


def in_blocks(network: nn.Module) -> ResNet:
    """The network itself, if it is made of blocks. Raises UserError."""
    if not isinstance(network, ResNet):
        raise UserError("this network is not made of blocks, so there is nothing to take apart")
    return network


@torch.no_grad()
def places(network: nn.Module, *, image_size: int) -> list[Place]:
    """The blocks of a network in order. Raises UserError for one that has none."""
    network = in_blocks(network)
    weight = next(network.parameters())
    x = network.stem(weight.new_zeros(1, 3, image_size, image_size))
    found = []
    for name, block in network.named_blocks().items():
        y = block(x)
        stage = network.stages.index(name.split(".")[0]) + 1
        found.append(
            Place(name=name, block=block, stage=stage, before=x.shape[1:], after=y.shape[1:])
        )
        x = y
    return found


def without_residual(block: ResidualBlock, x: Tensor) -> Tensor:
    """The block's output with F deleted: what the shortcut carries, and of a plain block, which
    then must not change dimensions, x itself.
    """
    return x if block.downsample is None else block.combine(x.new_zeros(()), x)


def images_of(bench: Bench, split: str, count: int | None) -> Split:
    """The first `count` images of a split (all if None), photographs as their centre crops.

    Raises UserError, and DataError where there are none.
    """
    if count is not None and count < 1:
        raise UserError(f"--images {count}: at least 1")
    part = {"train": bench.dataset.train, "test": bench.dataset.test or bench.dataset.validation}[
        split
    ]
    assert part is not None
    if not len(part):
        raise DataError(f"there are no {split} images")
    number = min(count or len(part), len(part))
    side = bench.subjects[0].image_size
    needed = number * 3 * side**2 * 5  # pixels, and a normalized copy of a part
    if needed > free_memory(torch.device("cpu")):
        raise UserError(f"--images {number}: they take {needed / 2**30:.1f} GiB, more than is free")
    found = part[:number] if isinstance(part, Split) else _photographs(bench, part, number)
    return found.to(bench.device)


def _photographs(bench: Bench, samples: Samples, count: int) -> Split:
    config = bench.subjects[0].config.dataset
    stream = ViewStream(
        samples=samples,
        make_views=Protocol(views=Views.single, image_size=bench.subjects[0].image_size).make_views,
        batch_size=BATCH[Views.single],
        workers=choose_workers(config.workers, bench.device),
        device=bench.device,
        bad=bench.bad,
    )
    views, labels, there = [], [], 0
    for cut, classes, _ in stream:
        views.append(cut.flatten(0, 1))
        labels.append(classes)
        there += len(classes)
        if there >= count:
            break
    return Split(torch.cat(views)[:count], torch.cat(labels)[:count])


def batches(
    split: Split, normalizer: Callable[[Tensor], Tensor], size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Normalized images, channels_last, and their labels."""
    for images, labels in zip(split.images.split(size), split.labels.split(size), strict=True):
        yield normalizer(images).contiguous(memory_format=torch.channels_last), labels


def measured(subject: Subject, bench: Bench, images: int) -> dict[str, Any]:
    """The columns that every record has."""
    origin = subject.origin
    return {
        "network": subject.name,
        "seed": origin.config.seed if origin else None,
        "iteration": origin.iteration if origin else None,
        "dataset": str(bench.dataset.name),
        "images": images,
    }
