"""Several processes and many runs: two ranks on a CPU, a sweep's start, saving, packed runs.

Everything through the door a user takes: resnet-train in processes of its own, on drawn images,
its own figures read from the run folder.
"""

import json
import os
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch

from resnet_cli.models.architecture import Shortcut, cifar
from resnet_cli.models.resnet import ResNet
from resnet_cli.training import checkpoint
from scripts.benchmark.plan import Deadline, Part, Settings, measure_each
from scripts.benchmark.process import output_of
from scripts.benchmark.report import listing, race_table
from scripts.benchmark.turns import Turns, race

DATA = ["dataset=synthetic", "dataset.train_images=2000", "dataset.test_images=100"]
RUN = [*DATA, "model=resnet20", "compile=off"]
BATCH = 128  # of conf/
TIMED = ["device=cpu", "log_every=20", "schedule.iterations=120"]
ALONE = "one process, 2 threads"
RANKS = {  # devices, threads of each
    ALONE: (1, 2),
    "one process, 1 thread": (1, 1),
    "two ranks, 1 thread each": (2, 1),
}
LAUNCHERS = {"basic": [], "local": ["hydra/launcher=local", "jobs_per_device=1"]}
SAVED_EVERY = 1000  # iterations
PACKED = (1, 2, 4, 8)


def train(*words: str, deadline: Deadline, threads: int | None = None) -> tuple[float, list[float]]:
    """Runs resnet-train to its end. Returns its seconds and the images/s of its runs.

    Raises NotMeasured where it fails.
    """
    environment = os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    with tempfile.TemporaryDirectory() as runs:
        began = time.perf_counter()
        words = (*RUN, *words, f"runs={runs}")
        output_of("resnet_cli.train", words, deadline=deadline, environment=environment)
        return time.perf_counter() - began, [speed(file) for file in Path(runs).rglob("*.jsonl")]


def speed(metrics: Path) -> float:
    """Median images/s of a run's log points, without the first, which holds the start."""
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    rates = [line["images_per_second"] for line in lines if "images_per_second" in line]
    return statistics.median(rates[1:] or rates)


def ranks(settings: Settings) -> tuple[str, Any]:
    """Images/s of ResNet-20 in one process and shared by two, in turns."""

    def turn(devices: int, threads: int) -> float:
        words = [*TIMED, f"devices={devices}"]
        _, (rate,) = train(*words, threads=threads, deadline=settings.deadline)
        return rate

    turns: Turns = {name: partial(turn, *way) for name, way in RANKS.items()}
    found = race(turns, settings, baseline=ALONE)
    return race_table(found, rounds=settings.rounds), found


def start_up(launcher: str, deadline: Deadline) -> tuple[float, float]:
    """Seconds of a sweep of one run of two iterations, and of each run that it has more."""
    words = ["-m", "schedule.iterations=2", "log_every=1", *LAUNCHERS[launcher]]
    one, _ = train(*words, "seed=0", deadline=deadline)
    five, _ = train(*words, "seed=0,1,2,3,4", deadline=deadline)
    return one, (five - one) / 4


def start_ups(settings: Settings) -> tuple[str, Any]:
    found: dict[str, Any] = {}
    deadline = settings.deadline
    for launcher, times in measure_each(
        {name: partial(start_up, name, deadline) for name in LAUNCHERS}
    ).items():
        if isinstance(times, tuple):
            found |= {f"{launcher}, first": times[0], f"{launcher}, each further": times[1]}
        else:
            found[launcher] = times
    return listing(found, "s"), found


def saving(settings: Settings) -> tuple[str, Any]:
    """What a checkpoint of ResNet-20 costs, beside the steps between two of them on a CPU."""
    _, (rate,) = train(*TIMED, deadline=settings.deadline)
    network = ResNet(cifar(20, shortcut=Shortcut.A))
    momentum = [torch.zeros_like(weight) for weight in network.parameters()]
    state = {"network": network.state_dict(), "momentum": momentum}
    times = []
    with tempfile.TemporaryDirectory() as place:
        for _ in range(10):
            began = time.perf_counter()
            checkpoint.save(Path(place, "last.pt"), state, keep=Path(place, "previous.pt"))
            times.append(time.perf_counter() - began)
    seconds = statistics.median(times)
    percent = 100 * seconds / (SAVED_EVERY * BATCH / rate)
    told = f"{1000 * seconds:.0f} ms, {percent:.2f} % of the {SAVED_EVERY:,} steps between two"
    return told, {"seconds": seconds, "percent": percent}


def packed(settings: Settings) -> tuple[str, Any]:
    """Images/s of so many runs of ResNet-20 together on one GPU."""

    def together(count: int) -> float:
        seeds = ",".join(map(str, range(count)))
        where = ["hydra/launcher=local", f"jobs_per_device={count}", f"seed={seeds}"]
        length = ["schedule.iterations=20000", "eval_every=1000000"]
        return sum(train("-m", *where, *length, deadline=settings.deadline)[1])

    found = measure_each({str(count): partial(together, count) for count in PACKED})
    return listing(found, "images/s"), found


def parts(settings: Settings) -> list[Part]:
    measures = {
        ("ranks", "Several processes: ResNet-20, batch 128, on the CPU"): ranks,
        ("start-up", "Start of a run in a sweep"): start_ups,
        ("saving", "A checkpoint of ResNet-20"): saving,
    }
    if settings.device.type == "cuda":
        measures["packed", "Runs of ResNet-20 packed on one GPU, together"] = packed
    return [
        Part(key=key, title=title, measure=partial(measure, settings))
        for (key, title), measure in measures.items()
    ]
