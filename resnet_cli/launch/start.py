"""From the jobs of a command line to their end: one run, or a sweep where its launcher trains."""

import time
from collections.abc import Sequence

from resnet_cli.config.compose import Job
from resnet_cli.config.launcher import Launcher
from resnet_cli.config.words import command
from resnet_cli.launch import local, sequential, slurm
from resnet_cli.launch.outcome import print_outcomes
from resnet_cli.run.folder import RunFolder
from resnet_cli.run.run import Run


def start(jobs: Sequence[Job], launcher: Launcher | None) -> int:
    """Trains each job's run. Returns the exit code, of a sweep the first failure's.

    Raises what `run.run.train` does for a single run, and Stopped for a sweep.
    """
    runs = [
        Run(
            config=job.config,
            folder=RunFolder(job.folder),
            command=command("resnet-train", job.overrides),
            dry_run=job.dry_run,
        )
        for job in jobs
    ]
    return _sweep(runs, launcher) if launcher else sequential.train(runs[0]).code


def _sweep(runs: Sequence[Run], launcher: Launcher) -> int:
    began = time.monotonic()
    # side by side, dry runs would disturb each other's timing
    if launcher.name == "basic" or runs[0].dry_run:
        outcomes = sequential.sweep(runs)
    elif launcher.name == "local":
        outcomes = local.sweep(runs, launcher.jobs_per_device)
    else:
        cluster = launcher.name.removeprefix("submitit_")
        outcomes = slurm.sweep(runs, cluster=cluster, settings=launcher.settings)
    return print_outcomes(runs, outcomes, seconds=time.monotonic() - began)
