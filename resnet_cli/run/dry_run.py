"""`dry_run=true`: the plan of a run, and how long it would take, from timing a few steps."""

import dataclasses
import time

import torch

from resnet_cli.config.schema import RunConfig
from resnet_cli.models.fold_bn import FoldedBN
from resnet_cli.run import result
from resnet_cli.run.build import Parts, build
from resnet_cli.run.folder import RunFolder
from resnet_cli.run.resuming import own_checkpoint, resume_file
from resnet_cli.run.starting import start_from
from resnet_cli.runtime.console import Console, duration, rows
from resnet_cli.runtime.device import autocast, choose_device, cores
from resnet_cli.runtime.distributed import Context
from resnet_cli.runtime.files import expand
from resnet_cli.training.step import TrainStep

_STEPS = 12  # that are timed


def dry_run(config: RunConfig, folder: RunFolder, *, console: Console) -> float:
    """Prints what `config` would do in `folder`; writes nothing.

    Returns the seconds that it would still take, estimated. Raises UserError and DataError as the
    run itself would.
    """
    folder.validate_same_config(config)
    if (finished := folder.read_result()) is not None:
        console.say(f"{folder} is finished: {result.headline(finished)}")
        return 0.0
    share = config.batch_size // config.devices
    # what each of several does
    bn_batch = min(share, config.bn_batch or share)
    one = dataclasses.replace(config, batch_size=share, bn_batch=bn_batch)
    device = choose_device(config.device, mps_will_do=config.devices == 1)
    if device.type == "cpu" and config.devices > 1:
        torch.set_num_threads(max(1, cores() // config.devices))  # as each of several has
    parts = build(one, console=console, context=Context(), device=device)
    given = resume_file(config, parts)
    own = own_checkpoint(config, parts.training, folder=folder, warn=console.warn, set_aside=False)
    found = own or given
    done = found[0].progress.iteration if found else 0
    left = config.schedule.iterations - done
    console.say(result.announce(config, parts, folder=folder, note=" (dry run)"))
    if config.weights:
        network = parts.training.network
        console.say(start_from(network, expand(config.weights), classes=parts.dataset.classes))
    result.warn_of_many_epochs(config, parts, console=console)
    step_seconds = _time_steps(parts)
    seconds = left * (step_seconds + _time_evaluation(parts) / config.eval_every)
    notes = {
        "compiling will shorten it": parts.compiling.startswith("yes"),
        "one CUDA graph a step will shorten it": parts.training.step.captured,
        "the exchange of gradients not counted": config.devices > 1,
    }
    rate = f"{config.batch_size / step_seconds:,.0f} images/s over {_STEPS} steps"
    told = "; ".join([rate, *(note for note, holds in notes.items() if holds)])
    for_what = f" for the {left:,} iterations left" if done else ""
    expected = ("expect", f"about {duration(seconds)}{for_what} ({told})")
    console.say(rows([expected], width=len("network")))  # below the plan
    console.say("dry run: nothing was written")
    return seconds


def _time_steps(parts: Parts) -> float:
    """Seconds of an eager step, on average over _STEPS of them."""
    training = parts.training
    step = TrainStep(
        training.network,
        training.step.optimizer,
        dtype=training.step.dtype,
        compiled=False,
        prepare=training.loader.prepare,
        label_smoothing=training.step.label_smoothing,
        ema=training.step.ema,
        through=training.step.through,
    )
    first_timed = max(1, _STEPS // 4)
    for iteration in range(_STEPS + first_timed):
        if iteration == first_timed:
            step.read_totals()
            began = time.perf_counter()
        step(*training.loader.draw(iteration), lr=0.0)
    step.read_totals()
    training.loader.close()
    return (time.perf_counter() - began) / _STEPS


def _time_evaluation(parts: Parts) -> float:
    """Seconds of an evaluation of all held-out images, estimated from one batch."""
    size = parts.dataset.image_size
    images = torch.zeros(max(20, 500 * 32 * 32 // size**2), 3, size, size, device=parts.device)
    network = FoldedBN(parts.training.network).network
    with torch.inference_mode(), autocast(parts.device, parts.training.step.dtype):
        network(images).sum().item()  # a first time to fill the caches
        began = time.perf_counter()
        network(images).sum().item()
    held_out = sum(map(len, parts.training.held_out.values()))
    return held_out / len(images) * (time.perf_counter() - began)
