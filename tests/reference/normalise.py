"""What each byte value becomes: a table of 256 values for each of three channels.

Pixels are 8-bit integers up to here, so a table holds the whole arithmetic of either backend.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .resample import Image, Numerics

Table = NDArray[np.float32] | NDArray[np.uint8]
Arithmetic = Literal["fused", "two-step", "bfloat16"]


def table(
    numerics: Numerics | Arithmetic,
    mean: Sequence[float],
    std: Sequence[float],
    rescale_factor: float = 1 / 255,
    do_rescale: bool = True,
    do_normalize: bool = True,
) -> Table:
    """(256, 3): float32, or uint8 when nothing is asked for.

    The PIL backend rescales in float64, rounds to float32 and normalises there. torchvision folds
    the factor into mean and standard deviation instead, all in float32. Llama 4 takes the three
    steps one by one and rounds each to bfloat16, if it takes all; its values are those of bfloat16
    numbers.
    """
    fused = numerics in ("torchvision", "fused")
    if numerics == "bfloat16":
        fused = True
        if do_rescale and do_normalize:
            return _llama4(mean, std, rescale_factor)
    byte = np.arange(256)
    mean32 = np.array(mean, np.float32)
    std32 = np.array(std, np.float32)
    x = np.repeat(byte[:, None], 3, axis=1)
    if not do_rescale and not do_normalize:
        return x.astype(np.uint8)
    if fused:
        if do_rescale and do_normalize:
            inverse = np.float32(1.0 / rescale_factor)
            return (x.astype(np.float32) - mean32 * inverse) / (std32 * inverse)
        if do_rescale:
            return x.astype(np.float32) * np.float32(rescale_factor)
        return (x.astype(np.float32) - mean32) / std32
    values = x.astype(np.float32)
    if do_rescale:
        values = (x.astype(np.float64) * rescale_factor).astype(np.float32)
    if do_normalize:
        values = (values - mean32) / std32
    return values


def _llama4(mean: Sequence[float], std: Sequence[float], factor: float) -> NDArray[np.float32]:
    mean16 = widen(round_to_bfloat16(np.array(mean, np.float32)))
    std16 = widen(round_to_bfloat16(np.array(std, np.float32)))
    values = np.repeat(np.arange(256, dtype=np.float32)[:, None], 3, axis=1)
    values = widen(round_to_bfloat16(values * np.float32(factor)))
    values = widen(round_to_bfloat16(values - mean16))
    return widen(round_to_bfloat16(values / std16))


def widen(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """bfloat16 bit patterns as float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def apply(image: Image, values: Table) -> Table:
    """`image` (height, width, 3) through the table."""
    return values[image, np.arange(3)]


def round_to_bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The upper half of each float32, rounded to nearest with ties to even; as bit patterns."""
    bits = values.view(np.uint32).astype(np.uint64)
    lowest_kept = (bits >> 16) & 1
    return ((bits + 0x7FFF + lowest_kept) >> 16).astype(np.uint16)
