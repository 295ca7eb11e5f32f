"""What each byte value becomes: a table of 256 values for each of three channels.

Pixels are 8-bit integers up to here, so a table holds the whole arithmetic of either backend.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .resample import Image, Numerics

Table = NDArray[np.float32] | NDArray[np.uint8]


def table(
    numerics: Numerics,
    mean: Sequence[float],
    std: Sequence[float],
    rescale_factor: float = 1 / 255,
    do_rescale: bool = True,
    do_normalize: bool = True,
) -> Table:
    """(256, 3): float32, or uint8 when nothing is asked for.

    The PIL backend rescales in float64, rounds to float32 and normalises there. torchvision folds
    the factor into mean and standard deviation instead, all in float32.
    """
    byte = np.arange(256)
    mean32 = np.array(mean, np.float32)
    std32 = np.array(std, np.float32)
    x = np.repeat(byte[:, None], 3, axis=1)
    if not do_rescale and not do_normalize:
        return x.astype(np.uint8)
    if numerics == "torchvision":
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


def apply(image: Image, values: Table) -> Table:
    """`image` (height, width, 3) through the table."""
    return values[image, np.arange(3)]


def round_to_bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The upper half of each float32, rounded to nearest with ties to even; as bit patterns."""
    bits = values.view(np.uint32).astype(np.uint64)
    lowest_kept = (bits >> 16) & 1
    return ((bits + 0x7FFF + lowest_kept) >> 16).astype(np.uint16)
