"""One call: the plans of its videos, the output, and the frames into their places."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import chain, islice, pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .. import _dynres_rs as _native
from .. import memory
from .._dynres_rs import Batch as Asked
from .._dynres_rs import Plan
from .._types import DType
from ..failures import Failures
from .derived import DERIVED
from .frames import Frames, Listed
from .metadata import VideoMetadata
from .stacked import Units, stacked
from .variant import VideoVariant

__all__ = ["Call"]

#: Frames that a stream holds at least, so that what a call costs beside pixels stays below 1 %.
CHUNK_FRAMES: Final = 8


class Call:
    """One call: plans, the output, and the frames into it."""

    def __init__(self, variant: VideoVariant, dtype: DType | None, num_threads: int) -> None:
        self._variant = variant
        self._dtype = dtype
        self._threads = num_threads
        threads = num_threads or os.cpu_count() or 1
        self._whole = variant.spec.whole_frames
        self._tubelet = variant.spec.tubelet
        step = max(CHUNK_FRAMES, 2 * threads * self._whole)
        self._chunk = -(-step // self._whole) * self._whole
        self.key: str = variant.spec.key
        self.facts: dict[str, Any] = {}
        self.metadata: list[VideoMetadata] = []

    def plan(self, frames: Frames) -> list[Plan]:
        """Samples a video and plans it: one plan, or one of each of its units. Empty where its
        length is only known at its end."""
        options, known = self._variant.options, frames.metadata
        if self._variant.spec.draws:
            raise ValueError(
                "draw_on_frames: must be False; times are not written on frames here, so draw them"
                " yourself and pass such frames with do_sample_frames=False"
            )
        height, width = frames.size()
        known.height, known.width = height, width
        total = known.total_num_frames
        if options["do_sample_frames"]:
            if total is None:
                raise ValueError(
                    "video: an iterator is sampled only where its length is known; pass"
                    " video_metadata={'total_num_frames': ...}, or do_sample_frames=False"
                )
            indices: list[int] = self._variant.spec.sample(
                total, known.fps, known.duration
            ).tolist()
            if not indices:
                raise ValueError("fps: leaves no frame of the video")
            if isinstance(frames, Listed) and max(indices) >= len(frames):
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
        spec = self._variant.spec
        if frames.count is None and (spec.needs_frames or spec.stacks):
            why = "which frames are shown" if spec.stacks else "the budget of pixels"
            raise ValueError(
                f"video: {why} depends on the number of frames; pass"
                " video_metadata={'total_num_frames': ...} for an iterator"
            )
        if frames.count is not None and spec.stacks:
            frames.units = spec.units(height, width, frames.count, known.duration)
            plans = [plan for plan, _ in frames.units]
        else:
            plans = [spec.plan(height, width, frames.count or 1)]
        if frames.floating is not None:
            resized = any(plan.resized != plan.source for plan in plans)
            self._variant.check_floating("video", frames.floating, resized=resized)
        return [] if frames.count is None else plans

    def _batch(self, videos: list[list[Plan]]) -> Asked:
        """The arrays of these videos."""
        plans, counts = list(chain.from_iterable(videos)), [len(video) for video in videos]
        return self._variant.spec.batch(plans, counts, self._dtype, "expand")

    def _parts(self, pixels: NDArray[Any], videos: list[list[Plan]]) -> list[NDArray[Any]]:
        """The consecutive rows of each video. Videos that have an axis have a place on it each."""
        shapes = [self._batch([plans]).rows[0] for plans in videos]
        if self._variant.spec.stacked:
            for place, (_, count, *_) in zip(pixels, shapes, strict=True):
                place[count:] = 0
            return [place[:count] for place, (_, count, *_) in zip(pixels, shapes, strict=True)]
        starts = np.cumsum([0, *(shape[0] for shape in shapes)]).tolist()
        return [pixels[start:end] for start, end in pairwise(starts)]

    def __call__(
        self,
        opened: list[tuple[int, Frames, list[Plan]]],
        out: Any,
        failures: Failures,
    ) -> NDArray[Any]:
        plans = [each for _, _, each in opened if each]
        known = len(plans) == len(opened)
        asked = self._batch(plans if known else [])
        pixels: NDArray[Any] | None = None
        given: dict[str, NDArray[Any]] = {}
        if known:
            (pixels,), given = asked.allocate(out, memory.OUTPUTS, [])
        elif out is not None and not callable(out):
            raise ValueError("out: needs videos whose number of frames is known beforehand")
        parts = iter(self._parts(pixels, plans) if pixels is not None and plans else ())
        done: list[NDArray[Any]] = []
        wholes: list[list[Plan]] = []
        for index, frames, each in opened:
            try:
                if pixels is not None and each:
                    part = next(parts)
                    count = self._into(frames, each, part)
                else:
                    part, count = self._growing(frames, each)
            except Exception as error:
                failures.add(index, error)
                continue
            height, width = frames.size()
            wholes.append(each if frames.units else [self._variant.spec.plan(height, width, count)])
            if frames.metadata.frames_indices is None:
                frames.metadata.frames_indices = list(range(count))
            self.metadata.append(frames.metadata)
            done.append(part)
        self.facts = self._batch(wholes).facts()
        for key, value in self.facts.items():
            if key in given:
                if len(wholes) == len(opened):
                    given[key][...] = value
                self.facts[key] = given[key][: len(value)]
        if pixels is not None and len(done) == len(opened):
            joined = pixels
        elif not done:
            shape, kind = self._batch([]).rows
            joined = np.empty((0, *shape[1:]), kind)
        elif self._variant.spec.stacked:
            joined = np.stack(done)
        else:
            joined = done[0] if len(done) == 1 else np.concatenate(done)
        if asked.strip:
            joined = _native.in_strip(joined, given.get(self.key))
        for key in DERIVED.keys() & self.facts.keys():
            own = list(chain.from_iterable(wholes))
            self.facts[key] = DERIVED[key](self._variant.options, joined, own, self.facts[key])
        return joined

    def _into(self, frames: Frames, plans: list[Plan], part: NDArray[Any]) -> int:
        """All frames of a video of known length into its rows."""
        wanted = frames.count or 0
        if frames.units:
            self._stacked(frames, frames.units, part)
            return wanted
        groups = -(-wanted // self._whole)
        # Of the temporal patches that one token sees: their rows, with what fills them up.
        rows, share = len(part) // groups, part.nbytes // (groups * self._tubelet)
        start = count = 0
        in_place = isinstance(frames, Listed) and frames.in_place
        taken = islice(frames.taken(), wanted)
        for chunk in _chunks(taken, wanted if in_place else self._chunk):
            end = start + -(-len(chunk) // self._whole) * rows
            self._run(plans[0], chunk, part[start:end], share)
            start, count = end, count + len(chunk)
        if count != wanted:
            raise ValueError(f"video: has {count} frames, where {wanted} were announced")
        return count

    def _stacked(self, frames: Frames, units: Units, part: NDArray[Any]) -> None:
        """All units of a video into its rows."""
        start = 0
        for chunk in _chunks(zip(units, stacked(frames, units), strict=True), self._chunk):
            asked = self._batch([[plan for (plan, _), _ in chunk]])
            end = start + asked.rows[0][0]
            shown = [pixels for _, pixels in chunk]
            failed = asked.run(shown, [part[start:end]], self._threads)
            if failed is not None:
                raise failed[1]
            start = end

    def _run(self, plan: Plan, chunk: list[Any], part: NDArray[Any], share: int) -> None:
        if self._tubelet > 1:
            chunk = [*chunk, *[chunk[-1]] * (-len(chunk) % self._whole)]
        self._variant.spec.run_frames(plan, chunk, part, self._dtype, self._threads, share)

    def _growing(self, frames: Frames, plans: list[Plan]) -> tuple[NDArray[Any], int]:
        """All frames of a video into an array that grows as they come."""
        height, width = frames.size()
        # One temporal patch's plan: the size of each does not depend on their number here.
        one = self._variant.spec.plan(height, width, 1)
        plan = plans[0] if plans else one
        shape, kind = self._batch([[one]]).rows
        if self._variant.spec.stacked:
            shape = shape[1:]
        count = used = 0
        rows = shape[0]
        part = np.empty((0, *shape[1:]), kind)
        share = rows * int(np.prod(shape[1:])) * part.itemsize // self._tubelet
        for chunk in _chunks(frames.taken(), self._chunk):
            end = used + -(-len(chunk) // self._whole) * rows
            # realloc moves pages, not bytes
            part.resize((end, *shape[1:]), refcheck=False)
            self._run(plan, chunk, part[used:end], share)
            used, count = end, count + len(chunk)
        return part, count


def _chunks(frames: Iterable[Any], size: int) -> Iterator[list[Any]]:
    chunk: list[Any] = []
    for frame in frames:
        chunk.append(frame)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
