"""Kimi-K2.5: scaled down to a number of patches, in all and a side, then padded to merge blocks."""

import math

from . import Measured, Options, Size


def measure(size: Size, options: Options) -> Measured:
    patch, merge = options["patch_size"], options["merge_size"]
    most = options["max_height"] * patch, options["max_width"] * patch
    rows, columns = (max(1, side // patch) for side in size)
    scales = [limit / side for limit, side in zip(most, size, strict=True)]
    scale = min(1.0, math.sqrt(options["max_patches"] / (rows * columns)), *scales)
    height, width = (
        min(max(1, int(side * scale)), limit) for side, limit in zip(size, most, strict=True)
    )
    block = merge * patch
    canvas = -(-height // block) * block, -(-width // block) * block
    return Measured((height, width), canvas)
