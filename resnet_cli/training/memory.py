"""How much memory a batch takes, told before a CPU's kernel kills the run for it, and after a
GPU has refused.
"""

import math

import torch
from torch import Tensor

from resnet_cli.models.layers import recomputing
from resnet_cli.models.resnet import ResNet
from resnet_cli.runtime.device import autocast

# the gradients on their way and what a convolution takes for itself: measured, about so many of the
# largest map
ON_TOP = 20
AGAIN = 12  # with checkpointing: the maps of the block that is computed again
SPARE = 0.9  # of what is free; the rest goes to what lies between blocks of memory


def bytes_per_image(network: ResNet, *, image_size: int, dtype: torch.dtype) -> float:
    """What a step holds of each image at most: what is kept for the backward pass, counted, and
    what that needs on top.
    """
    (two, _), (four, largest) = (
        kept(network, images, image_size=image_size, dtype=dtype) for images in (2, 4)
    )
    return (four - two) / 2 + (ON_TOP + AGAIN * network.checkpoints) * largest / 4


def kept(network: ResNet, images: int, *, image_size: int, dtype: torch.dtype) -> tuple[int, int]:
    """Bytes that a forward pass keeps for the backward pass, and those of the largest tensor
    among them.
    """
    weight = network.fc.weight
    storages: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    pictures = torch.zeros(images, 3, image_size, image_size, device=weight.device).contiguous(
        memory_format=torch.channels_last
    )
    with (
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
        recomputing(),
        autocast(weight.device, dtype),
    ):
        loss = network.train()(pictures).sum()
    assert loss.requires_grad
    return sum(storages.values()), max(storages.values())


def advice(
    images: int,
    *,
    per_image: float,
    room: float,
    checkpointing: bool,
    unit: int = 1,
    times: int = 1,
) -> str:
    """What would fit in `room` bytes instead of `images` images: `unit` of them, or twice, or
    four times..., on each of `times` devices.
    """
    most = min(SPARE * room / per_image, images - 1) / unit
    words = (
        f"batch_size={times * unit * 2 ** math.floor(math.log2(most))} would fit"
        if most >= 1
        else "no batch would fit"
    )
    return words if checkpointing else f"{words}; activation_checkpointing=true needs less"
