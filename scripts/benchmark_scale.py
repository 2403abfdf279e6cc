"""What several processes and many runs cost: two ranks on one CPU, the start of a run in a sweep,
saving, and on CUDA packed runs.

Everything through the door a user takes: resnet-train in processes of its own, on drawn images, its
own figures read from the run folder.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from resnet_cli.models.architecture import Shortcut, cifar
from resnet_cli.models.resnet import ResNet
from resnet_cli.runtime.device import cores, describe
from resnet_cli.training import checkpoint

RUN = ["dataset=synthetic", "dataset.train_images=2000", "dataset.test_images=100", "compile=off"]
LENGTHS = {"cpu": 120, "cuda": 20_000}  # iterations that are timed
PACKED = (1, 2, 4, 8)


def train(*words: str, threads: int | None = None) -> float:
    """Runs resnet-train to its end. Returns its seconds from start to end."""
    environment = os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    began = time.perf_counter()
    command = [sys.executable, "-m", "resnet_cli.train", *RUN, *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()}")
    return time.perf_counter() - began


def speeds(runs: Path) -> list[float]:
    """Images/s of every run below: the median of its log points but the first, which holds the
    start.
    """
    rates = []
    for file in runs.rglob("metrics.jsonl"):
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        rates.append(
            statistics.median(
                [line["images_per_second"] for line in lines if "images_per_second" in line][1:]
            )
        )
    return rates


def ranks(place: Path, *, rounds: int) -> dict[str, Any]:
    """Images/s of ResNet-20, batch 128, in one process and shared by two, in turns."""
    long = f"schedule.iterations={LENGTHS['cpu']}"
    ways: dict[str, tuple[list[str], int | None]] = {
        "one process, 1 thread": (["devices=1"], 1),
        "one process, 2 threads": (["devices=1"], 2),
        "two ranks, 1 thread each": (["devices=2"], 1),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name, (words, threads) in ways.items():
            runs = place / f"{name} {number}"
            train(
                "model=resnet20",
                "device=cpu",
                "log_every=20",
                long,
                f"runs={runs}",
                *words,
                threads=threads,
            )
            found[name] += speeds(runs)
    return {
        name: {"images_per_second": statistics.median(rates), "rounds": rates}
        for name, rates in found.items()
    }


def start_up(place: Path) -> dict[str, float]:
    """Seconds that one more run of two iterations costs a sweep: the difference between five of
    them and one.
    """
    tiny = ["-m", "model=resnet20", "schedule.iterations=2", "log_every=1"]
    found = {}
    for launcher in ("basic", "local"):
        words = [
            *tiny,
            *([f"hydra/launcher={launcher}", "jobs_per_device=1"] if launcher == "local" else []),
        ]
        one = train(*words, "seed=0", f"runs={place / launcher / 'one'}")
        five = train(*words, "seed=0,1,2,3,4", f"runs={place / launcher / 'five'}")
        found |= {f"{launcher}, first": one, f"{launcher}, each further": (five - one) / 4}
    return found


def saving(place: Path, *, step_seconds: float, every: int = 1000) -> dict[str, float]:
    """What a checkpoint of ResNet-20 costs, beside the steps between two of them."""
    network = ResNet(cifar(20, shortcut=Shortcut.A))
    state = {
        "network": network.state_dict(),
        "momentum": [torch.zeros_like(weight) for weight in network.parameters()],
    }
    times = []
    for _ in range(10):
        began = time.perf_counter()
        checkpoint.save(place / "last.pt", state, keep=place / "previous.pt")
        times.append(time.perf_counter() - began)
    seconds = statistics.median(times)
    return {"seconds": seconds, "percent": 100 * seconds / (every * step_seconds)}


def packed(place: Path) -> dict[str, float]:
    """Images/s of so many runs of ResNet-20 together on one GPU."""
    found = {}
    for count in PACKED:
        runs, seeds = place / f"packed {count}", ",".join(map(str, range(count)))
        where = [
            "hydra/launcher=local",
            f"jobs_per_device={count}",
            f"schedule.iterations={LENGTHS['cuda']}",
            "eval_every=1000000",
        ]
        train("-m", "model=resnet20", *where, f"seed={seeds}", f"runs={runs}")
        found[str(count)] = sum(speeds(runs))
    return found


def measure(device: torch.device, *, rounds: int) -> dict[str, Any]:
    """All of it; prints Markdown and returns it as data."""
    print(
        f"{describe(device)}, {cores()} cores, torch {torch.__version__}; medians of {rounds} "
        "rounds in turns\n"
    )
    report: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        report["ranks"] = ranks(place, rounds=rounds)
        alone = report["ranks"]["one process, 2 threads"]["images_per_second"]
        print("| ResNet-20, batch 128, CPU | images/s | of one process |\n| --- | --- | --- |")
        for way, figures in report["ranks"].items():
            print(
                f"| {way} | {figures['images_per_second']:,.0f} | "
                f"{figures['images_per_second'] / alone:.2f} |"
            )
        report["start-up"] = start_up(place)
        print(
            "\nStart of a run in a sweep: "
            + ", ".join(f"{way} {seconds:.1f} s" for way, seconds in report["start-up"].items())
        )
        report["saving"] = saving(place, step_seconds=128 / alone)
        print(
            f"A checkpoint: {1000 * report['saving']['seconds']:.0f} ms, "
            f"{report['saving']['percent']:.2f} % of the steps between two"
        )
        if device.type == "cuda":
            report["packed"] = packed(place)
            print(
                "Packed on one GPU: "
                + ", ".join(
                    f"{count} runs {rate:,.0f} images/s" for count, rate in report["packed"].items()
                )
            )
    return report
