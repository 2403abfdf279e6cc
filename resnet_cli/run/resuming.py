"""Where a run continues from: its own last checkpoint, or the one that `resume=` names."""

from pathlib import Path
from typing import Any

from resnet_cli.config.schema import RunConfig, differences, to_plain
from resnet_cli.evaluation.weights import load_weights
from resnet_cli.run.build import Parts
from resnet_cli.run.folder import RunFolder
from resnet_cli.runtime.errors import UserError
from resnet_cli.training import checkpoint
from resnet_cli.training.trainer import Trainer

Saved = tuple[dict[str, Any], Path]


def resume_file(config: RunConfig, parts: Parts) -> Saved | None:
    """The checkpoint that `resume=PATH` names, and its file; None for auto and never.

    Called before anything is written. Raises UserError where it does not fit.
    """
    if config.resume in ("auto", "never"):
        return None
    path = checkpoint.resolve(Path(config.resume).expanduser())
    saved = checkpoint.load(path)
    network = parts.training.network
    load_weights(network, saved["network"], path=path, name=network.architecture.name)
    done, end = saved["progress"]["iteration"], config.schedule.iterations
    if done > end:
        raise UserError(
            f"checkpoint {path} is at iteration {done:,}, past the end of this schedule ({end:,})"
        )
    return saved, path


def resume(trainer: Trainer, config: RunConfig, *, folder: RunFolder, given: Saved | None) -> None:
    """Continues from the folder's own checkpoint, else from the `given` one, if there is any.

    Raises UserError where it does not fit.
    """
    context, console = trainer.context, trainer.console
    reads = context.is_main and config.resume != "never"
    newest = checkpoint.newest(folder.checkpoints, warn=console.warn) if reads else None
    own = context.broadcast_object(newest)
    if (found := own or given) is None:
        return
    saved, path = found
    try:
        changed = differences(saved["config"], to_plain(config))
    except ValueError as error:
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
        if context.is_main:
            console.warn(f"{path} was trained with another config ({'; '.join(changed)})")
        # the best error was measured on another run's terms
        trainer.progress.best_error = trainer.progress.best_iteration = None
    console.say(f"resuming at iteration {trainer.progress.iteration:,} from {path}")
