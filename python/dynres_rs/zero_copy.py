"""Letting Pillow put each image into one block of memory, so that it can be read in place."""

from __future__ import annotations

__all__ = ["enable_zero_copy", "zero_copy"]


def zero_copy() -> bool:
    """Whether Pillow images can be read in place at all: Pillow 13 exports them through Arrow as
    RGBX."""
    import PIL

    return int(PIL.__version__.split(".", 1)[0]) >= 13


def enable_zero_copy() -> bool:
    """Makes Pillow allocate each image in one block, process-wide, from now on.

    Without it Pillow splits images of more than 16 MiB (about 4 million pixels) into blocks, and
    such an image is read strip by strip, at the price of one copy. Images that exist already stay
    as they are. The results are the same bits either way.

    Returns:
        whether it was switched on; False where the installed Pillow has no Arrow export of RGB
        (before 13) or was built without the switch.
    """
    if not zero_copy():
        return False
    from PIL import Image

    switch = getattr(getattr(Image, "core", None), "set_use_block_allocator", None)
    if switch is None:
        return False
    switch(1)
    return True
