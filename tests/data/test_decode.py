"""Decoding against arithmetic on made-up pictures and against Pillow on real photographs."""

import contextlib
import io
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from resnet_cli.data.decode import decode
from resnet_cli.runtime.errors import DataError

Pixels = NDArray[np.uint8]


def pixels(content: bytes) -> Pixels:
    image = decode(content, where="here")
    assert image.mode == "RGB"
    return np.asarray(image)


def encode(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.fixture
def colours() -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


@pytest.fixture
def smooth() -> Pixels:
    """Something JPEG keeps to a few grey levels."""
    y, x = np.mgrid[:48, :64]
    return np.stack([x * 3 + 20, y * 4 + 30, 200 - x - y], axis=-1).astype(np.uint8)


def test_colour(colours: Pixels) -> None:
    assert np.array_equal(pixels(encode(Image.fromarray(colours), "PNG")), colours)


def test_greyscale_is_the_same_in_each_channel(colours: Pixels, smooth: Pixels) -> None:
    grey = colours[..., 0]
    assert np.array_equal(
        pixels(encode(Image.fromarray(grey), "PNG")), grey[..., None].repeat(3, axis=-1)
    )
    found = pixels(encode(Image.fromarray(smooth[..., 0]), "JPEG", quality=95))
    assert np.abs(found.astype(int) - smooth[..., :1]).max() <= 4


def test_cmyk(smooth: Pixels) -> None:
    """By hand: no black, and the inks are what is missing of the light."""
    inks = np.concatenate([255 - smooth, np.zeros_like(smooth[..., :1])], axis=-1)
    found = pixels(encode(Image.fromarray(inks, mode="CMYK"), "JPEG", quality=98, subsampling=0))
    assert np.abs(found.astype(int) - smooth).max() <= 6


def test_palette(colours: Pixels) -> None:
    numbers = (np.arange(54) % 11).reshape(6, 9).astype(np.uint8)
    palette = colours.reshape(-1, 3)[:11]
    image = Image.fromarray(numbers, mode="P")
    image.putpalette(palette.tobytes())
    for form in ("PNG", "GIF"):
        assert np.array_equal(pixels(encode(image, form)), palette[numbers])
    clear = palette.copy()
    clear[3] = 255  # lies on white
    assert np.array_equal(pixels(encode(image, "PNG", transparency=3)), clear[numbers])


def test_black_and_white() -> None:
    bits = np.eye(8, dtype=bool)
    assert np.array_equal(
        pixels(encode(Image.fromarray(bits), "PNG")),
        (bits * 255).astype(np.uint8)[..., None].repeat(3, axis=-1),
    )


def test_transparent_parts_lie_on_white(colours: Pixels) -> None:
    alpha = np.zeros((6, 9, 1), dtype=np.uint8)
    alpha[:, 3:] = 128
    alpha[:, 6:] = 255
    found = pixels(encode(Image.fromarray(np.concatenate([colours, alpha], axis=-1)), "PNG"))
    a = alpha / 255
    assert np.abs(found - (colours * a + 255 * (1 - a))).max() <= 1
    assert (found[:, :3] == 255).all() and np.array_equal(found[:, 6:], colours[:, 6:])
    grey = np.concatenate([colours[..., :1], alpha], axis=-1)
    found = pixels(encode(Image.fromarray(grey, mode="LA"), "PNG"))
    assert (found[:, :3] == 255).all() and np.array_equal(
        found[:, 6:], colours[:, 6:, :1].repeat(3, axis=-1)
    )


def test_16_bits_become_their_upper_8() -> None:
    values = np.arange(0, 65536, 1024, dtype=np.uint16).reshape(8, 8)
    expected = (values >> 8).astype(np.uint8)[..., None].repeat(3, axis=-1)
    for form in ("PNG", "TIFF"):
        assert np.array_equal(pixels(encode(Image.fromarray(values), form)), expected)
    assert np.array_equal(
        pixels(encode(Image.fromarray(values.astype(np.int32)), "TIFF")), expected
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photograph_stands_upright(orientation: int, smooth: Pixels) -> None:
    """Where EXIF says the first row and column lie (CIPA DC-008, 4.6.5.1 A): a picture stored
    so is the upright one again.
    """
    stored = {
        1: smooth,
        2: smooth[:, ::-1],
        3: smooth[::-1, ::-1],
        4: smooth[::-1],
        5: smooth.transpose(1, 0, 2),
        6: smooth.transpose(1, 0, 2)[::-1],
        7: smooth.transpose(1, 0, 2)[::-1, ::-1],
        8: smooth.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    for form in ("PNG", "JPEG", "WEBP"):
        content = encode(
            Image.fromarray(np.ascontiguousarray(stored)),
            form,
            exif=exif,
            **({} if form == "PNG" else {"quality": 98}),
        )
        found = pixels(content)
        assert found.shape == smooth.shape
        assert np.abs(found.astype(int) - smooth).max() <= (0 if form == "PNG" else 12)
        assert np.array_equal(
            found,
            np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")),
        )


def test_a_broken_exif_block_leaves_the_picture_as_it_is(smooth: Pixels) -> None:
    content = encode(Image.fromarray(smooth), "JPEG")
    for block in (
        b"Exif\0\0",
        b"Exif\0\0garbage",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x05\0",
    ):
        broken = (
            content[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + content[2:]
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert np.array_equal(pixels(broken), pixels(content))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP", "WEBP"])
def test_a_file_cut_off_anywhere_is_named(form: str) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    content = encode(Image.fromarray(noise), form)
    for length in (0, 1, 10, 60, len(content) // 2, len(content) - 60):
        with pytest.raises(DataError, match=r"^n01/x\.JPEG is not a readable image: .+") as error:
            decode(content[:length], where="n01/x.JPEG")
        assert "\n" not in str(error.value)


def test_corrupt_and_other_bytes_are_named(smooth: Pixels) -> None:
    png = bytearray(encode(Image.fromarray(smooth), "PNG"))
    png[len(png) // 2] ^= 0xFF
    for content in (bytes(png), b"<html>404</html>", bytes(1000)):
        with pytest.raises(DataError, match=r"^x\.png is not a readable image"):
            decode(content, where="x.png")


def test_nothing_but_a_data_error_comes_out_of_any_damage(smooth: Pixels) -> None:
    rng = np.random.default_rng(2)
    for form in ("JPEG", "PNG", "BMP", "WEBP"):
        whole = encode(Image.fromarray(smooth), form)
        for _ in range(150):
            content = bytearray(whole)
            for place in rng.integers(0, min(len(content), 400), 3):
                content[place] = rng.integers(256)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with contextlib.suppress(DataError):
                    assert decode(bytes(content), where="x").mode == "RGB"


def test_real_photographs_are_pillows(imagenet_sample: Path) -> None:
    paths = sorted(imagenet_sample.glob("val/*/*.JPEG"))
    grey = 0
    for path in paths:
        with Image.open(path) as image:
            grey += image.mode == "L"
            assert np.array_equal(
                pixels(path.read_bytes()), np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
            )
    assert len(paths) == 200 and grey == 3, os.fspath(imagenet_sample)
