"""Training speed of ours beside the usual script, interleaved in one run on one machine.

    python scripts/benchmark.py                      ResNet-20, batch 128: the usual script, ours, ours compiled
    python scripts/benchmark.py --depth 56 --rounds 7 --json speed.json
    python scripts/benchmark.py --imagenet           photographs: loader, ResNet-18 and 50 at 224, the three views, the index
    python scripts/benchmark.py --scale              several processes and many runs: two ranks, a sweep's start, saving, packing

The usual script: torchvision's block in the same network, PIL transforms, a DataLoader with workers, fp32, `.item()` each
step. Ours: what resnet-train runs (resident uint8 images, batched augmentation, channels_last, precision=auto), without
and with compilation. Each round times all of them; medians over rounds are printed, in images/s.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.models.resnet import BasicBlock, conv3x3

from resnet_cli.data import synthetic
from resnet_cli.data.images import Normalization, Split, fit_normalizer
from resnet_cli.data.loader import ResidentLoader
from resnet_cli.hardware import DeviceChoice, Precision, choose_device, choose_dtype, describe, make_exact, precision_name
from resnet_cli.models.architecture import Shortcut, cifar
from resnet_cli.models.resnet import ResNet, ZeroPadIdentity
from resnet_cli.training.optimizer import make_optimizer
from resnet_cli.training.step import TrainStep

Rounds = Callable[[int], float]  # steps -> images/s


class UsualResNet(nn.Module):
    """The same network as people write it: torchvision's BasicBlock, lambda-like shortcut A."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        n = (depth - 2) // 6
        self.conv1, self.bn1, self.relu = conv3x3(3, 16), nn.BatchNorm2d(16), nn.ReLU(inplace=True)
        blocks: list[nn.Module] = []
        for width, before, stride in ((16, 16, 1), (32, 16, 2), (64, 32, 2)):
            first = None if width == before else ZeroPadIdentity(before, width, stride=stride)
            blocks += [BasicBlock(before, width, stride, first)] + [BasicBlock(width, width) for _ in range(n - 1)]
        self.layers = nn.Sequential(*blocks)
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.layers(self.relu(self.bn1(self.conv1(x)))).mean(dim=(2, 3)))


class Pictures(Dataset[tuple[Tensor, int]]):
    """PIL images through the usual transforms."""

    def __init__(self, split: Split) -> None:
        self.images = split.images.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = split.labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def usual(depth: int, split: Split, *, batch_size: int, workers: int, device: torch.device) -> Rounds:
    """The usual script, ready to be timed."""
    network = UsualResNet(depth).to(device)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    loss_of = nn.CrossEntropyLoss()
    loader = DataLoader(Pictures(split), batch_size, shuffle=True, num_workers=workers, drop_last=True)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield from loader

    stream = batches()

    def run(steps: int) -> float:
        next(stream)  # the workers are up before the clock starts
        began, seen = time.perf_counter(), 0.0
        for _ in range(steps):
            images, labels = (part.to(device) for part in next(stream))
            logits = network(images)
            loss = loss_of(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen += loss.item() + (logits.argmax(1) == labels).sum().item()
        return steps * batch_size / (time.perf_counter() - began)

    return run


def ours(depth: int, split: Split, *, batch_size: int, compiled: bool, dtype: torch.dtype, device: torch.device) -> Rounds:
    """What resnet-train runs between two log points, ready to be timed."""
    network = ResNet(cifar(depth, shortcut=Shortcut.A)).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    step = TrainStep(
        network, make_optimizer(network, lr=0.1, momentum=0.9, weight_decay=1e-4, nesterov=False), dtype=dtype, compiled=compiled
    )
    loader = ResidentLoader(split.to(device), fit_normalizer(Normalization.paper, split).to(device), batch_size, 0)
    done = 0

    def run(steps: int) -> float:
        nonlocal done
        began = time.perf_counter()
        for iteration in range(done, done + steps):
            step(*loader.batch(iteration), lr=0.1)
        step.read()
        done += steps
        return steps * batch_size / (time.perf_counter() - began)

    return run


def interleave(contestants: dict[str, Rounds], *, rounds: int, steps: int) -> dict[str, list[float]]:
    """Images/s of each contestant in each round; within a round they take turns, so that a slow minute hits all of them."""
    for run in contestants.values():
        run(max(1, steps // 20))  # compile, fill caches
    speeds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name, run in contestants.items():
            speeds[name].append(run(steps))
        print(f"round {number + 1}: " + ", ".join(f"{name} {rates[-1]:,.1f}" for name, rates in speeds.items()), file=sys.stderr)
    return speeds


def compare(speeds: dict[str, list[float]]) -> dict[str, dict[str, Any]]:
    """Prints the Markdown table of medians, with ratios to the first contestant taken round by round; returns it as data."""
    first = next(iter(speeds.values()))
    print("| | images/s | min - max | ratio |\n|---|---|---|---|")
    report = {}
    for name, rates in speeds.items():
        ratio = statistics.median(mine / theirs for mine, theirs in zip(rates, first, strict=True))
        median, places = statistics.median(rates), 1 if max(rates) < 100 else 0
        print(f"| {name} | {median:,.{places}f} | {min(rates):,.{places}f} - {max(rates):,.{places}f} | {ratio:.2f} |")
        report[name] = {"images_per_second": median, "rounds": rates, "ratio": ratio}
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60, help="steps of each contestant in a round")
    parser.add_argument("--workers", type=int, default=2, help="of the usual script's DataLoader")
    parser.add_argument("--imagenet", action="store_true", help="photographs instead: loader, steps at 224, views, index")
    parser.add_argument("--scale", action="store_true", help="several processes and many runs instead")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    make_exact()
    device = choose_device(DeviceChoice.auto)
    dtype = choose_dtype(Precision.auto, device)
    machine = {"device": describe(device), "torch": torch.__version__, "rounds": options.rounds}
    if options.imagenet:
        import benchmark_imagenet

        report = machine | benchmark_imagenet.measure(device, dtype=dtype, rounds=options.rounds)
    elif options.scale:
        import benchmark_scale

        report = machine | benchmark_scale.measure(device, rounds=options.rounds)
    else:
        split = Split(*synthetic.draw(50_000, seed=0))  # as many as CIFAR-10 has
        size, depth = options.batch_size, options.depth
        mine = f"ours, {precision_name(dtype)}"
        contestants = {
            "usual script, fp32": usual(depth, split, batch_size=size, workers=options.workers, device=device),
            mine: ours(depth, split, batch_size=size, compiled=False, dtype=dtype, device=device),
            f"{mine}, compiled": ours(depth, split, batch_size=size, compiled=True, dtype=dtype, device=device),
        }
        print(
            f"ResNet-{depth}, batch {size}, {describe(device)}, torch {torch.__version__}; medians of {options.rounds} interleaved rounds\n"
        )
        report = machine | {"depth": depth, "batch_size": size}
        report["results"] = compare(interleave(contestants, rounds=options.rounds, steps=options.steps))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
