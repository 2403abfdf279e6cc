"""What a `Trainer` is made of, and what it writes."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resnet_cli.data.images import Normalizer
from resnet_cli.data.loader import Loader
from resnet_cli.evaluation.protocol import Test
from resnet_cli.models.fold_bn import FoldedBN
from resnet_cli.models.resnet import Network
from resnet_cli.training.schedule import Schedule
from resnet_cli.training.step import TrainStep


@dataclass(frozen=True, kw_only=True)
class TrainingParts:
    """What a trainer drives, built and on its device."""

    network: Network
    step: TrainStep
    loader: Loader
    schedule: Schedule
    normalizer: Normalizer
    tested: FoldedBN[Network]  # the network, or the average of its weights, as it is evaluated
    held_out: dict[str, Test]  # what to evaluate it on, by the names `val` and `test`
    dropout_seed: int | None = None  # None: the network drops nothing


@dataclass(frozen=True, kw_only=True)
class Every:
    """How often something is done, in iterations."""

    log: int
    evaluate: int
    save: int
    keep: Collection[int] = ()  # not how often: when


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is written of a run while it trains, and where."""

    folder: Path
    every: Every
    identity: dict[str, Any]  # what a checkpoint records about its run
    hparams: dict[str, Any]  # what TensorBoard lists of it
    about: str  # its command and plan, for people
    name: str = ""  # cifar10/resnet56-A/seed0
    sinks: Mapping[str, str] = field(default_factory=dict)  # wandb -> the project

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.folder / "checkpoints"
