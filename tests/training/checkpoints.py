"""A small checkpoint, as a run of two layers would save it, to be saved, broken and read."""

import dataclasses
import struct
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from resnet_cli.training.checkpoint import Checkpoint, Pixels
from resnet_cli.training.progress import Progress

DEEP = "here it is nested"  # stands in a value for what `write_nested` puts there


def write_nested(path: Path, *, depth: int) -> None:
    """Replaces DEEP in a saved file by a list of a list of a list..., which no pickler writes."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    text = b"X" + struct.pack("<I", len(DEEP)) + DEEP.encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data.replace(text, b"]" * depth + b"a" * (depth - 1)))


def small_network(*, width: int = 4) -> nn.Sequential:
    """Every kind of tensor that ours have: weights, statistics, a counter."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width))
    network(torch.randn(2, 3, 8, 8))
    return network


def small_optimizer(network: nn.Module) -> torch.optim.SGD:
    """As `make_optimizer` makes one, after a step."""
    optimizer = torch.optim.SGD(network.parameters(), 0.1, 0.9, fused=True)
    for weight in network.parameters():
        optimizer.state[weight]["momentum_buffer"] = torch.randn_like(weight)
    return optimizer


def momentum_of(network: nn.Module) -> dict[int, dict[str, Tensor]]:
    """As an optimizer's state_dict has it."""
    return dict(small_optimizer(network).state_dict()["state"])


def made_up(iteration: int = 30) -> Checkpoint:
    """A checkpoint at an iteration, whose first bias is all that number."""
    network = small_network()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    state["0.bias"] = torch.full((4,), float(iteration))
    return Checkpoint(
        config={"seed": 0},
        command="resnet-train",
        classes=["cat", "dog"],
        progress=Progress(
            iteration=iteration,
            seconds=1.5,
            at_log=(iteration, 2.5, 3),
            last={"train/loss": 2.5, "train/error": 30.0},
            best_error=50.0,
            best_iteration=iteration,
        ),
        network=state,
        momentum=momentum_of(network),
        totals=torch.tensor([[2.5, 3.0, float(iteration)]], dtype=torch.float64),
        normalizer=Pixels(mean=torch.full((3, 8, 8), 0.5), std=torch.ones(3, 1, 1)),
    )


def content(iteration: int = 30) -> dict[str, Any]:
    """What its file holds, besides the format."""
    return dataclasses.replace(made_up(iteration)).to_content()
