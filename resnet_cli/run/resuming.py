"""Where a run continues from: its own last checkpoint, or the one that `resume=` names."""

from collections.abc import Callable
from pathlib import Path

from resnet_cli.config.plain import differences, from_plain, to_plain
from resnet_cli.config.schema import RunConfig
from resnet_cli.run.build import Parts
from resnet_cli.run.folder import RunFolder
from resnet_cli.runtime.device import precision_name
from resnet_cli.runtime.errors import UserError
from resnet_cli.runtime.files import expand
from resnet_cli.training import checkpoint
from resnet_cli.training.checkpoint import Checkpoint
from resnet_cli.training.parts import TrainingParts
from resnet_cli.training.trainer import Trainer

Saved = tuple[Checkpoint, Path]


def resume_file(config: RunConfig, parts: Parts) -> Saved | None:
    """The checkpoint that `resume=PATH` names, and its file; None for auto and never.

    Called before anything is written. Raises UserError where it does not fit.
    """
    if config.resume in ("auto", "never"):
        return None
    path = checkpoint.resolve(expand(config.resume))
    saved = checkpoint.load(path)
    _validate_fits(saved, config, parts.training, path=path)
    if saved.progress.iteration == config.schedule.iterations and _changed(saved, config, path):
        raise UserError(
            f"checkpoint {path} is at the end of this schedule and of another config: nothing is "
            "left to train"
        )
    return saved, path


def own_checkpoint(
    config: RunConfig,
    parts: TrainingParts,
    *,
    folder: RunFolder,
    warn: Callable[[str], None],
    set_aside: bool,
) -> Saved | None:
    """What the run in `folder` left to continue from; a broken file is moved with `set_aside`.

    Raises UserError where there is something and none of it can be read.
    """
    if config.resume == "never":
        return None

    def validate(saved: Checkpoint, path: Path) -> None:
        if not _changed(saved, config, path):  # else that is what `resume` tells
            _validate_fits(saved, config, parts, path=path)

    return checkpoint.newest(folder.checkpoints, warn=warn, validate=validate, set_aside=set_aside)


def resume(trainer: Trainer, config: RunConfig, *, folder: RunFolder, given: Saved | None) -> None:
    """Continues from the folder's own checkpoint, else from the `given` one, if there is any.

    Raises UserError where it does not fit.
    """
    context, console = trainer.context, trainer.console
    newest = None
    if context.is_main:
        newest = own_checkpoint(
            config, trainer.parts, folder=folder, warn=console.warn, set_aside=True
        )
    own = context.broadcast_object(newest)
    if (found := own or given) is None:
        return
    saved, path = found
    changed = _changed(saved, config, path)
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
        trainer.progress.in_warmup &= config.schedule.warmup_lr is not None
    before, now = trainer.progress.precisions, precision_name(trainer.step.dtype)
    if context.is_main and before and before[-1] != now:
        console.warn(
            f"trained in {' and '.join(before)} so far, and goes on in {now}: another processor, "
            "or another precision="
        )
    console.say(f"resuming at iteration {trainer.progress.iteration:,} from {path}")


def _config_of(saved: Checkpoint, path: Path) -> RunConfig:
    """Raises UserError for a config that this version cannot read."""
    try:
        return from_plain(saved.config)
    except ValueError as error:
        raise UserError(
            f"checkpoint {path} was written by another version of resnet-train ({error})"
        ) from error


def _changed(saved: Checkpoint, config: RunConfig, path: Path) -> list[str]:
    """`key: old -> new` for what another run was told otherwise. Raises UserError."""
    return differences(to_plain(_config_of(saved, path)), to_plain(config))


def _validate_fits(
    saved: Checkpoint, config: RunConfig, parts: TrainingParts, *, path: Path
) -> None:
    """Whether a run can go on from there. Raises UserError saying what does not fit."""
    network, now, then = parts.network, saved.progress, _config_of(saved, path)
    checkpoint.validate_fits(saved, network, path=path, name=network.architecture.name)
    if then.optimizer.momentum and not saved.momentum:
        raise UserError(f"checkpoint {path} is refused: it holds no momentum")
    if then.ema and saved.averages is None:
        raise UserError(f"checkpoint {path} is refused: it holds no average of the weights")
    if now.in_warmup and then.schedule.warmup_lr is None:
        raise UserError(f"checkpoint {path} is refused: in a warm-up, and its config has none")
    end = config.schedule.iterations
    if now.iteration > end:
        raise UserError(
            f"checkpoint {path} is at iteration {now.iteration:,}, past the end of this schedule "
            f"({end:,})"
        )
    figures = {"train/loss", "train/error", *(f"{name}/error" for name in parts.held_out)}
    lacking = figures - now.last.keys() | ({"the best error"} if now.best_error is None else set())
    if now.iteration == end and lacking and now.unwritten is None:
        raise UserError(
            f"checkpoint {path} is refused: it is at the end of its schedule and lacks "
            f"{min(lacking)}"
        )
