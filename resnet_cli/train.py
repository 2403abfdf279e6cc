"""resnet-train: compose the command line, check all of it, then train each run it asks for."""

import sys
import time

import hydra

from resnet_cli import config, rank, worker
from resnet_cli.config import CONF_DIR, Job
from resnet_cli.console import Console, bold, duration
from resnet_cli.distributed.environment import place
from resnet_cli.distributed.launch import launch
from resnet_cli.errors import Stopped, UserError, explain, run_command
from resnet_cli.folder import RunFolder
from resnet_cli.schema import to_plain
from resnet_cli.summary import headline

HELP = """\
resnet-train: train the plain and residual networks of "Deep Residual Learning" as the paper did

examples:
  resnet-train                                          ResNet-20 on CIFAR-10, 64,000 iterations
  resnet-train model=plain56 seed=1                     the 56-layer plain network, another seed
  resnet-train schedule.iterations=4000                 the same recipe, shorter: milestones move along
  resnet-train model=resnet56 shortcut=B                projections where the dimensions change
  resnet-train model=resnet20 model.depth=26            any depth 6n+2
  resnet-train dataset.validation=5000                  the paper's 45k/5k split; validation picks best.pt
  resnet-train dataset=synthetic schedule.iterations=500   no data set needed
  resnet-train -m model=plain20,plain56,resnet20,resnet56 seed=0,1,2    a sweep; finished runs are skipped
  resnet-train model=resnet34 shortcut=B dataset.root=/data/imagenet    ImageNet, or any folder of classes
  resnet-train experiment=quickstart                    the degradation problem in minutes
  resnet-train experiment=figure6 scale=0.0625          all networks of Fig. 6, a sixteenth of the schedule
  resnet-train model=resnet110 dry_run=true             show the plan and the expected time, write nothing

Stopped with Ctrl-C or killed, the same command goes on where it was, bit for bit.
The data is looked for in $RESNET_DATA, else in data/ (ImageNet: in imagenet/ there); dataset.download=true fetches CIFAR-10.

choices (group=name):
{groups}

keys (key=value; `resnet-train --cfg job` shows them with their values):
{keys}

flags: -m (--multirun) to sweep; --cfg job, --info and --shell-completion are Hydra's.
exit codes: 0 done, 1 failed, 2 bad usage, 3 data missing or broken, 4 diverged, 128+signal stopped (resumable)
"""


SWEEP_FLAGS = {"-m", "--multirun"}
HYDRA_FLAGS = {"--cfg", "-c", "--info", "-i", "--resolve", "--package", "-p", "--hydra-help", "--shell-completion", "-sc"}


def help_text() -> str:
    groups = "\n".join(f"  {group:<11} {', '.join(config.options(group))}" for group in config.GROUPS if group != "tweak")
    keys = "\n".join(f"  {key}" for key in config.known_keys() if key not in config.GROUPS)
    return HELP.format(groups=groups, keys=keys)


def train_one(job: Job) -> int:
    """One run, or its rehearsal. Returns the exit code 0."""
    folder, console = RunFolder(job.folder), Console()
    command = config.command("resnet-train", job.overrides)
    if job.config.dry_run:
        worker.rehearse(job.config, folder, console=console)
    elif place() is not None:  # torchrun or srun started this process as one of several
        rank.train(job.config, folder, command=command)
    elif job.config.devices == 1 or folder.read_result() is not None:
        worker.run(job.config, folder, command=command, console=console)
    else:
        assert isinstance(job.config.devices, int)
        plan = {"config": to_plain(job.config), "folder": str(job.folder), "command": command}
        launch(plan, devices=job.config.devices, max_restarts=job.config.max_restarts, console=console)
    return 0


def sweep(jobs: list[Job]) -> int:
    """Every run in turn; a broken one is told at once and again in the closing table, and the rest goes on.

    Returns the first failure's exit code. A signal ends the sweep.
    """
    began, outcomes = time.monotonic(), []
    for number, job in enumerate(jobs, 1):
        print(bold(f"[{number}/{len(jobs)}] {config.command('resnet-train', job.overrides)}"), flush=True)
        line, code = "planned" if job.config.dry_run else "done", 0
        try:
            train_one(job)
        except (Stopped, KeyboardInterrupt):
            print(f"resnet-train: the sweep stops at run {number} of {len(jobs)}", file=sys.stderr)
            raise
        except (UserError, OSError, RuntimeError) as error:
            line, code = explain(error)
            print(f"resnet-train: {line}", file=sys.stderr, flush=True)
        outcomes.append((job, line, code))
    print(bold(f"{len(jobs)} run{'s' * (len(jobs) > 1)} in {duration(time.monotonic() - began)}"))
    for job, line, code in outcomes:
        result = None if code or job.config.dry_run else RunFolder(job.folder).read_result()
        print(f"  {job.folder!s:<50} {headline(result) if result else line}")
    return next((code for _, _, code in outcomes if code), 0)


def main_checked(arguments: list[str]) -> int:
    if {"-h", "--help"} & set(arguments):
        print(help_text(), end="")
        return 0
    arguments = config.quote_paths(arguments)
    flags = {word.split("=")[0] for word in arguments if word.startswith("-")}
    if unknown := flags - SWEEP_FLAGS - HYDRA_FLAGS:
        raise UserError(f"unknown flag '{min(unknown)}': settings are written key=value, as in model=resnet56 seed=1 (--help shows more)")
    if flags & HYDRA_FLAGS:  # Hydra answers those itself
        sys.argv[1:] = [word for word in arguments if word not in SWEEP_FLAGS]
        hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="train")(lambda _: None)()
        return 0
    overrides = [word for word in arguments if not word.startswith("-")]
    jobs, is_sweep = config.jobs(overrides, multirun=bool(flags & SWEEP_FLAGS))
    if is_sweep and place() is not None:
        raise UserError("torchrun and srun start the processes of one run; for a sweep call resnet-train itself, with devices=N")
    return sweep(jobs) if is_sweep else train_one(jobs[0])


def main() -> int:
    return run_command("resnet-train", lambda: main_checked(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
