"""Names of types that the public signatures share. Nothing here runs."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

#: An image or a nest of images; `dynres_rs.images` lists what is accepted. Torch tensors and
#: Pillow images are `Any` here, so that a type checker needs neither library.
ImageInput: TypeAlias = Any

#: A nesting of images: one, a list (one request), or a list of lists (one request each).
ImagesInput: TypeAlias = Any

#: What a call returns: numpy arrays by key (tensors with `return_tensors="pt"`), and `"errors"`
#: when collecting.
Batch: TypeAlias = dict[str, Any]

#: One family's options under their canonical names.
Options: TypeAlias = dict[str, Any]

U8: TypeAlias = NDArray[np.uint8]
I64: TypeAlias = NDArray[np.int64]

Numerics: TypeAlias = Literal["torchvision", "pillow-12.0", "pillow-12.2", "pillow-13"]
DType: TypeAlias = Literal["float32", "float16", "bfloat16", "uint8"]
Temporal: TypeAlias = Literal["expand", "compact"]
Coords: TypeAlias = Literal["resized", "norm1000", "norm999", "norm1"]
ErrorPolicy: TypeAlias = Literal["raise", "collect"]
Layout: TypeAlias = Literal["channels_first", "channels_last"]
