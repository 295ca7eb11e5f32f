"""One call: the plans of its videos, the output, and the frames into their places."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .._dynres_rs import Plan
from .._types import DType
from ..arguments import _given_outs
from ..memory import _empty
from .frames import Frames, Listed, placed
from .metadata import VideoMetadata
from .variant import Variant

__all__ = ["PIXELS", "Call"]

PIXELS: Final = "pixel_values_videos"
#: Frames that a stream holds at least, so that what a call costs beside pixels stays below 1 %.
CHUNK_FRAMES: Final = 8


class Call:
    """One call: plans, the output, and the frames into it."""

    def __init__(self, variant: Variant, dtype: DType | None, num_threads: int) -> None:
        self._variant = variant
        self._dtype = dtype
        self._threads = num_threads
        threads = num_threads or os.cpu_count() or 1
        step = max(CHUNK_FRAMES, 2 * threads * variant.temporal)
        self._chunk = -(-step // variant.temporal) * variant.temporal
        self.grids = np.empty((0, 3), np.int64)
        self.metadata: list[VideoMetadata] = []

    def plan(self, frames: Frames) -> Plan | None:
        """Samples a video and plans it; None where its length is only known at its end."""
        options, known = self._variant.options, frames.metadata
        height, width = frames.size()
        known.height, known.width = height, width
        total = known.total_num_frames
        if options["do_sample_frames"]:
            if total is None:
                raise ValueError(
                    "video: an iterator is sampled only where its length is known; pass"
                    " video_metadata={'total_num_frames': ...}, or do_sample_frames=False"
                )
            indices: list[int] = self._variant.sample(total, known.fps).tolist()
            if isinstance(frames, Listed) and indices[-1] >= len(frames):
                raise ValueError(
                    f"total_num_frames: says {total} where the video has {len(frames)} frames; set"
                    " do_sample_frames=False for frames that were sampled already"
                )
            frames.indices = known.frames_indices = indices
            frames.count = len(indices)
        elif isinstance(frames, Listed):
            frames.count = len(frames)
        elif known.frames_indices is not None:
            # The frames of a stream that were sampled already; the total is the whole video's.
            frames.count = len(known.frames_indices)
        elif total is not None:
            frames.count = total
        if frames.count is None:
            if options["budget"] != "frame" or options["cap_pixels_per_frame"]:
                raise ValueError(
                    "video: the budget of pixels depends on the number of frames; pass"
                    " video_metadata={'total_num_frames': ...} for an iterator"
                )
            plan = self._variant.spec.plan(height, width, 1)
        else:
            plan = self._variant.spec.plan(height, width, frames.count)
        self._check_floating(frames, plan)
        return None if frames.count is None else plan

    def _check_floating(self, frames: Frames, plan: Plan) -> None:
        """As for images: see `processor._check_floating`."""
        floating = frames.floating
        if floating is None:
            return
        options = self._variant.options
        if not (options["do_rescale"] and options["do_normalize"]):
            raise TypeError(
                f"video: must be uint8 unless do_rescale and do_normalize are on, got {floating}"
            )
        if self._variant.torchvision and plan.resized != frames.size():
            raise TypeError(
                "video: must be uint8 where it is resized by numerics='torchvision', which keeps"
                f" fractions of floating-point frames; got {floating}"
            )

    def _shape(self, plan: Plan) -> tuple[tuple[int, ...], str]:
        ((_, shape, kind, _),) = self._variant.spec.batch([plan], [1], self._dtype, "expand").arrays
        # numpy has no bfloat16: its bits
        return tuple(shape), "uint16" if kind == "bfloat16" else kind

    def __call__(
        self,
        opened: list[tuple[int, Frames, Plan | None]],
        out: Any,
        failures: list[tuple[int, Exception]],
        errors: str,
        single: bool,
    ) -> NDArray[Any]:
        plans = [plan for _, _, plan in opened if plan is not None]
        known = len(plans) == len(opened)
        given: dict[str, NDArray[Any]] = {}
        if out is not None and not (callable(out) and not known):
            if not known:
                raise ValueError("out: needs videos whose number of frames is known beforehand")
            rows = sum(plan.num_patches for plan in plans)
            shape, kind = self._shape(plans[0]) if plans else self._nothing()
            arrays = [(PIXELS, (rows, *shape[1:]), kind, False)]
            facts = {"video_grid_thw": ((len(plans), 3), "int64")}
            given = _given_outs(out, arrays, facts, [])
        pixels = given.get(PIXELS)
        if pixels is None and known:
            rows = sum(plan.num_patches for plan in plans)
            shape, kind = self._shape(plans[0]) if plans else self._nothing()
            pixels = _empty(PIXELS, (rows, *shape[1:]), kind)
        start = 0
        done: list[NDArray[Any]] = []
        grids: list[tuple[int, int, int]] = []
        for index, frames, plan in opened:
            try:
                if pixels is not None and plan is not None:
                    part = pixels[start : start + plan.num_patches]
                    start += plan.num_patches
                    count = self._into(frames, plan, part)
                else:
                    part, count = self._growing(frames, plan)
            except Exception as error:
                named = error if single else placed(error, f"videos[{index}]: ")
                if errors == "raise":
                    try:
                        raise named from None
                    finally:
                        del named  # the frame that it refers to must not refer to it
                # Without its traceback, which would keep frames and output alive.
                failures.append((index, named.with_traceback(None)))
                continue
            height, width = frames.size()
            whole = self._variant.spec.plan(height, width, count)
            grids.append((-(-count // self._variant.temporal), *whole.grid))
            if frames.metadata.frames_indices is None:
                frames.metadata.frames_indices = list(range(count))
            self.metadata.append(frames.metadata)
            done.append(part)
        self.grids = np.array(grids, np.int64).reshape(-1, 3)
        if "video_grid_thw" in given:
            if len(grids) == len(opened):
                given["video_grid_thw"][...] = self.grids
            self.grids = given["video_grid_thw"][: len(grids)]
        if pixels is not None and len(done) == len(opened):
            return pixels
        if len(done) == 1:
            return done[0]
        if not done:
            shape, kind = self._nothing()
            return np.empty((0, *shape[1:]), kind)
        return np.concatenate(done)

    def _nothing(self) -> tuple[tuple[int, ...], str]:
        options = self._variant.options
        side = options["patch_size"] * options["merge_size"]
        return self._shape(self._variant.spec.plan(side, side, self._variant.temporal))

    def _into(self, frames: Frames, plan: Plan, part: NDArray[Any]) -> int:
        """All frames of a video of known length into its rows."""
        wanted = frames.count or 0
        rows = plan.num_patches // -(-wanted // self._variant.temporal)
        start = count = 0
        in_place = isinstance(frames, Listed) and frames.in_place
        taken = islice(frames.taken(), wanted)
        for chunk in _chunks(taken, wanted if in_place else self._chunk):
            end = start + -(-len(chunk) // self._variant.temporal) * rows
            self._variant.spec.run_frames(plan, chunk, part[start:end], self._dtype, self._threads)
            start, count = end, count + len(chunk)
        if count != wanted:
            raise ValueError(f"video: has {count} frames, where {wanted} were announced")
        return count

    def _growing(self, frames: Frames, plan: Plan | None) -> tuple[NDArray[Any], int]:
        """All frames of a video into an array that grows as they come."""
        height, width = frames.size()
        # One frame's plan: the size of each does not depend on their number here.
        plan = plan or self._variant.spec.plan(height, width, 1)
        count = used = 0
        rows = plan.grid[0] * plan.grid[1]
        shape, kind = self._shape(plan)
        part = np.empty((0, *shape[1:]), kind)
        for chunk in _chunks(frames.taken(), self._chunk):
            end = used + -(-len(chunk) // self._variant.temporal) * rows
            # realloc moves pages, not bytes
            part.resize((end, *shape[1:]), refcheck=False)
            self._variant.spec.run_frames(plan, chunk, part[used:end], self._dtype, self._threads)
            used, count = end, count + len(chunk)
        return part, count


def _chunks(frames: Iterator[Any], size: int) -> Iterator[list[Any]]:
    chunk: list[Any] = []
    for frame in frames:
        chunk.append(frame)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
