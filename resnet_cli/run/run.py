"""One run in this process, from its config to its result."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_cli.config.plain import from_plain, to_plain, trained
from resnet_cli.config.schema import RunConfig
from resnet_cli.data.choices import DatasetName
from resnet_cli.run import result
from resnet_cli.run.build import Parts, build, load_dataset
from resnet_cli.run.folder import RunFolder
from resnet_cli.run.out_of_memory import explain_out_of_memory
from resnet_cli.run.resuming import resume, resume_file
from resnet_cli.run.starting import start_from
from resnet_cli.runtime.console import Console
from resnet_cli.runtime.device import choose_device
from resnet_cli.runtime.distributed import Context
from resnet_cli.runtime.errors import Stopped, UserError
from resnet_cli.runtime.files import expand
from resnet_cli.runtime.signals import StopRequest, stop_on_signal
from resnet_cli.training.parts import Every, Record
from resnet_cli.training.records import Result
from resnet_cli.training.sinks import SINKS
from resnet_cli.training.trainer import Trainer

Steps = Generator[None, None, Result]


@dataclass(frozen=True, kw_only=True)
class Run:
    """What is to be trained, and where it is kept."""

    config: RunConfig
    folder: RunFolder
    command: str  # what a person would type for this run alone
    dry_run: bool = False

    def to_plain(self) -> dict[str, Any]:
        """For another process, as JSON."""
        return {
            "config": to_plain(self.config),
            "folder": str(self.folder),
            "command": self.command,
        }


def run_from_plain(tree: dict[str, Any]) -> Run:
    """The inverse of `Run.to_plain`."""
    config, folder = from_plain(tree["config"]), RunFolder(Path(tree["folder"]))
    return Run(config=config, folder=folder, command=tree["command"])


def train(run: Run, *, console: Console, patient: bool = False) -> Result:
    """Trains to the end; a finished run is only read.

    Raises UserError (config, folder or checkpoint do not fit), DataError, Diverged, Failed, or
    Stopped after saving.
    """
    with stop_on_signal(patient=patient) as stop:
        steps = train_steps(run, context=Context(), console=console, stop=stop)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                if stop.signum is not None:  # during the last evaluation
                    message = "stopped; this run is finished"
                    raise Stopped(message, signum=stop.signum) from None
                return end.value


def train_steps(run: Run, *, context: Context, console: Console, stop: StopRequest) -> Steps:
    """`train`, one step at a time, so that several runs may take turns in one process.

    Returns the result; raises what `train` does.
    """
    if (finished := _finished_result(run, context=context, console=console)) is not None:
        return finished
    device = choose_device(run.config.device, context.local_rank, mps_will_do=context.world == 1)
    parts = build(run.config, console=console, context=context, device=device)
    started = _start(run, parts)
    given = resume_file(run.config, parts)
    with _claimed(run, parts, context=context, console=console):
        trainer = Trainer(parts.training, _record(run, parts), context=context, console=console)
        console.say(result.announce(run.config, parts, folder=run.folder))
        if started:
            console.say(started)
        if context.is_main:
            result.warn_of_many_epochs(run.config, parts, console=console)
        with (
            _recorded(console),
            explain_out_of_memory(run.config, parts, context=context, console=console),
        ):
            resume(trainer, run.config, folder=run.folder, given=given)
            parts.bad.found = trainer.progress.skipped  # one list: what is skipped is saved
            with stop.deferred():
                yield from trainer.steps(stop)
                made = result.make_result(run.config, parts, trainer=trainer, command=run.command)
                if context.is_main:
                    run.folder.write_result(made)
                    console.say(result.closing(made, run.folder))
    return made


def _start(run: Run, parts: Parts) -> str:
    """Takes the weights that `weights=` names, and tells so; a run that goes on has its own.

    Raises UserError.
    """
    file, goes_on = run.config.weights, run.folder.checkpoints.is_dir()
    if not file or (goes_on and not expand(file).exists()):
        return ""
    told = start_from(parts.training.network, expand(file), classes=parts.dataset.classes)
    return "" if goes_on else told


def _finished_result(run: Run, *, context: Context, console: Console) -> Result | None:
    """The result of a run that has ended, or None.

    Raises UserError where the folder is another run's.
    """
    # the main rank decides: the file may become visible to the others later
    found = context.broadcast_object(run.folder.read_result() if context.is_main else None)
    if context.is_main:
        run.folder.validate_same_config(run.config)
    if found is not None:
        data = run.config.dataset
        if data.name is DatasetName.imagenet and expand(data.root).is_dir():
            # dataset.root may be another folder of photographs by now
            run.folder.validate_same_data(result.data(load_dataset(data, console)))
        if context.is_main:
            run.folder.clear_holder()
        console.say(f"{run.folder} is finished: {result.headline(found)}")
    return found


@contextmanager
def _claimed(run: Run, parts: Parts, *, context: Context, console: Console) -> Iterator[None]:
    """Holds the lock of the run folder, and logs to its log.txt from here on."""
    if not context.is_main:
        yield
        return
    with run.folder.locked(say=console.warn):
        run.folder.open(run.config, data=result.data(parts.dataset))
        console.keep(run.folder.log)
        yield


@contextmanager
def _recorded(console: Console) -> Iterator[None]:
    """Logs the error that ends the run."""
    try:
        yield
    except UserError as error:
        console.record(f"ended: {error}")
        raise


def _record(run: Run, parts: Parts) -> Record:
    """What the trainer writes of the run, and how often."""
    config = run.config
    plain = to_plain(config)
    return Record(
        folder=run.folder.path,
        every=Every(
            log=config.log_every,
            evaluate=config.eval_every,
            save=config.checkpoint_every,
            keep=frozenset(config.keep_checkpoints),
        ),
        identity={
            "config": plain,
            "command": run.command,
            "classes": list(parts.dataset.classes),
        },
        hparams=trained(plain),
        name=_name(run),
        sinks={key: plain[key] for key in SINKS if plain[key]},
        about=f"{run.command}\n\n{result.plan(config, parts, folder=run.folder)}",
    )


def _name(run: Run) -> str:
    """The folder below `runs=`: cifar10/resnet56-A/seed0."""
    folder, root = run.folder.path, expand(run.config.runs)
    return str(folder.relative_to(root) if folder.is_relative_to(root) else folder)
