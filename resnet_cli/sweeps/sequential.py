"""hydra/launcher=basic: one run after another, in this process."""

import sys
from collections.abc import Sequence

from resnet_cli import rank, worker
from resnet_cli.console import Console, bold
from resnet_cli.distributed.environment import place
from resnet_cli.distributed.launch import launch
from resnet_cli.errors import Stopped, UserError, explain
from resnet_cli.resolve import refuse_missing
from resnet_cli.summary import headline
from resnet_cli.sweeps.outcomes import Outcome, Run


def train(run: Run) -> Outcome:
    """One run, in as many processes as it has devices, or its rehearsal. Raises what `worker.run` does."""
    refuse_missing(run.config)
    if run.config.dry_run:
        worker.rehearse(run.config, run.folder, console=Console())
        return Outcome("planned")
    if place() is not None:  # torchrun or srun has started this process as one of several
        rank.train(run.config, run.folder, command=run.command)
        return Outcome("done")
    finished = run.folder.read_result() is not None
    if run.config.devices == 1 or finished:
        return Outcome(headline(worker.run(run.config, run.folder, command=run.command, console=Console())))
    assert isinstance(run.config.devices, int)
    launch(run.plain(), devices=run.config.devices, max_restarts=run.config.max_restarts, console=Console())
    return Outcome(headline(run.folder.read_result() or {}))


def sweep(runs: Sequence[Run]) -> list[Outcome]:
    """Every run in turn; a broken one is told at once, and the rest goes on. A signal ends the sweep: raises Stopped."""
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
