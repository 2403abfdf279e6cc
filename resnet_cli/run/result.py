"""What a run reports: the plan before, the table after, and result.json."""

import platform
import shlex
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import torch

from resnet_cli import __version__
from resnet_cli.config.plain import to_plain
from resnet_cli.config.schema import RunConfig
from resnet_cli.data.choices import Augmentation
from resnet_cli.data.crops import shorter_side_range
from resnet_cli.data.images import Dataset
from resnet_cli.models import complexity
from resnet_cli.models.architecture import Architecture
from resnet_cli.run.build import Parts
from resnet_cli.run.folder import RunFolder
from resnet_cli.runtime.console import Console, bold, duration, rows
from resnet_cli.runtime.device import describe, peak_gpu_memory, peak_memory, precision_name
from resnet_cli.training.records import Best, DataRecord, Final, Result
from resnet_cli.training.schedule import Schedule
from resnet_cli.training.trainer import Trainer

_ONE_LAYER = (
    "each shortcut spans one layer, y = W_1 x + x, for which the paper has "
    '"not observed advantages" (section 3.2)'
)
_MANY_EPOCHS = 1000  # the paper's schedules have 164 (CIFAR-10) and 120 (ImageNet)


def plan(config: RunConfig, parts: Parts, *, folder: RunFolder) -> str:
    """What is about to happen, in two columns."""
    net, data, recipe, sgd = (
        parts.training.network.architecture,
        parts.dataset,
        parts.training.schedule,
        config.optimizer,
    )
    cost = complexity.multiply_adds(net, image_size=data.image_size)
    counts = [("training", data.train), ("validation", data.validation), ("test", data.test)]
    there = ", ".join(f"{len(split):,} {name}" for name, split in counts if split is not None)
    times = f"{config.devices} x " if config.devices != 1 else ""
    epochs = recipe.iterations * config.batch_size / len(data.train)
    return rows(
        [
            (
                "network",
                f"{net.name}: {net.depth} layers, {complexity.parameters(net):,} parameters, "
                f"{cost / 1e6:,.1f}M multiply-adds",
            ),
            *([("", _ONE_LAYER)] if isinstance(net, Architecture) and net.spans_one_layer else []),
            ("data", f"{data.name}: {there} images"),
            *[("", remark) for remark in data.remarks],
            ("pixels", f"{config.dataset.normalization} normalization; {_augmentation(config)}"),
            ("recipe", f"SGD, batch {config.batch_size}, lr {_rates(recipe)}"),
            (
                "",
                f"momentum {sgd.momentum:g}, weight decay "
                f"{sgd.weight_decay:g}{', Nesterov' if sgd.nesterov else ''}",
            ),
            *([("", ", ".join(_later(config)))] if _later(config) else []),
            *([("", f"BN over every {config.bn_batch} images")] if config.bn_batch else []),
            *([("start", config.weights)] if config.weights else []),
            ("length", f"{recipe.iterations:,} iterations ({epochs:.1f} epochs)"),
            (
                "device",
                f"{times}{describe(parts.device)}; {precision_name(parts.training.step.dtype)}; "
                f"compiled: {parts.compiling}{'; fused blocks' * config.fused_blocks}",
            ),
            ("folder", str(folder)),
        ]
    )


def _later(config: RunConfig) -> list[str]:
    """What the paper did not do, in words."""
    return [
        *([f"label smoothing {config.label_smoothing:g}"] if config.label_smoothing else []),
        *([f"evaluated: the average of the weights, decay {config.ema:g}"] if config.ema else []),
    ]


def announce(config: RunConfig, parts: Parts, *, folder: RunFolder, note: str = "") -> str:
    """The heading of a run, and its plan below."""
    name = parts.training.network.architecture.name
    heading = bold(f"{name} on {parts.dataset.name}, seed {config.seed}{note}")
    return f"{heading}\n{plan(config, parts, folder=folder)}"


def warn_of_many_epochs(config: RunConfig, parts: Parts, *, console: Console) -> None:
    """Warns of a schedule that was made for far more images than there are."""
    iterations, images = config.schedule.iterations, len(parts.dataset.train)
    epochs = iterations * config.batch_size / images
    if epochs > _MANY_EPOCHS:
        shorter = max(1, round(90 * images / config.batch_size))
        console.warn(
            f"{iterations:,} iterations are {epochs:,.0f} epochs of {images:,} training images; "
            f"schedule.epochs=90, for example, would be {shorter:,} iterations"
        )


def data(dataset: Dataset) -> DataRecord:
    """The contents of data.json: the classes, and the number of images in each split."""
    counts = {
        name: len(split) for name, split in {"train": dataset.train, **dataset.held_out}.items()
    }
    return DataRecord(
        name=dataset.name,
        classes=list(dataset.classes),
        images=counts,
        remarks=list(dataset.remarks),
    )


def _augmentation(config: RunConfig) -> str:
    """What happens to a training image, in words."""
    size = config.dataset.image_size
    if size is None:
        return "pad 4, random crop and flip"
    if config.dataset.augmentation is Augmentation.inception:
        return f"random area and ratio to {size}x{size}, flip"
    smallest, largest = shorter_side_range(size)
    return f"shorter side {smallest} - {largest}, random {size}x{size} crop, flip, PCA color noise"


def _rates(recipe: Schedule) -> str:
    """The learning rates of a schedule, in words."""
    words = f"{recipe.lr:g}"
    if recipe.milestones:
        words += (
            f" x {recipe.gamma:g} at {', '.join(f'{at:,}' for at in recipe.milestone_iterations)}"
        )
    if rule := recipe.plateau:
        words += (
            f" x {recipe.gamma:g} when the error plateaus ({rule.patience} tests without "
            f"{rule.min_delta:g} percentage points), {rule.max_drops} times"
        )
    if recipe.cosine:
        words += ", falling to 0 by a cosine"
    if recipe.linear_warmup:
        rising = round(recipe.linear_warmup * recipe.iterations)
        words += f"; rising to it in the first {rising:,}"
    if recipe.warmup_lr is not None:
        words += (
            f"; first {recipe.warmup_lr:g} until the training error is under "
            f"{recipe.warmup_until_error:g} %"
        )
    return words


def make_result(config: RunConfig, parts: Parts, *, trainer: Trainer, command: str) -> Result:
    """The contents of result.json for a finished run.

    Errors are in percent; the last iterate is the result, the best iterate stands beside it.
    """
    import torchvision  # not at the top: it wakes the compiler, which takes seconds

    now, on_gpu = trainer.progress, peak_gpu_memory(parts.device)
    assert now.best_iteration is not None and now.best_error is not None
    return Result(
        network=parts.training.network.architecture.name,
        dataset=parts.dataset.name,
        classes=len(parts.dataset.classes),
        training_images=len(parts.dataset.train),
        seed=config.seed,
        parameters=complexity.parameters(parts.training.network.architecture),
        iterations=now.iteration,
        devices=config.devices,
        final=Final(
            iteration=now.iteration,
            train_error=now.last["train/error"],
            train_loss=now.last["train/loss"],
            test_error=now.last.get("test/error"),
            val_error=now.last.get("val/error"),
            test_top5_error=now.last.get("test/top5_error"),
            val_top5_error=now.last.get("val/top5_error"),
        ),
        best=Best(
            iteration=now.best_iteration,
            error=now.best_error,
            chosen_on={"val": "validation", "test": "test"}[trainer.chosen_on],
        ),
        warmup_ended_at=now.warmup_ended_at,
        skipped_images=now.skipped,
        seconds=round(now.seconds, 1),
        images_per_second=round(now.iteration * config.batch_size / now.seconds, 1),
        peak_memory_gib=round(peak_memory(), 2),
        peak_gpu_memory_gib=None if on_gpu is None else round(on_gpu, 2),
        device=describe(parts.device),
        precision="+".join(now.precisions) or precision_name(parts.training.step.dtype),
        compiled=parts.compiling,
        versions={
            "resnet_cli": __version__,
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
            "python": platform.python_version(),
        },
        commit=commit(),
        command=command,
        finished=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        config=to_plain(config),
    )


def commit() -> str | None:
    """The checkout's commit, with `+changes` where files differ; None for an installed package."""
    root = Path(__file__).resolve().parent.parent.parent
    if not (root / ".git").exists():
        return None
    git = ["git", "-C", str(root)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+changes" if changed else "")


def _held_out(final: Final) -> list[tuple[str, float, float | None]]:
    """The images that were measured, with their top-1 and top-5 errors."""
    # where there are both, the test images are what is reported
    measured = (
        ("test", final.test_error, final.test_top5_error),
        ("validation", final.val_error, final.val_top5_error),
    )
    return [(words, top1, top5) for words, top1, top5 in measured if top1 is not None]


def headline(result: Result) -> str:
    """The errors of a run, in a line."""
    words, error, _ = _held_out(result.final)[0]
    return f"{words} error {error:.2f} %, training error {result.final.train_error:.2f} %"


def _memory(result: Result) -> str:
    host = f"{result.peak_memory_gib:.2f} GiB"
    if result.peak_gpu_memory_gib is None:
        return host
    return f"{result.peak_gpu_memory_gib:.2f} GiB on the GPU, {host} on the host"


def closing(result: Result, folder: RunFolder) -> str:
    """The short table at the end of a run, and where things lie."""
    final, best, ema = result.final, result.best, result.config.get("ema")
    errors = [
        (
            f"{words} error",
            f"{top1:.2f} %" + (f", top-5 {top5:.2f} %" if top5 is not None else ""),
        )
        for words, top1, top5 in _held_out(final)
    ]
    errors[0] = (errors[0][0], f"{errors[0][1]}  (last iteration, {final.iteration:,})")
    skipped = [
        (
            "skipped",
            f"{len(result.skipped_images)} images that could not be decoded; result.json "
            "lists them",
        )
    ]
    return rows(
        [
            *errors,
            *([("weights", f"averaged, decay {ema:g}, but for the training error")] if ema else []),
            ("training error", f"{final.train_error:.2f} %  (running, augmented)"),
            (
                "best",
                f"{best.error:.2f} %  (iteration {best.iteration:,}, chosen on the "
                f"{best.chosen_on} images)",
            ),
            *(skipped if result.skipped_images else []),
            (
                "time",
                f"{duration(result.seconds)}, {result.images_per_second:,.0f} images/s, "
                f"{_memory(result)}",
            ),
            ("result", str(folder.result_file)),
            ("curves", f"tensorboard --logdir {shlex.quote(str(folder))}"),
            ("checkpoint", f"resnet-eval --ckpt {shlex.quote(str(folder))}"),
        ]
    )
