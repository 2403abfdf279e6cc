"""What `benchmark.py --imagenet` measures: photographs instead of CIFAR-10's images.

The loader against torchvision's ImageFolder and v2 transforms, in one process each; ten-crop
against ten times the single view; the memory of the dense test; the index of a made-up tree of
ImageNet's size.
"""

import io
import itertools
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import benchmark_index
import numpy as np
import torch
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2
from turns import Rates, summarise

from resnet_cli.data.choices import Augmentation, Normalization
from resnet_cli.data.imagenet import open_folders
from resnet_cli.data.images import Normalizer, fit_normalizer
from resnet_cli.data.samples import Samples
from resnet_cli.data.streaming import StreamingLoader, TrainCrops
from resnet_cli.evaluation.protocol import BATCH, Protocol
from resnet_cli.evaluation.views import Views, scores_of, ten_crop_scores
from resnet_cli.models.resnet import ResNet
from resnet_cli.models.zoo import NETWORKS
from resnet_cli.runtime.choices import Precision
from resnet_cli.runtime.device import choose_dtype, describe, peak_memory

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DENSE_SIDE = 640

Rounds = Callable[[int], float]  # steps -> images/s


def interleave(contestants: dict[str, Rounds], *, rounds: int, steps: int) -> Rates:
    """Images/s of each contestant in each round, all in this process; within a round they take
    turns.
    """
    for run in contestants.values():
        run(1)  # fills the caches
    rates: Rates = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            rates[name].append(run(steps))
    return rates


def compare(rates: Rates) -> dict[str, dict[str, Any]]:
    """Prints the medians as Markdown and returns them."""
    report = summarise(rates)
    print("| | images/s | min - max | ratio |\n|---|---|---|---|")
    for name, found in report.items():
        speeds = found["rounds"]
        print(
            f"| {name} | {found['images_per_second']:,.1f} | {min(speeds):,.1f} - "
            f"{max(speeds):,.1f} | {found['ratio']:.2f} |"
        )
    return report


def make_photographs(root: Path, *, count: int = 256) -> None:
    """JPEGs of 500x375, as large in bytes as ImageNet's are on average (about 110 kB): smooth
    shapes and noise, in two classes.
    """
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize(
            (500, 375), Image.Resampling.BICUBIC
        )
        pixels = np.asarray(coarse).astype(np.int16) + rng.normal(0, 11, (375, 500, 1)).astype(
            np.int16
        )
        buffer = io.BytesIO()
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=92)
        for split in ("train", "val"):
            folder = root / split / f"n{number % 2:08}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number}.jpg").write_bytes(buffer.getvalue())


def usual_loader(root: Path, *, batch_size: int) -> Rounds:
    """torchvision's way, in this process: shorter side in [256, 480], random crop, flip, float,
    normalised, stacked.
    """
    transform = v2.Compose(
        [
            v2.RandomShortestSize(list(range(256, 481))),
            v2.RandomCrop(224),
            v2.RandomHorizontalFlip(),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )
    dataset = ImageFolder(str(root / "train"), transform)
    order = itertools.cycle(range(len(dataset)))

    def run(steps: int) -> float:
        began = time.perf_counter()
        for _ in range(steps):
            torch.stack([dataset[next(order)][0] for _ in range(batch_size)])
        return steps * batch_size / (time.perf_counter() - began)

    return run


def our_loader(samples: Samples, normalizer: Normalizer, *, batch_size: int, whole: bool) -> Rounds:
    """Ours, in this process: what a worker does, or the `whole` with flip, colour noise and
    normalisation.
    """
    loader = StreamingLoader(samples, Augmentation.paper, normalizer, batch_size, 0, 224, 0)
    worker = TrainCrops(samples, Augmentation.paper, 224, batch_size, 0)
    done = 0

    def run(steps: int) -> float:
        nonlocal done
        began = time.perf_counter()
        for iteration in range(done, done + steps):
            loader.batch(iteration) if whole else worker[iteration]
        done += steps
        return steps * batch_size / (time.perf_counter() - began)

    return run


def views(normalizer: Normalizer, *, dtype: torch.dtype, device: torch.device) -> dict[str, Rounds]:
    """Images/s of the network, for the single view and for ten crops."""
    network = ResNet(NETWORKS["resnet18"]).eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    crops = torch.randint(
        0, 256, (BATCH[Views.ten], 5, 3, 224, 224), dtype=torch.uint8, device=device
    )

    def alone(ten: bool) -> Rounds:
        def run(steps: int) -> float:
            began, images = time.perf_counter(), 0
            for _ in range(steps):
                if ten:
                    scores = ten_crop_scores(network, normalizer(crops), dtype=dtype)
                else:  # as many views in a batch
                    scores = scores_of(
                        network, normalizer(crops.repeat(2, 1, 1, 1, 1).flatten(0, 1)), dtype=dtype
                    )
                images += len(scores)
                scores.sum().item()
            return images / (time.perf_counter() - began)

        return run

    return {"single view": alone(False), "ten crops": alone(True)}


def dense_memory(name: str) -> float:
    """Most GiB that a process of its own holds while it tests one photograph of 640 x 853
    densely in fp32.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(dense_once, (name,))


def dense_once(name: str) -> float:
    network = ResNet(NETWORKS[name]).eval().to(memory_format=torch.channels_last)
    protocol = Protocol(Views.dense, 224, (DENSE_SIDE,))
    shown = [view[None] for view in protocol.show(Image.new("RGB", (500, 375)))]
    protocol.score(
        network, Normalizer(torch.zeros(3, 1, 1), torch.ones(3, 1, 1)), shown, dtype=torch.float32
    )
    return peak_memory()


def measure(device: torch.device, *, rounds: int) -> dict[str, Any]:
    """All of it; prints Markdown and returns it as data."""
    print(f"{describe(device)}, torch {torch.__version__}; medians of {rounds} interleaved rounds")
    report: dict[str, Any] = {}
    dtype = choose_dtype(Precision.auto, device)
    with tempfile.TemporaryDirectory() as place:
        make_photographs(Path(place))
        os.environ["XDG_CACHE_HOME"] = f"{place}/caches"
        samples = open_folders(Path(place)).train
        normalizer = fit_normalizer(Normalization.imagenet, samples)
        print("\nLoader, one process, JPEGs of 500x375, the paper's augmentation\n")
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # as in a loader's worker
        contestants = {"torchvision: ImageFolder, v2": usual_loader(Path(place), batch_size=64)}
        contestants |= {
            "ours, a worker's part": our_loader(samples, normalizer, batch_size=64, whole=False),
            "ours, with flip, colour and normalisation": our_loader(
                samples, normalizer, batch_size=64, whole=True
            ),
        }
        report["loader"] = compare(interleave(contestants, rounds=rounds, steps=4))
        torch.set_num_threads(threads)
        print(
            "\nTesting, resnet18; the ratio of ten crops to the single view would be 0.10 if "
            "ten views cost ten times one\n"
        )
        contestants = views(normalizer.to(device), dtype=dtype, device=device)
        report["views"] = compare(interleave(contestants, rounds=rounds, steps=2))
    report["dense GiB"] = {name: dense_memory(name) for name in ("resnet50", "resnet152")}
    print(
        "\nDense test at 640: "
        + ", ".join(f"{name} {gib:.2f} GiB" for name, gib in report["dense GiB"].items())
    )
    report["index"] = benchmark_index.measure()
    for step, found in report["index"].items():
        print(
            f"Index, {step}: {found['seconds']:.2f} s for {found['files']:,.0f} files, "
            f"{found['mib']:,.0f} MiB"
        )
    return report
