"""What a config must fulfil beyond its types, whoever made it."""

import math

from resnet_cli.data.crops import Augmentation
from resnet_cli.data.datasets import DatasetName
from resnet_cli.errors import UserError
from resnet_cli.models.architecture import Checkpointing
from resnet_cli.schema import Config, DatasetConfig, ScheduleConfig, architecture, flatten, to_plain
from resnet_cli.training.schedule import Rule


def check(config: Config) -> None:
    """What types cannot say. Raises UserError naming the key."""
    try:
        architecture(config, num_classes=10)
    except ValueError as error:
        raise UserError(str(error)) from error
    flat = flatten(to_plain(config))
    counts = ["batch_size", "log_every", "eval_every", "checkpoint_every", "schedule.iterations", "schedule.patience"]
    counts += ["dataset.train_images", "dataset.test_images", "dataset.num_classes", "model.num_classes", "bn_batch"]
    for key in counts:
        if flat[key] is not None and flat[key] < 1:
            raise UserError(f"{key}={flat[key]}: must be at least 1")
    rates = ["optimizer.lr", "optimizer.momentum", "optimizer.weight_decay", "schedule.gamma", "schedule.warmup_lr", "schedule.progress"]
    for key in (*rates, "schedule.drops", "dataset.validation", "dataset.workers", "dataset.max_skipped", "max_restarts", "seed"):
        if flat[key] is not None and not 0 <= flat[key] < math.inf:
            raise UserError(f"{key}={flat[key]}: must be a number that is not negative")
    if not 0 < config.scale <= 1:
        raise UserError(f"scale={config.scale:g}: must be a fraction of the schedule, above 0 and at most 1")
    if not 0 < config.timeout < math.inf:
        raise UserError(f"timeout={config.timeout:g}: must be seconds, above 0")
    if config.seed >= 2**63:
        raise UserError(f"seed={config.seed}: must fit 63 bits")
    if config.checkpointing is Checkpointing.on and config.sync_bn:
        raise UserError("checkpointing=on would count sync_bn's statistics twice: leave one of them out, or say bn_batch")
    if config.optimizer.nesterov and not config.optimizer.momentum:
        raise UserError("optimizer.nesterov=true needs optimizer.momentum above 0")
    check_schedule(config.schedule)
    check_images(config.dataset)


def check_schedule(schedule: ScheduleConfig) -> None:
    """Raises UserError for milestones that are none."""
    milestones = schedule.milestones
    if sorted(set(milestones)) != milestones or not all(0 < fraction < 1 for fraction in milestones):
        raise UserError(f"schedule.milestones={milestones}: must be rising fractions of the iterations, between 0 and 1")
    if schedule.rule is Rule.plateau and milestones:
        raise UserError(f"schedule.rule=plateau: the error decides, so schedule.milestones={milestones} must be []")


def check_images(data: DatasetConfig) -> None:
    """Which keys belong to which data. Raises UserError."""
    if data.name is DatasetName.imagenet:
        if data.validation:
            raise UserError(f"dataset.validation={data.validation}: the images of val/ are the validation images")
        if data.image_size is None or data.image_size < 32:
            raise UserError(f"dataset.image_size={data.image_size}: must be at least 32")
        return
    for key, value, usual in (("image_size", data.image_size, None), ("augmentation", data.augmentation, Augmentation.paper)):
        if value != usual:
            raise UserError(f"dataset.{key}={value}: {data.name} has images of 32x32 and the augmentation of section 4.2")
