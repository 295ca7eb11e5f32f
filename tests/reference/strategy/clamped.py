"""Idefics 2: the longer side down to a length, then neither side below another length."""

from . import Measured, Options, Size


def measure(size: Size, options: Options) -> Measured:
    height, width = size
    ratio, most = width / height, options["longest_edge"]
    if width >= height and width > most:
        height, width = int(most / ratio), most
    elif height > width and height > most:
        height, width = most, int(most * ratio)
    least = options["shortest_edge"]
    return Measured.stretched(max(height, least), max(width, least))
