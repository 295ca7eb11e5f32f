"""How sizes follow from an image's size: a rule a file, in plain Python.

Each file has `measure(size, options)`: the size that the image is scaled to and the canvas that it
is laid on, both (height, width), of the main view. A size that upstream refuses is a `ValueError`.
"""

from typing import Any, NamedTuple

Size = tuple[int, int]
Options = dict[str, Any]


class Measured(NamedTuple):
    """The main view of an image."""

    resized: Size
    canvas: Size

    @classmethod
    def stretched(cls, height: int, width: int) -> "Measured":
        """An image scaled to that size, with nothing around it."""
        return cls((height, width), (height, width))
