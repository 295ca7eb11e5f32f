"""`VideoProcessor`: a family's video options, called with videos."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from .. import _dynres_rs as _native
from .. import hf
from .._call import How
from .._configured import Configured
from .._dynres_rs import Plan, as_numbers, side
from .._types import I64, Batch, ErrorPolicy, Options
from ..arguments import as_list
from ..failures import Failures
from ..options import canonical, preset
from .call import Call
from .frames import Frames, VideosInput, as_videos, open_video
from .metadata import VideoMetadata, read_metadata
from .stacked import stacked
from .variant import VideoVariant

__all__ = ["Taken", "VideoProcessor"]


def read_pretrained(
    path: str | os.PathLike[str], revision: str | None, overrides: dict[str, Any]
) -> tuple[str, Options]:
    """The family and all options of videos of a model's folder, file or hub id."""
    config, model_type = hf.find(path, revision, hf.VIDEOS)
    return _native.read_video_config(config, overrides, model_type)


class Taken(NamedTuple):
    """What a call takes of a video: see `VideoProcessor.take`."""

    plan: Plan
    """Everything that will happen to it."""
    metadata: VideoMetadata
    """Which frames are taken, and their times."""
    frames: Iterator[Any]
    """They themselves, each decoded when it is asked for: uint8 arrays or Pillow images. With
    `stack_frames`, canvases of several among them."""
    plans: list[Plan]
    """`[plan]`; with `stack_frames` a plan of each of `frames`, of which `plan` is the first."""


class VideoProcessor(Configured[VideoVariant]):
    """Bit for bit what upstream's video processor of a family returns.

    Immutable, hashable, picklable, and safe to share between threads.

    Args:
        family: a family that takes videos, as `"qwen2-vl"` or `"llava-onevision"`, a model type or
            a class: those that `families()` has a video class of.
        numerics: as in `Processor`; None is upstream's, `"torchvision"`.
        **options: overrides, in upstream's names; `families()` and the page of a family name them.
            Those of the Qwen line, of pixels: `size` or `min_pixels` and
            `max_pixels`, `cap_pixels_per_frame`, `max_video_tokens`, and `budget`: what they
            count, `"frame"`, `"video"` or `"qwen-vl-utils"` (that package's rule, with its own
            limits of a frame, its `total_pixels` and `model_seq_len`). Of frames, where
            `do_sample_frames` is on: `fps` or `num_frames`, `min_frames`, `max_frames`, and
            `sampling`: whose rule, `"arange"`, `"linspace"` or `"qwen-vl-utils"`, the last with
            `video_start` and `video_end` in seconds.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: a family without videos, an unknown option, or a value out of range.

    Matches the family's video processor of transformers, `Qwen2VLVideoProcessor` and so on.
    Of qwen-vl-utils' `fetch_video` it has the frames and sizes, not the pixels: that package
    resizes in floating point, and this does as transformers does; its tensors are taken with
    `do_resize=False`.
    """

    __slots__ = ()

    _of_videos = True

    def __init__(self, family: str, *, numerics: str | None = None, **options: Any) -> None:
        name = _native.video_family(family)
        full = canonical(options, preset(name, True), "options", name, True)
        self._set(name, numerics or "torchvision", full)

    @classmethod
    def _of(cls, family: str, options: Options, numerics: str | None) -> Self:
        made = cls.__new__(cls)
        made._set(family, numerics or "torchvision", options)
        return made

    def _prepared(self, options: Options) -> VideoVariant:
        return VideoVariant(self._family, self._numerics, options)

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], *, numerics: str | None = None, **overrides: Any
    ) -> Self:
        """A processor from the dict of a `video_preprocessor_config.json`, of transformers v5's
        nested `processor_config.json`, or, as upstream falls back to, of a
        `preprocessor_config.json` of the same models.

        Args:
            config: the file's dict.
            numerics: as in the constructor.
            **overrides: options that go over the file.

        Raises:
            TypeError: `config` is no dict, or a value has the wrong type.
            ValueError: an unknown class or key, or a value that is out of range.
        """
        return cls._of(*_native.read_video_config(config, overrides), numerics)

    @classmethod
    def from_pretrained(
        cls,
        path: str | os.PathLike[str],
        *,
        numerics: str | None = None,
        revision: str | None = None,
        **overrides: Any,
    ) -> Self:
        """A processor from a model's folder, a json file, or a hub id in the local Hugging Face
        cache. Nothing is downloaded.

        Args:
            path: the folder, file or id.
            numerics: as in the constructor.
            revision: branch, tag or commit of a hub id; None is `main`.
            **overrides: options that go over the file.

        Raises:
            FileNotFoundError: nothing there.
            ValueError: no JSON, and all that `from_config` raises.
        """
        return cls._of(*read_pretrained(path, revision, overrides), numerics)

    def __call__(
        self,
        videos: VideosInput,
        *,
        video_metadata: Any = None,
        return_metadata: bool = False,
        return_tensors: str | None = None,
        dtype: Any = None,
        out: Any = None,
        num_threads: int = 1,
        errors: ErrorPolicy = "raise",
        **options: Any,
    ) -> Batch:
        """Preprocesses videos.

        Args:
            videos: one video or a list of them. A video is an array of four axes (T, H, W, 3) or
                (T, 3, H, W), a list of frames, an iterator of frames, a path, or a file's bytes.
                A list of frames is one video; a list of anything else is a list of videos.
            video_metadata: for each video a dict or an object with `total_num_frames`, `fps` (the
                video's own) and `frames_indices` (where its frames were sampled already), as
                `VideoMetadata` has them; for one video it may stand alone. An iterator's
                `total_num_frames` is needed where sampling or the budget depends on it.
            return_metadata: add `"video_metadata"`: a list of `VideoMetadata` with the frames
                taken and their times.
            return_tensors: None or `"np"` for numpy arrays, `"pt"` for torch tensors.
            dtype: of the pixels: None is upstream's (float32), else `"float32"`, `"float16"`,
                `"bfloat16"` (as uint16 in numpy) or `"uint8"` (not normalised).
            out: an array for `pixel_values_videos`, a dict of arrays by key, or a function as
                `Processor` takes it, which is not asked where the number of frames is not known
                beforehand.
            num_threads: 1 unless asked; 0 is every core that this process may use. They share the
                temporal patches. Results never depend on it.
            errors: `"raise"`, or `"collect"`: bad videos are left out, and `batch["errors"]` lists
                `(index, exception)`.
            **options: options of this call only. `num_frames` here goes over the processor's `fps`
                and the other way round.

        Returns:
            upstream's keys. Of Qwen's families: `pixel_values_videos` (sum of t * h * w,
            3 * temporal_patch_size * patch_size ** 2) and `video_grid_thw` (n, 3) int64: temporal
            patches, and rows and columns of patches.

        Raises:
            TypeError: an argument or frame of the wrong type, dtype or byte order.
            ValueError: a shape, size, number of frames, option or `out` that is not accepted.
            ImageTooLargeError: more pixels a frame than `max_image_pixels`.
            OSError: a file that cannot be decoded.
            ImportError: a file, without PyAV.
            MemoryError: no room for the output.
        """
        variant = self._variant(options)
        how = How.of(return_tensors, dtype, "expand", errors, num_threads)
        listed, single = as_videos(videos)
        metadata = read_metadata(video_metadata, len(listed), variant.spec.temporal_option)
        run = Call(variant, how.dtype, how.num_threads)
        opened: list[tuple[int, Frames, list[Plan]]] = []
        failures = Failures("video", errors, single=single)
        like: str | None = None
        for index, (video, known) in enumerate(zip(listed, metadata, strict=True)):
            try:
                frames = open_video(video, variant.policy, known, how.num_threads, like)
                like = like or frames.layout
                opened.append((index, frames, run.plan(frames)))
            except Exception as error:
                failures.add(index, error)
        pixels = run(opened, out, failures)
        batch: Batch = {run.key: how.returned(pixels, half=how.dtype == "bfloat16")}
        for key, value in run.facts.items():
            batch[key] = how.returned(value)
        if return_metadata:
            batch["video_metadata"] = run.metadata
        if errors == "collect":
            batch["errors"] = sorted(failures, key=lambda failure: failure[0])
        return batch

    def plan(self, height: int, width: int, *, num_frames: int, **options: Any) -> Plan:
        """Everything that will happen to a video of this size, without its pixels.

        Args:
            height: of its frames, in pixels.
            width: of its frames, in pixels.
            num_frames: frames that are taken of it.
            **options: as in a call.

        Raises:
            TypeError: a number that is no integer.
            ValueError: a size or number of frames that upstream refuses, or `stack_frames` above
                1, where `plans` has a plan of each unit.
        """
        variant = self._variant(options)
        if variant.spec.stacks:
            raise ValueError("stack_frames: must be 1 for one plan; plans() has one of each unit")
        return variant.spec.plan(
            side("height", height),
            side("width", width),
            side("num_frames", num_frames),
        )

    def plans(
        self, height: int, width: int, *, num_frames: int, duration: Any = None, **options: Any
    ) -> list[Plan]:
        """The plans of all that the model sees of a video one by one: `[plan(...)]`, and with
        `stack_frames` above 1 a plan of each main frame and of each canvas of frames after it.

        Args:
            height: of its frames, in pixels.
            width: of its frames, in pixels.
            num_frames: frames that are taken of it, those on canvases among them.
            duration: the seconds of the video, which say how many of those lie between seconds;
                needed where `stack_frames` is above 1, and not read elsewhere.
            **options: as in a call.

        Raises:
            TypeError: a number that is none.
            ValueError: a size, number of frames or duration that upstream refuses.
        """
        variant = self._variant(options)
        if not variant.spec.stacks:
            return [self.plan(height, width, num_frames=num_frames, **options)]
        sides = (side("height", height), side("width", width), side("num_frames", num_frames))
        return [plan for plan, _ in variant.spec.units(*sides, duration)]

    def num_tokens(self, sizes: ArrayLike, *, duration: Any = None, **options: Any) -> I64:
        """Tokens that the language model sees for videos, timestamps not counted.

        Args:
            sizes: (n, 3) integers, each (num_frames, height, width), frames as they are taken.
            duration: seconds of each video, or of all, as `plans` needs them.
            **options: as in a call.

        Returns:
            (n,) int64: t * h * w / merge_size ** 2.
        """
        array = as_numbers("sizes", sizes)
        if array.dtype.kind not in "iu" and array.size:
            raise TypeError(f"sizes: must be integers, got {array.dtype.name}")
        if array.ndim != 2 or array.shape[1] != 3:
            raise ValueError(f"sizes: must have the shape (n, 3), got {array.shape}")
        several = hasattr(duration, "__len__")
        times = as_list("duration", duration) if several else [duration] * len(array)
        if len(times) != len(array):
            raise ValueError(f"duration: must be one a video, {len(array)}, got {len(times)}")
        plans = [
            self.plans(height, width, num_frames=frames, duration=time, **options)
            for (frames, height, width), time in zip(array.tolist(), times, strict=True)
        ]
        return np.array([sum(plan.num_tokens for plan in each) for each in plans], np.int64)

    def take(self, video: Any, *, video_metadata: Any = None, **options: Any) -> Taken:
        """The frames that a call takes of one video, one by one, and what becomes of them.

        Args:
            video: as in a call; an iterator needs its `total_num_frames`.
            video_metadata: as in a call.
            **options: as in a call.

        Raises:
            TypeError: as a call raises it.
            ValueError: as a call raises it.
        """
        variant = self._variant(options)
        (known,) = read_metadata(video_metadata, 1, variant.spec.temporal_option)
        frames = open_video(video, variant.policy, known, 1)
        plans = Call(variant, None, 1).plan(frames)
        if not plans:
            raise ValueError(
                "video: must have a known length; pass video_metadata={'total_num_frames': ...}"
            )
        if known.frames_indices is None:
            known.frames_indices = list(range(frames.count or 0))
        shown = stacked(frames, frames.units) if frames.units else frames.taken()
        return Taken(plans[0], known, islice(shown, frames.count), plans)

    def sample_frames(
        self,
        total_num_frames: int,
        video_fps: float | None = None,
        *,
        duration: float | None = None,
        **options: Any,
    ) -> I64:
        """The frames that are taken of a video, whatever `do_sample_frames` says.

        Args:
            total_num_frames: frames of the video.
            video_fps: its frames a second.
            duration: its seconds, for the rules that go by time; None is from the other two, as
                the rule has it.
            **options: as in a call.

        Returns:
            (n,) int64, ascending; with `stack_frames` above 1 first those of the seconds, then
            those between them.

        Raises:
            ValueError: what upstream refuses, and what it fails on.
        """
        variant = self._variant(options)
        count = side("total_num_frames", total_num_frames)
        return variant.spec.sample(count, video_fps, duration)
