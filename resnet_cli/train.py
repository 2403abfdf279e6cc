"""resnet-train: compose the command line, check all of it, then train each run it asks for."""

import shlex
import sys
import time

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from resnet_cli import config, worker
from resnet_cli.config import CONF_DIR, Job
from resnet_cli.console import Console, bold, duration
from resnet_cli.errors import Stopped, UserError, explain, run_command
from resnet_cli.folder import RunFolder
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
  resnet-train experiment=quickstart                    the degradation problem in minutes
  resnet-train model=resnet110 dry_run=true             show the plan and the expected time, write nothing

Stopped with Ctrl-C or killed, the same command goes on where it was, bit for bit.
The data is looked for in $RESNET_DATA, else in data/; dataset.download=true fetches CIFAR-10.

choices (group=name):
{groups}

keys (key=value; `resnet-train --cfg job` shows them with their values):
{keys}

flags: -m (--multirun) to sweep; --cfg, --info and the other flags of Hydra.
exit codes: 0 done, 1 failed, 2 bad usage, 3 data missing or broken, 4 diverged, 128+signal stopped (resumable)
"""


SWEEP_FLAGS = {"-m", "--multirun"}
HYDRA_FLAGS = {"--cfg", "-c", "--info", "-i", "--resolve", "--package", "-p", "--run", "-r", "--hydra-help"}
HYDRA_FLAGS |= {"--shell-completion", "-sc", "--config-dir", "-cd"}


def help_text() -> str:
    groups = "\n".join(f"  {group:<11} {', '.join(config.options(group))}" for group in config.GROUPS if group != "tweak")
    keys = "\n".join(f"  {key}" for key in config.known_keys() if key not in config.GROUPS)
    return HELP.format(groups=groups, keys=keys)


def train_one(job: Job, console: Console) -> int:
    """One run, or its rehearsal. Returns the exit code 0."""
    folder = RunFolder(job.folder)
    if job.config.dry_run:
        worker.rehearse(job.config, folder, console=console)
    else:
        worker.run(job.config, folder, command=shlex.join(["resnet-train", *job.overrides]), console=console)
    return 0


class Sweep:
    """What became of each run of a sweep: a broken one is told at once and again at the end, and the rest goes on."""

    def __init__(self, total: int) -> None:
        self.total, self.began = total, time.monotonic()
        self.done: list[tuple[Job, str, int]] = []

    def train(self, job: Job) -> None:
        print(bold(f"[{len(self.done) + 1}/{self.total}] {shlex.join(job.overrides)}"), flush=True)
        try:
            train_one(job, Console())
            self.done.append((job, "done", 0))
        except (Stopped, KeyboardInterrupt) as stop:
            line, code = explain(stop)
            print(f"resnet-train: {line}", file=sys.stderr)
            raise SystemExit(code) from stop
        except (UserError, OSError) as error:
            line, code = explain(error)
            print(f"resnet-train: {line}", file=sys.stderr, flush=True)
            self.done.append((job, line, code))

    def close(self) -> int:
        """The closing table; the exit code is the first failure's."""
        print(bold(f"{self.total} runs in {duration(time.monotonic() - self.began)}"))
        for job, line, code in self.done:
            result = None if code or job.config.dry_run else RunFolder(job.folder).read_result()
            outcome = headline(result) if result else line
            print(f"  {job.folder!s:<50} {outcome}")
        return next((code for _, _, code in self.done if code), 0)


def main_checked(arguments: list[str]) -> int:
    if {"-h", "--help"} & set(arguments):
        print(help_text(), end="")
        return 0
    arguments = config.quote_paths(arguments)
    flags = [word for word in arguments if word.startswith("-")]
    overrides = [word for word in arguments if not word.startswith("-")]
    for flag in flags:
        if flag.split("=")[0] not in SWEEP_FLAGS | HYDRA_FLAGS:
            raise UserError(f"unknown flag '{flag}': settings are written key=value, as in model=resnet56 seed=1 (--help shows more)")
    multirun = bool(SWEEP_FLAGS & set(flags))
    planned: list[Job] = []
    if not HYDRA_FLAGS & set(flags):  # those answer for themselves
        planned, multirun = config.jobs(overrides, multirun=multirun)
    sweep = Sweep(len(planned))

    def task(composed: DictConfig) -> None:
        job = config.job_of(composed, list(HydraConfig.get().overrides.task))
        if multirun:
            sweep.train(job)
        elif code := run_command("resnet-train", lambda: train_one(job, Console())):
            sys.exit(code)  # Hydra would print a traceback for an exception

    sys.argv[1:] = arguments
    hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="train")(task)()
    return sweep.close() if multirun else 0


def main() -> int:
    return run_command("resnet-train", lambda: main_checked(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
