"""Synthetic images: the same bytes for a seed, figures that are what their names say, and no
short way to the label.
"""

import hashlib
import math

import numpy as np
import pytest
import torch
from numpy.random import PCG64, Generator
from torch.nn.functional import one_hot

from resnet_cli.data import synthetic
from tests.helpers.numbers import assert_same

# area at circumradius 1: 1.1226
PENTAGRAM = 10 * math.tan(math.pi / 10) / (3 - math.tan(math.pi / 10) ** 2)

# The area of each figure by geometry; its coordinates are the ones in the module.
AREAS = {
    "disc": math.pi,
    "ring": math.pi * (1 - 0.55**2),
    "square": 1.6**2,
    "cross": 2 * 2.0 * 0.6 - 0.6**2,
    "triangle": 1.7 * (0.45 / 0.89 * 1.7),  # height x half the base
    "arrow": 1.0 + 0.5 * 1.0,  # the head, and the shaft below it
    # a pentagon's inradius 0.4: the points reach 0.4 / cos 72
    "star": PENTAGRAM * (0.4 / math.cos(2 * math.pi / 5)) ** 2,
}


@pytest.fixture(scope="module")
def images_and_labels() -> tuple[torch.Tensor, torch.Tensor]:
    return synthetic.draw(3_000, seed=0)


@pytest.mark.numerical
def test_a_seed_gives_the_same_bytes_everywhere() -> None:
    images, labels = synthetic.draw(230, seed=7)
    again, labels_again = synthetic.draw(230, seed=7)
    assert_same((images, labels), (again, labels_again))
    digest = hashlib.sha256(images.numpy().tobytes() + labels.numpy().tobytes()).hexdigest()
    # NumPy may one day change what a seed draws (NEP 19): then these are other pictures, and
    # results on them start anew.
    assert digest.startswith("052dac2e291a8056")


def test_no_image_of_one_seed_is_in_another(
    images_and_labels: tuple[torch.Tensor, torch.Tensor],
) -> None:
    images, _ = images_and_labels
    others, _ = synthetic.draw(500, seed=1)
    distinct = {image.numpy().tobytes() for image in (*images, *others)}
    assert len(distinct) == len(images) + len(others)


@pytest.mark.parametrize("count", [1, 200, 457])
def test_what_is_drawn(count: int) -> None:
    images, labels = synthetic.draw(count, seed=3)
    assert images.shape == (count, 3, 32, 32) and images.dtype == torch.uint8
    assert labels.shape == (count,) and labels.dtype == torch.int64
    of_each = torch.bincount(labels, minlength=len(synthetic.CLASSES))
    assert of_each.max() - of_each.min() <= 1


def plane() -> tuple[synthetic.Array, synthetic.Array]:
    """x, y of the centres of 600 x 600 squares of side 0.005: [1, 600, 600] each."""
    axis = (np.arange(600, dtype=np.float32) - 299.5) * np.float32(0.005)
    x, y = np.meshgrid(axis, axis)
    return x[None], y[None]


@pytest.mark.parametrize("name", AREAS)
def test_a_figure_has_the_area_of_its_name(name: str) -> None:
    shape = synthetic.SHAPES[name]
    assert (shape(*plane()) > 0).sum() * 0.005**2 == pytest.approx(AREAS[name], rel=0.01)


@pytest.mark.parametrize("shape", synthetic.SHAPES.values(), ids=synthetic.CLASSES)
def test_a_flip_and_a_shift_keep_the_label(shape: synthetic.Shape) -> None:
    x, y = plane()
    field = shape(x, y)
    np.testing.assert_allclose(field, shape(-x, y), atol=1e-6)  # its own mirror image
    reach = np.sqrt(x * x + y * y)[field > 0].max()
    assert 0.7 < reach < 1.36  # and of radius about 1
    slope = np.hypot(*np.gradient(field[0], 0.005))[np.abs(field[0]) < 0.01]
    assert 0.5 < np.median(slope) < 1.1  # a distance: outlines of about one pixel


def test_frames_are_turned_and_shifted_only_so_far() -> None:
    x, y = synthetic.frame(Generator(PCG64(0)), 1_000, offset=4, tilt=0.5)
    cosine, sine = x[:, 0, 1] - x[:, 0, 0], x[:, 1, 0] - x[:, 0, 0]
    np.testing.assert_allclose(cosine**2 + sine**2, 1, atol=1e-4)
    angle = np.abs(np.arctan2(sine, cosine))
    assert math.radians(50) < angle.max() <= 2 * math.atan(0.5) + 1e-4
    middle = np.hypot(x[:, 15:17, 15:17].mean(axis=(1, 2)), y[:, 15:17, 15:17].mean(axis=(1, 2)))
    assert 5 < middle.max() <= 4 * math.sqrt(2) + 1e-4


def test_neither_class_means_nor_a_linear_classifier_solve_it(
    images_and_labels: tuple[torch.Tensor, torch.Tensor],
) -> None:
    images, labels = images_and_labels
    x = images.flatten(1).float() / 255
    x -= x[:2000].mean(0)
    targets = one_hot(labels).float()
    means = (targets[:2000].T @ x[:2000]) / targets[:2000].sum(0)[:, None]
    nearest = torch.cdist(x[2000:], means).argmin(1)
    weights = torch.linalg.solve(
        x[:2000].T @ x[:2000] + 100 * torch.eye(x.shape[1]), x[:2000].T @ targets[:2000]
    )
    linear = (x[2000:] @ weights).argmax(1)
    for guess in (nearest, linear):
        assert (guess != labels[2000:]).double().mean() > 0.6  # chance: 0.9
