"""One run in this process: builds the parts from a plain config, trains, and writes the result. Knows no Hydra."""

import time
from pathlib import Path
from typing import Any

import torch

from resnet_cli import summary
from resnet_cli.console import Console, bold, duration, rows
from resnet_cli.errors import UserError
from resnet_cli.evaluation.weights import load_weights
from resnet_cli.folder import RunFolder
from resnet_cli.hardware import autocast
from resnet_cli.parts import build
from resnet_cli.schema import Config, to_plain
from resnet_cli.signals import stop_on_signal
from resnet_cli.training import checkpoint
from resnet_cli.training.step import TrainStep
from resnet_cli.training.trainer import Every, Trainer


def run(config: Config, folder: RunFolder, *, command: str, console: Console) -> dict[str, Any]:
    """Trains to the end and returns what result.json holds; a finished run is only read.

    Raises UserError (config, folder or checkpoint do not fit), DataError, Diverged, Failed, or Stopped after saving.
    """
    finished = folder.read_result()
    folder.refuse_other(config)
    if finished is not None:
        console.say(f"{folder} is finished: {summary.headline(finished)}")
        return finished
    parts = build(config)
    with folder.locked(), stop_on_signal() as request:
        folder.open(config)
        console.keep(folder.log)
        trainer = Trainer(
            parts.step,
            parts.loader,
            parts.schedule,
            normalizer=parts.normalizer,
            held_out=parts.held_out,
            every=Every(config.log_every, config.eval_every, config.checkpoint_every),
            folder=folder.path,
            identity={"config": to_plain(config), "architecture": to_plain(parts.network.architecture), "command": command},
            console=console,
        )
        console.say(bold(f"{parts.network.architecture.name} on {config.dataset.name}, seed {config.seed}"))
        console.say(summary.plan(config, parts, folder))
        resume(trainer, config, folder)
        trainer.fit(request)
        result = summary.make_result(config, parts, trainer, command)
        folder.write_result(result)
    console.say(summary.closing(result, folder))
    return result


def resume(trainer: Trainer, config: Config, folder: RunFolder) -> None:
    """Takes up the checkpoint that `resume=` asks for, if there is one. Raises UserError where it does not fit."""
    saved = None if config.resume == "never" else checkpoint.newest(folder.checkpoints, warn=trainer.console.warn)
    where = folder.checkpoints / checkpoint.LAST
    if saved is None and config.resume not in ("auto", "never"):
        where = checkpoint.resolve(Path(config.resume).expanduser())
        saved = checkpoint.load(where)
    if saved is None:
        return
    load_weights(trainer.network, saved["network"], path=where, name=trainer.network.architecture.name)
    done, end = saved["progress"]["iteration"], trainer.schedule.iterations
    if done > end:
        raise UserError(f"checkpoint {where} is at iteration {done:,}, past the end of this schedule ({end:,})")
    trainer.restore(saved)
    trainer.console.say(f"resuming at iteration {done:,} from {where}")


def rehearse(config: Config, folder: RunFolder, *, console: Console, steps: int = 12) -> None:
    """`dry_run=true`: the plan, and how long it would take after timing a few steps. Writes nothing."""
    folder.refuse_other(config)
    parts = build(config)
    console.say(bold(f"{parts.network.architecture.name} on {config.dataset.name}, seed {config.seed} (dry run)"))
    console.say(summary.plan(config, parts, folder))
    eager = TrainStep(parts.network, parts.step.optimizer, dtype=parts.step.dtype, compiled=False)
    warm = max(1, steps // 4)
    for iteration in range(steps + warm):
        if iteration == warm:
            eager.read()
            began = time.perf_counter()
        eager(*parts.loader.batch(iteration), lr=0.0)
    eager.read()
    each = (time.perf_counter() - began) / steps
    images = torch.zeros(500, *parts.dataset.test.images.shape[1:], device=parts.device)
    with torch.inference_mode(), autocast(parts.device, parts.step.dtype):
        began = time.perf_counter()
        parts.network.eval()(images).sum().item()
    tests = config.schedule.iterations / config.eval_every * sum(map(len, parts.held_out.values())) / 500 * (time.perf_counter() - began)
    total = config.schedule.iterations * each + tests
    note = "; compiling will shorten it" if parts.compiling.startswith("yes") else ""
    console.say(rows([("expect", f"about {duration(total)} ({config.batch_size / each:,.0f} images/s over {steps} steps{note})")]))
    console.say("dry run: nothing was written")
