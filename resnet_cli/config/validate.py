"""What a config must fulfil beyond its types, whoever made it."""

import dataclasses
import math

from resnet_cli.config.schema import (
    Config,
    DatasetConfig,
    RunConfig,
    ScheduleConfig,
    Settings,
    architecture,
    flatten,
    to_plain,
)
from resnet_cli.data.choices import Augmentation, DatasetName
from resnet_cli.runtime.device import choose_device, count_devices
from resnet_cli.runtime.errors import UserError
from resnet_cli.runtime.ranks import rank_from_env
from resnet_cli.training.schedule import Rule


def validate(config: Config) -> None:
    """What types cannot say. Raises UserError naming the key."""
    try:
        architecture(config, num_classes=10)
    except ValueError as error:
        raise UserError(str(error)) from error
    flat = flatten(to_plain(config))
    counts = [
        "batch_size",
        "log_every",
        "eval_every",
        "checkpoint_every",
        "schedule.iterations",
        "schedule.patience",
    ]
    counts += [
        "dataset.train_images",
        "dataset.test_images",
        "dataset.num_classes",
        "model.num_classes",
        "bn_batch",
    ]
    for key in counts:
        if flat[key] is not None and flat[key] < 1:
            raise UserError(f"{key}={flat[key]}: must be at least 1")
    rates = [
        "optimizer.lr",
        "optimizer.momentum",
        "optimizer.weight_decay",
        "schedule.gamma",
        "schedule.warmup_lr",
        "schedule.progress",
    ]
    for key in (
        *rates,
        "schedule.drops",
        "dataset.validation",
        "dataset.workers",
        "dataset.max_skipped",
        "max_restarts",
        "seed",
    ):
        if flat[key] is not None and not 0 <= flat[key] < math.inf:
            raise UserError(f"{key}={flat[key]}: must be a number that is not negative")
    if not 0 < config.scale <= 1:
        raise UserError(
            f"scale={config.scale:g}: must be a fraction of the schedule, above 0 and at most 1"
        )
    if not 0 < config.timeout < math.inf:
        raise UserError(f"timeout={config.timeout:g}: must be seconds, above 0")
    if config.seed >= 2**63:
        raise UserError(f"seed={config.seed}: must fit 63 bits")
    if config.activation_checkpointing and config.sync_bn:
        raise UserError(
            "activation_checkpointing=true would count sync_bn's statistics twice: leave one "
            "of them out, "
            "or say bn_batch"
        )
    if config.optimizer.nesterov and not config.optimizer.momentum:
        raise UserError("optimizer.nesterov=true needs optimizer.momentum above 0")
    validate_schedule(config.schedule)
    validate_dataset(config.dataset)


def validate_schedule(schedule: ScheduleConfig) -> None:
    """Raises UserError for milestones that are none."""
    milestones = schedule.milestones
    if sorted(set(milestones)) != milestones or not all(
        0 < fraction < 1 for fraction in milestones
    ):
        raise UserError(
            f"schedule.milestones={milestones}: must be rising fractions of the iterations, "
            "between 0 and 1"
        )
    if schedule.rule is Rule.plateau and milestones:
        raise UserError(
            f"schedule.rule=plateau: the error decides, so schedule.milestones={milestones} "
            "must be []"
        )


def validate_dataset(data: DatasetConfig) -> None:
    """Which keys belong to which data. Raises UserError."""
    if data.name is DatasetName.imagenet:
        if data.validation:
            raise UserError(
                f"dataset.validation={data.validation}: the images of val/ are the validation "
                "images"
            )
        if data.image_size is None or data.image_size < 32:
            raise UserError(f"dataset.image_size={data.image_size}: must be at least 32")
        return
    for key, value, usual in (
        ("image_size", data.image_size, None),
        ("augmentation", data.augmentation, Augmentation.paper),
    ):
        if value != usual:
            raise UserError(
                f"dataset.{key}={value}: {data.name} has images of 32x32 and the augmentation "
                "of section 4.2"
            )


def resolve(config: Config) -> RunConfig:
    """What will be run: the schedule scaled, the batch shared out among a number of devices.

    Milestones are fractions and move along with the scale, and so do a plateau's evaluations.
    Raises UserError where the shares do not fit.
    """
    schedule = dataclasses.replace(
        config.schedule, iterations=max(1, round(config.scale * config.schedule.iterations))
    )
    # patience counts evaluations
    factor = config.scale if schedule.rule is Rule.plateau else 1
    devices = count_ranks(config)
    kept = {one.name: getattr(config, one.name) for one in dataclasses.fields(Settings)} | {
        "schedule": schedule,
        "eval_every": max(1, round(factor * config.eval_every)),
        "bn_batch": _bn_batch(config, devices=devices),
    }
    return RunConfig(**kept, devices=devices)


def _bn_batch(config: Config, *, devices: int) -> int | None:
    """How many images BN normalizes together; None for the whole batch. Raises UserError."""
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


def count_ranks(config: Config) -> int:
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
        device = choose_device(config.device)
        # on one CPU more processes gain nothing
        asked = count_devices(device) if device.type == "cuda" else 1
    if not isinstance(asked, int) or asked < 1:
        raise UserError(f"devices={asked}: must be a number above 0, or auto")
    return asked
