"""resnet-train: compose the command line, check all of it, then train each run it asks for.

Hydra is imported once there is something to compose, PyTorch once there is something to train.
"""

import os
import shutil
import sys
from types import ModuleType
from typing import Any

from resnet_cli import __version__
from resnet_cli.config import completion
from resnet_cli.config.help import groups_help, keys_help, two_columns
from resnet_cli.config.keys import validate_flags
from resnet_cli.runtime.errors import UserError, run_command
from resnet_cli.runtime.ranks import rank_from_env

EXAMPLES = {
    "": "ResNet-20 on CIFAR-10, 64,000 iterations",
    "model=plain56 seed=1": "the 56-layer plain network, another seed",
    "schedule.iterations=4000": "the same recipe, shorter: milestones move along",
    "schedule.epochs=10": "its length in epochs",
    "model=resnet56 shortcut=B": "projections where the dimensions change",
    "model=resnet20 model.depth=26": "any depth 6n+2",
    "dataset.validation=5000": "the paper's 45k/5k split; validation picks best.pt",
    "dataset=synthetic schedule.iterations=500": "no data set needed",
    "-m model=plain20,plain56,resnet20,resnet56 seed=0,1,2": "a sweep; finished runs are skipped",
    "-m seed=0,1,2,3 hydra/launcher=local": "the runs side by side, on every GPU or sharing the "
    "CPU's cores",
    "-m seed=0,1 hydra/launcher=submitit_slurm hydra.launcher.partition=gpu": "each run a job of "
    "the cluster",
    "model=resnet34 shortcut=B dataset.root=/data/imagenet": "ImageNet, or any folder of classes",
    "experiment=quickstart": "the degradation problem in minutes",
    "experiment=figure6 scale=0.0625": "all networks of Fig. 6, a sixteenth of the schedule",
    "model=resnet110 dry_run=true": "show the plan and the expected time, write nothing",
}

HELP = """\
resnet-train: train the plain and residual networks of "Deep Residual Learning" as the paper did

examples:
{examples}

Stopped with Ctrl-C or killed, the same command goes on where it was, bit for bit.
The data is looked for in $RESNET_DATA, else in data/ (ImageNet: in imagenet/ there);
dataset.download=true fetches CIFAR-10.

choices (group=name):
{groups}

keys (key=value), with their values in the default run:

{keys}

flags:
{flags}

exit codes: 0 done, 1 failed, 2 bad usage, 3 data missing or broken, 4 diverged,
            128+signal stopped (resumable)
"""

SWEEP_FLAGS = {"-m", "--multirun"}
HYDRA_FLAGS = {"--cfg", "-c", "--info", "-i", "--resolve", "--package", "-p", "--hydra-help"}
OUR_FLAGS = {"-h", "--help", "--version", *completion.FLAGS}
FLAGS = sorted(SWEEP_FLAGS | HYDRA_FLAGS | OUR_FLAGS)
FLAGS_HELP = {
    "-m, --multirun": "every combination of the values that commas separate",
    "--cfg job": "print the composed config; --info and --hydra-help are Hydra's as well",
    "--shell-completion install=SHELL": f"a script for bash, zsh or fish: {completion.INSTALL}",
    "--version": "print the version",
}


def help_text() -> str:
    """As wide as the terminal, though not wider than one reads with ease."""
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    examples = {f"resnet-train {words}".strip(): about for words, about in EXAMPLES.items()}
    return HELP.format(
        examples=two_columns(examples.items(), width=width, first=48),
        groups=groups_help(width=width),
        keys=keys_help(width=width),
        flags=two_columns(FLAGS_HELP.items(), width=width),
    )


def main_checked(arguments: list[str]) -> int:
    if {"-h", "--help"} & set(arguments):
        print(help_text(), end="")
        return 0
    if "--version" in arguments:
        print(f"resnet-train {__version__}")
        return 0
    if arguments and arguments[0] in completion.FLAGS:
        request = " ".join(arguments[1:])
        print(completion.answer(request, dict(os.environ), flags=FLAGS), end="")
        return 0
    validate_flags(arguments, FLAGS)

    from resnet_cli.config import compose
    from resnet_cli.config.flags import answer_flags
    from resnet_cli.config.words import quote_paths

    arguments = quote_paths(arguments)
    flags = {word.split("=")[0] for word in arguments if word.startswith("-")}
    if flags & HYDRA_FLAGS:
        answer_flags([word for word in arguments if word not in SWEEP_FLAGS])
        return 0
    overrides = [word for word in arguments if not word.startswith("-")]
    jobs, launcher = compose.jobs(overrides, multirun=bool(flags & SWEEP_FLAGS))
    if launcher and rank_from_env() is not None:
        raise UserError(
            "torchrun and srun start the processes of one run; for a sweep call resnet-train "
            "itself, with devices=N"
        )

    from resnet_cli.launch.start import start

    return start(jobs, launcher)


def main() -> int:
    return run_command("resnet-train", lambda: main_checked(sys.argv[1:]))


class _Callable(ModuleType):
    """`resnet_cli.train(...)` in a notebook trains a run, though the name is this module's."""

    def __call__(self, *overrides: str, **keys: object) -> Any:
        from resnet_cli import api

        return api.train(*overrides, **keys)


if __name__ == "resnet_cli.train":
    sys.modules[__name__].__class__ = _Callable

if __name__ == "__main__":
    sys.exit(main())
