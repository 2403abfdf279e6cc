"""Views of images and their scores: one crop, ten crops, or dense (sections 3.4 and 4.1).

The first half cuts PIL images (RGB) into uint8 views, in worker processes; the second turns
normalized views on the device into softmax scores. What is averaged is always the softmax, never
the logits. A mirrored view is in the same batch as its original, which takes the memory of twice
the images given.
"""

import math
from collections.abc import Iterable

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d

from resnet_cli.data.crops import resized_size
from resnet_cli.models.resnet import ResNet
from resnet_cli.runtime.device import autocast
from resnet_cli.runtime.errors import DataError

_MOST_PIXELS = 50_000_000  # of a view: at 640, one that is 122 times as long as high


def resize_shorter(image: Image.Image, side: int) -> Image.Image:
    """Resizes the shorter side to `side` pixels: bilinear, the longer side rounded down.

    Raises DataError for an image so thin that it would not fit into memory.
    """
    if min(image.size) == side:
        return image
    size = resized_size(*image.size, shorter=side)
    if math.prod(size) > _MOST_PIXELS:
        raise DataError(
            f"{image.width} x {image.height} pixels are too thin for a shorter side of {side}: "
            f"it would be {size[0]:,} x {size[1]:,}"
        )
    return image.resize(size, Image.Resampling.BILINEAR)


def image_to_tensor(image: Image.Image) -> Tensor:
    """The pixels of an RGB image: uint8 [3, H, W]."""
    assert image.mode == "RGB", image.mode
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def center_crop(image: Image.Image, size: int) -> Tensor:
    """The center crop, the only view of `Views.single`: uint8 [1, 3, size, size].

    Raises ValueError if the image is smaller.
    """
    return _crops(image, [_center(image, size)], size=size)


def five_crop(image: Image.Image, size: int) -> Tensor:
    """Top left, top right, bottom left, bottom right and center: uint8 [5, 3, size, size].

    Raises ValueError if the image is smaller.
    """
    bottom, right = image.height - size, image.width - size
    return _crops(
        image, [(0, 0), (0, right), (bottom, 0), (bottom, right), _center(image, size)], size=size
    )


def _center(image: Image.Image, size: int) -> tuple[int, int]:
    """Top and left of the center crop; half a pixel is rounded to even, as in torchvision."""
    return round((image.height - size) / 2), round((image.width - size) / 2)


def _crops(image: Image.Image, corners: list[tuple[int, int]], *, size: int) -> Tensor:
    """Square crops with these top left `corners`: uint8 [corners, 3, size, size]."""
    if size > min(image.size):
        raise ValueError(
            f"no crop of {size} pixels a side fits into an image of {image.width} x {image.height}"
        )
    pixels = image_to_tensor(image)
    return torch.stack([pixels[:, top : top + size, left : left + size] for top, left in corners])


@torch.inference_mode()
def scores_of(network: nn.Module, images: Tensor, *, dtype: torch.dtype) -> Tensor:
    """Softmax scores of normalized images [N, 3, H, W]: float32 [N, classes].

    The network must be in eval mode.
    """
    with autocast(images.device, dtype):
        logits = network(images.contiguous(memory_format=torch.channels_last))
    return logits.float().softmax(dim=1)


@torch.inference_mode()
def ten_crop_scores(network: nn.Module, crops: Tensor, *, dtype: torch.dtype) -> Tensor:
    """Softmax scores averaged over crops and their mirror images.

    Normalized crops [N, 5, 3, S, S] -> float32 [N, classes]. The crops are mirrored (Krizhevsky et
    al. 2012, section 4.1), whereas torchvision's `ten_crop` crops the mirrored image: if the margin
    is odd, its tenth view is shifted by one pixel.
    """
    scores = scores_of(network, _with_mirror_images(crops.flatten(0, 1)), dtype=dtype)
    return scores.unflatten(0, (2, *crops.shape[:2])).mean(dim=(0, 2))


@torch.inference_mode()
def dense_scores(network: ResNet, images: Tensor, *, window: int, dtype: torch.dtype) -> Tensor:
    """Softmax scores of the fully convolutional form of the network on whole images.

    Normalized [N, 3, H, W] -> float32 [N, classes]. The global average pool becomes one of `window`
    x `window` (see `window_of`) with stride 1, and the fc a 1x1 convolution. Each position is then
    a view of its own: the softmax is taken per position, then averaged over the positions and the
    two mirror images, as ten-crop averages the softmax of its crops. The window is clipped to the
    map if that is smaller (section 3.4).
    """
    with autocast(images.device, dtype):
        maps = network.features(_with_mirror_images(images))
        size = [min(window, side) for side in maps.shape[2:]]
        logits = conv2d(
            avg_pool2d(maps, size, stride=1), network.fc.weight[:, :, None, None], network.fc.bias
        )
    return logits.float().softmax(dim=1).mean(dim=(2, 3)).unflatten(0, (2, -1)).mean(dim=0)


def multi_scale_scores(
    network: ResNet, scales: Iterable[Tensor], *, window: int, dtype: torch.dtype
) -> Tensor:
    """`dense_scores` averaged over the same images at several scales, all of equal weight.

    `scales` yields normalized images [N, 3, H, W], each scale with its own H and W. It may be a
    generator, so that only one scale at a time is in memory.
    """
    return torch.stack(
        [dense_scores(network, images, window=window, dtype=dtype) for images in scales]
    ).mean(dim=0)


def _with_mirror_images(images: Tensor) -> Tensor:
    """[N, 3, H, W] -> channels_last [2N, 3, H, W]: the images, then each mirrored."""
    images = images.contiguous(
        memory_format=torch.channels_last
    )  # twice as fast before the flip as after
    return torch.cat([images, images.flip(-1)])


def window_of(network: ResNet, image_size: int) -> int:
    """Side of the last map for training images of `image_size` pixels.

    7 for the networks of Table 1 and 224 pixels.
    """
    return math.ceil(image_size / network.architecture.stride)
