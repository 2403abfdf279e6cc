"""Training crops of photographs, as the loader's workers cut them: uint8.

The random choices are functions of (seed, epoch, sample), as in `sampling`. The bits for a whole
batch are drawn at once; its boxes are made one by one, since they depend on each photograph's size.
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

_BITS = 20  # that `sampling.uniform` uses for one number
_ATTEMPTS = 10  # at an inception crop, as in torchvision
_AREA, _RATIO = (0.08, 1.0), (3 / 4, 4 / 3)
_FIRST_STREAM = 16  # of the random bits of a sample; those below are for flips and colors


def shorter_side_range(image_size: int) -> tuple[int, int]:
    """The range that the shorter side is drawn from: [256, 480] for crops of 224 (section 3.4).

    In proportion for crops of other sizes; both ends are included.
    """
    return round(image_size * 256 / 224), round(image_size * 480 / 224)


def resized_size(width: int, height: int, *, shorter: int) -> tuple[int, int]:
    """Width and height after resizing the shorter side to `shorter` pixels.

    The longer side is rounded down, as in torchvision.
    """
    short, long = min(width, height), max(width, height)
    other = int(shorter * long / short)
    return (shorter, other) if width <= height else (other, shorter)


def draw_bits(hashes: Tensor, augmentation: Augmentation) -> list[Any]:
    """Random bits for each crop of a batch, from its `hashes` int64 [N].

    One integer per crop, or for inception crops ten pairs of integers.
    """
    if augmentation is Augmentation.paper:
        return mix(hashes, _FIRST_STREAM).tolist()
    streams = _FIRST_STREAM + torch.arange(2 * _ATTEMPTS).expand(len(hashes), -1)
    return mix(hashes[:, None].expand_as(streams), streams).view(-1, _ATTEMPTS, 2).tolist()


def crop_box(photograph: Image, augmentation: Augmentation, *, bits: Any, image_size: int) -> Box:
    """The part of a photograph that the `bits` from `draw_bits` choose."""
    if augmentation is Augmentation.paper:
        return paper_box(*photograph.size, bits=bits, image_size=image_size)
    return inception_box(*photograph.size, attempts=bits)


def paper_box(width: int, height: int, *, bits: int, image_size: int) -> Box:
    """The crop of section 3.4, in pixels of a photograph of `width` x `height`.

    The shorter side is drawn from its range, then a crop of `image_size` pixels a side anywhere in
    the resized photograph.
    """
    smallest, largest = shorter_side_range(image_size)
    shorter = smallest + _uniform_int(bits, largest - smallest + 1, lowest=0)
    new_width, new_height = resized_size(width, height, shorter=shorter)
    left = _uniform_int(bits, new_width - image_size + 1, lowest=_BITS)
    top = _uniform_int(bits, new_height - image_size + 1, lowest=2 * _BITS)
    # pixels of the photograph per pixel of the resized one
    x, y = width / new_width, height / new_height
    return left * x, top * y, (left + image_size) * x, (top + image_size) * y


def inception_box(width: int, height: int, *, attempts: list[list[int]]) -> Box:
    """The crop of Szegedy et al. 2015, as in torchvision: 8 to 100 % of the area, ratio 3:4 to 4:3.

    If none of the ten `attempts` fits, it is the largest central crop with a ratio in that range.
    """
    for position_bits, shape_bits in attempts:
        area = width * height * _uniform_float(_AREA, shape_bits, lowest=0)
        log_ratio = (math.log(_RATIO[0]), math.log(_RATIO[1]))
        ratio = math.exp(_uniform_float(log_ratio, shape_bits, lowest=_BITS))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left = _uniform_int(position_bits, width - w + 1, lowest=0)
            top = _uniform_int(position_bits, height - h + 1, lowest=_BITS)
            return left, top, left + w, top + h
    ratio = min(max(width / height, _RATIO[0]), _RATIO[1])
    w, h = min(width, round(height * ratio)), min(height, round(width / ratio))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def _uniform_int(bits: int, count: int, *, lowest: int) -> int:
    """`sampling.uniform` for one Python integer."""
    return (((bits >> lowest) & (2**_BITS - 1)) * count) >> _BITS


def _uniform_float(limits: tuple[float, float], bits: int, *, lowest: int) -> float:
    """A number between the limits, from the 20 bits of `bits` that start at `lowest`."""
    return limits[0] + (limits[1] - limits[0]) * ((bits >> lowest) & (2**_BITS - 1)) / 2**_BITS


def crop_and_resize(photograph: Image, box: Box, *, size: int) -> NDArray[np.uint8]:
    """Crops `box` and resizes it to `size` x `size` pixels: bilinear, antialiased.

    Returns uint8 [size, size, 3]: the pixels of resizing the whole photograph and then cropping,
    without the work outside the box. (torchvision's inception crop crops first, so that its
    outermost pixels do not see what lies beyond the box.)
    """
    return np.asarray(photograph.resize((size, size), Resampling.BILINEAR, box=box))
