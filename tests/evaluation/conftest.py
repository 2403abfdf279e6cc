"""Photographs to look at: made-up ones, and real ones where they are."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def made_up(width: int, height: int) -> Image.Image:
    """A picture that is no square and nowhere the same."""
    rows, columns = np.mgrid[:height, :width]
    noise = np.random.default_rng(0).integers(0, 60, (height, width))
    pixels = np.stack(
        [rows * 255 // height, columns * 255 // width, (rows + columns) % 196 + noise], axis=2
    )
    return Image.fromarray(pixels.astype(np.uint8))


def real() -> list[Image.Image]:
    """Photographs of ImageNet's validation set, as RGB: the first greyscale one, the widest,
    the tallest and one more; or none.
    """
    folder = Path(os.environ.get("RESNET_DATA", "data"), "imagenet-sample", "val")
    files = sorted(folder.glob("*/*.JPEG"))
    if not files:
        return []
    opened = {file: Image.open(file) for file in files}
    grey = next(file for file, image in opened.items() if image.mode == "L")
    by_shape = sorted(files, key=lambda file: opened[file].width / opened[file].height)
    return [opened[file].convert("RGB") for file in (grey, by_shape[0], by_shape[-1], files[0])]


@pytest.fixture(scope="session", params=["made-up", "real"])
def photographs(request: pytest.FixtureRequest) -> list[Image.Image]:
    """RGB images of several shapes."""
    if request.param == "made-up":
        return [made_up(500, 375), made_up(281, 400), made_up(257, 256)]
    images = real()
    if not images:
        pytest.skip(
            "needs photographs: set RESNET_DATA to the folder that holds "
            "imagenet-sample/val/<wnid>/*.JPEG"
        )
    return images
