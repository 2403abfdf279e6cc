"""The loop: step, count, log, evaluate, save.

All of its state fits a checkpoint, so a stopped run goes on bit for bit.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from resnet_cli.data.images import Normalizer
from resnet_cli.data.resident import Loader
from resnet_cli.evaluation.metrics import measure
from resnet_cli.evaluation.protocol import Test
from resnet_cli.models.architecture import Shortcut
from resnet_cli.models.fold_bn import FoldedBN
from resnet_cli.models.resnet import ResNet
from resnet_cli.runtime.console import Console
from resnet_cli.runtime.distributed import STOP_LOOK, Context
from resnet_cli.runtime.errors import Diverged, Stopped
from resnet_cli.runtime.signals import StopRequest
from resnet_cli.training import checkpoint
from resnet_cli.training.checkpoint import Checkpoint, Pixels, Scaler
from resnet_cli.training.logbook import Logbook
from resnet_cli.training.progress import Clock, Progress, Totals
from resnet_cli.training.schedule import WARMUP_WINDOW, Plateau, Schedule
from resnet_cli.training.step import TrainStep


@dataclass(frozen=True, kw_only=True)
class Every:
    """How often, in iterations."""

    log: int
    evaluate: int
    save: int


@dataclass(frozen=True, kw_only=True)
class TrainingParts:
    """What a trainer drives, built and on its device."""

    network: ResNet
    step: TrainStep
    loader: Loader
    schedule: Schedule
    normalizer: Normalizer
    tested: FoldedBN  # the network as it is tested
    held_out: dict[str, Test]  # what to measure, under `val` and `test`


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is written of a run while it trains, and where."""

    folder: Path
    every: Every
    identity: dict[str, Any]  # what a checkpoint says of its run
    hparams: dict[str, Any]  # what TensorBoard lists of it

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"


class Trainer:
    """Trains one network to the end of its schedule."""

    def __init__(
        self, parts: TrainingParts, record: Record, *, context: Context, console: Console
    ) -> None:
        self.parts, self.record, self.context, self.console = parts, record, context, console
        self.network, self.step, self.loader = parts.network, parts.step, parts.loader
        self.schedule = parts.schedule
        self.progress = Progress(warming=parts.schedule.warmup_lr is not None)

    def steps(self, request: StopRequest) -> Iterator[None]:
        """Trains from where `progress` stands to the last iteration, a step at a time: several runs
        may take turns.

        Raises Diverged when the loss is no longer finite, and Stopped, after saving, when a signal
        asked for it.
        """
        now, last = self.progress, self.schedule.iterations
        family = "plain" if self.network.architecture.shortcut is Shortcut.none else "residual"
        self.logbook = (
            Logbook(
                self.record.folder,
                iteration=now.iteration,
                family=family,
                hparams=self.record.hparams,
            )
            if self.context.is_main
            else None
        )
        self.console.start(self.network.architecture.name, iteration=now.iteration, iterations=last)
        self.clock = Clock(now.seconds, now.iteration)
        try:
            self.network.train()
            while now.iteration < last:
                self.stop_if_asked(request)
                self.step(*self.loader.draw(now.iteration), lr=self.lr_at(now.iteration))
                now.iteration += 1
                self.console.advance(now.iteration)
                self.after_step(end=now.iteration == last)
                yield
        finally:
            self.loader.close()
            if self.logbook:
                self.logbook.close()
            self.console.stop()

    def stop_if_asked(self, request: StopRequest) -> None:
        """Saves and raises Stopped at the step that all ranks agree on, when a signal has
        reached one of them.
        """
        now = self.progress
        if now.iteration % STOP_LOOK[self.step.device.type]:
            return
        signum = self.context.max_or_none(request.signum)
        if signum is not None:
            self.read_totals()
            self.save()
            # the others wait for the first, which writes: the end of one would be the end of all
            self.context.max_or_none(None)
            last = self.schedule.iterations
            raise Stopped(
                f"stopped at iteration {now.iteration:,} of {last:,}; the same command continues",
                signum=signum,
            )

    def after_step(self, *, end: bool) -> None:
        """Between two steps: whatever is due."""
        now = self.progress
        warmup = now.warming and now.iteration % WARMUP_WINDOW == 0
        log = end or now.iteration % self.record.every.log == 0
        evaluate = end or now.iteration % self.record.every.evaluate == 0
        save = end or now.iteration % self.record.every.save == 0
        if not (warmup or log or evaluate or save):
            return
        mark = self.read_totals()  # the one place where the host waits for the device
        values: dict[str, float] = {}
        if log:
            values |= self.train_metrics(mark)
            now.last |= values
        if warmup:
            self.update_lr_warmup(mark)
        with self.clock.paused():
            if evaluate:
                values |= self.evaluate()
            if values and self.logbook:
                self.logbook.write(now.iteration, values)
                self.console.show(values)
            if save:
                self.save()

    def lr_at(self, iteration: int) -> float:
        """The rate of the step numbered `iteration`, as things stand."""
        return self.schedule.lr_at(
            iteration, warming=self.progress.warming, fallen=self.progress.watched.fallen
        )

    def read_totals(self) -> Totals:
        """Where the counters stand; waits for the device. Raises Diverged."""
        loss, wrong, good = self.step.read_totals()
        if good is not None:
            raise Diverged(
                f"the loss is not finite at iteration {good + 1:,} (lr {self.lr_at(good):g}); "
                f"{self.kept()}; try a smaller optimizer.lr"
            )
        return self.progress.iteration, loss, wrong

    def kept(self) -> str:
        """What a run that cannot go on leaves behind, in words."""
        last = self.record.checkpoints / checkpoint.LAST
        return (
            f"the last checkpoint, {last}, is from before"
            if last.exists()
            else "no checkpoint was due yet"
        )

    def train_metrics(self, mark: Totals) -> dict[str, float]:
        """Means over the augmented mini-batches since the last log point: what the paper's
        figures draw as training error.
        """
        loss, error = self.mean_since(self.progress.logged, mark)
        self.progress.logged = mark
        return {
            "epoch": mark[0] * self.loader.batch_size / self.loader.count,
            "train/loss": loss,
            "train/error": error,
            "lr": self.lr_at(mark[0] - 1),
            "images_per_second": self.clock.lap(mark[0]) * self.loader.batch_size,
        }

    def mean_since(self, before: Totals, mark: Totals) -> tuple[float, float]:
        """Mean loss, and error in percent, between two marks."""
        images = (mark[0] - before[0]) * self.loader.batch_size
        return (mark[1] - before[1]) / images, 100 * (mark[2] - before[2]) / images

    def update_lr_warmup(self, mark: Totals) -> None:
        """Section 4.2: the warm-up ends when the training error is under 80 %, not after a
        count.
        """
        now = self.progress
        _, error = self.mean_since(now.warmed, mark)
        now.warmed = mark
        if self.schedule.warmup_is_over(error):
            now.warming, now.warmup_ended_at = False, now.iteration
            self.console.say(
                f"warm-up ends at iteration {now.iteration:,}: training error {error:.1f} %"
            )

    def evaluate(self) -> dict[str, float]:
        """Errors in percent of the validation and test images; keeps the best network, which
        validation decides where it is there.
        """
        now, values = self.progress, {}
        self.context.broadcast(self.network.buffers())
        self.parts.tested.refresh()
        for name, split in self.parts.held_out.items():
            errors = measure(
                [(self.parts.tested.network, self.parts.normalizer)],
                split,
                dtype=self.step.dtype,
                context=self.context,
            )
            values[f"{name}/error"] = errors.top1_error
            if self.network.architecture.num_classes > 10:  # CIFAR-10's top-5 error says little
                values[f"{name}/top5_error"] = errors.top5_error
        now.last |= values
        error = values[f"{self.chosen_on}/error"]
        if self.schedule.plateau and not now.warming:  # before anything is saved
            self.update_plateau(self.schedule.plateau, error)
        if now.best_error is None or error < now.best_error:
            now.best_error, now.best_iteration = error, now.iteration
            self.write(checkpoint.BEST)
        return values

    def update_plateau(self, plateau: Plateau, error: float) -> None:
        """Section 3.4: the rate falls when the error plateaus."""
        now = self.progress
        before = now.watched.fallen
        now.watched = plateau.update(now.watched, error)
        if now.watched.fallen > before:
            self.console.say(
                f"iteration {now.iteration:,}: the error has plateaued; lr "
                f"{self.lr_at(now.iteration):g} from here on"
            )

    @property
    def chosen_on(self) -> str:
        """What the best network is chosen on."""
        return "val" if "val" in self.parts.held_out else "test"

    def save(self) -> None:
        """Writes last.pt; the one before becomes previous.pt."""
        self.write(checkpoint.LAST, keep=self.record.checkpoints / checkpoint.PREVIOUS)

    def write(self, name: str, *, keep: Path | None = None) -> None:
        """Writes a checkpoint; all ranks bring what it needs, the first writes it."""
        now = self.progress
        now.skipped[:] = self.context.gather_union(now.skipped)
        self.context.broadcast(self.network.buffers())
        state = self.state()
        if self.context.is_main:
            checkpoint.save(self.record.checkpoints / name, state.to_content(), keep=keep)

    def state(self) -> Checkpoint:
        """All that a checkpoint holds.

        Raises Diverged rather than hand out broken weights.
        """
        now = self.progress
        values = [*self.network.parameters(), *self.network.buffers()]
        if not torch.stack([value.isfinite().all() for value in values]).all():
            raise Diverged(
                f"weights are not finite after iteration {now.iteration:,}; {self.kept()}; "
                "try a smaller optimizer.lr"
            )
        now.seconds = self.clock.total()
        scaler, pixels = self.step.scaler.state_dict(), self.parts.normalizer
        return Checkpoint(
            **self.record.identity,
            progress=now,
            network=self.network.state_dict(),
            momentum=self.step.optimizer.state_dict()["state"],
            totals=self.step.every_total,
            scaler=Scaler(**scaler) if scaler else None,
            normalizer=Pixels(mean=pixels.mean, std=pixels.std),
        )

    def restore(self, saved: Checkpoint) -> None:
        """Takes up the state of a checkpoint that fits the network (`checkpoint.validate_fits`)."""
        self.progress = dataclasses.replace(saved.progress)
        self.network.load_state_dict(saved.network)
        checkpoint.restore_momentum(saved, self.step.optimizer)
        self.step.restore_totals(saved.totals)
        if saved.scaler:
            self.step.scaler.load_state_dict(dataclasses.asdict(saved.scaler))
