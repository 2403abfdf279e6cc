"""The parts of a run, built from its config: data, network, recipe, on their device."""

from dataclasses import dataclass
from pathlib import Path

import torch

from resnet_cli.data import datasets
from resnet_cli.data.images import Dataset, Normalizer, Split, fit_normalizer
from resnet_cli.data.loader import ResidentLoader
from resnet_cli.errors import UserError
from resnet_cli.hardware import choose_compile, choose_device, choose_dtype, make_exact
from resnet_cli.models.resnet import ResNet
from resnet_cli.schema import Config, DatasetConfig, architecture
from resnet_cli.training.optimizer import make_optimizer
from resnet_cli.training.schedule import StepSchedule
from resnet_cli.training.step import TrainStep


@dataclass(frozen=True)
class Parts:
    """What a run is made of, before it has a folder."""

    dataset: Dataset
    normalizer: Normalizer
    network: ResNet
    schedule: StepSchedule
    step: TrainStep
    loader: ResidentLoader
    device: torch.device
    compiling: str  # whether, and why
    held_out: dict[str, Split]  # the splits to measure, on the device, under `val` and `test`


def load_dataset(config: DatasetConfig) -> Dataset:
    """The data a config names. Raises DataError and UserError."""
    return datasets.load(
        config.name,
        root=Path(config.root).expanduser(),
        download=config.download,
        mirror=config.mirror,
        validation=config.validation,
        train_images=config.train_images,
        test_images=config.test_images,
    )


def build(config: Config) -> Parts:
    """Data, network and recipe on their device. Raises UserError and DataError; writes nothing (but a download)."""
    make_exact()
    device = choose_device(config.device)
    dtype = choose_dtype(config.precision, device)
    dataset = load_dataset(config.dataset)
    if config.batch_size > len(dataset.train):
        raise UserError(f"batch_size={config.batch_size}: there are only {len(dataset.train):,} training images")
    normalizer = fit_normalizer(config.dataset.normalization, dataset.train).to(device)
    torch.manual_seed(config.seed)  # the initial weights; everything else is a function of the seed (data/sampling.py)
    network = ResNet(architecture(config, num_classes=len(dataset.classes)))
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    sgd, recipe = config.optimizer, config.schedule
    optimizer = make_optimizer(network, lr=sgd.lr, momentum=sgd.momentum, weight_decay=sgd.weight_decay, nesterov=sgd.nesterov)
    schedule = StepSchedule(sgd.lr, recipe.iterations, tuple(recipe.milestones), recipe.gamma, recipe.warmup_lr, recipe.warmup_until_error)
    compiled, why = choose_compile(config.compile, device, iterations=recipe.iterations)
    step = TrainStep(network, optimizer, dtype=dtype, compiled=compiled)
    loader = ResidentLoader(dataset.train.to(device), normalizer, config.batch_size, config.seed)
    splits = {"val": dataset.validation, "test": dataset.test}
    held_out = {name: split.to(device) for name, split in splits.items() if split is not None}
    return Parts(dataset, normalizer, network, schedule, step, loader, device, f"{'yes' if compiled else 'no'} ({why})", held_out)
