"""Builds the parts of a run from its config: data, network and recipe on their device."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from resnet_cli.config.schema import (
    DatasetConfig,
    RunConfig,
    ScheduleConfig,
    architecture,
)
from resnet_cli.data import datasets
from resnet_cli.data.choices import Augmentation, DatasetName, OnError
from resnet_cli.data.images import Dataset, Normalizer, Split, fit_normalizer
from resnet_cli.data.loader import Loader
from resnet_cli.data.photographs import BadImages
from resnet_cli.data.resident import ResidentLoader
from resnet_cli.data.samples import Samples
from resnet_cli.data.sampling import ALL, Part
from resnet_cli.data.streaming import StreamingLoader
from resnet_cli.evaluation.choices import Views
from resnet_cli.evaluation.protocol import ImageTest, PhotographTest, Protocol, Test
from resnet_cli.models.comparison import Comparison
from resnet_cli.models.complexity import multiply_adds
from resnet_cli.models.fold_bn import FoldedBN
from resnet_cli.models.layers import set_bn_groups
from resnet_cli.models.networks import build_network
from resnet_cli.models.resnet import Network, ResNet
from resnet_cli.runtime.compile import choose_compile, compile_for_testing, validate_fused_blocks
from resnet_cli.runtime.console import Console
from resnet_cli.runtime.cuda_graph import CapturedGraph, choose_capture
from resnet_cli.runtime.device import (
    choose_dtype,
    cores,
    keep_memory,
    make_exact,
    warn_if_emulated,
)
from resnet_cli.runtime.distributed import Context
from resnet_cli.runtime.errors import DataError, UserError
from resnet_cli.runtime.files import expand
from resnet_cli.training.ema import Ema
from resnet_cli.training.parts import TrainingParts
from resnet_cli.training.schedule import Plateau, Rule, Schedule
from resnet_cli.training.step import TrainStep, make_optimizer


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a run is made of, before it has a folder."""

    dataset: Dataset
    training: TrainingParts
    device: torch.device
    compiling: str  # whether, and why
    bad: BadImages  # of both loaders


def load_dataset(config: DatasetConfig, console: Console) -> Dataset:
    """The data a config names. Raises DataError and UserError."""
    root = expand(config.root)
    if config.name is DatasetName.imagenet:
        assert config.image_size is not None
        return datasets.load_folders(
            root,
            name=config.label or config.name,
            image_size=config.image_size,
            validation=config.validation,
            split_seed=config.split_seed,
            num_classes=config.num_classes,
            train_images=config.train_images,
            test_images=config.test_images,
            reindex=config.reindex,
            say=console.say,
        )
    return datasets.load(
        config.name,
        root=root,
        download=config.download,
        mirror=config.mirror,
        coarse=config.coarse,
        validation=config.validation,
        train_images=config.train_images,
        test_images=config.test_images,
    )


def build(config: RunConfig, *, console: Console, context: Context, device: torch.device) -> Parts:
    """Builds the parts of a run; writes nothing but a download and an index.

    Raises UserError and DataError.
    """
    make_exact()
    keep_memory()
    dataset = _training_data(config, console)
    normalizer = fit_normalizer(config.dataset.normalization, dataset.train).to(device)
    network = _make_network(config, len(dataset.classes), device=device, context=context)
    data = config.dataset
    bad = BadImages(
        skip=data.on_error is OnError.skip, max_skipped=data.max_skipped, warn=console.warn
    )
    workers = choose_workers(data.workers, device, processes=context.sharing)
    loader = make_loader(
        config,
        dataset.train,
        normalizer=normalizer,
        device=device,
        bad=bad,
        workers=workers,
        part=context.part,
    )
    dtype = choose_dtype(config.precision, device)
    warn_if_emulated(dtype, device, warn=console.warn)
    compiled, why = choose_compile(
        config.compile,
        device,
        iterations=config.schedule.iterations,
        activation_checkpointing=config.activation_checkpointing,
    )
    drops = isinstance(network.architecture, Comparison) and network.architecture.has_dropout
    captured = choose_capture(
        config.cuda_graph, device, dtype=dtype, world=context.world, draws=drops
    )
    capture = partial(CapturedGraph, warn=console.warn) if captured else None
    ema = Ema(network, config.ema) if config.ema else None
    step = TrainStep(
        network,
        make_optimizer(network, **dataclasses.asdict(config.optimizer)),
        dtype=dtype,
        compiled=compiled,
        prepare=loader.prepare,
        capture=capture,
        context=context,
        label_smoothing=config.label_smoothing,
        ema=ema,
        through=_fuse(network, device) if config.fused_blocks else None,
    )
    evaluations = config.schedule.iterations // config.eval_every + 1
    images = evaluations * sum(map(len, dataset.held_out.values()))
    work = images * multiply_adds(network.architecture, image_size=dataset.image_size)
    pays = compile_for_testing(config.compile, device, multiply_adds=work)
    single = Protocol(views=Views.single, image_size=dataset.image_size)
    training = TrainingParts(
        network=network,
        step=step,
        loader=loader,
        schedule=_make_schedule(config.schedule, lr=config.optimizer.lr),
        normalizer=normalizer,
        tested=fold(ema.network if ema else network, capture, compiled=compiled and pays),
        dropout_seed=config.seed if drops else None,
        held_out={
            name: _make_test(split, single, workers=workers, device=device, bad=bad)
            for name, split in dataset.held_out.items()
        },
    )
    compiling = f"{'yes' if compiled else 'no'} ({why})"
    return Parts(dataset=dataset, training=training, device=device, compiling=compiling, bad=bad)


def _training_data(config: RunConfig, console: Console) -> Dataset:
    """The data, with at least a batch of training images. Raises UserError and DataError."""
    dataset = load_dataset(config.dataset, console)
    count = len(dataset.train)
    if not count:
        raise DataError(f"{config.dataset.root} has no training images, only those of val/")
    if config.batch_size > count:
        raise UserError(f"batch_size={config.batch_size}: there are only {count:,} training images")
    return dataset


def _make_network(
    config: RunConfig, classes: int, *, device: torch.device, context: Context
) -> Network:
    """The network with its initial weights, for data of so many classes. Raises UserError."""
    # the initial weights; everything else is a function of the seed (data/sampling.py)
    torch.manual_seed(config.seed)
    outputs = _choose_classes(config.model.num_classes, classes)
    network = build_network(architecture(config, num_classes=outputs))
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    together = config.bn_batch or config.batch_size
    if together <= config.batch_size // context.world:
        set_bn_groups(network, together)
    else:
        assert together == config.batch_size, "validate.resolve lets no other groups cross devices"
        nn.SyncBatchNorm.convert_sync_batchnorm(network)
    if isinstance(network, ResNet):
        network.set_activation_checkpointing(config.activation_checkpointing)
    return network


def _fuse(network: Network, device: torch.device) -> nn.Module:
    """The network through fused kernels. Raises UserError where they cannot run."""
    validate_fused_blocks(device)
    from resnet_cli.models.fused.trunk import FusedResNet  # imports Triton

    assert isinstance(network, ResNet), "config.validate lets no other network through"
    return FusedResNet(network)


def fold(
    network: Network, capture: Callable[..., CapturedGraph] | None, *, compiled: bool
) -> FoldedBN[Network]:
    """The network as it is tested: BN folded in, captured or compiled where that is possible."""
    folded = FoldedBN(network)
    if capture:
        folded.capture(capture)
    elif compiled:
        folded.compile()
    return folded


def _choose_classes(asked: int | None, there: int) -> int:
    """How many classes the network has: as many as the data, unless more are asked for.

    Raises UserError.
    """
    if asked is not None and asked < there:
        raise UserError(f"model.num_classes={asked}: the data has {there} classes")
    return asked or there


def _make_schedule(recipe: ScheduleConfig, *, lr: float) -> Schedule:
    """The schedule of a recipe that starts at the rate `lr`."""
    plateau = Plateau(patience=recipe.patience, min_delta=recipe.progress, max_drops=recipe.drops)
    return Schedule(
        lr=lr,
        iterations=recipe.iterations,
        gamma=recipe.gamma,
        milestones=tuple(recipe.milestones),
        plateau=plateau if recipe.rule is Rule.plateau else None,
        warmup_lr=recipe.warmup_lr,
        warmup_until_error=recipe.warmup_until_error,
        cosine=recipe.rule is Rule.cosine,
        linear_warmup=recipe.linear_warmup,
    )


def choose_workers(asked: int | None, device: torch.device, *, processes: int = 1) -> int:
    """How many processes decode, for each of `processes` that share the machine.

    Beside training on a CPU one is enough, and more would take its cores; a GPU needs its share of
    all.
    """
    if asked is not None:
        return asked
    return 1 if device.type == "cpu" else max(1, cores() // processes)


def make_loader(
    config: RunConfig,
    train: Split | Samples,
    *,
    normalizer: Normalizer,
    device: torch.device,
    bad: BadImages,
    workers: int,
    part: Part = ALL,
) -> Loader:
    """Training batches: from images on the device, or from files."""
    if isinstance(train, Split):
        return ResidentLoader(
            split=train.to(device),
            normalizer=normalizer,
            batch_size=config.batch_size,
            seed=config.seed,
            part=part,
        )
    data = config.dataset
    assert data.image_size is not None
    return StreamingLoader(
        samples=train,
        augmentation=Augmentation(data.augmentation),
        normalizer=normalizer,
        batch_size=config.batch_size,
        seed=config.seed,
        image_size=data.image_size,
        workers=workers,
        bad=bad,
        part=part,
    )


def make_image_test(split: Split, device: torch.device) -> ImageTest:
    """A split in batches that suit the device: on a CPU a layer's maps should fit the caches."""
    return ImageTest(split.to(device), batch_size=250 if device.type == "cpu" else 1000)


def _make_test(
    split: Split | Samples,
    protocol: Protocol,
    *,
    workers: int,
    device: torch.device,
    bad: BadImages,
) -> Test:
    """A split ready to be measured: images on the device, or files as the `protocol` reads them."""
    if isinstance(split, Split):
        return make_image_test(split, device)
    return PhotographTest(samples=split, protocol=protocol, workers=workers, device=device, bad=bad)
