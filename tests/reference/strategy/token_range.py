"""GLM-5: padded up to whole tokens within a range of them.

What has too many is the tallest content that fits.
"""

import math

from . import Measured, Options, Size


def measure(size: Size, options: Options) -> Measured:
    height, width = size
    frames = options["temporal_patch_size"]
    factor = options["patch_size"] * options["merge_size"] * options["patch_expand_factor"]
    least, most = (
        options[key] * frames * factor**2 for key in ("min_image_tokens", "max_image_tokens")
    )

    def aligned(*sides: int) -> Size:
        rows, columns = (-(-side // factor) * factor for side in sides)
        return rows, columns

    def area(canvas: Size) -> int:
        return frames * canvas[0] * canvas[1]

    canvas = aligned(height, width)
    if area(canvas) < least:
        scale = math.sqrt(least / (frames * height * width))
        canvas = aligned(*(max(1, math.ceil(side * scale)) for side in size))
    if area(canvas) > most:
        if most < frames * factor**2:
            raise ValueError("not one token fits")
        low, high, canvas = 1, height, (factor, factor)
        while low <= high:
            tall = (low + high) // 2
            tried = aligned(tall, max(1, math.floor(width * tall / height)))
            if area(tried) <= most:
                canvas, low = tried, tall + 1
            else:
                high = tall - 1
    return Measured((0, 0), canvas)
