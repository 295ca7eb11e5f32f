"""Donut and Nougat: the shorter side to that of the page, shrunk into the page, centred on it.

The page crops what is larger, where the class does not shrink.
"""

from . import Measured, Options, Size


def scaled(size: Size, edge: int) -> Size:
    """The shorter side to `edge`, the other truncated."""
    height, width = size
    if width <= height:
        return int(edge * height / width), edge
    return edge, int(edge * width / height)


def thumbnail(size: Size, page: Size) -> Size:
    """Within the page: the longer side to the lesser of it and the page's, the other with it."""
    height, width = min(size[0], page[0]), min(size[1], page[1])
    if (height, width) == size:
        return size
    if size[0] > size[1]:
        width = int(size[1] * height / size[0])
    elif size[1] > size[0]:
        height = int(size[0] * width / size[1])
    return height, width


def measure(size: Size, options: Options) -> Measured:
    page = options["height"], options["width"]
    found = scaled(size, min(page))
    if options["do_thumbnail"]:
        found = thumbnail(found, page)
    if 0 in found:
        raise ValueError("a side vanishes")
    return Measured(found, page)
