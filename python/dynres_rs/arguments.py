"""What arguments of a call must be, beside numbers, which the compiled core checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

import numpy as np

from ._types import DType
from .files import shown

__all__ = ["DTYPES", "ERRORS", "_check_name", "_dtype", "_torch", "as_list"]

DTYPES: Final[tuple[DType, ...]] = get_args(DType)
ERRORS: Final = ("raise", "collect")


def as_list(name: str, given: Any) -> list[Any]:
    """A sequence or an array of one axis as a list."""
    if isinstance(given, str | bytes | Mapping) or not hasattr(given, "__iter__"):
        raise TypeError(f"{name}: must be a sequence, got {type(given).__name__}")
    try:
        return list(given)
    except TypeError:  # an array without axes
        raise TypeError(f"{name}: must be a sequence, got one value") from None


def _check_name(name: str, given: object, allowed: Sequence[str]) -> None:
    if not isinstance(given, str):
        raise TypeError(f"{name}: must be a string, got {type(given).__name__}")
    if given not in allowed:
        raise ValueError(f"{name}: must be one of {', '.join(allowed)}; got '{shown(given, 40)}'")


def _dtype(dtype: object) -> DType:
    """The name of an output dtype given as a name, a numpy dtype or scalar type, or a torch
    dtype."""
    if isinstance(dtype, str):
        name = dtype
    elif isinstance(dtype, np.dtype):
        name = dtype.name
    elif isinstance(dtype, type) and issubclass(dtype, np.generic):
        name = np.dtype(dtype).name
    elif type(dtype).__module__ == "torch":
        name = str(dtype).removeprefix("torch.")
    else:
        name = getattr(dtype, "__name__", "") if isinstance(dtype, type) else ""
        if name not in DTYPES:
            raise TypeError(f"dtype: must be a string or a dtype, got {type(dtype).__name__}")
    for known in DTYPES:
        if name == known:
            return known
    raise ValueError(f"dtype: must be one of {', '.join(DTYPES)}; got '{shown(name, 40)}'")


def _torch() -> Any:
    try:
        import torch  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise ImportError("return_tensors='pt' needs torch, which is not installed") from None
    return torch
