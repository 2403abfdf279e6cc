"""A run as plain values: what Hydra composes, checkpoints keep and the worker is handed."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from resnet_cli.data.datasets import DatasetName
from resnet_cli.data.images import Normalization
from resnet_cli.hardware import Compile, DeviceChoice, Precision
from resnet_cli.models.architecture import Architecture, Shortcut, cifar

MISSING: Any = "???"  # OmegaConf's word for "must be set"


@dataclass
class ModelConfig:
    """A CIFAR network of section 4.2."""

    depth: int = MISSING  # 6n+2


@dataclass
class DatasetConfig:
    name: DatasetName = MISSING
    root: str = MISSING  # folder that holds cifar-10-batches-py/
    download: bool = False
    mirror: str = MISSING
    validation: int = 0  # training images held out; the paper's 45k/5k is 5000
    normalization: Normalization = Normalization.paper
    train_images: int | None = None  # use only so many; null: all
    test_images: int | None = None


@dataclass
class OptimizerConfig:
    """SGD; weight decay on everything that is learned, as in Caffe."""

    lr: float = MISSING
    momentum: float = MISSING
    weight_decay: float = MISSING
    nesterov: bool = False


@dataclass
class ScheduleConfig:
    """Step decay; milestones are fractions of `iterations`, so a shorter run is the same recipe."""

    iterations: int = MISSING
    milestones: list[float] = MISSING
    gamma: float = MISSING  # the factor at each milestone
    warmup_lr: float | None = None  # first this, until ...
    warmup_until_error: float = 80.0  # ... the training error of the last 100 iterations is under this, in percent


@dataclass
class Config:
    """All of a run. Field names are the keys of the command line."""

    model: ModelConfig = field(default_factory=ModelConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    shortcut: Shortcut = MISSING
    scale: float = 1.0  # shortens the schedule; composing multiplies it into schedule.iterations, which is what a run goes by
    seed: int = 0
    batch_size: int = 128
    device: DeviceChoice = DeviceChoice.auto
    precision: Precision = Precision.auto
    compile: Compile = Compile.auto
    resume: str = "auto"  # auto | never | a checkpoint file or run folder
    runs: str = "runs"
    log_every: int = 100  # iterations
    eval_every: int = 500  # iterations
    checkpoint_every: int = 1000  # iterations
    dry_run: bool = False


# Keys that say where and how a run happens, not what is trained: they may change from one start of a run to the next.
BOOKKEEPING = {"dataset.root", "dataset.download", "dataset.mirror", "device", "resume", "runs", "dry_run"}
BOOKKEEPING |= {"log_every", "eval_every", "checkpoint_every"}
BOOKKEEPING |= {"scale"}  # a way to say schedule.iterations: 0.0625 of 64,000 is the same run as schedule.iterations=4000


def architecture(config: Config, *, num_classes: int) -> Architecture:
    """The network of a run. Raises ValueError for a depth that is not 6n+2."""
    return cifar(config.model.depth, shortcut=config.shortcut, num_classes=num_classes)


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
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """`key: old -> new` for whatever tells two runs apart; bookkeeping does not."""
    old, new = flatten(old), flatten(new)
    keys = [key for key in new | old if key not in BOOKKEEPING and old.get(key) != new.get(key)]
    return [f"{key}: {old.get(key)} -> {new.get(key)}" for key in keys]


def from_plain(tree: dict[str, Any]) -> Config:
    """`to_plain` undone. Raises KeyError, TypeError or ValueError for what is no run of this version."""

    def build(kind: Any, values: dict[str, Any]) -> Any:
        types = {part.name: part.type for part in dataclasses.fields(kind)}
        return kind(**{key: convert(types[key], value) for key, value in values.items()})

    def convert(kind: Any, value: Any) -> Any:
        if dataclasses.is_dataclass(kind):
            return build(kind, value)
        return kind(value) if isinstance(kind, type) and issubclass(kind, str) else value

    return build(Config, tree)
