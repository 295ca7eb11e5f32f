"""GLM-Image: both edges into a range, then half of the image, rounded to whole patches."""

import math

from . import Measured, Options, Size

#: Longer images are refused.
LONGEST_RATIO = 4


def measure(size: Size, options: Options) -> Measured:
    factor = options["patch_size"] * options["merge_size"]
    short, long = min(size), max(size)
    if short < factor or long / short > LONGEST_RATIO:
        raise ValueError("too small or too long")
    least, most = (round(math.sqrt(options[key])) for key in ("min_pixels", "max_pixels"))
    scale = least / short if short < least else 1.0
    if long * scale > most:
        scale = most / long
    height, width = (max(factor, round(side // 2 * scale / factor) * factor) for side in size)
    if max(height, width) > most:
        shrink = max(height, width) / most
        height, width = (
            max(factor, math.floor(side / shrink / factor) * factor) for side in (height, width)
        )
    return Measured.stretched(height, width)
