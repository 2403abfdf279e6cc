"""Decodes image files; nothing else does."""

import io
import struct
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.Image import Transpose

from resnet_cli.runtime.errors import DataError

_ORIENTATION = 0x0112  # the EXIF tag
_TO_UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}

# Some of ImageNet's photographs have a broken EXIF block around an intact picture.
warnings.filterwarnings("ignore", message=r"(?i)corrupt exif", module=r"PIL\.")


def decode(content: bytes, *, where: str) -> Image.Image:
    """Decodes an image file to RGB with 8 bits a channel, upright as its EXIF block says.

    Transparent parts are laid on white. Raises DataError naming `where` if the bytes are truncated,
    corrupt or not an image.
    """
    try:
        image = Image.open(io.BytesIO(content))
        image.load()
        picture = _to_rgb(image)
    except MemoryError:
        raise
    # readers fail in many ways: OSError, SyntaxError, struct.error, IndexError...
    except Exception as error:
        reason = (
            "it is empty"
            if not content
            else "unknown format"
            if isinstance(error, UnidentifiedImageError)
            else error
        )
        raise DataError(f"{where} is not a readable image: {reason}") from error
    transpose = _TO_UPRIGHT.get(_orientation(image))
    return picture if transpose is None else picture.transpose(transpose)


def _to_rgb(image: Image.Image) -> Image.Image:
    """Converts an image of any mode to RGB."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    # 16-bit grayscale, which Pillow would clip to 8 bits; of 16-bit color it keeps the upper 8
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).clip(0, 0xFFFF) >> 8).astype(np.uint8)).convert(
            "RGB"
        )
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1..8; 1 (upright) if it is absent or cannot be read."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    # a malformed EXIF block; the picture may still be intact
    except (ValueError, TypeError, SyntaxError, LookupError, OSError, struct.error):
        return 1
