"""hydra/launcher=basic: one run after another, in this process."""

import sys
from collections.abc import Sequence

from resnet_cli.config.validate import validate_machine
from resnet_cli.launch import rank
from resnet_cli.launch.elastic import launch
from resnet_cli.launch.jobs import Outcome
from resnet_cli.run import run as run_module
from resnet_cli.run.dry_run import dry_run
from resnet_cli.run.result import headline
from resnet_cli.run.run import Run
from resnet_cli.runtime.console import Console, bold
from resnet_cli.runtime.errors import Failed, Lost, Stopped, UserError, explain
from resnet_cli.runtime.ranks import rank_from_env


def train(run: Run, *, patient: bool = False) -> Outcome:
    """One run, in as many processes as it has devices, or its dry run.

    Raises what `run.run.train` does. `patient`: a second signal is only the first one's echo.
    """
    config, folder = run.config, run.folder
    finished = folder.read_result() is not None
    if (
        config.devices == 1 or not finished
    ):  # a finished run of several devices can be read anywhere
        validate_machine(config, dry_run=run.dry_run)
    if run.dry_run:
        dry_run(config, folder, console=Console())
        return Outcome("planned")
    if rank_from_env() is not None:  # torchrun or srun has started this process as one of several
        try:
            rank.train(run)
        except Lost as lost:
            raise Failed(f"{lost}; the same command continues") from lost
        return Outcome("done")
    if config.devices == 1 or finished:
        return Outcome(headline(run_module.train(run, console=Console(), patient=patient)))
    launch(
        run.to_plain(),
        devices=config.devices,
        max_restarts=config.max_restarts,
        console=Console(),
    )
    result = folder.read_result()
    assert result is not None
    return Outcome(headline(result))


def sweep(runs: Sequence[Run]) -> list[Outcome]:
    """Every run in turn; a broken one is told at once, and the rest goes on.

    A signal ends the sweep: raises Stopped.
    """
    outcomes = []
    for number, run in enumerate(runs, 1):
        print(bold(f"[{number}/{len(runs)}] {run.command}"), flush=True)
        try:
            outcomes.append(train(run))
        except (Stopped, KeyboardInterrupt):
            print(f"resnet-train: the sweep stops at run {number} of {len(runs)}", file=sys.stderr)
            raise
        except (UserError, OSError, RuntimeError) as error:
            outcomes.append(Outcome(*explain(error)))
            print(f"resnet-train: {outcomes[-1].line}", file=sys.stderr, flush=True)
    return outcomes
