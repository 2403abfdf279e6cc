"""What resnet-eval measures: a checkpoint of ours or weights with a card, which know their run, or
another project's weights with what must be said of them.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from resnet_cli.analysis.trained import (
    compose,
    digest,
    in_fp32,
    parse_config,
    parse_published,
    with_overrides,
)
from resnet_cli.config.plain import to_plain
from resnet_cli.config.schema import RunConfig, architecture
from resnet_cli.data import cifar10
from resnet_cli.data.choices import DatasetName, Normalization
from resnet_cli.data.images import Dataset, Normalizer, fit_normalizer
from resnet_cli.evaluation.card import Card, read_card, split_mean
from resnet_cli.evaluation.weights import (
    load_weights,
    read,
    state_dict_of,
    validate_same_shapes,
)
from resnet_cli.models.architecture import Architecture, Block, ZeroPadding
from resnet_cli.models.networks import build_network as build_modules
from resnet_cli.models.resnet import Network
from resnet_cli.models.zero_padding import with_zeros_behind
from resnet_cli.runtime.errors import UserError
from resnet_cli.training.checkpoint import is_ours, make_normalizer, parse_content, resolve
from resnet_cli.training.records import read_result


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The run that weights come from."""

    config: RunConfig  # as it was trained; nothing is to be opened that it names
    iteration: int
    command: str
    commit: str | None  # known of finished runs


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One network to measure; `normalizer` and `classes` are None where only the data can tell,
    `origin` where nobody can.
    """

    path: Path
    config: RunConfig
    network: Network  # in eval mode, on the CPU
    normalizer: Normalizer | None = None
    classes: tuple[str, ...] | None = None
    origin: Origin | None = None

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
    """Opens a checkpoint file, a run folder or a file of weights. Raises UserError."""
    path = resolve(path)
    content = read(path)
    if is_ours(content):
        return _open_checkpoint(path, content, overrides)
    if (card := read_card(path)) is not None:
        return _open_weights(path, card, content, overrides)
    return _open_foreign(path, state_dict_of(content, path), overrides)


def _open_checkpoint(path: Path, content: dict[str, object], overrides: list[str]) -> Subject:
    saved = parse_content(content, path=path)
    trained = parse_config(saved.config, path=path)
    result = path.parent.parent / "result.json"
    return _known(
        path,
        trained,
        saved.evaluated,
        overrides,
        normalizer=make_normalizer(saved.normalizer.mean, saved.normalizer.std),
        classes=saved.classes,
        origin=Origin(
            config=trained,
            iteration=saved.progress.iteration,
            command=saved.command,
            commit=read_result(result).commit if result.is_file() else None,
        ),
    )


def _open_weights(
    path: Path, card: Card, tensors: dict[str, Tensor], overrides: list[str]
) -> Subject:
    trained = parse_published(card.config, path=path)
    mean, std = split_mean(card, tensors, path=path)
    try:
        normalizer = make_normalizer(mean, std)
    except ValueError as error:
        raise UserError(f"the header of {path} does not fit: {error}") from error
    subject = _known(
        path,
        trained,
        state_dict_of(tensors, path),
        in_fp32(overrides),
        normalizer=normalizer,
        classes=card.classes,
        origin=Origin(
            config=trained,
            iteration=card.iteration,
            command=card.command,
            commit=card.commit,
        ),
    )
    net, seed = subject.network.architecture, trained.seed
    # what an older version did not know of a network is as by default
    defaults = {one.name: one.default for one in dataclasses.fields(net)}
    known = to_plain(defaults) | card.architecture
    described = (card.network, known, card.seed, card.config_sha256)
    if described != (net.name, to_plain(net), seed, digest(card.config)):
        raise UserError(
            f"the header of {path} contradicts itself: its network, seed or hash is not its "
            "config's"
        )
    return subject


def _known(
    path: Path,
    trained: RunConfig,
    state: Mapping[str, Tensor],
    overrides: list[str],
    *,
    normalizer: Normalizer,
    classes: list[str] | None,
    origin: Origin,
) -> Subject:
    """A network that knows its run. Raises UserError where its parts are not of one another."""
    network = build_network(path, trained, state)
    knows, side = network.architecture.num_classes, trained.dataset.image_size or 32
    if classes is not None and not 0 < len(classes) <= knows:
        raise UserError(f"{path} names {len(classes):,} classes and tells {knows:,} apart")
    if normalizer.mean.shape[-1] not in (1, side):
        raise UserError(f"{path}: the mean of its pixels is not of {side}x{side} images")
    return Subject(
        path=path,
        config=with_overrides(trained, overrides),
        network=network,
        normalizer=normalizer,
        classes=None if classes is None else tuple(classes),
        origin=origin,
    )


def _open_foreign(path: Path, state: dict[str, Tensor], overrides: list[str]) -> Subject:
    given = {override.split("=")[0] for override in overrides}
    if not {"model", "dataset.normalization"} <= given:
        raise UserError(
            f"checkpoint {path} holds weights alone: say which network and how its pixels "
            "were normalised, as in model=resnet20 shortcut=A dataset.normalization=imagenet"
        )
    config = compose(in_fp32(overrides))
    network = build_network(path, config, state)
    net = network.architecture
    if not isinstance(net, Architecture):
        return Subject(path=path, config=config, network=network)
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
    if net.zero_padding is not ZeroPadding.after:
        _, state = with_zeros_behind(net, network.state_dict())
        model = dataclasses.replace(config.model, zero_padding=ZeroPadding.after)
        config = dataclasses.replace(config, model=model)
        network = build_network(path, config, state)
    return Subject(path=path, config=config, network=network)


def build_network(path: Path, config: RunConfig, state: Mapping[str, Tensor]) -> Network:
    """The network of a checkpoint, which itself tells how many classes it knows.

    Raises UserError where the weights are not its, before memory is asked for.
    """
    net = architecture(config, num_classes=_outputs(state))
    if config.model.depth > len(state):  # a weight for each layer, at least
        raise UserError(f"checkpoint {path} is not of {net.name}: it holds {len(state):,} tensors")
    try:
        with torch.device("meta"):
            shapes = build_modules(net)
    except (ValueError, TypeError, RuntimeError) as error:  # widths that PyTorch refuses
        raise UserError(f"checkpoint {path} is of no network: {error}") from error
    validate_same_shapes(shapes, state, path=path, name=net.name)
    network = build_modules(net)
    load_weights(network, state, path=path, name=net.name)
    return network.eval().to(memory_format=torch.channels_last)


def _outputs(state: Mapping[str, Tensor]) -> int:
    """How many classes weights tell apart: the rows of the last fully connected layer, or 10."""
    fully_connected = {
        name: value
        for name, value in state.items()
        if name.startswith(("fc.", "classifier.")) and name.endswith("weight") and value.dim() == 2
    }
    return len(fully_connected[max(fully_connected)]) if fully_connected else 10
