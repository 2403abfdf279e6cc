"""How much a GPU is given in one training step, counted without one.

Every operation that computes is a launch on a GPU, of about 3 microseconds. Views, allocations and
the profiler's marks are none. A CUDA graph replays them without the host, but not without gaps.
What is compiled launches fewer (`launches`).
"""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from resnet_cli.data.images import Normalizer, Split
from resnet_cli.data.resident import ResidentLoader
from resnet_cli.models.resnet import ResNet
from resnet_cli.models.zoo import NETWORKS
from resnet_cli.training.step import TrainStep, make_optimizer
from scripts.benchmark.plan import Part
from scripts.benchmark.process import output_of
from scripts.benchmark.report import Column, Figures, table

COUNTED = ("resnet20", "resnet56", "resnet110")
COMPILED = ("resnet20", "resnet56")  # half a minute and two
_NO_KERNELS = ("aten.empty", "aten.detach", "profiler.")
_COLUMNS: tuple[Column, ...] = (
    ("operations a step", lambda found: f"{found['step']:,}"),
    ("of them for the batch", lambda found: f"{found['batch']:,}"),
)
_LAUNCHES: tuple[Column, ...] = (
    ("forward", lambda found: f"{found['forward']:,}"),
    ("backward", lambda found: f"{found['backward']:,}"),
)


class OperationCounter(TorchDispatchMode):
    """Counts, by name, the operations that compute something while it is open."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not func.is_view and not str(func).startswith(_NO_KERNELS):
            self.counts[str(func)] += 1
        return func(*args, **(kwargs or {}))


def make_step(
    name: str, through: Callable[[ResNet], nn.Module] | None = None
) -> tuple[TrainStep, ResidentLoader]:
    """A step of `resnet-train model=NAME compile=off` in bf16, and what loads its batch."""
    network = ResNet(NETWORKS[name]).to(memory_format=torch.channels_last)
    images = torch.zeros(16, 3, 32, 32, dtype=torch.uint8)
    loader = ResidentLoader(
        split=Split(images, torch.zeros(16, dtype=torch.int64)),
        normalizer=Normalizer(torch.zeros(3, 32, 32), torch.ones(3, 1, 1)),
        batch_size=8,
        seed=0,
    )
    step = TrainStep(
        network,
        make_optimizer(network, lr=0.1, momentum=0.9, weight_decay=1e-4, nesterov=False),
        dtype=torch.bfloat16,
        compiled=False,
        prepare=loader.prepare,
        through=through(network) if through else None,
    )
    return step, loader


def count(name: str) -> Figures:
    """Operations of such a step, and of its batch."""
    step, loader = make_step(name)
    drawn = loader.draw(0)
    with OperationCounter() as whole:
        step._train_on(*drawn)
    with OperationCounter() as batch:
        loader.prepare(*drawn)
    return {"step": whole.counts.total(), "batch": batch.counts.total()}


def measure() -> tuple[str, Any]:
    found = {name: count(name) for name in COUNTED}
    return table(found, _COLUMNS), found


def measure_launches() -> tuple[str, Any]:
    """Raises NotMeasured where PyTorch's compiler for GPUs is missing, or another than it was."""
    found = json.loads(output_of("scripts.benchmark.launches", COMPILED))
    return table(found, _LAUNCHES), found


def parts() -> list[Part]:
    return [
        Part(key="kernels", title="Operations of an eager step in bf16", measure=measure),
        Part(
            key="launches",
            title="Triton launches of a compiled step in bf16, beside the convolutions",
            measure=measure_launches,
        ),
    ]
