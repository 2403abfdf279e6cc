"""Bytes -> picture: the one place where images are decoded."""

import io
import struct
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.Image import Transpose

from resnet_cli.runtime.errors import DataError

ORIENTATION = 0x0112  # EXIF's tag
UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}

# Some of ImageNet's photographs have a broken EXIF block; the picture in them is whole.
warnings.filterwarnings("ignore", message=r"(?i)corrupt exif", module=r"PIL\.")


def decode(content: bytes, *, where: str) -> Image.Image:
    """An image file as RGB, 8 bits a channel, turned upright as its EXIF block says; transparent
    parts lie on white.

    Raises DataError naming `where` if the bytes are cut off, corrupt or no image.
    """
    try:
        image = Image.open(io.BytesIO(content))
        image.load()
        picture = to_rgb(image)
    except MemoryError:
        raise
    # whatever a format's reader stumbles on: OSError, SyntaxError, struct.error, IndexError...
    except Exception as error:
        reason = (
            "it is empty"
            if not content
            else "unknown format"
            if isinstance(error, UnidentifiedImageError)
            else error
        )
        raise DataError(f"{where} is no readable image: {reason}") from error
    turn = UPRIGHT.get(orientation(image))
    return picture if turn is None else picture.transpose(turn)


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode -> RGB."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    # 16 bits, which Pillow would clip to 8; the upper 8 are what it keeps of 16-bit colour
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).clip(0, 0xFFFF) >> 8).astype(np.uint8)).convert(
            "RGB"
        )
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1..8; 1 (upright) where it is not told or cannot be read."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    # the block is malformed; the picture need not be
    except (ValueError, TypeError, SyntaxError, LookupError, OSError, struct.error):
        return 1
