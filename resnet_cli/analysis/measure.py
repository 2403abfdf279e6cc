"""Checkpoints and data together: how resnet-eval measures."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from resnet_cli.analysis.classes import outputs_of, validate_ensemble
from resnet_cli.analysis.subject import Subject, open_subject
from resnet_cli.data.choices import OnError
from resnet_cli.data.images import Dataset, Split
from resnet_cli.data.photographs import BadImages
from resnet_cli.data.samples import Samples
from resnet_cli.evaluation.choices import Views
from resnet_cli.evaluation.metrics import ErrorCount, Errors
from resnet_cli.evaluation.precise_bn import update_bn_stats
from resnet_cli.evaluation.predictions import Predictions
from resnet_cli.evaluation.protocol import PhotographTest, Protocol, Scored, Test
from resnet_cli.evaluation.protocol import TestedNetwork as Tested
from resnet_cli.models.complexity import multiply_adds
from resnet_cli.models.layers import set_bn_groups
from resnet_cli.models.resnet import ResNet
from resnet_cli.run.build import choose_workers, fold, load_dataset, make_image_test, make_loader
from resnet_cli.runtime.compile import compile_for_testing
from resnet_cli.runtime.console import Console
from resnet_cli.runtime.device import (
    choose_device,
    choose_dtype,
    keep_memory,
    make_exact,
    warn_if_emulated,
)
from resnet_cli.runtime.errors import DataError, UserError
from resnet_cli.runtime.files import expand


@dataclass(frozen=True)
class Bench:
    """The subjects on their device, and the data they are to be measured on."""

    subjects: list[Subject]
    dataset: Dataset
    device: torch.device
    dtype: torch.dtype
    bad: BadImages
    outputs: tuple[int, ...] | None = None  # of the networks, one for each class of the data

    @property
    def subjects_here(self) -> list[Tested]:
        """On the device."""
        return [
            (one.network.to(self.device), one.pixels(self.dataset).to(self.device))
            for one in self.subjects
        ]

    def tested(self, test: Test) -> list[Tested]:
        """As they are tested, with BN folded; compiled where `test` is long enough."""
        ready = []
        for one, (network, pixels) in zip(self.subjects, self.subjects_here, strict=True):
            work = len(test) * multiply_adds(network.architecture, image_size=one.image_size)
            compiled = compile_for_testing(one.config.compile, self.device, multiply_adds=work)
            ready.append((fold(network, None, compiled=compiled).network, pixels))
        return ready

    def test(self, split: str, protocol: Protocol | None) -> Test:
        """A split and how it is shown. Raises UserError where the run has no such split."""
        part = {
            "train": self.dataset.train,
            "val": self.dataset.validation,
            "test": self.dataset.test,
        }[split]
        if part is None:
            why = (
                "ImageNet's test images have no public labels"
                if split == "test"
                else "this run held out no validation images"
            )
            raise UserError(f"--split {split}: {why}")
        if isinstance(part, Split):
            return make_image_test(part, self.device)
        assert protocol is not None
        return self.photographs(part, protocol)

    def photographs(self, samples: Samples, protocol: Protocol) -> PhotographTest:
        workers = choose_workers(self.subjects[0].config.dataset.workers, self.device)
        return PhotographTest(
            samples=samples,
            protocol=protocol,
            workers=workers,
            device=self.device,
            bad=self.bad,
        )

    def name(self, test: Test, index: int) -> str:
        """What an image is called wherever the data lies: its path below the root, or its
        number.
        """
        if not isinstance(test, PhotographTest):
            return str(index)
        return os.path.relpath(
            test.samples.path(index), expand(self.subjects[0].config.dataset.root)
        )

    def measure_statistics(self, images: int | None) -> int:
        """Replaces the BN statistics of every subject by those over `images` training images, or
        all, in whole batches of training.

        Returns how many there were. Raises DataError where there are none.
        """
        if not len(self.dataset.train):
            raise DataError(
                "--bn population: there are no training images to measure the statistics on"
            )
        for one, (network, pixels) in zip(self.subjects, self.subjects_here, strict=True):
            workers = choose_workers(one.config.dataset.workers, self.device)
            loader = make_loader(
                one.config,
                self.dataset.train,
                normalizer=pixels,
                device=self.device,
                bad=self.bad,
                workers=workers,
            )
            batches = max(1, min(images or loader.count, loader.count) // loader.batch_size)
            set_bn_groups(
                network, one.config.bn_batch
            )  # as the layers saw their inputs in training
            bar = progress(range(batches), total=batches, unit="batch")
            update_bn_stats(network, (loader.batch(number)[0] for number in bar), dtype=self.dtype)
        return batches * loader.batch_size


def open_all(paths: list[Path], overrides: list[str]) -> list[Subject]:
    """Opens checkpoints that may be measured together. Raises UserError."""
    subjects = [open_subject(path, overrides) for path in paths]
    validate_ensemble(subjects)
    return subjects


def set_up(subjects: list[Subject], *, command: str = "resnet-eval") -> Bench:
    """Opens the data they were trained on; warnings name the `command`.

    Raises UserError and DataError.
    """
    first = subjects[0].config
    make_exact()
    keep_memory()
    device = choose_device(first.device, mps_will_do=False)
    console = Console(command)
    dataset = _load_dataset(subjects[0], console)
    outputs = [outputs_of(one, dataset) for one in subjects]
    if len(set(outputs)) > 1:
        raise UserError(f"{subjects[1].path} numbers its classes otherwise than {subjects[0].path}")
    if outputs[0] is not None:
        dataset = dataset.relabelled(outputs[0])
    bad = BadImages(
        skip=first.dataset.on_error is OnError.skip,
        max_skipped=first.dataset.max_skipped,
        warn=console.warn,
    )
    dtype = choose_dtype(first.precision, device)
    warn_if_emulated(dtype, device, warn=console.warn)
    return Bench(subjects, dataset, device, dtype, bad, outputs=outputs[0])


def _load_dataset(subject: Subject, console: Console) -> Dataset:
    """The data that the command line names. Raises UserError, and DataError which also tells where
    the run had it.
    """
    try:
        return load_dataset(subject.config.dataset, console)
    except DataError as error:
        before = subject.origin.config.dataset.root if subject.origin else ""
        if before in ("", subject.config.dataset.root):
            raise
        raise DataError(
            f"{error}; {subject.path} was trained on {before!r}: dataset.root= says where it is now"
        ) from error


def choose_protocol(
    views: str | None, scales: list[int] | None, subject: Subject
) -> Protocol | None:
    """How photographs are shown; None for images that are shown as they are. Raises UserError."""
    if scales and views != Views.dense:
        raise UserError("--scales belongs to --views dense")
    if scales and min(scales) < 32:
        raise UserError(f"--scales {min(scales)}: must be at least 32 pixels")
    if views == Views.dense and not isinstance(subject.network, ResNet):
        raise UserError(f"--views dense: {subject.name} has no fully convolutional form here")
    if subject.config.dataset.image_size is None:
        if views not in (None, Views.single):
            raise UserError(
                f"--views {views}: section 4.2 tests {subject.config.dataset.name}'s 32x32 "
                "images by their single view"
            )
        return None
    return Protocol(
        views=Views(views or Views.single),
        image_size=subject.image_size,
        scales=tuple(scales or ()),
    )


def progress(batches: Any, *, total: int, unit: str) -> Any:
    return tqdm(batches, total=total, unit=unit, leave=False, disable=not sys.stderr.isatty())


def score(bench: Bench, test: Test) -> Iterator[Scored]:
    """Every image's scores, under a bar."""
    with progress(None, total=len(test), unit=" images") as bar:
        for scores, labels, indices in test.scores(bench.tested(test), dtype=bench.dtype):
            yield scores, labels, indices
            bar.update(len(labels))


def evaluate(bench: Bench, test: Test, *, keep: bool) -> tuple[Errors, Predictions | None]:
    """The errors, and the scores themselves if they are to be kept."""
    count, kept = ErrorCount(bench.device), []
    for scores, labels, indices in score(bench, test):
        count.add(scores, labels)
        if keep:
            kept.append((scores.cpu(), labels.cpu(), indices))
    if not count.totals[3]:
        raise DataError("there is no image to measure: none is there, or none could be decoded")
    if not keep:
        return count.errors(), None
    scores, labels, indices = (torch.cat(parts) for parts in zip(*kept, strict=True))
    return count.errors(), Predictions(
        scores, labels, tuple(bench.name(test, index) for index in indices.tolist())
    )
