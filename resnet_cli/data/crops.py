"""Which part of a photograph a training step sees, and how it becomes size x size pixels: uint8, in
the loader's workers.

The random choices are functions of (seed, epoch, sample), as in `sampling`: a batch's draws are
made at once, its boxes one by one, since they depend on each photograph's own size.
"""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image, Resampling
from torch import Tensor

from resnet_cli.data.choices import Augmentation
from resnet_cli.data.sampling import mix

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels of the photograph

BITS = 20  # of a draw in `sampling.uniform`
ATTEMPTS = 10  # of the inception crop, as torchvision's
AREA, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)
FIRST_STREAM = 16  # of the attempts' hashes; the colours have those below


def sides(image_size: int) -> tuple[int, int]:
    """The range of the shorter side in training: the paper's [256, 480] for crops of 224, in
    proportion for other sizes.
    """
    return round(image_size * 256 / 224), round(image_size * 480 / 224)


def resized(width: int, height: int, shorter: int) -> tuple[int, int]:
    """Width and height once the shorter side is `shorter`; the other is rounded down, as
    torchvision's.
    """
    short, long = min(width, height), max(width, height)
    other = int(shorter * long / short)
    return (shorter, other) if width <= height else (other, shorter)


def draws(hashes: Tensor, augmentation: Augmentation) -> list[Any]:
    """The random bits of each crop of a batch, from its `hashes` int64 [N]: a number, or for
    inception ATTEMPTS pairs of them.
    """
    if augmentation is Augmentation.paper:
        return mix(hashes, FIRST_STREAM).tolist()
    streams = FIRST_STREAM + torch.arange(2 * ATTEMPTS).expand(len(hashes), -1)
    return mix(hashes[:, None].expand_as(streams), streams).view(-1, ATTEMPTS, 2).tolist()


def box(photograph: Image, bits: Any, augmentation: Augmentation, *, image_size: int) -> Box:
    """The part of a photograph that the `bits` of `draws` choose."""
    if augmentation is Augmentation.paper:
        return paper_box(*photograph.size, bits, image_size=image_size)
    return inception_box(*photograph.size, bits)


def paper_box(width: int, height: int, bits: int, *, image_size: int) -> Box:
    """Section 3.4: the shorter side is drawn, then a crop of `image_size` anywhere in the
    resized photograph.
    """
    smallest, largest = sides(image_size)
    shorter = smallest + pick(bits, largest - smallest + 1, lowest=0)
    new_width, new_height = resized(width, height, shorter)
    left = pick(bits, new_width - image_size + 1, lowest=BITS)
    top = pick(bits, new_height - image_size + 1, lowest=2 * BITS)
    x, y = width / new_width, height / new_height  # pixels of the photograph for one of the resized
    return left * x, top * y, (left + image_size) * x, (top + image_size) * y


def inception_box(width: int, height: int, attempts: list[list[int]]) -> Box:
    """8 to 100 % of the area at a ratio of 3:4 to 4:3, in ten attempts, else the largest centre
    of such a ratio: as torchvision's.
    """
    for where, what in attempts:
        area = width * height * between(AREA, what, lowest=0)
        ratio = math.exp(between((math.log(RATIO[0]), math.log(RATIO[1])), what, lowest=BITS))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = (
                pick(where, width - w + 1, lowest=0),
                pick(where, height - h + 1, lowest=BITS),
            )
            return left, top, left + w, top + h
    ratio = min(max(width / height, RATIO[0]), RATIO[1])
    w, h = min(width, round(height * ratio)), min(height, round(width / ratio))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def pick(bits: int, count: int, *, lowest: int) -> int:
    """`sampling.uniform` for one Python number."""
    return (((bits >> lowest) & (2**BITS - 1)) * count) >> BITS


def between(limits: tuple[float, float], bits: int, *, lowest: int) -> float:
    """A number between the limits, from BITS random bits."""
    return limits[0] + (limits[1] - limits[0]) * ((bits >> lowest) & (2**BITS - 1)) / 2**BITS


def cut(photograph: Image, box: Box, *, size: int) -> NDArray[np.uint8]:
    """The pixels in `box`, resized to `size` x `size` (bilinear, antialiased): uint8 [size, size,
    3].

    The box is cut and resized in one step: the pixels are those of resizing the whole photograph
    and cropping, without the work outside. (torchvision's inception crop cuts first, so that its
    outermost pixels do not see what lies beyond the box.)
    """
    return np.asarray(photograph.resize((size, size), Resampling.BILINEAR, box=box))
