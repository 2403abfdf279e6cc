"""`dataset=synthetic`: ten shapes in procedurally drawn 32x32 color images, without a download.

An image is four layers and noise: a textured background, strokes behind, a textured figure, and a
stroke across. The label is the shape of the figure; its position, size, angle, proportions and
colors are independent of it. Every shape is its own mirror image, so that a flip keeps the label,
and so does a crop after 4 pixels of padding.

Pixels are computed with +, -, *, /, sqrt, floor, comparisons and sorts alone, which IEEE 754 makes
exact: a seed gives the same bytes everywhere.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.random import PCG64, Generator
from numpy.typing import NDArray
from torch import Tensor

from resnet_cli.data.choices import TRAINING_IMAGES, DatasetName

TRAIN_COUNT = TRAINING_IMAGES[DatasetName.synthetic]
TEST_COUNT = 2_000

_SIZE = 32  # pixels
_CHUNK = 200  # images drawn at once, few enough for the cache

# The difficulty, tuned so that 1,600 iterations of 32 images tell the paper's four networks apart.
_RADIUS = (7.0, 11.0)  # of the figure, pixels
_OFFSET = 4.0  # of its center from that of the image, at most, pixels
_TILT = 0.5  # the tangent of half the largest angle: 53 degrees to either side
_STRETCH = (0.8, 1.0)  # of its height
_BACKGROUND = (0.0, 0.5)  # its color, of a range of 1
_CONTRAST = (0.2, 0.5)  # how much lighter the figure is, in each channel
# amplitude of stripes and checks about a color, at most
_BACKGROUND_TEXTURE, _FIGURE_TEXTURE = 0.2, 0.15
_STROKES_BEHIND, _STROKES_ACROSS = 4, 1
_NOISE = 0.08  # amplitude

Array = NDArray[Any]  # float32, which NumPy's annotations would lose
Shape = Callable[[Array, Array], Array]


# The shapes: distance to the outline, positive inside, with x to the right and y down. Their radius
# is about 1.


def _disc(x: Array, y: Array, *, radius: float = 1.0) -> Array:
    return radius - np.sqrt(x * x + y * y)


def _ring(x: Array, y: Array) -> Array:
    return np.minimum(_disc(x, y), -_disc(x, y, radius=0.55))


def _crescent(x: Array, y: Array) -> Array:
    return np.minimum(_disc(x, y), -_disc(x, y + 0.5, radius=0.8))


def _box(x: Array, y: Array, *, width: float, height: float) -> Array:
    return np.minimum(width / 2 - np.abs(x), height / 2 - np.abs(y))


def _square(x: Array, y: Array) -> Array:
    return _box(x, y, width=1.6, height=1.6)


def _cross(x: Array, y: Array) -> Array:
    return np.maximum(_box(x, y, width=2.0, height=0.6), _box(x, y, width=0.6, height=2.0))


def _triangle(x: Array, y: Array) -> Array:
    return np.minimum(0.6 - y, 0.45 * (y + 1.1) - 0.89 * np.abs(x))


def _arrow(x: Array, y: Array) -> Array:
    return np.maximum(
        _box(x, y - 0.4, width=0.5, height=1.2), np.minimum(-y, 0.7 * (1.0 + y - np.abs(x)))
    )


def _bow(x: Array, y: Array) -> Array:
    return np.minimum(0.85 - np.abs(x), 0.7 * (np.abs(x) - np.abs(y)) + 0.1)


def _heart(x: Array, y: Array) -> Array:
    return np.maximum(
        0.7 * (0.75 - np.abs(x) - np.abs(y - 0.1)), _disc(np.abs(x) - 0.375, y + 0.275, radius=0.53)
    )


def _star(x: Array, y: Array) -> Array:
    """The pentagram: the points outside at most one side of a pentagon."""
    normals = ((0.0, 1.0), (0.951, 0.309), (0.588, -0.809), (-0.588, -0.809), (-0.951, 0.309))
    return np.sort([0.4 + a * x + b * y for a, b in normals], axis=0)[1]


SHAPES: dict[str, Shape] = {
    "disc": _disc,
    "ring": _ring,
    "crescent": _crescent,
    "square": _square,
    "cross": _cross,
    "triangle": _triangle,
    "arrow": _arrow,
    "bow": _bow,
    "heart": _heart,
    "star": _star,
}
CLASSES = tuple(SHAPES)


def _uniform(rng: Generator, shape: tuple[int, ...], *, within: tuple[float, float]) -> Array:
    low, high = within
    return low + np.float32(high - low) * rng.random(shape, dtype=np.float32)


def frame(rng: Generator, count: int, *, offset: float, tilt: float = 1.0) -> tuple[Array, Array]:
    """Pixel coordinates x, y in a shifted and rotated frame for each of `count` images.

    Two float32 [count, 32, 32]. The tangent of half the angle is uniform in [-tilt, tilt), which
    avoids a cosine and its rounding; with `tilt` 1 a stroke may have any direction.
    """
    each = (count, 1, 1)
    pixel = np.arange(_SIZE, dtype=np.float32) - (_SIZE - 1) / 2
    x = pixel - _uniform(rng, each, within=(-offset, offset))
    y = pixel[:, None] - _uniform(rng, each, within=(-offset, offset))
    tangent = _uniform(rng, each, within=(-tilt, tilt))
    cosine = (1 - tangent * tangent) / (1 + tangent * tangent)
    sine = 2 * tangent / (1 + tangent * tangent)
    return cosine * x + sine * y, cosine * y - sine * x


def _texture(rng: Generator, colors: Array, *, strength: float) -> Array:
    """Stripes or checks about each color: [count, 3] -> [count, 3, 32, 32]."""
    count = len(colors)
    periods = [
        z * _uniform(rng, (count, 1, 1), within=(0.04, 0.25))
        for z in frame(rng, count, offset=_SIZE)
    ]
    first, second = (np.abs(z - np.floor(z) - 0.5) for z in periods)  # triangle waves in [0, 0.5]
    checked = rng.integers(2, size=(count, 1, 1)) == 1
    wave = np.where(checked, np.abs(first - second), first) * 4 - 1
    amplitude = _uniform(rng, (count, 3, 1, 1), within=(-strength, strength))
    return colors[:, :, None, None] + wave[:, None] * amplitude


def _paint(images: Array, layer: Array, *, inside: Array) -> None:
    """Paints a layer on images [count, 3, 32, 32], in place, where `inside` is positive.

    `inside` [count, 32, 32]: distance to the outline in pixels.
    """
    images += np.clip(inside + 0.5, 0, 1)[:, None] * (layer - images)


def _paint_stroke(
    rng: Generator, images: Array, *, offset: float, length: tuple[float, float]
) -> None:
    """Paints a straight stroke of any color and direction on each image, in place."""
    count = len(images)
    x, y = frame(rng, count, offset=offset)
    length_left = _uniform(rng, (count, 1, 1), within=length) / 2 - np.abs(x)
    width_left = _uniform(rng, (count, 1, 1), within=(1.0, 3.0)) / 2 - np.abs(y)
    color = _uniform(rng, (count, 3, 1, 1), within=(0, 1))
    _paint(images, color, inside=np.minimum(length_left, width_left))


def _draw_chunk(rng: Generator, labels: NDArray[np.int64]) -> NDArray[np.uint8]:
    """An image for each label: [len(labels), 3, 32, 32]."""
    count = len(labels)
    background = _uniform(rng, (count, 3), within=_BACKGROUND)
    images = _texture(rng, background, strength=_BACKGROUND_TEXTURE)
    for _ in range(_STROKES_BEHIND):
        _paint_stroke(rng, images, offset=_SIZE / 2, length=(3, 14))

    x, y = frame(rng, count, offset=_OFFSET, tilt=_TILT)
    radius = _uniform(rng, (count, 1, 1), within=_RADIUS)
    x, y = x / radius, y / (radius * _uniform(rng, (count, 1, 1), within=_STRETCH))
    inside = np.empty_like(x)
    for label, shape in enumerate(SHAPES.values()):
        inside[labels == label] = shape(x[labels == label], y[labels == label])
    color = background + _uniform(rng, (count, 3), within=_CONTRAST)
    _paint(images, _texture(rng, color, strength=_FIGURE_TEXTURE), inside=inside * radius)

    for _ in range(_STROKES_ACROSS):
        _paint_stroke(rng, images, offset=_SIZE / 4, length=(8, 24))
    images += _uniform(rng, images.shape, within=(-_NOISE, _NOISE))
    return (np.clip(images, 0, 1) * 255 + 0.5).astype(np.uint8)


def draw(count: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """Draws images uint8 [count, 3, 32, 32] and labels int64 [count], determined by the seed.

    The classes are equally frequent and in random order.
    """
    rng = Generator(PCG64(seed))
    labels = rng.permutation(np.arange(count, dtype=np.int64) % len(CLASSES))
    chunks = [_draw_chunk(rng, labels[start : start + _CHUNK]) for start in range(0, count, _CHUNK)]
    return torch.from_numpy(np.concatenate(chunks)), torch.from_numpy(labels)
