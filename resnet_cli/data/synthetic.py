"""`dataset=synthetic`: ten shapes on procedurally drawn 32x32 colour images, to try everything
without a download.

A picture is four layers and noise: textured ground, strokes behind, a textured figure, a stroke
across. The label is the figure's shape; its place, size, angle, proportions and colours say nothing
about it. Every shape is its own mirror image, so a flip keeps the label, and so does a crop after 4
pixels of padding.

Pixels meet only +, -, *, /, sqrt, floor, comparisons and sorts, which IEEE 754 makes exact: a seed
is the same bytes everywhere.
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

SIZE = 32  # pixels
CHUNK = 200  # images drawn at once: small enough for the cache

# How hard the classes are; tuned so that 1,600 iterations of 32 tell the paper's four networks
# apart.
RADIUS = (7.0, 11.0)  # of the figure, pixels
OFFSET = 4.0  # of its centre from the picture's, at most, pixels
TILT = 0.5  # the tangent of half the largest angle: 53 degrees to either side
STRETCH = (0.8, 1.0)  # of its height
GROUND = (0.0, 0.5)  # the ground's colour, of a range of 1
CONTRAST = (0.2, 0.5)  # by how much the figure is lighter, in each channel
# how far stripes and checks stray from a colour, at most
GROUND_TEXTURE, FIGURE_TEXTURE = 0.2, 0.15
BEHIND, ACROSS = 4, 1  # strokes
NOISE = 0.08  # largest

Array = NDArray[Any]  # float32, which NumPy's annotations lose
Shape = Callable[[Array, Array], Array]


# The shapes: distance to the outline, positive inside, for x to the right and y down; the radius is
# about 1.


def disc(x: Array, y: Array, *, radius: float = 1.0) -> Array:
    return radius - np.sqrt(x * x + y * y)


def ring(x: Array, y: Array) -> Array:
    return np.minimum(disc(x, y), -disc(x, y, radius=0.55))


def crescent(x: Array, y: Array) -> Array:
    return np.minimum(disc(x, y), -disc(x, y + 0.5, radius=0.8))


def box(x: Array, y: Array, *, width: float, height: float) -> Array:
    return np.minimum(width / 2 - np.abs(x), height / 2 - np.abs(y))


def square(x: Array, y: Array) -> Array:
    return box(x, y, width=1.6, height=1.6)


def cross(x: Array, y: Array) -> Array:
    return np.maximum(box(x, y, width=2.0, height=0.6), box(x, y, width=0.6, height=2.0))


def triangle(x: Array, y: Array) -> Array:
    return np.minimum(0.6 - y, 0.45 * (y + 1.1) - 0.89 * np.abs(x))


def arrow(x: Array, y: Array) -> Array:
    return np.maximum(
        box(x, y - 0.4, width=0.5, height=1.2), np.minimum(-y, 0.7 * (1.0 + y - np.abs(x)))
    )


def bow(x: Array, y: Array) -> Array:
    return np.minimum(0.85 - np.abs(x), 0.7 * (np.abs(x) - np.abs(y)) + 0.1)


def heart(x: Array, y: Array) -> Array:
    return np.maximum(
        0.7 * (0.75 - np.abs(x) - np.abs(y - 0.1)), disc(np.abs(x) - 0.375, y + 0.275, radius=0.53)
    )


def star(x: Array, y: Array) -> Array:
    """The pentagram: what is outside of one side of a pentagon at most."""
    normals = ((0.0, 1.0), (0.951, 0.309), (0.588, -0.809), (-0.588, -0.809), (-0.951, 0.309))
    return np.sort([0.4 + a * x + b * y for a, b in normals], axis=0)[1]


SHAPES: tuple[Shape, ...] = (disc, ring, crescent, square, cross, triangle, arrow, bow, heart, star)
CLASSES = tuple(shape.__name__ for shape in SHAPES)


def uniform(rng: Generator, shape: tuple[int, ...], *, within: tuple[float, float]) -> Array:
    low, high = within
    return low + np.float32(high - low) * rng.random(shape, dtype=np.float32)


def frame(rng: Generator, count: int, *, offset: float, tilt: float = 1.0) -> tuple[Array, Array]:
    """Pixel coordinates x, y in a shifted and turned frame for each of `count` pictures: two
    [count, SIZE, SIZE].

    The tangent of half the angle is uniform in [-tilt, tilt): no cosine to round, and 1 is every
    direction of a stroke.
    """
    each = (count, 1, 1)
    pixel = np.arange(SIZE, dtype=np.float32) - (SIZE - 1) / 2
    x = pixel - uniform(rng, each, within=(-offset, offset))
    y = pixel[:, None] - uniform(rng, each, within=(-offset, offset))
    tangent = uniform(rng, each, within=(-tilt, tilt))
    cosine, sine = (
        (1 - tangent * tangent) / (1 + tangent * tangent),
        2 * tangent / (1 + tangent * tangent),
    )
    return cosine * x + sine * y, cosine * y - sine * x


def texture(rng: Generator, colours: Array, *, strength: float) -> Array:
    """Stripes or checks about each colour [count, 3] -> [count, 3, SIZE, SIZE]."""
    count = len(colours)
    periods = [
        z * uniform(rng, (count, 1, 1), within=(0.04, 0.25)) for z in frame(rng, count, offset=SIZE)
    ]
    first, second = (np.abs(z - np.floor(z) - 0.5) for z in periods)  # triangle waves in [0, 0.5]
    checked = rng.integers(2, size=(count, 1, 1)) == 1
    wave = np.where(checked, np.abs(first - second), first) * 4 - 1
    return colours[:, :, None, None] + wave[:, None] * uniform(
        rng, (count, 3, 1, 1), within=(-strength, strength)
    )


def paint(pictures: Array, layer: Array, *, inside: Array) -> None:
    """Lays a layer on pictures [count, 3, SIZE, SIZE], in place, where `inside` [count, SIZE,
    SIZE], in pixels, is positive.
    """
    pictures += np.clip(inside + 0.5, 0, 1)[:, None] * (layer - pictures)


def paint_stroke(
    rng: Generator, pictures: Array, *, offset: float, length: tuple[float, float]
) -> None:
    """A straight stroke of any colour and direction on each picture, in place."""
    count = len(pictures)
    x, y = frame(rng, count, offset=offset)
    length_left = uniform(rng, (count, 1, 1), within=length) / 2 - np.abs(x)
    width_left = uniform(rng, (count, 1, 1), within=(1.0, 3.0)) / 2 - np.abs(y)
    paint(
        pictures,
        uniform(rng, (count, 3, 1, 1), within=(0, 1)),
        inside=np.minimum(length_left, width_left),
    )


def draw_chunk(rng: Generator, labels: NDArray[np.int64]) -> NDArray[np.uint8]:
    """A picture of each label: [len(labels), 3, SIZE, SIZE]."""
    count = len(labels)
    ground = uniform(rng, (count, 3), within=GROUND)
    pictures = texture(rng, ground, strength=GROUND_TEXTURE)
    for _ in range(BEHIND):
        paint_stroke(rng, pictures, offset=SIZE / 2, length=(3, 14))

    x, y = frame(rng, count, offset=OFFSET, tilt=TILT)
    radius = uniform(rng, (count, 1, 1), within=RADIUS)
    x, y = x / radius, y / (radius * uniform(rng, (count, 1, 1), within=STRETCH))
    inside = np.empty_like(x)
    for label, shape in enumerate(SHAPES):
        inside[labels == label] = shape(x[labels == label], y[labels == label])
    figure = texture(
        rng, ground + uniform(rng, (count, 3), within=CONTRAST), strength=FIGURE_TEXTURE
    )
    paint(pictures, figure, inside=inside * radius)

    for _ in range(ACROSS):
        paint_stroke(rng, pictures, offset=SIZE / 4, length=(8, 24))
    pictures += uniform(rng, pictures.shape, within=(-NOISE, NOISE))
    return (np.clip(pictures, 0, 1) * 255 + 0.5).astype(np.uint8)


def draw(count: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """Images, uint8 [count, 3, 32, 32], and labels, int64 [count]: as many of each class, in
    random order, set by the seed.
    """
    rng = Generator(PCG64(seed))
    labels = rng.permutation(np.arange(count, dtype=np.int64) % len(CLASSES))
    chunks = [draw_chunk(rng, labels[start : start + CHUNK]) for start in range(0, count, CHUNK)]
    return torch.from_numpy(np.concatenate(chunks)), torch.from_numpy(labels)
