"""The cost of a network: its parameters and its multiply-adds, the paper's "FLOPs"."""

from functools import lru_cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from resnet_cli.models.architecture import Architecture
from resnet_cli.models.resnet import ResNet


def parameters(architecture: Architecture) -> int:
    """Number of learned parameters: convolutions, BN scales and shifts, fc."""
    with torch.device("meta"):  # shapes only, nothing is allocated
        return sum(weight.numel() for weight in ResNet(architecture).parameters())


@lru_cache
def multiply_adds(architecture: Architecture, *, image_size: int) -> int:
    """Multiply-adds of the convolutions and fc for one image, as Table 1 counts them.

    `image_size`: side of the image in pixels.
    """
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        ResNet(architecture).eval()(torch.empty(1, 3, image_size, image_size))
    return counter.get_total_flops() // 2  # the counter counts a multiply-add as 2
