"""What types cannot say about a config, checked."""

import math
import reprlib

from resnet_cli.config.plain import flatten, to_plain
from resnet_cli.config.schema import Config, DatasetConfig, ScheduleConfig, Settings, architecture
from resnet_cli.data.choices import Augmentation, DatasetName
from resnet_cli.models.architecture import Activation, Architecture, Block, Shortcut, Stem
from resnet_cli.models.comparison import AnyNetwork, Comparison
from resnet_cli.runtime.choices import Switch
from resnet_cli.runtime.errors import UserError
from resnet_cli.training.schedule import Rule
from resnet_cli.training.sinks import SINKS, validate_installed

_COUNTS = (
    "batch_size",
    "bn_batch",
    "log_every",
    "eval_every",
    "checkpoint_every",
    "schedule.iterations",
    "schedule.patience",
    "dataset.train_images",
    "dataset.test_images",
    "dataset.num_classes",
    "model.num_classes",
)
_NOT_NEGATIVE = (
    "optimizer.lr",
    "optimizer.momentum",
    "optimizer.weight_decay",
    "schedule.gamma",
    "schedule.warmup_lr",
    "schedule.progress",
    "schedule.drops",
    "dataset.validation",
    "dataset.split_seed",
    "dataset.workers",
    "dataset.max_skipped",
    "max_restarts",
    "seed",
)
# More than any machine has or anybody trains: such a number is a slip of the finger, and is told
# before memory is asked for.
_MOST = {
    "batch_size": 10**7,
    "bn_batch": 10**7,
    "dataset.image_size": 10**5,
    "dataset.num_classes": 10**6,
    "dataset.workers": 10**4,
    "jobs_per_device": 10**4,
    "model.depth": 10**5,
    "model.groups": 10**4,
    "model.num_classes": 10**6,
    "model.width_per_group": 10**4,
}


def validate_written(config: Config) -> None:
    """Checks what the user wrote, beyond its types. Raises UserError naming the key."""
    validate(config)
    if not 0 < config.scale <= 1:
        raise UserError(
            f"scale={config.scale:g}: must be a fraction of the schedule, above 0 and at most 1"
        )
    epochs = config.schedule.epochs
    if epochs is not None and not 0 < epochs < math.inf:
        raise UserError(f"schedule.epochs={epochs:g}: must be a number above 0")
    if config.resume.lower() in ("true", "false", "yes", "no", "1", "0"):
        raise UserError(
            f"resume={config.resume}: the same command resumes by itself (resume=auto); otherwise "
            "say never, or a checkpoint file or run folder"
        )
    for name in SINKS:
        if target := getattr(config, name):
            validate_installed(name, target)


def validate(config: Settings) -> None:
    """Checks what types cannot say, of a run in either stage. Raises UserError naming the key."""
    flat = flatten(to_plain(config))
    for key, value in flat.items():
        most = _MOST.get(key, 2**63 - 1)
        if isinstance(value, int) and value > most:
            raise UserError(f"{key}={reprlib.repr(value)}: must be at most {most:,}")
    try:
        net = architecture(config, num_classes=10)
    except ValueError as error:
        raise UserError(str(error)) from error
    if config.activation_checkpointing and isinstance(net, Comparison):
        raise UserError(
            f"activation_checkpointing=true: {net.name} has no blocks to recompute, being another "
            "project's; leave it out"
        )
    for key in _COUNTS:
        if flat[key] is not None and flat[key] < 1:
            raise UserError(f"{key}={flat[key]}: must be at least 1")
    for key in _NOT_NEGATIVE:
        if flat[key] is not None and not 0 <= flat[key] < math.inf:
            raise UserError(f"{key}={flat[key]}: must be a number that is not negative")
    if min(config.keep_checkpoints, default=1) < 1:
        raise UserError(f"keep_checkpoints={config.keep_checkpoints}: iterations are at least 1")
    if not 0 < config.timeout < math.inf:
        raise UserError(f"timeout={config.timeout:g}: must be seconds, above 0")
    if config.activation_checkpointing and config.sync_bn:
        raise UserError(
            "activation_checkpointing=true would count sync_bn's statistics twice: leave one of "
            "them out, or say bn_batch"
        )
    if config.fused_blocks:
        _validate_fused_blocks(config, net)
    if config.optimizer.nesterov and not config.optimizer.momentum:
        raise UserError("optimizer.nesterov=true needs optimizer.momentum above 0")
    for key in ("label_smoothing", "ema", "schedule.linear_warmup"):
        if not 0 <= flat[key] < 1:
            raise UserError(f"{key}={flat[key]:g}: must be at least 0 and below 1")
    _validate_schedule(config.schedule)
    _validate_dataset(config.dataset)


def _validate_fused_blocks(config: Settings, net: AnyNetwork) -> None:
    """The fused kernels compute section 4.2's networks, and a whole batch at once.

    Raises UserError with the first reason against them.
    """
    stages = "section 4.2's, of basic blocks of 16, 32 and 64 filters"
    covered = (
        isinstance(net, Architecture)
        and net.stem is Stem.cifar
        and net.block is Block.basic
        and net.activation is Activation.post
        and (net.stem_channels, *net.widths) == (16, 16, 32, 64)
    )
    against = {
        f"{net.name} is none of {stages}": not covered,
        f"shortcut={config.shortcut} projects, and only A and none are written": (
            config.shortcut not in (Shortcut.none, Shortcut.A)
        ),
        "compile=on fuses blocks in its own way": config.compile is Switch.on,
        "activation_checkpointing=true would compute blocks again": (
            config.activation_checkpointing
        ),
        "sync_bn=true exchanges statistics within them": config.sync_bn,
        f"bn_batch={config.bn_batch} normalizes parts of a batch": (
            config.bn_batch not in (None, config.batch_size)
        ),
        f"batch_size={config.batch_size} is beyond their 32-bit counting": (
            config.batch_size * (config.dataset.image_size or 32) ** 2 * 16 >= 2**31
        ),
    }
    for reason, holds in against.items():
        if holds:
            raise UserError(f"fused_blocks=true: {reason}; leave one of them out")


def _validate_schedule(schedule: ScheduleConfig) -> None:
    """Milestones are rising fractions, of rule=steps alone, and there is one warm-up at most.

    Raises UserError.
    """
    milestones = schedule.milestones
    if sorted(set(milestones)) != milestones or not all(
        0 < fraction < 1 for fraction in milestones
    ):
        raise UserError(
            f"schedule.milestones={milestones}: must be rising fractions of the iterations, "
            "between 0 and 1"
        )
    if schedule.rule is not Rule.steps and milestones:
        decides = (
            "the error decides" if schedule.rule is Rule.plateau else "the rate falls all along"
        )
        raise UserError(
            f"schedule.rule={schedule.rule}: {decides}, so schedule.milestones={milestones} "
            "must be []"
        )
    if schedule.linear_warmup and schedule.warmup_lr is not None:
        raise UserError(
            f"schedule.linear_warmup={schedule.linear_warmup:g}: there is a warm-up already; say "
            "schedule.warmup_lr=null"
        )


def _validate_dataset(data: DatasetConfig) -> None:
    """Checks that the keys belong to this kind of data. Raises UserError."""
    if data.validation >= 1 and data.validation != int(data.validation):
        raise UserError(
            f"dataset.validation={data.validation}: must be a count, or a share between 0 and 1"
        )
    if data.coarse and data.name is not DatasetName.cifar100:
        raise UserError(f"dataset.coarse=true: {data.name} has no superclasses")
    if data.name is DatasetName.imagenet:
        if data.image_size is None or data.image_size < 32:
            raise UserError(f"dataset.image_size={data.image_size}: must be at least 32")
        return
    if data.label:
        raise UserError(f"dataset.label={data.label}: {data.name} is called as it is")
    for key, value, usual in (
        ("image_size", data.image_size, None),
        ("augmentation", data.augmentation, Augmentation.paper),
    ):
        if value != usual:
            raise UserError(
                f"dataset.{key}={value}: {data.name} has images of 32x32 and the augmentation "
                "of section 4.2"
            )
