"""What arguments of a call must be: their checks, and the caller's arrays as outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._dynres_rs import finite_number, whole_number
from ._dynres_rs import integer as _integer
from ._dynres_rs import side as _side
from ._types import DType
from .files import shown

__all__ = [
    "DTYPES",
    "ERRORS",
    "_check_name",
    "_dtype",
    "_given_outs",
    "_integer",
    "_out_view",
    "_side",
    "_torch",
    "as_list",
    "as_numbers",
    "finite_number",
    "whole_number",
]

DTYPES: Final[tuple[DType, ...]] = get_args(DType)
ERRORS: Final = ("raise", "collect")


def as_numbers(name: str, given: ArrayLike) -> NDArray[Any]:
    """An array of what the caller gave, whatever goes wrong in making it."""
    try:
        return np.asarray(given)
    except MemoryError:
        raise
    except Exception:
        kind = type(given).__name__
    raise TypeError(f"{name}: must be numbers in an array or in lists of one length, got {kind}")


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


def _given_outs(
    out: Any,
    arrays: Sequence[tuple[str, tuple[int, ...], str, bool]],
    facts: Mapping[str, tuple[tuple[int, ...], str]],
    pixels: Sequence[tuple[int, Any]],
) -> dict[str, NDArray[Any]]:
    """Views of the caller's arrays by key, all checked before anything is written."""
    # Of several arrays of one key, in a list, each is its own memory.
    first = arrays[0][0]
    lists = {key for key, _, _, listed in arrays if listed}
    arrays = [entry for entry in arrays if not entry[3]]
    wanted = {key: (shape, np.dtype(kind)) for key, shape, kind, _ in arrays}
    wanted |= {key: (shape, np.dtype(kind)) for key, (shape, kind) in facts.items()}
    if callable(out):
        made = {key: out(key, shape, np.dtype(kind)) for key, shape, kind, _ in arrays}
        out = {key: array for key, array in made.items() if array is not None}
    given = out if isinstance(out, Mapping) else {first: out}
    views: dict[str, NDArray[Any]] = {}
    for key, value in given.items():
        name = f"out['{shown(key, 60)}']" if isinstance(out, Mapping) else "out"
        if key in lists:
            raise ValueError(f"{name}: '{key}' is a list of arrays of several shapes here")
        if key not in wanted:
            raise ValueError(f"{name}: is no key of the result; those are {', '.join(wanted)}")
        views[key] = _out_view(name, value, *wanted[key])
    keys = list(views)
    for position, key in enumerate(keys):
        name = f"out['{key}']" if isinstance(out, Mapping) else "out"
        for other in keys[:position]:
            if np.may_share_memory(views[key], views[other]):
                raise ValueError(f"{name}: overlaps out['{other}']")
        for index, image in pixels:
            if isinstance(image, np.ndarray) and np.may_share_memory(views[key], image):
                raise ValueError(f"{name}: overlaps images[{index}] in memory")
    return views


def _out_view(name: str, value: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    array = value
    if type(value).__module__ == "torch" and hasattr(value, "detach"):
        array = _tensor_array(name, value)
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name}: must be a numpy array, got {type(value).__name__}")
    if array.dtype != dtype:
        bits = " (the bits of bfloat16)" if dtype == np.uint16 else ""
        raise TypeError(f"{name}: must have the dtype {dtype.name}{bits}, got {array.dtype.str}")
    if array.shape != shape:
        raise ValueError(f"{name}: must have the shape {shape}, got {array.shape}")
    if not array.flags.c_contiguous:
        raise ValueError(f"{name}: must be C-contiguous")
    if not array.flags.writeable:
        raise ValueError(f"{name}: must be writeable")
    if array.ctypes.data % dtype.itemsize:
        raise ValueError(f"{name}: must be aligned to its dtype")
    return array.view(np.ndarray)


def _tensor_array(name: str, tensor: Any) -> Any:
    if tensor.device.type != "cpu":
        raise TypeError(f"{name}: must be on the CPU, got device '{tensor.device}'")
    if str(tensor.dtype) == "torch.bfloat16":
        torch = _torch()
        return tensor.detach().view(torch.int16).numpy().view(np.uint16)
    return tensor.detach().numpy()


def _torch() -> Any:
    try:
        import torch  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise ImportError("return_tensors='pt' needs torch, which is not installed") from None
    return torch
