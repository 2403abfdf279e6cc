"""Speed of this project beside the usual PyTorch code, interleaved on one machine.

    python -m scripts.benchmark                    training and testing: ResNet-20, 50, 18, 110, 56
    python -m scripts.benchmark resnet20 resnet56  these networks alone
    python -m scripts.benchmark imagenet index     photographs: loader, ten crops, dense test; index
    python -m scripts.benchmark scale              two ranks, a sweep's start, saving, packed runs
    python -m scripts.benchmark kernels            operations of an eager step, counted
    python -m scripts.benchmark profile            where the time of a step goes, kernel by kernel
    python -m scripts.benchmark ceilings           what could still be taken off ResNet-50's step
    python -m scripts.benchmark lesion             deleting each block of ResNet-110 in turn
    python -m scripts.benchmark seeds resnet20     four seeds as one network, beside each in turn
    python -m scripts.benchmark training imagenet --minutes 30 --json FILE --markdown FILE

Contestants are processes of their own (scripts/benchmark/contestants). Each round gives all of them
a turn. Reported are medians over rounds, ratios taken round by round, and how near a contestant
comes to what this machine copies and multiplies at best in its fastest precision, measured in the
same run.

The most important rows come first, and results are written as they come; what was not measured when
the time was up is listed. A contestant that fails or runs out of memory loses its own row.
"""

import argparse
import math
import sys
from pathlib import Path

import torch

from resnet_cli.run.result import commit
from resnet_cli.runtime.choices import DeviceChoice
from resnet_cli.runtime.device import choose_device, cores, describe
from resnet_cli.runtime.errors import FAILED, run_command
from scripts.benchmark import (
    ceilings,
    imagenet,
    index,
    kernels,
    lesion,
    scale,
    seeds,
    step_profile,
    training,
)
from scripts.benchmark.plan import Deadline, Part, Settings, run
from scripts.benchmark.report import Report

PLANS = (
    "training",
    "imagenet",
    "index",
    "scale",
    "kernels",
    "profile",
    "ceilings",
    "lesion",
    "seeds",
)
NETWORKS = tuple(training.BATCHES)


def positive(word: str) -> float:
    """Raises ValueError, which argparse tells."""
    if not 0 < (value := float(word)) < math.inf:
        raise ValueError
    return value


def minutes(word: str) -> float:
    """`inf` too."""
    return math.inf if word == "inf" else positive(word)


def count(word: str) -> int:
    """Raises ValueError, which argparse tells."""
    if (value := int(word)) < 1:
        raise ValueError
    return value


def read_options(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmark",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "what",
        nargs="*",
        metavar="WHAT",
        help=f"plans ({', '.join(PLANS)}) or networks ({', '.join(NETWORKS)}); default: training",
    )
    parser.add_argument("--rounds", type=count, default=5)
    parser.add_argument(
        "--seconds", type=positive, default=4, help="of each contestant's turn (default 4)"
    )
    parser.add_argument(
        "--minutes", type=minutes, default=8, help="for everything (default 8; inf: no limit)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the tables there")
    tree = parser.add_argument_group("index")
    tree.add_argument(
        "--folder", type=Path, help="where the tree is made, if not among temporary files"
    )
    tree.add_argument("--classes", type=count, default=1000)
    tree.add_argument("--per-class", type=count, default=1281, help="training files of each class")
    many = parser.add_argument_group("seeds")
    many.add_argument("--seeds", type=count, default=4, help="in one network (default 4)")
    options = parser.parse_args(words)
    for word in options.what:
        if word not in PLANS + NETWORKS:
            parser.error(f"no plan or network {word}: there are {', '.join(PLANS + NETWORKS)}")
    return options


def choose_parts(options: argparse.Namespace, settings: Settings) -> list[Part]:
    """In the order of PLANS, whatever the order of the words.

    Networks are those of `training` and of `seeds`; without either they ask for training.
    """
    networks = list(dict.fromkeys(word for word in options.what if word in NETWORKS))
    plans = {word for word in options.what if word in PLANS}
    if not plans or (networks and "seeds" not in plans):
        plans.add("training")
    found: list[Part] = []
    if "training" in plans:
        found += training.parts(settings, networks or list(NETWORKS))
    if "imagenet" in plans:
        found += imagenet.parts(settings)
    if "index" in plans:
        tree = index.Tree(
            folder=options.folder, classes=options.classes, per_class=options.per_class
        )
        found += index.parts(tree, settings.deadline)
    if "scale" in plans:
        found += scale.parts(settings)
    if "kernels" in plans:
        found += kernels.parts()
    if "profile" in plans:
        found += step_profile.parts(settings)
    if "ceilings" in plans:
        found += ceilings.parts(settings)
    if "lesion" in plans:
        found += lesion.parts(settings)
    if "seeds" in plans:
        found += seeds.parts(settings, networks or ["resnet20"], count=options.seeds)
    return found


def main(words: list[str] | None = None) -> int:
    options = read_options(words)
    device = choose_device(DeviceChoice.auto)
    report = Report(json_file=options.json, markdown_file=options.markdown)
    code = commit() or "unknown"
    limit = "no time limit" if math.isinf(options.minutes) else f"{options.minutes:g} minutes"
    report.add(
        f"{describe(device)}, {cores()} cores, torch {torch.__version__}, commit {code}; "
        f"medians over {options.rounds} interleaved rounds, {limit}",
        {
            "device": describe(device),
            "cores": cores(),
            "torch": torch.__version__,
            "commit": code,
            "rounds": options.rounds,
        },
    )
    settings = Settings(
        device=device,
        rounds=options.rounds,
        seconds=options.seconds,
        deadline=Deadline(options.minutes),
    )
    measured = run(choose_parts(options, settings), deadline=settings.deadline, report=report)
    return 0 if measured else FAILED


if __name__ == "__main__":
    sys.exit(run_command("benchmark", main))
