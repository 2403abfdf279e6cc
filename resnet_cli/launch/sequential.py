"""hydra/launcher=basic: one run after another, in this process."""

import sys
from collections.abc import Sequence

from resnet_cli.config.schema import RunConfig
from resnet_cli.launch import rank
from resnet_cli.launch.elastic import launch
from resnet_cli.launch.outcome import Outcome
from resnet_cli.run import run as run_module
from resnet_cli.run.dry_run import dry_run
from resnet_cli.run.result import headline
from resnet_cli.run.run import Run
from resnet_cli.runtime.console import Console, bold, duration
from resnet_cli.runtime.device import choose_device, count_devices
from resnet_cli.runtime.errors import Failed, Lost, Stopped, UserError, explain
from resnet_cli.runtime.ranks import rank_from_env


def train(run: Run, *, patient: bool = False) -> Outcome:
    """One run, in as many processes as it has devices, or its dry run.

    `patient`: a second signal is only the first one's echo. Raises what `run.run.train` does.
    """
    config, folder = run.config, run.folder
    finished = folder.read_result() is not None
    # a finished run of several devices can be read anywhere
    if config.devices == 1 or not finished:
        _validate_machine(config, dry_run=run.dry_run)
    if run.dry_run:
        seconds = dry_run(config, folder, console=Console())
        return Outcome(f"about {duration(seconds)}" if seconds else "finished", planned=seconds)
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
    """Every run in turn; a failed one is reported at once, and the rest goes on.

    Raises Stopped where a signal ends the sweep.
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


def _validate_machine(config: RunConfig, *, dry_run: bool) -> None:
    """Checks that this machine has the devices that a run needs. Raises UserError."""
    device = choose_device(config.device, mps_will_do=config.devices == 1)
    here = rank_from_env()
    there = count_devices(device)
    if here is not None and here.world != config.devices:
        raise UserError(
            f"devices={config.devices}, but {here.world} processes were started for this run"
        )
    if here is not None and dry_run:
        raise UserError("dry_run=true times one process: call resnet-train itself, with devices=N")
    if here is None and config.devices > there:
        raise UserError(
            f"devices={config.devices}: there {'is' if there == 1 else 'are'} {there} here"
        )
    if config.sync_bn and config.devices > 1 and device.type == "cpu":
        raise UserError(
            "sync_bn=true needs GPUs: PyTorch's SyncBatchNorm refuses the CPU; devices=1 "
            "normalises the whole batch, too"
        )
