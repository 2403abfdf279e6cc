"""What a run leaves in its folder, to be compared with another's; and a run that is interrupted."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_cli.training.trainer import Trainer


def folder_of(runs: Path) -> Path:
    """The folder of the one run below `runs`, or `runs` itself."""
    (config,) = runs.rglob("config.yaml")
    return config.parent


def saved_values(path: Path) -> dict[str, Any]:
    """What a checkpoint file holds, as PyTorch reads it."""
    return dict(torch.load(path, weights_only=True))


def logged(runs: Path) -> list[dict[str, Any]]:
    """The one run's metrics.jsonl, without what a clock wrote."""
    lines = (folder_of(runs) / "metrics.jsonl").read_text().splitlines()
    points = [json.loads(line) for line in lines]
    for point in points:
        point.pop("images_per_second", None)
    return points


def ended(runs: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The one run's last checkpoint and log, without what names its folder or command and what a
    clock wrote: equal for runs that are one run.
    """
    saved = saved_values(folder_of(runs) / "checkpoints/last.pt")
    del saved["config"], saved["command"], saved["progress"]["seconds"]
    saved["progress"]["last"].pop("images_per_second")
    return saved, logged(runs)


def kill_at(monkeypatch: pytest.MonkeyPatch, iteration: int, signum: int = signal.SIGINT) -> None:
    """This process gets the signal while it does that iteration."""
    original = Trainer.after_step

    def after_step(self: Trainer) -> None:
        original(self)
        if self.progress.iteration == iteration:
            os.kill(os.getpid(), signum)

    monkeypatch.setattr(Trainer, "after_step", after_step)
