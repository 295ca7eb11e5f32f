"""A set of video options, ready to run."""

from __future__ import annotations

from .._configured import Variant
from .._dynres_rs import Spec
from .._types import Numerics, Options

__all__ = ["VideoVariant"]


class VideoVariant(Variant):
    """What a call needs of its options, made once for each distinct set."""

    __slots__ = ()

    def __init__(self, family: str, numerics: Numerics, options: Options) -> None:
        spec = Spec(family, numerics, options, True)
        convert = "transformers" if options["do_convert_rgb"] else "none"
        super().__init__(spec, numerics, options, convert)
