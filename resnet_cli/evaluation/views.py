"""The paper's ways of testing (sections 3.4 and 4.1): one crop, ten crops, or the network slid over
whole images of several scales.

The image side cuts PIL images (RGB) into uint8 views, in a loader's workers; the network side turns
normalised views on the device into softmax scores. What is averaged is always the softmax, never
the logits. A mirrored view goes through the network in the same batch as its original: memory is
that of twice the images given.
"""

import math
from collections.abc import Iterable
from enum import StrEnum

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d

from resnet_cli.data.crops import resized
from resnet_cli.models.resnet import ResNet
from resnet_cli.runtime.device import autocast


class Views(StrEnum):
    """Which views of an image are scored."""

    single = "single"  # the centre crop: Fig. 4
    ten = "ten"  # four corners, the centre, and their mirror images: Tables 2 and 3
    # every position of whole images, mirrored too, at several scales: Tables 4 and 5
    dense = "dense"


def resize_shorter(image: Image.Image, side: int) -> Image.Image:
    """The image with its shorter side at `side` pixels, bilinear, the aspect kept; the longer
    side is rounded down.
    """
    if min(image.size) == side:
        return image
    return image.resize(resized(*image.size, side), Image.Resampling.BILINEAR)


def whole(image: Image.Image) -> Tensor:
    """All of an RGB image: uint8 [3, H, W]."""
    assert image.mode == "RGB", image.mode
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def centre(image: Image.Image, size: int) -> Tensor:
    """The central crop, the one view of `single`: uint8 [1, 3, size, size].

    Raises ValueError for a smaller image.
    """
    return crops(image, [middle(image, size)], size=size)


def corners_and_centre(image: Image.Image, size: int) -> Tensor:
    """Top left, top right, bottom left, bottom right, centre: uint8 [5, 3, size, size].

    Raises ValueError for a smaller image.
    """
    bottom, right = image.height - size, image.width - size
    return crops(
        image, [(0, 0), (0, right), (bottom, 0), (bottom, right), middle(image, size)], size=size
    )


def middle(image: Image.Image, size: int) -> tuple[int, int]:
    """Top and left of the central crop; a half pixel goes to the even side, as torchvision's."""
    return round((image.height - size) / 2), round((image.width - size) / 2)


def crops(image: Image.Image, places: list[tuple[int, int]], *, size: int) -> Tensor:
    """Squares at `places` (top, left): uint8 [places, 3, size, size]."""
    if size > min(image.size):
        raise ValueError(
            f"no crop of {size} pixels a side fits into an image of {image.width} x {image.height}"
        )
    pixels = whole(image)
    return torch.stack([pixels[:, top : top + size, left : left + size] for top, left in places])


@torch.inference_mode()
def scores_of(network: nn.Module, images: Tensor, *, dtype: torch.dtype) -> Tensor:
    """Softmax scores of normalised images [N, 3, H, W]: float32 [N, classes].

    The network must be in eval mode.
    """
    with autocast(images.device, dtype):
        logits = network(images.contiguous(memory_format=torch.channels_last))
    return logits.float().softmax(dim=1)


@torch.inference_mode()
def ten_crop_scores(network: nn.Module, crops: Tensor, *, dtype: torch.dtype) -> Tensor:
    """Softmax scores averaged over crops and their mirror images: normalised [N, 5, 3, S, S] ->
    float32 [N, classes].

    The mirror images are those of the crops (Krizhevsky et al. 2012, section 4.1). torchvision's
    `ten_crop` crops the mirrored image instead: where the margin is odd, its tenth view lies one
    pixel beside ours.
    """
    scores = scores_of(network, with_mirror_images(crops.flatten(0, 1)), dtype=dtype)
    return scores.unflatten(0, (2, *crops.shape[:2])).mean(dim=(0, 2))


@torch.inference_mode()
def dense_scores(network: ResNet, images: Tensor, *, window: int, dtype: torch.dtype) -> Tensor:
    """The network made fully convolutional, slid over whole images: normalised [N, 3, H, W] ->
    softmax scores float32 [N, classes].

    The global average pool becomes one of `window` x `window` (see `window_of`) with stride 1, and
    the fc a 1x1 convolution. Each position is then a view of its own, seen through `window` x
    `window` pixels of the last map: its softmax is taken first and averaged over positions and the
    two mirror images, as ten-crop averages the softmax of its crops. Where the map is smaller than
    the window, the window is clipped to it.
    """
    with autocast(images.device, dtype):
        maps = network.features(with_mirror_images(images))
        size = [min(window, side) for side in maps.shape[2:]]
        logits = conv2d(
            avg_pool2d(maps, size, stride=1), network.fc.weight[:, :, None, None], network.fc.bias
        )
    return logits.float().softmax(dim=1).mean(dim=(2, 3)).unflatten(0, (2, -1)).mean(dim=0)


def multi_scale_scores(
    network: ResNet, scales: Iterable[Tensor], *, window: int, dtype: torch.dtype
) -> Tensor:
    """`dense_scores` averaged over the same images at several sizes, each scale weighing the same
    whatever its positions.

    `scales` gives normalised images [N, 3, H, W], of another H and W each; it may make them one by
    one, so that one scale at a time is in memory.
    """
    return torch.stack(
        [dense_scores(network, images, window=window, dtype=dtype) for images in scales]
    ).mean(dim=0)


def with_mirror_images(images: Tensor) -> Tensor:
    """[N, 3, H, W] -> channels_last [2N, 3, H, W]: the images, then each mirrored."""
    images = images.contiguous(memory_format=torch.channels_last)  # first: twice as fast as after
    return torch.cat([images, images.flip(-1)])


def window_of(network: ResNet, image_size: int) -> int:
    """Side of the last map for training images of `image_size` pixels: 7 for 224 in the
    networks of Table 1.
    """
    return math.ceil(image_size / network.architecture.stride)
