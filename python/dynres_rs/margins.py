"""What is done to an image before anything is planned: margins are cut off, and it is turned.

Matches `crop_margin` and `align_long_axis` of transformers' `NougatImageProcessor` and
`DonutImageProcessor`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ._types import U8

if TYPE_CHECKING:
    from .images import Policy

__all__ = ["arranged", "is_across", "without_margins"]

#: Of the range of an image's grey values, on a scale to 255: what is below is no margin.
THRESHOLD: Final = 200
#: Shares of red, green and blue in torchvision's grey.
SHARES: Final = (0.2989, 0.587, 0.114)
#: Pixels that are looked at at once.
BLOCK: Final = 1 << 18


def arranged(pixels: U8, policy: Policy) -> U8:
    """An image (H, W, 3) without its margins and turned to the page, as the policy has it: a view
    of it."""
    if policy.crop_margin:
        pixels = without_margins(pixels, policy.torchvision)
    if policy.page is not None and is_across(pixels.shape[:2], policy.page):
        pixels = np.rot90(pixels, 3)
    return pixels


def is_across(size: tuple[int, ...], page: tuple[int, int]) -> bool:
    """Whether the longer side of an image of (height, width) is the page's shorter one."""
    (height, width), (tall, wide) = size, page
    return (wide < tall and width > height) or (wide > tall and width < height)


def without_margins(pixels: U8, torchvision: bool) -> U8:
    """The smallest part of an image that holds its dark pixels: a view of it.

    Args:
        pixels: (H, W, 3) uint8.
        torchvision: whether greys are torchvision's, else Pillow's.
    """
    grey = _grey(pixels, torchvision)
    low, high = grey.min(), grey.max()
    if low == high:
        return pixels
    values = np.arange(256, dtype=np.uint8) - low
    kind = np.float32 if torchvision else np.float64
    dark = (values.astype(kind) / kind(high - low) * kind(255) < THRESHOLD)[grey]
    rows, columns = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _grey(pixels: U8, torchvision: bool) -> U8:
    height, width = pixels.shape[:2]
    grey = np.empty((height, width), np.uint8)
    step = max(BLOCK // max(width, 1), 1)
    for top in range(0, height, step):
        part = pixels[top : top + step]
        grey[top : top + step] = _torch_grey(part) if torchvision else _pillow_grey(part)
    return grey


def _torch_grey(pixels: U8) -> NDArray[np.uint8]:
    """Two fused products and sums in float32, truncated. float64 holds each product and its sum
    whole, so that one rounding to float32 is that of the fused step."""
    red, green, blue = (np.float32(share) for share in SHARES)
    sums = pixels[:, :, 0].astype(np.float32) * red
    for channel, share in ((1, green), (2, blue)):
        product = pixels[:, :, channel].astype(np.float64) * np.float64(share)
        sums = (product + sums).astype(np.float32)
    return sums.astype(np.uint8)


def _pillow_grey(pixels: U8) -> NDArray[np.uint8]:
    from PIL import Image

    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).convert("L"))
