"""Gemma 4: the largest size of whole tokens, each side rounded down, within a number of tokens."""

import math

from . import Measured, Options, Size


def measure(size: Size, options: Options) -> Measured:
    height, width = size
    pooled, tokens = options["pooling_kernel_size"], options["max_soft_tokens"]
    side = pooled * options["patch_size"]
    area = tokens * pooled**2 * options["patch_size"] ** 2
    scale = math.sqrt(area / (height * width))
    rows, columns = (math.floor(scale * length / side) for length in size)
    if rows == columns == 0:
        raise ValueError("no token is left")
    if rows == 0:
        rows, columns = 1, min(math.floor(width / height), tokens)
    elif columns == 0:
        rows, columns = min(math.floor(height / width), tokens), 1
    if rows * columns * side**2 > area:
        raise ValueError("more tokens than allowed")
    return Measured.stretched(rows * side, columns * side)
