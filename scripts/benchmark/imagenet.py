"""Photographs: the loader beside torchvision's, ten crops, and the memory of the dense test."""

import io
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from scripts.benchmark.plan import Deadline, Part, Settings, measure_each
from scripts.benchmark.process import Contestant
from scripts.benchmark.report import listing, race_table
from scripts.benchmark.turns import race_processes

LOADERS = {
    "torchvision: ImageFolder, v2": "usual",
    "ours, a worker's part": "worker",
    "ours, with flip, colour and normalisation": "whole",
}
VIEWS = {"single view": "single", "ten crops": "ten"}
DENSE = ("resnet50", "resnet152")


def make_photographs(root: Path, *, count: int = 256) -> None:
    """JPEGs of 500x375 in two classes: smooth shapes and noise.

    They are as large in bytes as ImageNet's are on average, about 110 kB.
    """
    rng = np.random.default_rng(0)
    for number in range(count):
        shapes = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        smooth = np.asarray(shapes.resize((500, 375), Image.Resampling.BICUBIC))
        pixels = smooth.astype(np.int16) + rng.normal(0, 11, (375, 500, 1)).astype(np.int16)
        buffer = io.BytesIO()
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=92)
        for split in ("train", "val"):
            folder = root / split / f"n{number % 2:08}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number}.jpg").write_bytes(buffer.getvalue())


def loaders(settings: Settings) -> tuple[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        root, caches = f"{place}/images", f"{place}/caches"
        make_photographs(Path(root))
        commands = {name: ["loader", which, root, caches] for name, which in LOADERS.items()}
        found = race_processes(commands, settings)
    return race_table(found, rounds=settings.rounds), found


def views(settings: Settings) -> tuple[str, Any]:
    commands = {name: ["views", which] for name, which in VIEWS.items()}
    found = race_processes(commands, settings)
    return race_table(found, rounds=settings.rounds), found


def dense_memory(network: str, deadline: Deadline) -> float:
    """The most GiB that a process holds while it tests a photograph densely."""
    with Contestant(["dense", network], deadline) as one:
        return one.ask()["peak_gib"]


def dense(settings: Settings) -> tuple[str, Any]:
    found = measure_each({name: partial(dense_memory, name, settings.deadline) for name in DENSE})
    return listing(found, "GiB"), found


def parts(settings: Settings) -> list[Part]:
    return [
        Part(
            key="loader",
            title="Loader, one process, JPEGs of 500x375, the paper's augmentation",
            measure=partial(loaders, settings),
        ),
        Part(
            key="views",
            title="Testing ResNet-18 (ten views that cost ten times one would have the ratio 0.10)",
            measure=partial(views, settings),
        ),
        Part(
            key="dense GiB",
            title="Peak memory of the dense test at 640",
            measure=partial(dense, settings),
        ),
    ]
