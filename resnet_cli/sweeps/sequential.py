"""hydra/launcher=basic: one run after another, in this process."""

import sys
from collections.abc import Sequence

from resnet_cli import worker
from resnet_cli.console import Console, bold
from resnet_cli.errors import Stopped, UserError, explain
from resnet_cli.summary import headline
from resnet_cli.sweeps.outcomes import Outcome, Run


def train(run: Run) -> Outcome:
    """One run, or its rehearsal. Raises what `worker.run` does."""
    if run.config.dry_run:
        worker.rehearse(run.config, run.folder, console=Console())
        return Outcome("planned")
    return Outcome(headline(worker.run(run.config, run.folder, command=run.command, console=Console())))


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
