"""Many seeds as one network, beside the same networks trained one after the other.

All of them together are what is counted: images/s of all seeds, launches of a step of each.
"""

from functools import partial
from typing import Any

from resnet_cli.runtime.choices import Precision
from resnet_cli.runtime.device import choose_dtype, precision_name
from scripts.benchmark.plan import Part, Settings
from scripts.benchmark.report import SPEED, race_table
from scripts.benchmark.training import Task, column
from scripts.benchmark.turns import race_processes

COLUMNS = (
    *SPEED,
    column("peak GiB", "peak_gib", ".2f"),
    column("launches", "launches", ","),
)


def contestants(task: Task, *, count: int, flags: list[str]) -> dict[str, list[str]]:
    """Who takes part and how it is started; the networks in turn first.

    On a GPU also packed, as by `jobs_per_device`, which never compiles.
    """
    ways = {"in turn": "turns", "as one network": "one"}
    if task.device == "cuda" and "--compile" not in flags:
        ways["packed"] = "packed"
    words = [task.network, str(count), str(task.batch), task.fast, *flags]
    return {name: ["seeds", how, *words] for name, how in ways.items()}


def measure(settings: Settings, commands: dict[str, list[str]]) -> tuple[str, Any]:
    found = race_processes(commands, settings)
    return race_table(found, rounds=settings.rounds, columns=COLUMNS), found


def parts(settings: Settings, networks: list[str], *, count: int) -> list[Part]:
    """A race for each network and each way of running a step."""
    fast = Precision(precision_name(choose_dtype(Precision.auto, settings.device)))
    found = []
    for network in networks:
        task = Task(network=network, testing=False, device=settings.device.type, fast=fast)
        for way, flags in {"": [], **task.quicker_ways()}.items():
            title = f"{count} seeds of {network}, training, batch {task.batch} each, {fast}"
            title += f", {way}" if way else ""
            commands = contestants(task, count=count, flags=flags)
            found.append(Part(key=title, title=title, measure=partial(measure, settings, commands)))
    return found
