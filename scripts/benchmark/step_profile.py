"""Where the time of a training step goes: the host's part, the device's, and the kernels by time.

    python -m scripts.benchmark.step_profile resnet20 resnet110 [--compile] [--batch 128]

As resnet-train would train on this device: captured as a CUDA graph where it can be. On a CPU the
kernels are PyTorch's operators, and the host is the device.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from resnet_cli.data.resident import ResidentLoader
from resnet_cli.models.resnet import ResNet
from resnet_cli.models.zoo import NETWORKS
from resnet_cli.runtime.choices import DeviceChoice, Precision, Switch
from resnet_cli.runtime.cuda_graph import CapturedGraph, choose_capture
from resnet_cli.runtime.device import choose_device, choose_dtype, keep_memory, make_exact
from scripts.benchmark.contestants.ours import made_up_images, refuse, training_step
from scripts.benchmark.plan import Part, Settings, measure_each
from scripts.benchmark.process import output_of
from scripts.benchmark.report import Column, Figures, table

PROFILED = ("resnet20", "resnet110")
_PROFILED_STEPS = 3
_SHOWN = 12  # kernels, of the most time
_COLUMNS: tuple[Column, ...] = (
    ("first step, s", lambda found: f"{found['first_step_s']:.1f}"),
    ("host, us", lambda found: f"{found['host_us']:,.0f}"),
    ("step, us", lambda found: f"{found['step_us']:,.0f}"),
    ("images/s", lambda found: f"{found['images_per_second']:,.0f}"),
    ("kernels", lambda found: f"{found['kernels']:,.0f}"),
)
_KERNELS: tuple[Column, ...] = (
    ("calls", lambda found: f"{found['calls']:,.0f}"),
    ("us", lambda found: f"{found['us']:,.1f}"),
)


def profile_step(name: str, *, compiled: bool, batch: int, seconds: float) -> Figures:
    """Times steps for about `seconds`, then profiles three: figures are of one step."""
    device = choose_device(DeviceChoice.auto)
    dtype = choose_dtype(Precision.auto, device)
    network = ResNet(NETWORKS[name])
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    split, normalizer = made_up_images(network.architecture, device)
    loader = ResidentLoader(split=split, normalizer=normalizer, batch_size=batch, seed=0)
    captured = choose_capture(Switch.auto, device, dtype=dtype, world=1)
    capture = partial(CapturedGraph, warn=refuse) if captured else None
    step = training_step(network, loader, dtype=dtype, compiled=compiled, capture=capture)
    numbers = count()

    def train() -> None:
        step(*loader.draw(next(numbers)), lr=0.001)

    began = time.perf_counter()
    train()
    step.read_totals()
    first = time.perf_counter() - began
    began = time.perf_counter()
    train()
    step.read_totals()
    steps = max(2, round(seconds / (time.perf_counter() - began)))
    began = time.perf_counter()
    for _ in range(steps):
        train()
    host = (time.perf_counter() - began) / steps
    step.read_totals()
    whole = (time.perf_counter() - began) / steps
    return {
        "first_step_s": first,
        "host_us": 1e6 * host,
        "step_us": 1e6 * whole,
        "images_per_second": batch / whole,
        **_kernels(train, device),
    }


def _kernels(train: Callable[[], None], device: torch.device) -> Figures:
    """How many kernels a step runs, and those that take longest, with their time a step."""
    cuda = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU]) as profiler:
        for _ in range(_PROFILED_STEPS):
            train()
        if cuda:
            torch.cuda.synchronize()
    rows = [
        (row.key, row.count, row.self_device_time_total if cuda else row.self_cpu_time_total)
        for row in profiler.key_averages()
    ]
    longest = sorted(rows, key=lambda row: -row[2])[:_SHOWN]
    return {
        "kernels": sum(calls for _, calls, _ in rows) / _PROFILED_STEPS,
        "longest": {
            name: {"calls": calls / _PROFILED_STEPS, "us": us / _PROFILED_STEPS}
            for name, calls, us in longest
        },
    }


def measure(settings: Settings) -> tuple[str, Any]:
    """Each network in a process of its own, eager and compiled."""
    rows = [(name, words) for name in PROFILED for words in ([], ["--compile"])]
    found = measure_each(
        {
            " ".join([name, *words]): partial(_measured, name, words, settings)
            for name, words in rows
        }
    )
    return markdown(found), found


def _measured(name: str, words: list[str], settings: Settings) -> Figures:
    words = [name, *words, "--json"]
    told = output_of("scripts.benchmark.step_profile", words, deadline=settings.deadline)
    figures: Figures = json.loads(told.splitlines()[-1])[name]
    return figures


def markdown(found: dict[str, Figures]) -> str:
    """A row for each network, then each one's kernels that take longest."""
    text = [table(found, _COLUMNS)]
    for name, figures in found.items():
        if "longest" in figures:
            text.append(f"{name}, by time:\n\n{table(_short(figures['longest']), _KERNELS)}")
    return "\n\n".join(text)


def _short(rows: dict[str, Figures]) -> dict[str, Figures]:
    """Kernels of C++ templates have names of hundreds of characters."""
    return {f"`{name[:70]}`": figures for name, figures in rows.items()}


def parts(settings: Settings) -> list[Part]:
    title = "Where the time of a training step goes (batch 128)"
    return [Part(key="profile", title=title, measure=partial(measure, settings))]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmark.step_profile",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("networks", nargs="+", choices=NETWORKS, metavar="NETWORK")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=2, help="that steps are timed for")
    parser.add_argument("--json", action="store_true", help="figures instead of tables")
    options = parser.parse_args()
    make_exact()
    keep_memory()
    found = {
        name: profile_step(
            name, compiled=options.compile, batch=options.batch, seconds=options.seconds
        )
        for name in options.networks
    }
    print(json.dumps(found) if options.json else markdown(found))


if __name__ == "__main__":
    main()
