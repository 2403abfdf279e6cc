"""What a network costs: parameters and multiply-adds, the paper's "FLOPs"."""

from functools import lru_cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from resnet_cli.models.architecture import Architecture
from resnet_cli.models.resnet import ResNet


def parameters(architecture: Architecture) -> int:
    """Learned values: convolutions, BN scales and shifts, fc."""
    with torch.device("meta"):  # shapes alone; nothing is allocated
        return sum(weight.numel() for weight in ResNet(architecture).parameters())


@lru_cache
def multiply_adds(architecture: Architecture, *, image_size: int) -> int:
    """Multiply-adds of convolutions and fc for one image of `image_size` pixels a side (Table
    1's count).
    """
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        ResNet(architecture).eval()(torch.empty(1, 3, image_size, image_size))
    return counter.get_total_flops() // 2  # the counter says 2 for a multiply and its add
