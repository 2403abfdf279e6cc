"""What resnet-eval measures: a checkpoint of ours, which knows its run, or another project's
weights with what must be said of them.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from resnet_cli.config import compose as compose_module
from resnet_cli.config.schema import RunConfig, architecture, flatten, from_plain, to_plain
from resnet_cli.data import cifar10
from resnet_cli.data.choices import DatasetName, Normalization
from resnet_cli.data.images import Dataset, Normalizer, fit_normalizer
from resnet_cli.evaluation.weights import load_weights, read, state_dict_of
from resnet_cli.models.architecture import Block
from resnet_cli.models.resnet import ResNet
from resnet_cli.runtime.choices import Precision, Switch
from resnet_cli.runtime.errors import UserError
from resnet_cli.training.checkpoint import is_ours, resolve

# What may be said anew of one of our checkpoints: where the data lies and what computes, not what
# was trained.
FREE_DATA = (
    "root",
    "download",
    "mirror",
    "test_images",
    "workers",
    "reindex",
    "on_error",
    "max_skipped",
)
FREE = ("device", "precision", "compile", *(f"dataset.{key}" for key in FREE_DATA))


@dataclass(frozen=True)
class Subject:
    """One checkpoint to measure; `normalizer` and `classes` are None where only the data can
    tell.
    """

    path: Path
    config: RunConfig
    network: ResNet  # in eval mode, on the CPU
    normalizer: Normalizer | None
    classes: tuple[str, ...] | None
    iteration: int | None = None  # how far it was trained, where the file tells

    @property
    def name(self) -> str:
        return self.network.architecture.name

    @property
    def image_size(self) -> int:
        """Side of what the network was trained on, in pixels."""
        return self.config.dataset.image_size or 32

    def class_names(self) -> tuple[str, ...]:
        """What it calls its classes; numbers where nobody has told it."""
        if self.classes is None and self.config.dataset.name is DatasetName.cifar10:
            return cifar10.CLASSES
        known = self.classes or ()
        return known + tuple(map(str, range(len(known), self.network.architecture.num_classes)))

    def validate_has_mean_image(self) -> None:
        """Raises UserError where the pixels' mean is one of a training set that is not at hand."""
        data = self.config.dataset
        if (
            self.normalizer is None
            and data.normalization is Normalization.paper
            and data.name is not DatasetName.imagenet
        ):
            raise UserError(
                f"{self.path} does not hold the mean image of its training set; say "
                "dataset.normalization=cifar or imagenet"
            )

    def pixels(self, dataset: Dataset) -> Normalizer:
        """How its pixels are normalised: as it says itself, else as its overrides do."""
        return self.normalizer or fit_normalizer(self.config.dataset.normalization, dataset.train)


def open_subject(path: Path, overrides: list[str]) -> Subject:
    """Opens a checkpoint file or run folder. Raises UserError."""
    path = resolve(path)
    content = read(path)
    if is_ours(content):
        try:
            trained = from_plain(content["config"])
            # that it was worth it for training says nothing of a test
            trained.compile = Switch.auto
        except ValueError as error:
            raise UserError(
                f"checkpoint {path} was written by another version of resnet-train ({error})"
            ) from error
        config = with_overrides(trained, overrides)
        # older checkpoints do not name them
        classes = tuple(content["classes"]) if "classes" in content else None
        return Subject(
            path,
            config,
            build(path, config, content["network"]),
            Normalizer(**content["normalizer"]),
            classes,
            content["progress"]["iteration"],
        )
    state = state_dict_of(content, path)
    given = {override.split("=")[0] for override in overrides}
    if not {"model", "dataset.normalization"} <= given:
        raise UserError(
            f"checkpoint {path} holds weights alone: say which network and how its pixels "
            "were normalised,"
            " as in model=resnet20 shortcut=A dataset.normalization=imagenet"
        )
    if "precision" not in given:
        overrides = [*overrides, f"precision={Precision.fp32}"]
    config = compose(overrides)
    network = build(path, config, state)
    net = network.architecture
    if (
        net.block is Block.bottleneck
        and net.groups == 1
        and net.width_per_group == 64
        and "model.stride_in" not in given
    ):
        raise UserError(
            f"checkpoint {path} does not tell where its bottlenecks have their stride:"
            " say model.stride_in=3x3 (torchvision and most others) or model.stride_in=1x1 "
            "(the paper's own models)"
        )
    return Subject(path, config, network, None, None)


def build(path: Path, config: RunConfig, state: dict[str, torch.Tensor]) -> ResNet:
    """The network of a checkpoint, which itself tells how many classes it knows.

    Raises UserError where the weights are not its.
    """
    fc = state.get("fc.weight")
    network = ResNet(
        architecture(config, num_classes=len(fc) if fc is not None and fc.dim() else 10)
    )
    load_weights(network, state, path=path, name=network.architecture.name)
    return network.eval().to(memory_format=torch.channels_last)


def compose(overrides: list[str]) -> RunConfig:
    """A config from overrides, as resnet-train reads them."""
    (job,), _ = compose_module.jobs(overrides, multirun=False)
    return job.config


def with_overrides(trained: RunConfig, overrides: list[str]) -> RunConfig:
    """The config of a run, with what `overrides` may change. Raises UserError for the rest.

    Where the data is no longer where it was, $RESNET_DATA is looked at.
    """
    asked = flatten(to_plain(compose([f"dataset={trained.dataset.name}", *overrides])))
    tree = to_plain(trained)
    keys = [override.split("=")[0].lstrip("+") for override in overrides]
    if "RESNET_DATA" in os.environ and (
        trained.dataset.name is DatasetName.cifar10
        or not Path(trained.dataset.root).expanduser().is_dir()
    ):
        keys.append("dataset.root")
    for key in keys:
        if key not in FREE:
            raise UserError(
                f"{key} cannot be changed here: the checkpoint knows what was trained; "
                f"{', '.join(FREE)} can"
            )
        *groups, name = key.split(".")
        branch = tree
        for group in groups:
            branch = branch[group]
        branch[name] = asked[key]
    return from_plain(tree)


def validate_ensemble(subjects: list[Subject]) -> None:
    """An ensemble looks at the same images and tells the same classes apart. Raises UserError."""
    first = subjects[0]
    for other in subjects[1:]:
        if images_of(other) != images_of(first):
            raise UserError(
                f"{other.path} has other images than {first.path} "
                f"({first.config.dataset.name}): they make no ensemble"
            )
        mine, theirs = (one.network.architecture.num_classes for one in (first, other))
        if mine != theirs or (first.classes and other.classes and first.classes != other.classes):
            raise UserError(
                f"{other.path} tells other classes apart ({theirs}) than {first.path} "
                f"({mine}): they make no ensemble"
            )


def images_of(one: Subject) -> tuple[object, ...]:
    """What decides which images a run's splits hold."""
    data = one.config.dataset
    return data.name, data.validation, data.train_images, data.test_images, one.image_size


def validate_classes(one: Subject, dataset: Dataset) -> None:
    """Raises UserError where a network was trained on other classes than the data has."""
    knows, there = one.network.architecture.num_classes, len(dataset.classes)
    if knows < there or (one.classes is None and knows != there):
        raise UserError(f"{one.path} tells {knows:,} classes apart, the data has {there:,}")
    if one.classes and one.classes != dataset.classes:
        odd = next(
            (name for name in dataset.classes if name not in one.classes), "in another order"
        )
        raise UserError(f"{one.path} was trained on other classes than the data has ({odd})")
