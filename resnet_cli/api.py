"""What `import resnet_cli` offers in a notebook: networks, weights, runs and training.

`resnet_cli` itself names these functions and imports this module when one of them is asked for.
"""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet_cli.analysis.subject import Subject, open_subject
from resnet_cli.config import compose
from resnet_cli.config.words import command, quote_paths
from resnet_cli.data.images import Normalizer, fit_normalizer
from resnet_cli.data.samples import SamplesBuilder
from resnet_cli.launch import sequential
from resnet_cli.models.architecture import Shortcut
from resnet_cli.models.resnet import Network, ResNet
from resnet_cli.models.zoo import NETWORKS, did_you_mean_network
from resnet_cli.paper import runs as run_folders
from resnet_cli.run.folder import RunFolder
from resnet_cli.run.run import Run as PlannedRun
from resnet_cli.runtime.errors import UserError


class Curve(NamedTuple):
    """One figure of a run, measured at some of its iterations; errors are in percent."""

    iteration: NDArray[np.int64]
    value: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class RunMetrics:
    """A run folder, finished or not, and its metrics as arrays."""

    folder: Path
    network: str  # plain56, resnet56-A
    depth: int
    is_plain: bool
    dataset: str
    seed: int
    iterations: int  # of the whole schedule
    state: str  # finished, running or stopped
    metrics: dict[str, Curve]  # train/error, test/error, val/error, train/loss, lr, ...

    def __getitem__(self, name: str) -> Curve:
        """`run["test/error"]`. Raises KeyError with the names there are."""
        if name not in self.metrics:
            raise KeyError(f"{name}: {self.folder} has {', '.join(self.metrics)}")
        return self.metrics[name]


class Loaded:
    """A network in eval mode with its preprocessing; calling it classifies images."""

    def __init__(self, subject: Subject, normalizer: Normalizer) -> None:
        self.network: Network = subject.network
        self.normalizer = normalizer
        self.image_size = subject.image_size
        self.classes: tuple[str, ...] = subject.class_names()

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """uint8 RGB [N, 3, image_size, image_size] -> probabilities float32 [N, classes]."""
        if images.dtype is not torch.uint8 or images.dim() != 4 or images.shape[1] != 3:
            raise ValueError(
                f"images {images.dtype} {list(images.shape)}: expected uint8 [N, 3, "
                f"{self.image_size}, {self.image_size}]"
            )
        return self.network(self.normalizer(images)).float().softmax(dim=1)


def model(
    name: str, *, shortcut: str | None = None, num_classes: int | None = None, seed: int = 0
) -> ResNet:
    """A network with random weights: `model("resnet56", shortcut="B")`.

    `name`: as `resnet-info` lists them; `shortcut`: none, A, B or C (section 3.3), by default the
    paper's. Raises ValueError for what there is not.
    """
    if name not in NETWORKS:
        raise ValueError(f"unknown model '{name}'{did_you_mean_network(name)}")
    changes: dict[str, object] = {}
    if shortcut is not None:
        changes["shortcut"] = Shortcut(shortcut)
    if num_classes is not None:
        changes["num_classes"] = num_classes
    architecture = dataclasses.replace(NETWORKS[name], **changes)  # type: ignore[arg-type]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return ResNet(architecture)


def load(path: str | Path, *overrides: str) -> Loaded:
    """A run folder, a checkpoint or a file of weights, with what its pixels need.

    Files of other projects hold weights alone: `overrides` say what they are, as for resnet-eval,
    `load("x.th", "model=resnet20", "dataset.normalization=cifar")`. Raises UserError.
    """
    subject = open_subject(Path(path).expanduser(), list(overrides))
    subject.validate_has_mean_image()
    pixels = subject.normalizer or fit_normalizer(
        subject.config.dataset.normalization, SamplesBuilder().build()
    )
    return Loaded(subject, pixels)


def runs(*roots: str | Path) -> list[RunMetrics]:
    """Every run below the folders, plain before residual, shallow before deep.

    Raises UserError for a folder that is not there.
    """
    folders = [Path(root).expanduser() for root in roots or ("runs",)]
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder")
    return [_metrics(run) for run in run_folders.find(folders)[0]]


def _metrics(run: run_folders.Run) -> RunMetrics:
    names = dict.fromkeys(name for line in run.metrics for name in line if name != "iteration")
    curves = {
        name: Curve(np.array(at, dtype=np.int64), np.array(values, dtype=np.float64))
        for name in names
        for at, values in [run.curve(name)]
    }
    return RunMetrics(
        folder=run.folder,
        network=run.network,
        depth=run.depth,
        is_plain=run.is_plain,
        dataset=run.dataset,
        seed=run.seed,
        iterations=run.iterations,
        state=run.state,
        metrics=curves,
    )


def train(*overrides: str, **keys: object) -> RunMetrics:
    """Trains one run to its end, or goes on with it, as `resnet-train` does; returns its metrics.

    `train("model=resnet20", "schedule.iterations=400", dataset="synthetic", seed=1)`. A finished
    run is only read. Raises UserError, DataError and Diverged with the command's message.
    """
    words = [*overrides, *(f"{key}={value}" for key, value in keys.items())]
    (job,), _ = compose.jobs(quote_paths(words), multirun=False)
    if job.dry_run:
        raise UserError("dry_run=true: nothing would be there to return")
    sequential.train(
        PlannedRun(
            config=job.config,
            folder=RunFolder(job.folder),
            command=command("resnet-train", job.overrides),
        )
    )
    sys.stdout.flush()
    return runs(job.folder)[0]
