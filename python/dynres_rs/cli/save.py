"""Writing batches to one file: npz, or safetensors."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["FORMATS", "safetensors_header", "save"]

FORMATS: Final = (".npz", ".safetensors")
SAFETENSORS: Final = {
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "uint8": "U8",
    "int64": "I64",
}
ITEM_BYTES: Final = {"float32": 4, "float16": 2, "bfloat16": 2, "uint8": 1, "int64": 8}


def save(
    path: Path, batches: Sequence[dict[str, Any]], names: Sequence[str], bfloat16: bool
) -> dict[str, str]:
    """Writes batches as one, in order, with the images' names.

    Args:
        path: ends in `.npz` or `.safetensors`.
        batches: results of a processor with the same keys.
        names: one a batch; the array `names` of an npz, the metadata `names` (JSON) of safetensors.
        bfloat16: whether uint16 arrays hold bfloat16: safetensors says so, npz cannot.

    Returns:
        what was written: dtype and shape as text by key.

    The file appears whole or not at all.
    """
    arrays = {key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]}
    kinds = {
        key: "bfloat16" if bfloat16 and array.dtype == np.uint16 else array.dtype.name
        for key, array in arrays.items()
    }
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            if path.suffix == ".npz":
                everything: dict[str, Any] = {"names": np.array(list(names)), **arrays}
                np.savez(file, **everything)
            else:
                _safetensors(file, arrays, kinds, names)
        partial.replace(path)
    except OSError as error:
        raise OSError(f"cannot write '{path}': {os.strerror(error.errno or 0)}") from None
    finally:
        partial.unlink(missing_ok=True)
    return {key: f"{kinds[key]} {list(array.shape)}" for key, array in arrays.items()}


def safetensors_header(
    tensors: dict[str, tuple[str, tuple[int, ...]]], names: Sequence[str]
) -> tuple[list[str], bytes]:
    """The format is a length, a JSON header and the bytes.

    The safetensors package has no numpy dtype for bfloat16, and its raw writer changed in 0.8.

    Args:
        tensors: (dtype, shape) by key.
        names: of the images, for the metadata.

    Returns:
        the keys in the order in which their bytes must follow, and all that comes before them.
    """
    # The widest items first, so that each tensor is aligned.
    order = sorted(tensors, key=lambda key: -ITEM_BYTES[tensors[key][0]])
    header: dict[str, Any] = {"__metadata__": {"names": json.dumps(list(names))}}
    offset = 0
    for key in order:
        kind, shape = tensors[key]
        nbytes = ITEM_BYTES[kind] * math.prod(shape)
        header[key] = {
            "dtype": SAFETENSORS[kind],
            "shape": list(shape),
            "data_offsets": [offset, offset + nbytes],
        }
        offset += nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return order, len(text).to_bytes(8, "little") + text


def _safetensors(
    file: BinaryIO, arrays: dict[str, NDArray[Any]], kinds: dict[str, str], names: Sequence[str]
) -> None:
    tensors = {key: (kinds[key], array.shape) for key, array in arrays.items()}
    order, header = safetensors_header(tensors, names)
    file.write(header)
    for key in order:
        file.write(np.ascontiguousarray(arrays[key]).data)
