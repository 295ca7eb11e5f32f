"""Ordinary JPEGs through simplejpeg (the extra `jpeg`), where that gives Pillow's own pixels.

Both wrap libjpeg-turbo; simplejpeg decodes into one array without Pillow's blocks and chunks.
Pillow still opens every file, so that what it refuses stays refused, and decodes whatever is not
plain: progressive, arithmetic or lossless coding, CMYK, RGB stored as such, subsampling other than
4:4:4, 4:2:2 and 4:2:0, more than 16 megapixels, and every file that libjpeg has the least
complaint about.

The two libraries may be built from different libjpegs, so each kind of subsampling is compared on
a small image once a process, before simplejpeg is trusted with it.
"""

from __future__ import annotations

import functools
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ._types import U8
from .memory import Kept

if TYPE_CHECKING:
    from PIL import Image as PillowImage

__all__ = ["decode_jpeg", "decode_opened", "simplejpeg"]

ORIENTATION: Final = 0x0112
SUBSAMPLING: Final = ("444", "422", "420")  # as Pillow numbers them
BASELINE: Final = (0xC0, 0xC1)
BLOCK: Final = 64
#: simplejpeg decodes a file in one go, in 4 ms a megapixel, and Ctrl-C waits for it: above this
#: many pixels Pillow decodes, 64 KiB of the file after the other.
LARGEST: Final = 16_000_000
SEEN: Final = "_dynres_decoded"
NOT_BASELINE: Final = frozenset(range(0xC2, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xD9, 0xDA}


@functools.cache
def simplejpeg() -> Any:
    """The module, or None where it is not installed."""
    try:
        import simplejpeg as module  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError:
        return None
    return module


def decode_jpeg(
    opened: PillowImage.Image, source: str | os.PathLike[str] | bytes, upright: bool
) -> U8 | None:
    """The pixels of a file that Pillow has opened, or None: then Pillow must decode it.

    Args:
        opened: by `Image.open`, nothing loaded yet.
        source: the path or the bytes that it was opened from.
        upright: whether to turn the image as its EXIF or XMP orientation says.

    Returns:
        (H, W, 3) uint8, equal to `exif_transpose(opened).convert("RGB")`, or without the
        transposing.
    """
    if opened.format not in ("JPEG", "MPO") or simplejpeg() is None:
        return None
    if opened.height * opened.width > LARGEST:
        return None
    try:
        kind = _kind(opened)
        if kind is None or not _agrees(kind):
            return None
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
        if not _is_baseline(data):
            return None
        turn = _turn(opened) if upright else 1
        height, width, *_ = simplejpeg().decode_jpeg_header(data)
        if (height, width) != (opened.height, opened.width):
            return None
        pixels = DECODED.empty((height, width, 3), "uint8")
        simplejpeg().decode_jpeg(data, "RGB", buffer=pixels)
    except Exception:  # whatever it is, Pillow's verdict on the file counts
        return None
    return _turned(pixels, turn)


def decode_opened(image: Any) -> U8 | None:
    """The pixels of a JPEG that was opened with Pillow and not decoded yet; else None.

    The image stays as it is: it decodes itself when its pixels are asked for. What it has open it
    keeps in memory instead where Pillow's decoding would have closed it. An image that comes a
    second time is one whose pixels somebody keeps, so that time Pillow decodes it, for good.

    Args:
        image: a Pillow image of any kind.

    Returns:
        (H, W, 3) uint8, equal to `image.convert("RGB")`; orientation is left alone.
    """
    plugin = sys.modules.get("PIL.JpegImagePlugin")
    kind: Any = type(image)
    if plugin is None or not issubclass(kind, plugin.JpegImageFile) or simplejpeg() is None:
        return None
    whole = ("jpeg", (0, 0, *image.size), 0, (image.mode, ""))
    if (
        kind.load is not plugin.ImageFile.ImageFile.load
        or kind.load_read is not plugin.JpegImageFile.load_read
        or image.tile != [whole]
        or image.decoderconfig
        or SEEN in image.__dict__
    ):
        return None
    image.__dict__[SEEN] = True
    try:
        file = image.fp
        at = file.tell()
        file.seek(0)
        data = file.read()
        file.seek(at)
    except (OSError, ValueError, AttributeError):
        return None
    pixels = decode_jpeg(image, data, False)
    closes = image._exclusive_fp and getattr(image, "_close_exclusive_fp_after_loading", False)
    if pixels is not None and closes:
        image.fp = io.BytesIO(data)
        file.close()
    return pixels


#: The memory of one image, which the next one has: clearing new memory takes a tenth as long as
#: decoding.
DECODED: Final = Kept(64 << 20, 0, single=True)


def _kind(opened: PillowImage.Image) -> str | None:
    """The subsampling of a plain image, `"Gray"`, or None."""
    from PIL import JpegImagePlugin

    layers = len(getattr(opened, "layer", ()))
    if opened.mode == "L" and layers == 1:
        return "Gray"
    if opened.mode != "RGB" or layers != 3 or opened.info.get("adobe_transform", 1) != 1:
        return None
    number = JpegImagePlugin.get_sampling(opened)
    return SUBSAMPLING[number] if 0 <= number < len(SUBSAMPLING) else None


def _is_baseline(data: bytes) -> bool:
    """Whether the first frame is sequential and Huffman-coded."""
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker in BASELINE:
            return True
        if marker in NOT_BASELINE:
            return False
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4])
    return False


def _turn(opened: PillowImage.Image) -> int:
    """The orientation, 1 to 8, as `ImageOps.exif_transpose` finds it; raises where that would."""
    exif = opened.getexif()
    turn = exif.get(ORIENTATION, 1)
    if turn not in range(2, 9):
        return 1
    exif.tobytes()
    return int(turn)


def _turned(pixels: U8, turn: int) -> U8:
    """The image after Pillow's `Transpose` of an orientation."""
    if turn == 1:
        return pixels
    whole = pixels.view("V3")[:, :, 0]
    if turn in (5, 6, 7, 8):
        whole = whole.T
    if turn in (3, 4, 7, 8):
        whole = whole[::-1]
    if turn in (2, 3, 6, 7):
        whole = whole[:, ::-1]
    # A copy by blocks that fit the cache: rows read across a large image would miss it all the way.
    upright = np.empty(whole.shape, "V3")
    for row in range(0, whole.shape[0], BLOCK):
        for column in range(0, whole.shape[1], BLOCK):
            block = (slice(row, row + BLOCK), slice(column, column + BLOCK))
            upright[block] = whole[block]
    return upright.view(np.uint8).reshape(*whole.shape, 3)


@functools.cache
def _agrees(kind: str) -> bool:
    """Whether the two installed libraries decode a small noisy image of this kind alike."""
    from PIL import Image

    noise = np.arange(35 * 51 * 3, dtype=np.uint64) * np.uint64(2654435761) >> np.uint64(13)
    image = (noise % np.uint64(251)).astype(np.uint8).reshape(35, 51, 3)
    if kind == "Gray":
        data = simplejpeg().encode_jpeg(image[:, :, :1].copy(), 80, "GRAY", "Gray")
    else:
        data = simplejpeg().encode_jpeg(image, 80, "RGB", kind)
    theirs = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    return np.array_equal(simplejpeg().decode_jpeg(data, "RGB"), theirs)
