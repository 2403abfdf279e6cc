"""The training loop: step, count, log, evaluate, save.

A checkpoint holds all of its state, so that a stopped run continues bit for bit.
"""

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor

from resnet_cli.evaluation.metrics import measure
from resnet_cli.models.architecture import Shortcut
from resnet_cli.runtime.compile import seconds_to_compile
from resnet_cli.runtime.console import Console, duration
from resnet_cli.runtime.device import precision_name
from resnet_cli.runtime.distributed import SIGNAL_CHECK_EVERY, Context
from resnet_cli.runtime.errors import Diverged, Stopped
from resnet_cli.runtime.signals import Interrupted, StopRequest
from resnet_cli.training import checkpoint
from resnet_cli.training.checkpoint import Checkpoint, Pixels, Scaler
from resnet_cli.training.logbook import Logbook
from resnet_cli.training.parts import Record, TrainingParts
from resnet_cli.training.progress import Clock, Progress, Totals
from resnet_cli.training.schedule import WARMUP_WINDOW, Plateau
from resnet_cli.training.sinks import Described, Sinks

_SHOWN = 100  # images of the first batch that TensorBoard gets, at most


class Trainer:
    """Trains one network to the end of its schedule."""

    def __init__(
        self, parts: TrainingParts, record: Record, *, context: Context, console: Console
    ) -> None:
        self.parts, self.record, self.context, self.console = parts, record, context, console
        self.network, self.step, self.loader = parts.network, parts.step, parts.loader
        self.schedule = parts.schedule
        self.progress = Progress(in_warmup=parts.schedule.warmup_lr is not None)

    def steps(self, request: StopRequest) -> Iterator[None]:
        """Trains from the current iteration to the last, one step per item: runs may take turns.

        Raises Diverged if the loss becomes NaN or infinite, and Stopped, after saving, if a signal
        has asked for it.
        """
        now, last = self.progress, self.schedule.iterations
        self.request = request
        self.logbook: Logbook | None = None
        try:
            self._start_console()
            if now.iteration < last:
                now.go_on_in(precision_name(self.step.dtype))
            self.logbook = self._open_logbook()
            self.clock = Clock(now.seconds, now.iteration)
            self.network.train()
            if now.unwritten is not None:  # stopped in the evaluation after this iteration
                values, now.unwritten = now.unwritten, None
                self._read_totals()
                self._evaluate_and_save(
                    values, evaluate=True, save=self._is_due(self.record.every.save)
                )
            while now.iteration < last:
                self._stop_if_requested()
                self._seed_dropout()
                drawn = self._draw()
                if now.iteration == 0:
                    self._show_images(drawn)
                if self.step.ema is not None:
                    self.step.ema.begin_step(now.iteration)
                self.step(*drawn, lr=self.lr_at(now.iteration))
                now.iteration += 1
                self.console.advance(now.iteration)
                self.request.reply = ""
                if self._due():
                    yield from self._until_the_device_is_done()
                self.after_step()
                yield
        finally:
            request.reply = ""
            self.loader.close()
            if self.logbook:
                self.logbook.close(finished=now.iteration == last)
            self.console.stop()

    def _seed_dropout(self) -> None:
        """What is dropped is a function of (seed, iteration, rank), so that a run can resume."""
        if self.parts.dropout_seed is not None:
            here = f"{self.parts.dropout_seed} {self.progress.iteration} {self.context.rank}"
            digest = hashlib.sha256(here.encode()).digest()
            torch.manual_seed(int.from_bytes(digest[:8], "big"))

    def _start_console(self) -> None:
        """Starts the progress, and says so where the first step takes long."""
        net, now = self.network.architecture, self.progress.iteration
        measured = [f"{name}/error" for name in self.parts.held_out]
        if self._measures_top5:
            measured += [f"{name}/top5_error" for name in self.parts.held_out]
        last = self.schedule.iterations
        self.console.start(net.name, iteration=now, iterations=last, measured=measured)
        if self.step.compiled and now < last:
            self.console.busy(f"compiling, about {duration(seconds_to_compile(net.depth))}")
            if not self.console.silent:
                self.request.reply = f"{self.console.command}: stopping as soon as it is compiled"

    def _open_logbook(self) -> Logbook | None:
        """The main rank's."""
        if not self.context.is_main:
            return None
        plain = self.network.architecture.shortcut is Shortcut.none
        record, command = self.record, str(self.record.identity.get("command", ""))
        about = Described(name=record.name, hparams=record.hparams, command=command)
        return Logbook(
            record.folder,
            iteration=self.progress.iteration,
            family="plain" if plain else "residual",
            hparams=record.hparams,
            about=record.about,
            sinks=Sinks(record.folder, record.sinks, about=about, warn=self.console.warn),
        )

    def _stop_if_requested(self) -> None:
        """If a signal has reached any rank: saves and raises Stopped, on all ranks at one step."""
        if self.progress.iteration % SIGNAL_CHECK_EVERY[self.step.device.type]:
            return
        signum = self.context.max_or_none(self.request.signum)
        if signum is not None:
            self._save_and_stop(signum)

    def _save_and_stop(self, signum: int) -> NoReturn:
        """Saves and raises Stopped."""
        now, last = self.progress, self.schedule.iterations
        self._read_totals()
        self._save()
        # The others wait until the main rank has written: if one exits, all are ended.
        self.context.max_or_none(None)
        raise Stopped(
            f"stopped at iteration {now.iteration:,} of {last:,}; the same command continues",
            signum=signum,
        )

    def _draw(self) -> tuple[Tensor, ...]:
        """What the next step trains on. A signal does not wait for it, unless there are ranks,
        which stop together.
        """
        try:
            with self.request.at_once(allowed=self.context.world == 1):
                return self.loader.draw(self.progress.iteration)
        except Interrupted as interrupted:
            self._save_and_stop(interrupted.signum)

    def _show_images(self, drawn: tuple[Tensor, ...]) -> None:
        """Shows on TensorBoard what the first step trains on: this rank's part of the batch."""
        if self.logbook:
            with self.clock.paused():
                images, _ = self.loader.prepare(*drawn)
                self.logbook.show(self.parts.normalizer.undo(images[:_SHOWN]))

    def _is_due(self, every: int) -> bool:
        """Whether what happens every so many iterations is due, as all is at the end."""
        iteration = self.progress.iteration
        return iteration == self.schedule.iterations or iteration % every == 0

    def _due(self) -> set[str]:
        """What is due between two steps: `warmup`, `log`, `evaluate`, `save`, `keep`."""
        now, every = self.progress, self.record.every
        cycles = {"log": every.log, "evaluate": every.evaluate, "save": every.save}
        due = {name for name, cycle in cycles.items() if self._is_due(cycle)}
        if now.in_warmup and now.iteration % WARMUP_WINDOW == 0:
            due.add("warmup")
        if now.iteration in every.keep:
            due.add("keep")
        return due

    def _until_the_device_is_done(self) -> Iterator[None]:
        """Yields until a GPU has done the steps so far: other runs of this process take their
        turns, where reading the totals would hold them up.
        """
        if self.step.device.type == "cuda":
            event = torch.cuda.Event()
            event.record()
            while not event.query():
                yield

    def after_step(self) -> None:
        """Does what is due between two steps: logs, evaluates, saves."""
        now, due = self.progress, self._due()
        if not due:
            return
        totals = self._read_totals()  # the only place where the host waits for the device
        values: dict[str, float] = {}
        if "log" in due:
            values |= self._train_metrics(totals)
            now.last |= values
        if "warmup" in due:
            self._update_lr_warmup(totals)
        self._evaluate_and_save(values, evaluate="evaluate" in due, save="save" in due)
        if "keep" in due:
            with self.clock.paused():
                self._write(checkpoint.kept_name(self.progress.iteration))

    def _evaluate_and_save(self, values: dict[str, float], *, evaluate: bool, save: bool) -> None:
        """The second half of `after_step`: evaluates, logs `values` with the errors, saves.

        A signal during the evaluation saves what is to be logged, so that this half can be done
        anew. Several ranks finish the evaluation first, as they stop together.
        """
        with self.clock.paused():
            if evaluate:
                try:
                    values |= self._evaluate()
                except Interrupted as interrupted:
                    self.progress.unwritten = values
                    self._save_and_stop(interrupted.signum)
            if values and self.logbook:
                self.logbook.write(self.progress.iteration, values)
                self.console.show(values, evaluated=evaluate)
            if save:
                self._save()

    def lr_at(self, iteration: int) -> float:
        """The learning rate of a step, after the warm-up and the plateaus so far."""
        now = self.progress
        return self.schedule.lr_at(iteration, in_warmup=now.in_warmup, drops=now.plateau.drops)

    def _read_totals(self) -> Totals:
        """The totals so far; waits for the device. Raises Diverged."""
        loss, wrong, good_steps = self.step.read_totals()
        if good_steps is not None:
            raise Diverged(
                f"the loss is not finite at iteration {good_steps + 1:,} "
                f"(lr {self.lr_at(good_steps):g}); {self._last_checkpoint()}; "
                "try a smaller optimizer.lr"
            )
        return self.progress.iteration, loss, wrong

    def _last_checkpoint(self) -> str:
        """Tells whether a run that has diverged leaves a checkpoint."""
        last = self.record.checkpoints / checkpoint.LAST
        return (
            f"the last checkpoint, {last}, is from before"
            if last.exists()
            else "no checkpoint was due yet"
        )

    def _train_metrics(self, totals: Totals) -> dict[str, float]:
        """Means over the augmented mini-batches since the last log point.

        The training error is that of the paper's figures.
        """
        iteration, _, _ = totals
        loss, error = self._mean_since(self.progress.at_log, totals)
        self.progress.at_log = totals
        return {
            "epoch": iteration * self.loader.batch_size / self.loader.count,
            "train/loss": loss,
            "train/error": error,
            "lr": self.lr_at(iteration - 1),
            "images_per_second": self.clock.lap(iteration) * self.loader.batch_size,
        }

    def _mean_since(self, before: Totals, totals: Totals) -> tuple[float, float]:
        """Mean loss, and error in percent, between earlier totals and these."""
        steps, loss, wrong = (now - then for now, then in zip(totals, before, strict=True))
        images = steps * self.loader.batch_size
        return loss / images, 100 * wrong / images

    def _update_lr_warmup(self, totals: Totals) -> None:
        """Ends the warm-up once the training error is below 80 % (section 4.2)."""
        now = self.progress
        _, error = self._mean_since(now.at_warmup_check, totals)
        now.at_warmup_check = totals
        if self.schedule.warmup_is_over(error):
            now.in_warmup, now.warmup_ended_at = False, now.iteration
            self.console.say(
                f"warm-up ends at iteration {now.iteration:,}: training error {error:.1f} %"
            )

    def _evaluate(self) -> dict[str, float]:
        """Errors in percent on the validation and test images; saves the best network so far."""
        now, values = self.progress, {}
        self._broadcast_statistics()
        self.parts.tested.refresh()
        for name, split in self.parts.held_out.items():
            with self.request.at_once(allowed=self.context.world == 1):
                errors = measure(
                    [(self.parts.tested.network, self.parts.normalizer)],
                    split,
                    dtype=self.step.dtype,
                    context=self.context,
                )
            values[f"{name}/error"] = errors.top1_error
            if self._measures_top5:
                values[f"{name}/top5_error"] = errors.top5_error
        now.last |= values
        error = values[f"{self.chosen_on}/error"]
        if self.schedule.plateau and not now.in_warmup:  # before anything is saved
            self._update_plateau(self.schedule.plateau, error)
        if now.best_error is None or error < now.best_error:
            now.best_error, now.best_iteration = error, now.iteration
            self._write(checkpoint.BEST)
        return values

    def _update_plateau(self, plateau: Plateau, error: float) -> None:
        """Lowers the learning rate when the error plateaus (section 3.4)."""
        now = self.progress
        before = now.plateau.drops
        now.plateau = plateau.update(now.plateau, error)
        if now.plateau.drops > before:
            self.console.say(
                f"iteration {now.iteration:,}: the error has plateaued; lr "
                f"{self.lr_at(now.iteration):g} from here on"
            )

    @property
    def _measures_top5(self) -> bool:
        """CIFAR-10's top-5 error tells little."""
        return self.network.architecture.num_classes > 10

    @property
    def chosen_on(self) -> str:
        """The split that the best network is chosen on: `val` if there is one, else `test`."""
        return "val" if "val" in self.parts.held_out else "test"

    def _save(self) -> None:
        """Writes last.pt; the one before becomes previous.pt."""
        self._write(checkpoint.LAST, keep=self.record.checkpoints / checkpoint.PREVIOUS)

    def _write(self, name: str, *, keep: Path | None = None) -> None:
        """Writes a checkpoint: all ranks contribute, the main one writes."""
        now = self.progress
        now.skipped[:] = self.context.gather_union(now.skipped)
        self._broadcast_statistics()
        state = self._state()
        if self.context.is_main:
            checkpoint.save(self.record.checkpoints / name, state.to_content(), keep=keep)

    def _broadcast_statistics(self) -> None:
        """BN's, those of the main rank to all."""
        self.context.broadcast(self.network.buffers())
        if self.step.ema is not None:
            self.context.broadcast(self.step.ema.network.buffers())

    def _state(self) -> Checkpoint:
        """The content of a checkpoint.

        Raises Diverged if a weight is NaN or infinite.
        """
        now = self.progress
        values = [*self.network.parameters(), *self.network.buffers()]
        if not torch.stack([value.isfinite().all() for value in values]).all():
            raise Diverged(
                f"weights are not finite after iteration {now.iteration:,}; "
                f"{self._last_checkpoint()}; try a smaller optimizer.lr"
            )
        now.seconds = self.clock.total()
        scaler, pixels = self.step.scaler.state_dict(), self.parts.normalizer
        ema = self.step.ema
        return Checkpoint(
            **self.record.identity,
            progress=now,
            network=self.network.state_dict(),
            averages=None if ema is None else ema.network.state_dict(),
            momentum=self.step.optimizer.state_dict()["state"],
            totals=self.step.totals_of_ranks,
            scaler=Scaler(**scaler) if scaler else None,
            normalizer=Pixels(mean=pixels.mean, std=pixels.std),
        )

    def restore(self, saved: Checkpoint) -> None:
        """Takes up the state of a checkpoint that fits the network (`checkpoint.validate_fits`)."""
        self.progress = dataclasses.replace(saved.progress)
        self.network.load_state_dict(saved.network)
        if self.step.ema is not None:
            self.step.ema.restore(saved.averages or saved.network)
        checkpoint.restore_momentum(saved, self.step.optimizer)
        self.step.restore_totals(saved.totals)
        if saved.scaler:
            self.step.scaler.load_state_dict(dataclasses.asdict(saved.scaler))
