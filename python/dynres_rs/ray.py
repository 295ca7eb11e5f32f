"""A stage of Ray Data (the extra `ray`).

dataset = ray.data.read_binary_files("s3://images")
dataset = dynres_rs.ray.preprocess(dataset, processor, column="bytes", dtype="uint8")
dataset.write_parquet("out")
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._types import Temporal
from .processor import Processor

__all__ = ["preprocess"]


def preprocess(
    dataset: Any,
    processor: Processor,
    *,
    column: str = "image",
    dtype: Any = None,
    temporal: Temporal = "expand",
    error_column: str = "error",
    keep_column: bool = False,
    batch_size: int = 16,
    **map_options: Any,
) -> Any:
    """Adds the processor's outputs to each row, by `Dataset.map_batches`.

    Lazy, as all of Ray Data. The rows stay in their order, and a row whose image fails stays: with
    arrays of no rows, and the reason in `error_column`.

    Args:
        dataset: a `ray.data.Dataset`.
        processor: goes along to the workers.
        column: holds an image a row: encoded bytes, a path that the workers can read, or a uint8
            array.
        dtype: as in `Processor.__call__`; bfloat16 comes as its bits in uint16.
        temporal: as in `Processor.__call__`.
        error_column: for `""`, or the class and text of what was raised.
        keep_column: whether the images themselves stay in the rows.
        batch_size: rows of a call; bounds the memory of a worker.
        **map_options: `concurrency`, `num_cpus`, `memory`, ... of `map_batches`. A call uses one
            core.

    Returns:
        a dataset of the other columns, `pixel_values` and the metadata of each image (each of
        them an array with the image's patches or tiles in its first axis), and `error_column`.

    Raises:
        TypeError: no processor.
        ValueError: a value that is not accepted, before any work is done.
    """
    if not isinstance(processor, Processor):
        raise TypeError(f"processor: must be a Processor, got {type(processor).__name__}")
    call = {"dtype": dtype, "temporal": temporal}
    processor([b""], errors="collect", **call)  # refuses here what it would refuse there
    # Of this dataset only; upstream's default lets whichever block is done first go first.
    dataset.context.execution_options.preserve_order = True
    return dataset.map_batches(
        _stage,
        fn_kwargs={
            "processor": processor,
            "column": column,
            "call": call,
            "error_column": error_column,
            "keep_column": keep_column,
        },
        batch_format="numpy",
        batch_size=batch_size,
        **map_options,
    )


def _stage(
    batch: dict[str, NDArray[Any]],
    processor: Processor,
    column: str,
    call: dict[str, Any],
    error_column: str,
    keep_column: bool,
) -> dict[str, Any]:
    """One batch of rows, in a worker."""
    rows: dict[str, list[Any]] = {}
    for image in batch[column]:
        # A list of one, so that a bad image leaves arrays without rows.
        made = processor([image], errors="collect", **call)
        failed = [f"{type(error).__name__}: {error}" for _, error in made.pop("errors")]
        made[error_column] = failed[0].replace("images[0]: ", "", 1) if failed else ""
        for key, value in made.items():
            rows.setdefault(key, []).append(value)
    kept = {key: value for key, value in batch.items() if keep_column or key != column}
    return kept | {key: _column(values) for key, values in rows.items()}


def _column(values: list[Any]) -> NDArray[Any]:
    """Values of any shapes, one a row."""
    column = np.empty(len(values), object)
    for index, value in enumerate(values):
        column[index] = value
    return column
