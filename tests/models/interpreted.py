"""Runs fused kernels in Triton's interpreter, which needs no GPU: a program of its own, since
Triton decides how to run a kernel when the kernel is defined.

    TRITON_INTERPRET=1 python -m tests.models.interpreted GIVEN.pt FOUND.pt

GIVEN.pt holds keyword arguments of the functions below, by the name of a case.
"""

import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from resnet_cli.models.architecture import Architecture
from resnet_cli.models.fused.launch import (
    Carried,
    Read,
    convolve,
    input_gradient,
    pool,
    reduce,
    unpool,
    weight_gradient,
)
from resnet_cli.models.fused.trunk import FusedResNet
from resnet_cli.models.layers import BatchNorm
from resnet_cli.models.resnet import ResNet
from resnet_cli.training.casting import CastOnce

Found = dict[str, Tensor | None]
Way = tuple[Tensor, int, int]  # a shortcut's map, its stride, its zeros in front


def layer(
    *,
    x: Tensor,
    table: Tensor | None,
    shortcut: Way | None,
    keep: bool,
    weight: Tensor,
    stride: int,
    bn: dict[str, Tensor],
    grad: Tensor,
    means: Tensor,
    carried: Way | None,
) -> Found:
    """A convolution with its BN, forward, and back from the gradient `grad` behind the BN."""
    norm = BatchNorm(len(weight))
    norm.load_state_dict(bn)
    kept = torch.full_like(x, torch.nan) if keep else None
    read = Read(x=x, table=table, shortcut=_carried(shortcut), kept=kept)
    convolved = convolve(read, weight, stride=stride, bn=norm)
    found = {"z": convolved.z, "table": convolved.table, "kept": kept}
    found |= {"mean": norm.running_mean, "var": norm.running_var}
    grad_weight, behind = torch.empty_like(weight), None
    parts = weight_gradient(grad, convolved, means, read=read, stride=stride)
    if table is not None:
        behind = input_gradient(
            grad, convolved, means, read=read, weight=weight, stride=stride,
            carried=_carried(carried),
        )  # fmt: skip
    sums = reduce(parts, grad_weight, behind=behind, table=table)
    found["grad_weight"] = grad_weight
    if behind and sums:
        found |= {"grad": behind.grad, "means": sums.means}
        found |= {"grad_scale": sums.scale, "grad_shift": sums.shift}
    return found


def head(*, x: Tensor, table: Tensor, shortcut: Way | None, grad: Tensor) -> Found:
    """The global average pool, and back."""
    read = Read(x=x, table=table, shortcut=_carried(shortcut))
    behind = unpool(grad, read)
    sums = reduce(None, None, behind=behind, table=table)
    assert sums
    return {
        "pooled": pool(read),
        "grad": behind.grad,
        "grad_scale": sums.scale,
        "grad_shift": sums.shift,
    }


def statistics(*, x: Tensor, weight: Tensor) -> Found:
    """Mean and 1 / deviation of a convolution's output."""
    convolved = convolve(Read(x=x), weight, stride=1, bn=BatchNorm(len(weight)))
    return {"mean": convolved.table[0], "inverse": convolved.table[1]}


def network(
    *, net: Architecture, state: dict[str, Tensor], images: Tensor, labels: Tensor, fp16: bool
) -> Found:
    """A step's logits, gradients and running averages."""
    resnet = ResNet(net).to(memory_format=torch.channels_last)
    resnet.load_state_dict(state)
    fused: torch.nn.Module = FusedResNet(resnet)
    if fp16:
        # the interpreter multiplies the bits of bf16 as if they were integers
        fused = CastOnce(fused, torch.float16)
    with torch.autocast("cpu", torch.float16) if fp16 else nullcontext():
        logits = fused(images)
    cross_entropy(logits.float(), labels).backward()
    averages = {name: buffer for name, buffer in resnet.named_buffers() if "running" in name}
    return {
        "logits": logits.detach(),
        **{name: weight.grad for name, weight in resnet.named_parameters()},
        **averages,
    }


def _carried(way: Way | None) -> Carried | None:
    return Carried(map=way[0], stride=way[1], before=way[2]) if way else None


_KINDS: dict[str, Callable[..., Found]] = {
    "layer": layer,
    "head": head,
    "statistics": statistics,
    "network": network,
}


def main(given: str, found: str) -> None:
    cases: dict[str, dict[str, Any]] = torch.load(given, weights_only=False)
    torch.save({name: _KINDS[name.split()[0]](**case) for name, case in cases.items()}, found)


if __name__ == "__main__":
    main(*sys.argv[1:])
