"""resnet-train: compose the command line, check all of it, then train each run it asks for."""

import sys
import time

import hydra

from resnet_cli.config import compose
from resnet_cli.config.launcher import GROUP, LAUNCHERS, Launcher
from resnet_cli.launch import local, sequential, slurm
from resnet_cli.launch.outcome import print_outcomes
from resnet_cli.run.folder import RunFolder
from resnet_cli.run.run import Run
from resnet_cli.runtime.conf import CONF_DIR, options
from resnet_cli.runtime.errors import UserError, run_command
from resnet_cli.runtime.ranks import rank_from_env

HELP = """\
resnet-train: train the plain and residual networks of "Deep Residual Learning" as the paper did

examples:
  resnet-train                                        ResNet-20 on CIFAR-10, 64,000 iterations
  resnet-train model=plain56 seed=1                   the 56-layer plain network, another seed
  resnet-train schedule.iterations=4000
      the same recipe, shorter: milestones move along
  resnet-train model=resnet56 shortcut=B              projections where the dimensions change
  resnet-train model=resnet20 model.depth=26          any depth 6n+2
  resnet-train dataset.validation=5000
      the paper's 45k/5k split; validation picks best.pt
  resnet-train dataset=synthetic schedule.iterations=500
      no data set needed
  resnet-train -m model=plain20,plain56,resnet20,resnet56 seed=0,1,2
      a sweep; finished runs are skipped
  resnet-train -m seed=0,1,2,3 hydra/launcher=local
      the runs side by side, on every GPU or sharing the CPU's cores
  resnet-train -m seed=0,1,2,3 hydra/launcher=submitit_slurm hydra.launcher.partition=gpu
      each run a job of the cluster
  resnet-train model=resnet34 shortcut=B dataset.root=/data/imagenet
      ImageNet, or any folder of classes
  resnet-train experiment=quickstart                  the degradation problem in minutes
  resnet-train experiment=figure6 scale=0.0625
      all networks of Fig. 6, a sixteenth of the schedule
  resnet-train model=resnet110 dry_run=true
      show the plan and the expected time, write nothing

Stopped with Ctrl-C or killed, the same command goes on where it was, bit for bit.
The data is looked for in $RESNET_DATA, else in data/ (ImageNet: in imagenet/ there);
dataset.download=true fetches CIFAR-10.

choices (group=name):
{groups}

keys (key=value; `resnet-train --cfg job` shows them with their values):
{keys}

flags: -m (--multirun) to sweep; --cfg job, --info and --shell-completion are Hydra's.
exit codes: 0 done, 1 failed, 2 bad usage, 3 data missing or broken, 4 diverged,
            128+signal stopped (resumable)
"""


SWEEP_FLAGS = {"-m", "--multirun"}
HYDRA_FLAGS = {
    "--cfg",
    "-c",
    "--info",
    "-i",
    "--resolve",
    "--package",
    "-p",
    "--hydra-help",
    "--shell-completion",
    "-sc",
}


def help_text() -> str:
    groups = "\n".join(
        f"  {group:<11} {', '.join(options(group))}" for group in compose.GROUPS if group != "tweak"
    )
    groups += f"\n  {GROUP} (of sweeps)  {', '.join(LAUNCHERS)}"
    keys = "\n".join(
        f"  {key}" for key in compose.known_keys() if key not in (*compose.GROUPS, GROUP)
    )
    return HELP.format(groups=groups, keys=keys)


def sweep(runs: list[Run], launcher: Launcher) -> int:
    """Every run, where the launcher trains them; then a table of how each ended.

    Returns the first failure's exit code.
    """
    began = time.monotonic()
    # rehearsals would only disturb each other's timing
    if launcher.name == "basic" or runs[0].dry_run:
        outcomes = sequential.sweep(runs)
    elif launcher.name == "local":
        outcomes = local.sweep(runs, launcher.jobs_per_device)
    else:
        outcomes = slurm.sweep(
            runs, cluster=launcher.name.removeprefix("submitit_"), settings=launcher.settings
        )
    return print_outcomes(runs, outcomes, seconds=time.monotonic() - began)


def main_checked(arguments: list[str]) -> int:
    if {"-h", "--help"} & set(arguments):
        print(help_text(), end="")
        return 0
    arguments = compose.quote_paths(arguments)
    flags = {word.split("=")[0] for word in arguments if word.startswith("-")}
    if unknown := flags - SWEEP_FLAGS - HYDRA_FLAGS:
        raise UserError(
            f"unknown flag '{min(unknown)}': settings are written key=value, as in "
            "model=resnet56 seed=1 (--help shows more)"
        )
    if flags & HYDRA_FLAGS:  # Hydra answers those itself
        sys.argv[1:] = [word for word in arguments if word not in SWEEP_FLAGS]
        hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="train")(
            lambda _: None
        )()
        return 0
    overrides = [word for word in arguments if not word.startswith("-")]
    jobs, launcher = compose.jobs(overrides, multirun=bool(flags & SWEEP_FLAGS))
    if launcher and rank_from_env() is not None:
        raise UserError(
            "torchrun and srun start the processes of one run; for a sweep call resnet-train "
            "itself, with devices=N"
        )
    runs = [
        Run(
            config=job.config,
            folder=RunFolder(job.folder),
            command=compose.command("resnet-train", job.overrides),
            dry_run=job.dry_run,
        )
        for job in jobs
    ]
    return sweep(runs, launcher) if launcher else sequential.train(runs[0]).code


def main() -> int:
    return run_command("resnet-train", lambda: main_checked(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
