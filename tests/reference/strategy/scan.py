"""Gemma 3: beside the whole image, crops along the longer side of images that are long enough."""

import math

from . import Options, Size


def crops(size: Size, options: Options) -> list[tuple[int, int, int, int]]:
    """Top, left, height and width of each."""
    height, width = size
    long, short = max(size), min(size)
    least = options["pan_and_scan_min_crop_size"]
    if long / short < options["pan_and_scan_min_ratio_to_activate"]:
        return []
    # Half is rounded up.
    count = min(math.floor(long / short + 0.5), long // least)
    count = min(max(2, count), options["pan_and_scan_max_num_crops"])
    step = math.ceil(long / count)
    if min(step, short) < least:
        return []
    starts = [step * i for i in range(count)]
    if width >= height:
        return [(0, left, height, min(step, width - left)) for left in starts]
    return [(top, 0, min(step, height - top), width) for top in starts]
