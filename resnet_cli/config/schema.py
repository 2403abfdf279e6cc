"""A run as plain values: what Hydra composes, checkpoints keep and the worker is handed."""

import dataclasses
from dataclasses import dataclass, field
from types import UnionType
from typing import Any, get_args

from resnet_cli.data.choices import Augmentation, DatasetName, Normalization, OnError
from resnet_cli.models.architecture import (
    Architecture,
    Checkpointing,
    Family,
    Shortcut,
    Stem,
    StrideIn,
    cifar,
    imagenet,
)
from resnet_cli.runtime.choices import DeviceChoice, Precision, Switch
from resnet_cli.training.schedule import Rule

MISSING: Any = "???"  # OmegaConf's word for "must be set"


@dataclass
class ModelConfig:
    """A network of section 4.2 or of Table 1."""

    family: Family = Family.cifar
    depth: int = MISSING
    stem: Stem | None = None  # null: the family's own
    stride_in: str = StrideIn.first.value  # of bottlenecks: 1x1, the paper's, or 3x3, torchvision's
    groups: int = 1  # of bottlenecks: ResNeXt's cardinality
    width_per_group: int = 64  # of bottlenecks: ResNeXt's and Wide ResNet's
    num_classes: int | None = None  # null: as many as the data has


@dataclass
class DatasetConfig:
    name: DatasetName = MISSING
    root: str = MISSING  # folder that holds cifar-10-batches-py/, or train/ and val/, or tars
    download: bool = False
    mirror: str = ""
    validation: int = 0  # training images held out; the paper's 45k/5k is 5000
    normalization: Normalization = Normalization.paper
    augmentation: Augmentation = Augmentation.paper
    # side of the training crops of ImageNet and other folders, in pixels
    image_size: int | None = None
    num_classes: int | None = None  # null: as many as there are; a number is checked against that
    train_images: int | None = None  # use only so many; null: all
    test_images: int | None = None
    workers: int | None = None  # processes that decode; null: as the device needs
    on_error: OnError = OnError.stop  # at an image that cannot be decoded
    max_skipped: int = 100  # with on_error=skip: at most so many, of each of several processes
    reindex: bool = False  # look at every file anew


@dataclass
class OptimizerConfig:
    """SGD; weight decay on everything that is learned, as in Caffe."""

    lr: float = MISSING
    momentum: float = MISSING
    weight_decay: float = MISSING
    nesterov: bool = False


@dataclass
class ScheduleConfig:
    """When the rate falls.

    Milestones are fractions of `iterations`, so a shorter run is the same recipe.
    """

    iterations: int = MISSING
    rule: Rule = Rule.steps
    gamma: float = MISSING  # the factor each time
    milestones: list[float] = field(default_factory=list)  # rule=steps: where
    patience: int = 10  # rule=plateau: evaluations without progress, ...
    # ... which is to be better than the best before by so many percent points of error, ...
    progress: float = 0.1
    drops: int = 3  # ... and at most so many times
    warmup_lr: float | None = None  # first this, until ...
    # ... the training error of the last 100 iterations is under this, in percent
    warmup_until_error: float = 80.0


@dataclass
class Config:
    """All of a run. Field names are the keys of the command line."""

    model: ModelConfig = field(default_factory=ModelConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    shortcut: Shortcut = MISSING
    # shortens the schedule; composing multiplies it into schedule.iterations, which is what a run
    # goes by
    scale: float = 1.0
    seed: int = 0
    batch_size: int = 128
    # BN's statistics are of every so many images; null: of a device's share of the batch
    bn_batch: int | None = None
    sync_bn: bool = False  # ... of the whole batch, over all devices
    device: DeviceChoice = DeviceChoice.auto
    devices: int | str = 1  # processes that share each batch: a number, or auto: all GPUs
    # of several devices: how often they start anew from the last checkpoint when one is lost
    max_restarts: int = 3
    timeout: float = 600.0  # seconds a device waits for the others before it gives them up
    precision: Precision = Precision.auto
    compile: Switch = Switch.auto
    cuda_graph: Switch = Switch.auto
    checkpointing: Checkpointing = Checkpointing.off
    resume: str = "auto"  # auto | never | a checkpoint file or run folder
    runs: str = "runs"
    log_every: int = 100  # iterations
    eval_every: int = 500  # iterations
    checkpoint_every: int = 1000  # iterations
    dry_run: bool = False
    jobs_per_device: int | None = None  # of a sweep with hydra/launcher=local


# Keys that say where and how a run happens, not what is trained: they may change from one start of
# a run to the next.
BOOKKEEPING = {
    "dataset.root",
    "dataset.download",
    "dataset.mirror",
    "device",
    "resume",
    "runs",
    "dry_run",
    "jobs_per_device",
}
BOOKKEEPING |= {"cuda_graph", "checkpointing"}  # the same numbers, faster or in less memory
BOOKKEEPING |= {"log_every", "eval_every", "checkpoint_every"}
BOOKKEEPING |= {
    f"dataset.{key}" for key in ("num_classes", "workers", "on_error", "max_skipped", "reindex")
}
# what several devices mean for BN, bn_batch says
BOOKKEEPING |= {"devices", "sync_bn", "max_restarts", "timeout"}
# a way to say schedule.iterations: 0.0625 of 64,000 is the same run as schedule.iterations=4000
BOOKKEEPING |= {"scale"}


def architecture(config: Config, *, num_classes: int) -> Architecture:
    """The network of a run. Raises ValueError naming the key that does not fit."""
    model = config.model
    if model.stride_in not in set(StrideIn):
        raise ValueError(f"model.stride_in={model.stride_in}: use one of {', '.join(StrideIn)}")
    if model.family is Family.imagenet:
        return imagenet(
            model.depth,
            shortcut=config.shortcut,
            num_classes=num_classes,
            stem=model.stem or Stem.imagenet,
            stride_in=StrideIn(model.stride_in),
            groups=model.groups,
            width_per_group=model.width_per_group,
        )
    if model.stem is Stem.imagenet or (model.groups, model.width_per_group) != (1, 64):
        raise ValueError(
            "model.stem, model.groups and model.width_per_group belong to ImageNet's "
            "networks, such as model=resnet18"
        )
    return cifar(model.depth, shortcut=config.shortcut, num_classes=num_classes)


def to_plain(value: Any) -> Any:
    """Dataclasses and enums as dicts, lists and strings, for YAML, JSON and checkpoints."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, dict):
        return {key: to_plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(part) for part in value]
    return str(value) if isinstance(value, str) else value


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{'model': {'depth': 20}} -> {'model.depth': 20}."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= (
            flatten(value, f"{prefix}{key}.")
            if isinstance(value, dict)
            else {f"{prefix}{key}": value}
        )
    return flat


def trained(tree: dict[str, Any]) -> dict[str, Any]:
    """What of a run's plain config says what is trained, under dotted keys.

    A plateau is looked for at evaluations, so there they count.
    """
    flat = flatten(tree)
    decides = {"eval_every"} if flat.get("schedule.rule") == Rule.plateau else set()
    return {key: value for key, value in flat.items() if key not in BOOKKEEPING - decides}


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """`key: old -> new` for whatever tells two runs apart; bookkeeping does not. Keys that an older
    version did not have are as by default.

    Raises KeyError, TypeError or ValueError where `old` is no run of this version.
    """
    old, new = trained(to_plain(from_plain(old))), trained(new)
    keys = [key for key in new | old if old.get(key) != new.get(key)]
    return [f"{key}: {old.get(key)} -> {new.get(key)}" for key in keys]


def from_plain(tree: dict[str, Any]) -> Config:
    """`to_plain` undone.

    Raises KeyError, TypeError or ValueError for what is no run of this version.
    """

    def build(kind: Any, values: dict[str, Any]) -> Any:
        types = {part.name: part.type for part in dataclasses.fields(kind)}
        return kind(**{key: convert(types[key], value) for key, value in values.items()})

    def convert(kind: Any, value: Any) -> Any:
        if isinstance(kind, UnionType) and value is not None:  # `Stem | None`
            kind = get_args(kind)[0]
        if dataclasses.is_dataclass(kind):
            return build(kind, value)
        return kind(value) if isinstance(kind, type) and issubclass(kind, str) else value

    return build(Config, tree)
