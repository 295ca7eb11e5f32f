"""`Image.resize` of Pillow, bit for bit, for the adapters that stand in for code built on it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from . import _dynres_rs as _native
from . import jpeg
from .numerics import installed_pillow
from .zero_copy import zero_copy

__all__ = ["resize", "rgb"]

_LIMIT: Final = 1 << 31


def resize(image: Any, size: tuple[int, int]) -> Any:
    """What `image.resize(size)` returns on the installed Pillow: bicubic, a new image.

    A JPEG that is opened and not decoded is decoded on the way, row by row, where the core gives
    Pillow's pixels: no large image is made then.

    Args:
        image: a Pillow image. Modes other than RGB, and subclasses with a `resize` of their own,
            are resized by their own method.
        size: (width, height), as Pillow has it.

    Raises:
        what `image.resize` raises.
    """
    from PIL import Image

    width, height = size
    if (
        image.mode != "RGB"
        or type(image).resize is not Image.Image.resize
        or (width, height) == image.size
        or min(width, height, *image.size) < 1
    ):
        return image.resize((width, height))
    pixels: Any = _undecoded(image)
    # The core reads an RGB image as Pillow exports it: four bytes a pixel, three before Pillow 13.
    channels = 4 if pixels is None and zero_copy() else 3
    if pixels is None:
        image.load()
        pixels = image
    out = np.empty((height, width, channels), np.uint8)
    try:
        _native.resize(pixels, (height, width), "bicubic", installed_pillow(), out, 1, _LIMIT)
    except _native.ImageTooLargeError:
        return image.resize((width, height))
    layout = "RGBX" if channels == 4 else "RGB"
    made = Image.frombytes("RGB", (width, height), out.data.cast("B"), "raw", layout)
    made.info = image.info.copy()
    return made


def _undecoded(image: Any) -> Any:
    """The file of a JPEG that is opened and not decoded, for the core to decode; else None."""
    decoding = jpeg.Decoding()
    file = jpeg.pending(image)
    if file is None:
        return None
    jpeg.check_work(file, decoding.max_work, "image")

    def fallback() -> Any:
        image.load()
        return image

    return jpeg.decode_pending(image, file, fallback) if jpeg.is_own(decoding) else None


def rgb(image: Any) -> Any:
    """`image.convert("RGB")`; an RGB image comes back as it is, and not as a copy."""
    return image if image.mode == "RGB" else image.convert("RGB")
