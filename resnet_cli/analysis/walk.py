"""The images that analyses measure on, and the columns that say which."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from resnet_cli.analysis.measure import Bench
from resnet_cli.analysis.subject import Subject
from resnet_cli.data.images import Split
from resnet_cli.data.samples import Samples
from resnet_cli.data.view_stream import ViewStream
from resnet_cli.evaluation.choices import Views
from resnet_cli.evaluation.protocol import BATCH, Protocol
from resnet_cli.run.build import choose_workers
from resnet_cli.runtime.device import free_memory
from resnet_cli.runtime.errors import DataError, UserError


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
