"""Estimates the memory that a batch takes.

On a CPU this warns before the kernel kills the run; on a GPU it explains an out-of-memory error.
"""

import math

import torch
from torch import Tensor

from resnet_cli.models.comparison import AnyNetwork
from resnet_cli.models.complexity import layers
from resnet_cli.models.layers import recomputing
from resnet_cli.models.resnet import Network
from resnet_cli.runtime.device import autocast, is_emulated

# Measured, as multiples of the largest map: gradients in flight and workspaces of convolutions;
# and, with activation checkpointing, the maps of the block that is recomputed.
_OVERHEAD = 20
_RECOMPUTED = 12
# Measured, too: how much of the unfolded maps of all convolutions, which come and go, is left as
# holes between what is kept; it varies from run to run (0 to 0.8, ResNet-20 to 110).
_UNFOLDED = 0.5
_USABLE = 0.9  # of the free memory; the rest is lost to fragmentation


def bytes_per_image(network: Network, *, image_size: int, dtype: torch.dtype) -> float:
    """Estimates the peak memory of a training step, in bytes per image.

    The tensors saved for the backward pass are counted, and the maps that emulated convolutions
    unfold; the overheads were measured.
    """
    (two, _), (four, largest) = (
        saved_for_backward(network, images, image_size=image_size, dtype=dtype) for images in (2, 4)
    )
    maps = _OVERHEAD + _RECOMPUTED * network.activation_checkpointing
    estimate = (four - two) / 2 + maps * largest / 4
    if is_emulated(dtype, next(network.parameters()).device):
        estimate += (
            _UNFOLDED * dtype.itemsize * unfolded(network.architecture, image_size=image_size)
        )
    return estimate


def unfolded(net: AnyNetwork, *, image_size: int) -> int:
    """Numbers that the convolutions of one image read: those of each output side by side, as
    im2col lays them out. A 1x1 convolution reads its map as it is, fc none.
    """
    return sum(
        layer.inputs * layer.size**2 * layer.side**2
        for layer in layers(net, image_size=image_size)
        if layer.size > 1
    )


def saved_for_backward(
    network: Network, images: int, *, image_size: int, dtype: torch.dtype
) -> tuple[int, int]:
    """Bytes that a forward pass saves for the backward pass, and those of the largest tensor."""
    weight = next(network.parameters())
    storages: dict[int, int] = {}

    def record(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    batch = torch.zeros(images, 3, image_size, image_size, device=weight.device)
    batch = batch.contiguous(memory_format=torch.channels_last)
    with (
        torch.autograd.graph.saved_tensors_hooks(record, lambda tensor: tensor),
        recomputing(),
        autocast(weight.device, dtype),
    ):
        loss = network.train()(batch).sum()
    assert loss.requires_grad
    return sum(storages.values()), max(storages.values())


def advice(
    images: int,
    *,
    per_image: float,
    room: float,
    activation_checkpointing: bool,
    unit: int = 1,
    devices: int = 1,
) -> str:
    """Advises a batch size that fits into `room` bytes per device, where `images` images do not.

    `unit`: each device gets this number of images times a power of two. `per_image`: bytes.
    """
    most = min(_USABLE * room / per_image, images - 1) / unit
    advised = (
        f"batch_size={devices * unit * 2 ** math.floor(math.log2(most))} would fit"
        if most >= 1
        else "no batch would fit"
    )
    if activation_checkpointing:
        return advised
    return f"{advised}; activation_checkpointing=true needs less"
