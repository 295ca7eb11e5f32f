"""Positions of tokens for multimodal rotary embeddings, as models of the Qwen line make them.

A text's positions are the same on all axes and go on one by one. An image's tokens have a temporal
position, a row and a column, counted from where the text before it ended; the text behind it goes
on after the longer side. The rules differ in what they do with a video's time, and a family's entry
names its rule.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._dynres_rs import as_numbers
from ._types import I64

__all__ = ["Positions", "position_ids"]

#: Positions a second, as Qwen2.5-VL's vision config has them.
TOKENS_PER_SECOND = 2
#: Temporal patches of a video that ERNIE 4.5 VL merges.
TEMPORAL_MERGE = 2
#: What the numbers of `mm_token_type_ids` mean.
TEXT, IMAGE, VIDEO = 0, 1, 2


class Positions(NamedTuple):
    """Positions of every token, and by how much those of generated tokens are ahead."""

    position_ids: I64
    """(axes, samples, length)."""
    mrope_position_deltas: I64
    """(samples, 1): the largest position plus one, less the number of tokens."""


def _grids(name: str, given: ArrayLike | None) -> list[tuple[int, int, int]]:
    if given is None:
        return []
    array = as_numbers(name, given)
    if array.size == 0:
        return []
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name}: must be integers, got {array.dtype.name}")
    if array.ndim != 2 or array.shape[1] != 3:
        raise ValueError(f"{name}: must have the shape (n, 3), got {array.shape}")
    if (array < 1).any():
        raise ValueError(f"{name}: must be above 0")
    return [(int(t), int(h), int(w)) for t, h, w in array.tolist()]


def _types(name: str, given: ArrayLike) -> NDArray[np.int64]:
    array = as_numbers(name, given)
    if array.dtype.kind not in "iub":
        raise TypeError(f"{name}: must be integers, got {array.dtype.name}")
    if array.ndim != 2:
        raise ValueError(f"{name}: must have the shape (samples, length), got {array.shape}")
    return array.astype(np.int64)


def _mesh(times: I64, rows: int, columns: int, start: int) -> I64:
    """(3, tokens) of a grid, row by row."""
    t, h, w = np.meshgrid(times, np.arange(rows), np.arange(columns), indexing="ij")
    return np.stack([t, h, w]).reshape(3, -1).astype(np.int64) + start


class _Rule:
    """A rule with what it reads of a call."""

    def __init__(self, rule: str, merge: int, seconds: Iterator[float]) -> None:
        self.rule, self.merge, self.seconds = rule, merge, seconds

    def span(self, kind: int, grid: tuple[int, int, int], start: int) -> tuple[I64, int]:
        """Positions of one grid, and where the text goes on."""
        frames, rows, columns = grid[0], grid[1] // self.merge, grid[2] // self.merge
        if self.rule == "lines":
            # A newline ends each row; the next picture begins behind the largest position.
            columns += 1
            times = np.arange(frames) * max(rows, columns)
            found = _mesh(np.zeros(frames, np.int64), rows, columns, start)
            found += np.repeat(times, rows * columns)
            return found, int(found.max()) + 1
        if self.rule == "pairs" and kind == VIDEO:
            frames //= TEMPORAL_MERGE
        times = np.arange(frames)
        if self.rule == "seconds" and kind == VIDEO:
            # Upstream multiplies in single precision and truncates.
            interval = np.float32(TOKENS_PER_SECOND * np.float32(next(self.seconds)))
            times = (times.astype(np.float32) * interval).astype(np.int64)
        return _mesh(times, rows, columns, start), start + max(grid[1], grid[2]) // self.merge


def _sample(
    types: NDArray[np.int64], rule: _Rule, grids: dict[int, Iterator[tuple[int, int, int]]]
) -> I64:
    """(3, length) of one sample."""
    parts: list[I64] = []
    at = 0
    for kind, group in itertools.groupby(types.tolist()):
        length = len(list(group))
        if kind == TEXT:
            parts.append(np.broadcast_to(np.arange(length) + at, (3, length)))
            at += length
            continue
        if kind not in grids:
            raise ValueError(f"mm_token_type_ids: must be 0, 1 or 2, got {kind}")
        taken = 0
        while taken < length:
            grid = next(grids[kind], None)
            if grid is None:
                name = "image_grid_thw" if kind == IMAGE else "video_grid_thw"
                raise ValueError(f"{name}: must have a row for each group of such tokens")
            span, at = rule.span(kind, grid, at)
            parts.append(span)
            taken += span.shape[1]
        if taken != length:
            raise ValueError(
                f"mm_token_type_ids: a group of {length} tokens is none of its grids ({taken})"
            )
    return np.concatenate(parts, axis=1) if parts else np.zeros((3, 0), np.int64)


def _planes(
    types: NDArray[np.int64], merge: int, grids: Iterator[tuple[int, int, int]], first: int
) -> tuple[I64, int]:
    """(4, length) of one sample as HunYuan-VL has it: places of the text, columns, rows, images."""
    found = np.broadcast_to(np.arange(len(types)), (4, len(types))).copy()
    at, number = 0, first
    for kind, group in itertools.groupby(types.tolist()):
        length = len(list(group))
        if kind == IMAGE:
            grid = next(grids, None)
            if grid is None:
                raise ValueError("image_grid_thw: must have a row for each group of such tokens")
            rows, columns = grid[1] // merge, grid[2] // merge + 1
            if length not in (rows * columns, rows * columns + 2):
                raise ValueError(
                    f"mm_token_type_ids: a group of {length} tokens is no grid of {rows * columns}"
                )
            start = at + (length - rows * columns) // 2
            place = slice(start, start + rows * columns)
            found[1, place] = np.tile(np.arange(columns), rows)
            found[2, place] = np.repeat(np.arange(rows), columns)
            found[3, place] = number
            number += 1
        at += length
    return found, number


def position_ids(
    rule: str,
    merge: int,
    mm_token_type_ids: ArrayLike,
    image_grid_thw: ArrayLike | None = None,
    video_grid_thw: ArrayLike | None = None,
    second_per_grid_ts: ArrayLike | None = None,
    attention_mask: ArrayLike | None = None,
) -> Positions:
    """Positions by the rule of that name: see `Processor.mrope_position_ids`."""
    types = _types("mm_token_type_ids", mm_token_type_ids)
    mask = np.ones(types.shape, bool)
    if attention_mask is not None:
        mask = _types("attention_mask", attention_mask).astype(bool)
        if mask.shape != types.shape:
            raise ValueError(f"attention_mask: must have the shape {types.shape}, got {mask.shape}")
    images, videos = (
        _grids("image_grid_thw", image_grid_thw),
        _grids("video_grid_thw", video_grid_thw),
    )
    if rule == "frames":
        # Each temporal patch of a video is a picture of its own; its time is in the text.
        videos = [(1, rows, columns) for frames, rows, columns in videos for _ in range(frames)]
    given = as_numbers(
        "second_per_grid_ts", [] if second_per_grid_ts is None else second_per_grid_ts
    )
    times = (
        iter(given.ravel().tolist()) if second_per_grid_ts is not None else itertools.repeat(1.0)
    )
    steps = _Rule(rule, merge, times)
    grids = {IMAGE: iter(images), VIDEO: iter(videos)}
    axes = 4 if rule == "planes" else 3
    found = np.zeros((axes, *types.shape), np.int64)
    deltas = np.zeros((len(types), 1), np.int64)
    number = 0
    for sample, (kinds, kept) in enumerate(zip(types, mask, strict=True)):
        if rule == "planes":
            here, number = _planes(kinds[kept], merge, grids[IMAGE], number)
        else:
            here = _sample(kinds[kept], steps, grids)
        found[:, sample, kept] = here
        deltas[sample] = (here.max() if here.size else -1) + 1 - kept.sum()
    return Positions(found, deltas)
