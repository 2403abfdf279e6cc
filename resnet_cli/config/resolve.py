"""From what was written to what will be run: devices counted, schedules scaled, epochs resolved."""

import dataclasses
import os
from typing import Any

from resnet_cli.config.schema import (
    Config,
    DatasetConfig,
    RunConfig,
    ScheduleConfig,
    Settings,
)
from resnet_cli.data.choices import TRAINING_IMAGES, DatasetName
from resnet_cli.runtime.errors import DataError, UserError
from resnet_cli.runtime.files import as_file_name, expand
from resnet_cli.runtime.ranks import rank_from_env
from resnet_cli.training.schedule import Rule


def resolve(config: Config) -> RunConfig:
    """Returns what will be run: the schedule scaled, the batch shared out among devices.

    Milestones are fractions and move along with the scale, and so do a plateau's evaluations.
    Raises UserError where the shares do not fit.
    """
    iterations = max(1, round(config.scale * _count_iterations(config)))
    schedule = ScheduleConfig(
        **_values(config.schedule, ScheduleConfig) | {"iterations": iterations}
    )
    # patience counts evaluations
    factor = config.scale if schedule.rule is Rule.plateau else 1
    devices = _count_ranks(config)
    if config.fused_blocks and devices > 1:
        raise UserError(
            f"fused_blocks=true: only on one device so far, not devices={devices}; leave one of "
            "them out"
        )
    resolved = {
        "dataset": dataclasses.replace(config.dataset, label=_label(config.dataset)),
        "schedule": schedule,
        "eval_every": max(1, round(factor * config.eval_every)),
        "bn_batch": _bn_batch(config, devices=devices),
        "devices": devices,
    }
    return RunConfig(**_values(config, Settings) | resolved)


def _label(data: DatasetConfig) -> str:
    """What photographs are called: as the user says, else as their folder; `imagenet` where that
    has no name. Empty for other data.
    """
    if data.name is not DatasetName.imagenet:
        return ""
    folder = os.path.basename(os.path.abspath(expand(data.root)))
    return as_file_name(data.label or folder) or str(data.name)


def _values(config: Any, kind: type[Any]) -> dict[str, Any]:
    """The fields of a config that it has from `kind`."""
    return {one.name: getattr(config, one.name) for one in dataclasses.fields(kind)}


def _count_iterations(config: Config) -> int:
    """The length of the unscaled schedule; epochs are counted in training images.

    Raises DataError where they are those of a folder, and it is not there.
    """
    if config.schedule.epochs is None:
        return config.schedule.iterations
    return max(1, round(config.schedule.epochs * _training_images(config) / config.batch_size))


def _training_images(config: Config) -> int:
    """How many images an epoch has. Raises DataError where a folder of them is not there."""
    data = config.dataset
    if data.name in TRAINING_IMAGES:
        from resnet_cli.data.holding_out import count_held_out

        there = TRAINING_IMAGES[data.name]
        there -= count_held_out(data.validation, there)
    else:
        # a folder is counted, and its index kept for the run
        from resnet_cli.data.imagenet import open_folders

        try:
            found = open_folders(
                expand(data.root),
                validation=data.validation,
                split_seed=data.split_seed,
                reindex=data.reindex,
            )
        except DataError as error:
            raise DataError(f"schedule.epochs={config.schedule.epochs:g}: {error}") from error
        there = len(found.train)
    return min(there, data.train_images or there)


def _bn_batch(config: Config, *, devices: int) -> int | None:
    """How many images BN normalizes together; None for the whole batch. Raises UserError."""
    if devices > config.batch_size:
        raise UserError(f"batch_size={config.batch_size} does not divide among devices={devices}")
    if config.batch_size % devices:
        fewer = next(n for n in range(devices - 1, 0, -1) if config.batch_size % n == 0)
        raise UserError(
            f"batch_size={config.batch_size} does not divide among devices={devices}; "
            f"devices={fewer} would do"
        )
    share = config.batch_size // devices
    if config.sync_bn and config.bn_batch:
        raise UserError(
            f"sync_bn=true normalizes the whole batch together: leave bn_batch={config.bn_batch} "
            "out"
        )
    together = config.batch_size if config.sync_bn else config.bn_batch or share
    if not config.sync_bn and share % together:
        raise UserError(
            f"bn_batch={config.bn_batch}: a device has {share} images of each batch, which must be "
            "a multiple of it"
        )
    return None if together == config.batch_size else together


def _count_ranks(config: Config) -> int:
    """How many processes share a batch: as many as were started, or as `devices` asks for.

    Raises UserError.
    """
    here = rank_from_env()
    if here is not None:
        if config.devices not in (1, "auto", here.world):
            raise UserError(
                f"devices={config.devices}, but {here.world} processes were started: leave "
                "devices out"
            )
        return here.world
    asked = config.devices
    if asked == "auto":
        # the one thing a command line asks PyTorch, whose import takes seconds
        from resnet_cli.runtime.device import choose_device, count_devices

        device = choose_device(config.device)
        # on one CPU more processes gain nothing
        asked = count_devices(device) if device.type == "cuda" else 1
    if not isinstance(asked, int) or asked < 1:
        raise UserError(f"devices={asked}: must be a number above 0, or auto")
    return asked
