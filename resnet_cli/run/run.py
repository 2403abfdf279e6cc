"""One run in this process: builds the parts from a plain config, trains, and writes the result.

Knows no Hydra.
"""

import dataclasses
import math
import time
from collections.abc import Generator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from resnet_cli.config.schema import Config, differences, to_plain, trained
from resnet_cli.data.choices import DatasetName
from resnet_cli.evaluation.weights import load_weights
from resnet_cli.models.architecture import Checkpointing
from resnet_cli.models.fold_bn import FoldedBN
from resnet_cli.run import result as summary
from resnet_cli.run.build import Parts, build, load_dataset
from resnet_cli.run.folder import RunFolder
from resnet_cli.runtime.console import Console, bold, duration, rows
from resnet_cli.runtime.device import autocast, choose_device, cores, free_memory, is_out_of_memory
from resnet_cli.runtime.distributed import Context
from resnet_cli.runtime.errors import Failed, Stopped, UserError
from resnet_cli.runtime.signals import StopRequest, stop_on_signal
from resnet_cli.training import checkpoint, memory
from resnet_cli.training.step import TrainStep
from resnet_cli.training.trainer import Every, Trainer

ALONE = Context()
Result = dict[str, Any]  # what result.json holds


def run(
    config: Config, folder: RunFolder, *, command: str, console: Console, patient: bool = False
) -> Result:
    """Trains to the end; a finished run is only read.

    Raises UserError (config, folder or checkpoint do not fit), DataError, Diverged, Failed, or
    Stopped after saving.
    """
    with stop_on_signal(patient=patient) as request:
        training = steps(config, folder, command=command, console=console, request=request)
        while True:
            try:
                next(training)
            except StopIteration as end:
                if request.signum is not None:  # during the last evaluation
                    raise Stopped("stopped; this run is finished", signum=request.signum) from None
                return end.value


def steps(
    config: Config,
    folder: RunFolder,
    *,
    command: str,
    console: Console,
    request: StopRequest,
    context: Context = ALONE,
) -> Generator[None, None, Result]:
    """`run`, a training step at a time, so that several may take turns in one process.

    Returns the result, raises what `run` does.
    """
    # the others' disk may show it later
    finished = context.broadcast_object(folder.read_result() if context.is_main else None)
    if context.is_main:
        folder.validate_same_config(config)
    device = choose_device(config.device, context.local_rank)
    if finished is not None:
        # maybe other data
        if (
            config.dataset.name is DatasetName.imagenet
            and Path(config.dataset.root).expanduser().is_dir()
        ):
            folder.validate_same_data(summary.data(load_dataset(config.dataset, console)))
        console.say(f"{folder} is finished: {summary.headline(finished)}")
        return finished
    parts = build(config, console, context, device=device)
    given = given_checkpoint(config, parts)
    with folder.locked() if context.is_main else nullcontext():
        if context.is_main:
            folder.open(config, data=summary.data(parts.dataset))
            console.keep(folder.log)
        trainer = Trainer(
            parts.step,
            parts.loader,
            parts.schedule,
            normalizer=parts.normalizer,
            tested=parts.tested,
            held_out=parts.held_out,
            every=Every(config.log_every, config.eval_every, config.checkpoint_every),
            folder=folder.path,
            identity={
                "config": to_plain(config),
                "command": command,
                "classes": list(parts.dataset.classes),
            },
            hparams=trained(to_plain(config)),
            console=console,
            context=context,
        )
        console.say(
            bold(f"{parts.network.architecture.name} on {config.dataset.name}, seed {config.seed}")
        )
        console.say(summary.plan(config, parts, folder))
        room = free_memory(device) / (context.sharing if device.type == "cpu" else 1)
        if device.type == "cpu":  # where too much is not refused: Linux kills the process
            wanted, instead = need(config, parts, context, room=room)
            if wanted > room:
                console.warn(
                    f"batch_size={config.batch_size} takes about {gib(wanted)}, and "
                    f"{gib(room)} are free: {instead}"
                )
        try:
            resume(trainer, config, folder, given)
            parts.bad.found = trainer.progress.skipped  # one list: what is found is saved
            yield from trainer.steps(request)
        except UserError as error:
            console.record(f"ended: {error}")
            raise
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            error.__traceback__ = None  # it holds what the step had made
            console.record(f"ended: out of memory ({error})")
            # BN over all devices would wait for the others
            instead = (
                "try a smaller one"
                if config.sync_bn
                else need(config, parts, context, room=room)[1]
            )
            raise Failed(f"out of memory with batch_size={config.batch_size}: {instead}") from error
        result = summary.make_result(config, parts, trainer, command)
        if context.is_main:
            folder.write_result(result)
            console.say(summary.closing(result, folder))
    return result


def need(config: Config, parts: Parts, context: Context, *, room: float) -> tuple[float, str]:
    """Bytes that this process's share of a batch takes, and in words what would fit into `room`
    instead.
    """
    share = config.batch_size // context.world
    unit = config.bn_batch if config.bn_batch and config.bn_batch < share else 1
    try:
        per_image = memory.bytes_per_image(
            parts.network, image_size=parts.dataset.image_size, dtype=parts.step.dtype
        )
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        per_image = math.inf  # not even four images
    few = config.checkpointing is Checkpointing.on
    return share * per_image, memory.advice(
        share, per_image=per_image, room=room, checkpointing=few, unit=unit, times=context.world
    )


def gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB" if size < math.inf else "more memory than there is"


Saved = tuple[dict[str, Any], Path]


def given_checkpoint(config: Config, parts: Parts) -> Saved | None:
    """The checkpoint that `resume=PATH` names.

    Raises UserError where it does not fit; nothing has been written yet.
    """
    if config.resume in ("auto", "never"):
        return None
    path = checkpoint.resolve(Path(config.resume).expanduser())
    saved = checkpoint.load(path)
    load_weights(parts.network, saved["network"], path=path, name=parts.network.architecture.name)
    done, end = saved["progress"]["iteration"], parts.schedule.iterations
    if done > end:
        raise UserError(
            f"checkpoint {path} is at iteration {done:,}, past the end of this schedule ({end:,})"
        )
    return saved, path


def resume(trainer: Trainer, config: Config, folder: RunFolder, given: Saved | None) -> None:
    """Goes on from the folder's own checkpoint, else from the `given` one, if there is any.

    Raises UserError where it does not fit.
    """
    leads = trainer.context.is_main and config.resume != "never"
    own = trainer.context.broadcast_object(
        checkpoint.newest(folder.checkpoints, warn=trainer.console.warn) if leads else None
    )
    found = own or given
    if found is None:
        return
    saved, path = found
    try:
        changed = differences(saved["config"], to_plain(config))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"checkpoint {path} was written by another version of resnet-train ({error})"
        ) from error
    if changed and own:
        raise UserError(
            f"{path} is of another config ({'; '.join(changed)}); move {folder} away or "
            "choose another runs="
        )
    trainer.restore(saved)
    if changed:
        if trainer.context.is_main:
            trainer.console.warn(f"{path} was trained with another config ({'; '.join(changed)})")
        # measured on another run's terms
        trainer.progress.best_error = trainer.progress.best_iteration = None
    trainer.console.say(f"resuming at iteration {trainer.progress.iteration:,} from {path}")


def dry_run(config: Config, folder: RunFolder, *, console: Console, steps: int = 12) -> None:
    """`dry_run=true`: the plan, and how long it would take after timing a few steps.

    Writes nothing.
    """
    folder.validate_same_config(config)
    assert isinstance(config.devices, int)
    share = config.batch_size // config.devices
    # what each of several does
    one = dataclasses.replace(
        config, batch_size=share, bn_batch=min(share, config.bn_batch or share)
    )
    device = choose_device(config.device)
    if device.type == "cpu" and config.devices > 1:
        torch.set_num_threads(max(1, cores() // config.devices))  # as each of several has
    parts = build(one, console, ALONE, device=device)
    console.say(
        bold(
            f"{parts.network.architecture.name} on {config.dataset.name}, seed {config.seed} "
            "(dry run)"
        )
    )
    console.say(summary.plan(config, parts, folder))
    eager = TrainStep(
        parts.network,
        parts.step.optimizer,
        dtype=parts.step.dtype,
        compiled=False,
        prepare=parts.loader.prepare,
    )
    warm = max(1, steps // 4)
    for iteration in range(steps + warm):
        if iteration == warm:
            eager.read_totals()
            began = time.perf_counter()
        eager(*parts.loader.draw(iteration), lr=0.0)
    eager.read_totals()
    parts.loader.close()
    each = (time.perf_counter() - began) / steps
    size = parts.dataset.image_size
    images = torch.zeros(max(20, 500 * 32 * 32 // size**2), 3, size, size, device=parts.device)
    network = FoldedBN(parts.network).network
    with torch.inference_mode(), autocast(parts.device, parts.step.dtype):
        network(images).sum().item()  # once for the caches
        began = time.perf_counter()
        network(images).sum().item()
    tests = (
        config.schedule.iterations
        / config.eval_every
        * sum(map(len, parts.held_out.values()))
        / len(images)
        * (time.perf_counter() - began)
    )
    total = config.schedule.iterations * each + tests
    note = "; compiling will shorten it" if parts.compiling.startswith("yes") else ""
    note += "; one CUDA graph a step will shorten it" if parts.step.captured else ""
    note += "; the exchange of gradients not counted" if config.devices > 1 else ""
    console.say(
        rows(
            [
                (
                    "expect",
                    f"about {duration(total)} ({config.batch_size / each:,.0f} images/s over "
                    f"{steps} steps{note})",
                )
            ]
        )
    )
    console.say("dry run: nothing was written")
