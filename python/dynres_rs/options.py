"""One vocabulary for options: upstream's spellings in, the canonical names of `families()` out.

The constructor's overrides, a call's keyword arguments and a config file all pass through
`canonical`, which is the compiled core's. Options are a flat dict: what strategies know, and two
that are the facade's own, `do_convert_rgb` and `input_data_format`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from ._dynres_rs import FACADE, IGNORED, canonical, family, preset, with_backgrounds
from ._dynres_rs import option_names as names

__all__ = [
    "FACADE",
    "IGNORED",
    "canonical",
    "family",
    "freeze",
    "names",
    "preset",
    "with_backgrounds",
]

#: More numbers than any option has.
_MOST: Final = 1024


def freeze(value: Any) -> Any:
    """A hashable stand-in that differs wherever two values differ in type or content."""
    if isinstance(value, Mapping):
        return tuple((key, freeze(item)) for key, item in sorted(value.items()))
    if isinstance(value, list | tuple):
        return tuple([freeze(item) for item in value])
    if isinstance(value, np.ndarray):
        if value.size > _MOST:
            raise TypeError("an array that is no option")
        return (value.dtype.str, value.shape, value.tobytes())
    return (type(value), value)
