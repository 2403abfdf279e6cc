"""Trains a small network in float64, in however many processes it is started; the first writes
weights, BN statistics and counts to the file that is named.

In float64 two orders of summation differ by so little that a tolerance can be strict: in float32
every step would make the difference grow, on each CPU another one.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resnet_cli.data.images import Normalizer, Split
from resnet_cli.data.resident import ResidentLoader
from resnet_cli.models.architecture import Shortcut, cifar
from resnet_cli.models.layers import set_bn_groups
from resnet_cli.models.resnet import ResNet
from resnet_cli.runtime.distributed import Context, process_group
from resnet_cli.training.step import TrainStep, make_optimizer
from tests.helpers.networks import PAPER_SGD
from tests.helpers.processes import PATIENCE

STEPS = 6  # of 32 images, of which an epoch has 100


def train(context: Context, *, bn_batch: int | None = None) -> dict[str, Any]:
    """What `STEPS` steps leave: the network's state, the summed loss and how many were wrong."""
    torch.manual_seed(0)
    split = Split(torch.randint(256, (100, 3, 32, 32), dtype=torch.uint8), torch.arange(100) % 10)
    pixels = Normalizer(torch.full((3, 1, 1), 0.5), torch.ones(3, 1, 1))
    loader = ResidentLoader(
        split=split, normalizer=pixels, batch_size=32, seed=3, part=context.part
    )
    network = ResNet(cifar(8, shortcut=Shortcut.A)).double()
    set_bn_groups(network, bn_batch)

    def prepare(*drawn: Tensor) -> tuple[Tensor, Tensor]:
        images, labels = loader.prepare(*drawn)
        return images.double(), labels

    optimizer = make_optimizer(network, **PAPER_SGD)
    step = TrainStep(
        network,
        optimizer,
        dtype=torch.float32,
        compiled=False,
        prepare=prepare,
        context=context,
    )
    for iteration in range(STEPS):
        step(*loader.draw(iteration), lr=0.01)
    loss, wrong, _ = step.read_totals()
    return {"network": network.state_dict(), "loss": loss, "wrong": wrong}


def main() -> None:
    """Not at the top of the module: what stands there lives until Python ends."""
    with process_group(torch.device("cpu"), timeout=PATIENCE) as everyone:
        left = train(everyone)
        if everyone.is_main:
            torch.save(left, sys.argv[1])


def threads() -> list[str]:
    """What the threads of this process are called, on Linux."""
    return [name.read_text().strip() for name in Path("/proc/self/task").glob("*/comm")]


if __name__ == "__main__":
    main()
    # one that lives on while Python ends may abort the process, seen once in some twenty
    assert not [name for name in threads() if "gloo" in name], threads()
