"""What a run says of itself: the plan before, the table after, and result.json."""

import platform
import resource
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import torchvision

from resnet_cli import __version__
from resnet_cli.console import duration, rows
from resnet_cli.folder import RunFolder
from resnet_cli.hardware import describe, precision_name
from resnet_cli.models import complexity
from resnet_cli.parts import Parts
from resnet_cli.schema import Config, to_plain
from resnet_cli.training.trainer import Trainer


def plan(config: Config, parts: Parts, folder: RunFolder) -> str:
    """What is about to happen, for a person."""
    net, data, recipe = parts.network.architecture, parts.dataset, parts.schedule
    cost = complexity.multiply_adds(net, image_size=data.train.images.shape[-1])
    sgd = config.optimizer
    steps = f" x {recipe.gamma:g} at {', '.join(f'{at:,}' for at in recipe.milestone_iterations)}" if recipe.milestones else ""
    until = f"; first {recipe.warmup_lr or 0:g} until the training error is under {recipe.warmup_until_error:g} %"
    warmup = until if recipe.warmup_lr is not None else ""
    validation = f", {len(data.validation):,} validation" if data.validation else ""
    epochs = recipe.iterations * config.batch_size / len(data.train)
    return rows(
        [
            ("network", f"{net.name}: {net.depth} layers, {complexity.parameters(net):,} parameters, {cost / 1e6:,.1f}M multiply-adds"),
            ("data", f"{data.name}: {len(data.train):,} training{validation}, {len(data.test):,} test images"),
            ("pixels", f"{config.dataset.normalization} normalization; pad 4, random crop and flip"),
            ("recipe", f"SGD, batch {config.batch_size}, lr {sgd.lr:g}{steps}{warmup}"),
            ("", f"momentum {sgd.momentum:g}, weight decay {sgd.weight_decay:g}{', Nesterov' if sgd.nesterov else ''}"),
            ("length", f"{recipe.iterations:,} iterations ({epochs:.1f} epochs)"),
            ("device", f"{describe(parts.device)}; {precision_name(parts.step.dtype)}; compiled: {parts.compiling}"),
            ("folder", str(folder)),
        ]
    )


def make_result(config: Config, parts: Parts, trainer: Trainer, command: str) -> dict[str, Any]:
    """What result.json says of a finished run. Errors in percent; the last iterate is the result, the best is beside it."""
    now = trainer.progress
    return {
        "network": parts.network.architecture.name,
        "dataset": config.dataset.name,
        "seed": config.seed,
        "parameters": complexity.parameters(parts.network.architecture),
        "iterations": now.iteration,
        "final": {
            "iteration": now.iteration,
            "train_error": now.last["train/error"],  # running, over augmented mini-batches
            "train_loss": now.last["train/loss"],
            "val_error": now.last.get("val/error"),
            "test_error": now.last["test/error"],
        },
        "best": {
            "iteration": now.best_iteration,
            "error": now.best_error,
            "chosen_on": {"val": "validation", "test": "test"}[trainer.chosen_on],
        },
        "warmup_ended_at": now.warmup_ended_at,
        "seconds": round(now.seconds, 1),
        "images_per_second": round(now.iteration * config.batch_size / now.seconds, 1),  # evaluation and saving included
        "peak_memory_gib": peak_memory(),  # of this process so far, earlier runs of a sweep included
        "device": describe(parts.device),
        "precision": precision_name(parts.step.dtype),
        "compiled": parts.compiling,
        "versions": {
            "resnet_cli": __version__,
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
            "python": platform.python_version(),
        },
        "commit": commit(),
        "command": command,
        "finished": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "config": to_plain(config),
    }


def peak_memory() -> float:
    """The most this process ever held, in GiB."""
    unit = 2**30 if sys.platform == "darwin" else 2**20  # bytes there, KiB elsewhere
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 2)


def commit() -> str | None:
    """The checkout's commit, `+changes` where files differ from it; None for an installed package."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    git = ["git", "-C", str(root)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+changes" if changed else "")


def headline(result: dict[str, Any]) -> str:
    final = result["final"]
    return f"test error {final['test_error']:.2f} %, training error {final['train_error']:.2f} %"


def closing(result: dict[str, Any], folder: RunFolder) -> str:
    """The short table at the end of a run, and where things lie."""
    final, best = result["final"], result["best"]
    validation = [("validation error", f"{final['val_error']:.2f} %")] if final["val_error"] is not None else []
    return rows(
        [
            ("test error", f"{final['test_error']:.2f} %  (last iteration, {final['iteration']:,})"),
            *validation,
            ("training error", f"{final['train_error']:.2f} %  (running, augmented)"),
            ("best", f"{best['error']:.2f} %  (iteration {best['iteration']:,}, chosen on the {best['chosen_on']} images)"),
            ("time", f"{duration(result['seconds'])}, {result['images_per_second']:,.0f} images/s, {result['peak_memory_gib']:.2f} GiB"),
            ("result", str(folder.result_file)),
            ("curves", f"tensorboard --logdir {shlex.quote(str(folder))}"),
            ("checkpoint", f"resnet-eval --ckpt {shlex.quote(str(folder))}"),
        ]
    )
