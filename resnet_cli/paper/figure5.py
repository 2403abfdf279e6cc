"""The arithmetic of Fig. 5: what a bottleneck saves, counted on real modules."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from resnet_cli.models.architecture import Shortcut, imagenet
from resnet_cli.models.blocks import BasicBlock, Bottleneck

_SIDE = 56  # pixels: the first stage of Table 1


def _count(module: nn.Module, *, channels: int) -> tuple[int, int]:
    """Weights of its convolutions, and multiply-adds on a map of 56x56; shapes alone."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module.eval()(torch.empty(1, channels, _SIDE, _SIDE, device="meta"))
    convolutions = [part for part in module.modules() if isinstance(part, nn.Conv2d)]
    weights = sum(part.weight.numel() for part in convolutions)
    return weights, counter.get_total_flops() // 2  # it counts a multiply and its add as 2


def as_text() -> str:
    """A line for each way to go from 64 or 256 channels to as many."""
    basic, deep = imagenet(34, shortcut=Shortcut.A), imagenet(50, shortcut=Shortcut.B)
    with torch.device("meta"):
        ways = {
            "basic block, 64 channels (Fig. 5 left): 3x3, 64; 3x3, 64": (
                BasicBlock(basic, 64, width=64, stride=1),
                64,
            ),
            "bottleneck, 256 channels (Fig. 5 right): 1x1, 64; 3x3, 64; 1x1, 256": (
                Bottleneck(deep, 256, width=64, stride=1),
                256,
            ),
            "a single 3x3, 256 -> 256": (nn.Conv2d(256, 256, 3, padding=1, bias=False), 256),
            "basic block, 256 channels: 3x3, 256; 3x3, 256": (
                BasicBlock(basic, 256, width=256, stride=1),
                256,
            ),
        }
    lines = [f"{'':<69} {'weights':>9}  {f'multiply-adds at {_SIDE}x{_SIDE}':>22}"]
    for name, (module, channels) in ways.items():
        weights, work = _count(module, channels=channels)
        lines.append(f"{name:<69} {weights:>9,}  {work:>22,}")
    parts = (part for part in ways.values() if isinstance(part[0], Bottleneck))
    bottleneck, _ = next(parts)
    told = " + ".join(
        f"{part.weight.numel():,}" for part in bottleneck.modules() if isinstance(part, nn.Conv2d)
    )
    lines += [
        "",
        f"A bottleneck's weights are {told}. It carries 256 channels for",
        "about the cost of a basic block of 64, and has three layers to that block's two.",
    ]
    return "\n".join(lines)
