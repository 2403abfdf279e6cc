"""Training and testing one network after the other, ours beside the usual script."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from resnet_cli.models.zoo import NETWORKS
from resnet_cli.runtime.choices import Precision
from resnet_cli.runtime.compile import missing_for_compiling
from resnet_cli.runtime.device import DTYPES, choose_dtype, precision_name
from scripts.benchmark.limits import Limits, operations, traffic
from scripts.benchmark.plan import Part, Settings
from scripts.benchmark.report import SPEED, Column, Figures, race_table
from scripts.benchmark.turns import race_processes

# Network -> batch; the most telling networks first.
BATCHES = {"resnet20": 128, "resnet50": 16, "resnet18": 32, "resnet110": 128, "resnet56": 128}
GPU_BATCHES = BATCHES | {"resnet18": 256, "resnet50": 256}
TESTING_BATCH = {"cpu": 250, "cuda": 1000}  # ours; the usual script tests 100 images at a time
PHOTOGRAPHS = 100


def column(title: str, key: str, form: str) -> Column:
    return title, lambda found: format(found[key], form) if key in found else ""


COLUMNS = (
    *SPEED,
    column("peak GiB", "peak_gib", ".2f"),
    column("launches a step", "launches", ","),
    column("of a matmul's rate", "of_matmul", ".0%"),
    column("of a copy's rate", "of_copy", ".0%"),
)


@dataclass(frozen=True, kw_only=True)
class Task:
    """What the contestants of a race do: train or test a network."""

    network: str
    testing: bool
    device: str  # cpu or cuda
    fast: Precision  # the quickest this machine has

    @property
    def photographs(self) -> bool:
        return NETWORKS[self.network].num_classes == 1000

    @property
    def side(self) -> int:
        return 224 if self.photographs else 32

    @property
    def batch(self) -> int:
        """Of training."""
        return (GPU_BATCHES if self.device == "cuda" else BATCHES)[self.network]

    @property
    def title(self) -> str:
        what = "testing" if self.testing else f"training, batch {self.batch}"
        return f"{self.network}, {what}, {self.side}x{self.side}"

    def contestants(self) -> dict[str, list[str]]:
        """Who takes part and how it is started; the usual script first."""
        ours = theirs = self.batch
        also = []
        if self.testing:
            ours = PHOTOGRAPHS if self.photographs else TESTING_BATCH[self.device]
            theirs = PHOTOGRAPHS
            also = ["--testing"]
        found = {"usual script, fp32": ["usual", self.network, str(theirs), *also]}
        for precision in dict.fromkeys((Precision.fp32, self.fast)):
            found[f"ours, {precision}"] = ["ours", self.network, str(ours), precision, *also]
        plain = found[f"ours, {self.fast}"]
        ways = {way: [*plain, *flags] for way, flags in self.quicker_ways().items()}
        return found | {f"ours, {self.fast}, {way}": command for way, command in ways.items()}

    def quicker_ways(self) -> dict[str, list[str]]:
        """Flags of ours beyond the plain way."""
        if self.device == "cpu":
            return {"compiled": ["--compile"]} if missing_for_compiling() is None else {}
        graph = {"one graph": ["--graph"]}
        if self.testing:  # never compiled on a GPU
            return graph
        return graph | {"compiled": ["--compile"], "compiled, one graph": ["--compile", "--graph"]}

    def shares(self, rate: float, limits: Limits, *, bytes_per_value: int) -> Figures:
        """How near to the machine's limits so many images/s are."""
        net = NETWORKS[self.network]
        work = operations(net, image_size=self.side, testing=self.testing)
        moved = traffic(
            net, image_size=self.side, testing=self.testing, bytes_per_value=bytes_per_value
        )
        return {
            "of_matmul": rate * work / limits.operations_per_second,
            "of_copy": rate * moved / limits.bytes_per_second,
        }

    def measure(self, settings: Settings, limits: Limits) -> tuple[str, Any]:
        found = race_processes(self.contestants(), settings, beside=limits.measure)
        for name, figures in found.items():
            if "rounds" in figures:
                dtype = DTYPES[Precision.fp32 if "fp32" in name else self.fast]
                rate = figures["images_per_second"]
                figures |= self.shares(rate, limits, bytes_per_value=dtype.itemsize)
        markdown = race_table(found, rounds=settings.rounds, columns=COLUMNS)
        return f"{markdown}\n\n{limits.text()}", found


def parts(settings: Settings, networks: list[str]) -> list[Part]:
    """Training of all networks, then testing."""
    dtype = choose_dtype(Precision.auto, settings.device)
    limits = Limits(settings.device, dtype)
    fast = Precision(precision_name(dtype))
    tasks = [
        Task(network=network, testing=testing, device=settings.device.type, fast=fast)
        for testing in (False, True)
        for network in networks
    ]
    return [
        Part(
            key=task.title,
            title=task.title,
            measure=partial(task.measure, settings, limits),
            beside=limits.figures,
        )
        for task in tasks
    ]
