"""Speed of ours beside the usual script, interleaved in one run on one machine.

    python scripts/benchmark.py                               training and testing: ResNet-20, 56,
    110, 18 and 50 python scripts/benchmark.py resnet20 --rounds 7           one network python
    scripts/benchmark.py --json speed.json --markdown speed.md python scripts/benchmark.py
    --imagenet                    photographs: loader, ten crops, the dense test, the index python
    scripts/benchmark.py --scale                       several processes and many runs: two ranks, a
    sweep's start, saving

Every contestant is a process of its own (scripts/usual.py, scripts/ours.py). Each round gives all
of them a turn; printed are medians over rounds, ratios taken round by round, and how near a
contestant comes to what this machine copies and multiplies at best in its quick precision, measured
in the same run (scripts/limits.py).
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from limits import Limits, operations, traffic
from turns import Contestant, Rates, interleave, summarise

from resnet_cli.models.zoo import NETWORKS
from resnet_cli.runtime.choices import DeviceChoice, Precision
from resnet_cli.runtime.compile import missing_for_compiling
from resnet_cli.runtime.device import DTYPES, choose_device, choose_dtype, describe, precision_name

BATCHES = {"resnet20": 128, "resnet56": 128, "resnet110": 128, "resnet18": 32, "resnet50": 16}
GPU_BATCHES = BATCHES | {"resnet18": 256, "resnet50": 256}
TESTING_BATCH = {"cpu": 250, "cuda": 1000}  # ours; the usual script tests 100 images at a time
PHOTOGRAPHS = 100
COLUMNS = (
    "",
    "images/s",
    "min - max",
    "ratio",
    "peak GiB",
    "launches a step",
    "of a matmul's rate",
    "of a copy's rate",
)


def contestants(
    name: str, device: torch.device, fast: Precision, *, batch: int, testing: bool
) -> dict[str, list[str]]:
    """What takes part, by name: the usual script first."""
    photographs = NETWORKS[name].num_classes == 1000
    size = (PHOTOGRAPHS if photographs else TESTING_BATCH[device.type]) if testing else batch
    theirs = PHOTOGRAPHS if testing else batch
    also = ["--testing"] if testing else []
    found = {"usual script, fp32": ["usual.py", name, str(theirs), *also]}
    for precision in dict.fromkeys((Precision.fp32, fast)):
        ours = ["ours.py", name, str(size), str(precision), *also]
        found[f"ours, {precision}"] = ours
        if precision is not fast:
            continue
        ways = {"one graph": ["--graph"]} if device.type == "cuda" else {}
        if device.type == "cuda" and not testing:  # testing on a GPU is never compiled
            ways |= {"compiled": ["--compile"], "compiled, one graph": ["--compile", "--graph"]}
        if device.type == "cpu" and missing_for_compiling() is None:
            ways |= {"compiled": ["--compile"]}
        found |= {f"ours, {precision}, {way}": [*ours, *flags] for way, flags in ways.items()}
    return found


def race(
    commands: dict[str, list[str]], *, rounds: int, seconds: float, limits: Limits
) -> tuple[Rates, dict[str, dict[str, Any]]]:
    """Rates, and what each contestant tells of itself."""
    running = []
    try:
        for name, command in commands.items():
            running.append(Contestant(name, command))
        rates = interleave(running, rounds=rounds, seconds=seconds, beside=limits.measure)
        return rates, {one.name: one.ask("") for one in running}
    finally:
        for one in running:
            one.close()


def table(report: dict[str, dict[str, Any]]) -> str:
    """Markdown."""
    rows = [COLUMNS, ("---",) * len(COLUMNS)]
    for name, found in report.items():
        speeds = found["rounds"]
        places = 1 if max(speeds) < 100 else 0
        speed, slowest, fastest = (
            f"{one:,.{places}f}" for one in (found["images_per_second"], min(speeds), max(speeds))
        )
        parts = f"{found['of_matmul']:.0%}", f"{found['of_copy']:.0%}"
        rows.append(
            (
                name,
                speed,
                f"{slowest} - {fastest}",
                f"{found['ratio']:.2f}",
                f"{found['peak_gib']:.2f}",
                f"{found['launches']:,}",
                *parts,
            )
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def measure(
    names: list[str],
    device: torch.device,
    *,
    rounds: int,
    seconds: float,
    tell: Callable[[str, dict[str, Any]], None],
) -> None:
    """All networks, training and testing; `tell` gets Markdown and data as they come."""
    dtype = choose_dtype(Precision.auto, device)
    fast, limits = Precision(precision_name(dtype)), Limits(device, dtype)
    for _ in range(3):
        limits.measure()
    for name in names:
        net, batch = NETWORKS[name], (BATCHES if device.type == "cpu" else GPU_BATCHES)[name]
        side = 224 if net.num_classes == 1000 else 32
        for testing in (False, True):
            commands = contestants(name, device, fast, batch=batch, testing=testing)
            rates, facts = race(commands, rounds=rounds, seconds=seconds, limits=limits)
            found = {
                contestant: one | facts[contestant] for contestant, one in summarise(rates).items()
            }
            for contestant, one in found.items():
                wide = torch.float32 if "fp32" in contestant else DTYPES[fast]
                needs = traffic(
                    net, image_size=side, testing=testing, bytes_per_value=wide.itemsize
                )
                one["of_matmul"] = (
                    one["images_per_second"]
                    * operations(net, image_size=side, testing=testing)
                    / limits.operations_per_second
                )
                one["of_copy"] = one["images_per_second"] * needs / limits.bytes_per_second
            title = f"{name}, {'testing' if testing else f'training, batch {batch}'}, {side}x{side}"
            tell(f"\n{title}\n\n{table(found)}", {title: found})
    best = {
        "copy GB/s, read and written": limits.bytes_per_second / 1e9,
        f"{fast} matmul TFLOP/s": limits.operations_per_second / 1e12,
    }
    tell(
        "\nThis machine's limits: "
        + ", ".join(f"{what} {value:,.2f}" for what, value in best.items()),
        {"limits": best},
    )


def commit() -> str:
    """Of the code that is measured."""
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
    )
    return found.stdout.strip() or "unknown"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "networks",
        nargs="*",
        default=list(BATCHES),
        metavar="NETWORK",
        help=f"of {', '.join(BATCHES)}; all, if none is named",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4, help="of each contestant's turn")
    parser.add_argument(
        "--imagenet", action="store_true", help="photographs instead: loader, views, index"
    )
    parser.add_argument(
        "--scale", action="store_true", help="several processes and many runs instead"
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    options = parser.parse_args()
    unknown = next((name for name in options.networks if name not in BATCHES), None)
    if unknown:
        parser.error(f"no network {unknown} here: there are {', '.join(BATCHES)}")
    if options.rounds < 1 or options.seconds <= 0:
        parser.error("--rounds must be at least 1, --seconds above 0")
    device = choose_device(DeviceChoice.auto)
    machine = {
        "device": describe(device),
        "torch": torch.__version__,
        "rounds": options.rounds,
        "commit": commit(),
    }
    report: dict[str, Any] = dict(machine)
    said: list[str] = []

    def tell(text: str, found: dict[str, Any]) -> None:
        print(text, flush=True)
        said.append(text)
        report.update(found)
        if options.json:
            options.json.write_text(json.dumps(report, indent=2) + "\n")
        if options.markdown:
            options.markdown.write_text("\n".join(said) + "\n")

    if options.imagenet:
        import benchmark_imagenet

        tell("", benchmark_imagenet.measure(device, rounds=options.rounds))
    elif options.scale:
        import benchmark_scale

        tell("", benchmark_scale.measure(device, rounds=options.rounds))
    else:
        head = (
            f"{machine['device']}, torch {torch.__version__}, commit {machine['commit']}; "
            f"medians of {options.rounds} interleaved rounds"
        )
        tell(head, {})
        measure(options.networks, device, rounds=options.rounds, seconds=options.seconds, tell=tell)
    return 0


if __name__ == "__main__":
    sys.exit(main())
