"""`VideoProcessor`: a family's video options, called with videos.

    processor = dr.VideoProcessor("qwen2.5-vl", fps=2, do_sample_frames=True)
    batch = processor("clip.mp4")  # pixel_values_videos, video_grid_thw: upstream's own bits

A video is an array (T, H, W, 3) or (T, 3, H, W), a list of frames, an iterator of frames, a path,
or the bytes of a file. A frame is whatever `dynres_rs.images` takes for an image; all frames of a
video have one size. Frames of arrays and lists are read where they lie. Iterators and files are
streamed: beside the output there are never more than a few frames in memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _dynres_rs as _native
from . import hf_video
from ._dynres_rs import Plan, Spec
from ._types import I64, Batch, DType, ErrorPolicy, Numerics, Options
from .images import Policy, Ready, prepare
from .numerics import resolve
from .options import family_row, freeze
from .sampling import DEFAULT_FPS, format_timestamps, sample_indices, timestamps
from .video_file import VideoFile

__all__ = ["Taken", "VideoMetadata", "VideoProcessor", "VideosInput"]

#: A video or a list of them.
VideosInput = Any

#: Options that never reach the compiled core.
FACADE: Final = ("do_convert_rgb", "input_data_format")
PIXELS: Final = "pixel_values_videos"
STREAM_BYTES: Final = 32 << 20
#: Frames that a stream holds at least, so that what a call costs beside pixels stays below 1 %.
CHUNK_FRAMES: Final = 8
_CACHED: Final = 64


@dataclass
class VideoMetadata:
    """What is known of a video, under transformers' names (`transformers.video_utils`)."""

    total_num_frames: int | None = None
    """Frames of the whole video."""
    fps: float | None = None
    """Its frames a second."""
    width: int | None = None
    """In pixels."""
    height: int | None = None
    """In pixels."""
    duration: float | None = None
    """In seconds."""
    video_backend: str | None = None
    """What decoded it: `"pyav"`, or None."""
    frames_indices: list[int] | None = None
    """The frames taken."""
    temporal_patch_size: int = 2
    """Frames of a temporal patch."""

    @property
    def timestamps(self) -> list[float]:
        """The time of each temporal patch in seconds, as Qwen3-VL's processor has it; a video of
        unknown rate counts as one of 24 frames a second."""
        if self.frames_indices is None:
            raise ValueError("frames_indices: are not known")
        return timestamps(self.frames_indices, self.fps or DEFAULT_FPS, self.temporal_patch_size)

    @property
    def timestamp_texts(self) -> list[str]:
        """The same as Qwen3-VL's prompt has them: `<1.5 seconds>`."""
        return format_timestamps(self.timestamps)

    @property
    def sampled_fps(self) -> float:
        """Frames taken a second, as transformers' `VideoMetadata.sampled_fps`."""
        if self.frames_indices is None or not self.total_num_frames or self.fps is None:
            return self.fps or DEFAULT_FPS
        return len(self.frames_indices) / self.total_num_frames * self.fps

    @property
    def second_per_grid_t(self) -> float:
        """Seconds between temporal patches, as Qwen2.5-VL's processor computes them."""
        return self.temporal_patch_size / self.sampled_fps


class Taken(NamedTuple):
    """What a call takes of a video: see `VideoProcessor.take`."""

    plan: Plan
    """Everything that will happen to it."""
    metadata: VideoMetadata
    """Which frames are taken, and their times."""
    frames: Iterator[Any]
    """They themselves, each decoded when it is asked for: uint8 arrays or Pillow images."""


class _Frames:
    """One video, opened: its frames' size and number, and the frames that are to be taken."""

    def __init__(self, metadata: VideoMetadata) -> None:
        self.metadata = metadata
        self.count: int | None = None
        """How many are taken; None where only the end of the stream will tell."""
        self.indices: list[int] | None = None
        """Which are taken; None is all. Not the metadata's: those frames may be sampled already."""
        self.floating: str | None = None
        """The dtype of floating-point frames that hold integers."""

    def size(self) -> tuple[int, int]:
        """Height and width of every frame."""
        raise NotImplementedError

    def taken(self) -> Iterator[Any]:
        """What is taken, in order; each is ready for the core."""
        raise NotImplementedError


class _Listed(_Frames):
    """Frames in memory: a sequence, or the first axis of an array."""

    def __init__(self, frames: Sequence[Any], policy: Policy, metadata: VideoMetadata) -> None:
        super().__init__(metadata)
        if not len(frames):
            raise ValueError("video: must have at least one frame")
        self._frames = frames
        self._policy = policy
        if metadata.total_num_frames is None:
            metadata.total_num_frames = len(frames)
        self._first = _frame(frames[0], policy, 0)
        self.floating = self._first.floating
        self.in_place = _is_array(frames)
        if not self.in_place:
            for index, frame in enumerate(frames):
                _check_shape(frames[0], frame, index)

    def __len__(self) -> int:
        return len(self._frames)

    def size(self) -> tuple[int, int]:
        return self._first.height, self._first.width

    def taken(self) -> Iterator[Any]:
        size = self.size()
        indices = self.indices
        for index in range(len(self._frames)) if indices is None else indices:
            ready = _frame(self._frames[index], self._policy, index) if index else self._first
            _check_size(ready, size, index)
            yield ready.pixels


class _Streamed(_Frames):
    """Frames of an iterator, which is asked for no more than the last one that is taken."""

    def __init__(self, frames: Iterator[Any], policy: Policy, metadata: VideoMetadata) -> None:
        super().__init__(metadata)
        self._frames = frames
        self._policy = policy
        first = next(frames, None)
        if first is None:
            raise ValueError("video: must have at least one frame")
        self._first = _frame(first, policy, 0)
        self.floating = self._first.floating

    def size(self) -> tuple[int, int]:
        return self._first.height, self._first.width

    def taken(self) -> Iterator[Any]:
        size = self.size()
        indices = self.indices
        wanted: Iterator[int] | None = None if indices is None else iter(indices)
        ready: Ready | None = self._first
        number = 0
        for index in _count() if wanted is None else wanted:
            while number < index or ready is None:
                frame = next(self._frames, None)
                if frame is None:
                    if wanted is None:
                        return
                    raise ValueError(
                        f"video: ended after {number + 1} frames, where frame {index} is taken"
                    )
                number += 1
                if number == index:
                    ready = _frame(frame, self._policy, index)
                    _check_size(ready, size, index)
            yield ready.pixels
            if wanted is None:
                ready = None


class _Decoded(_Frames):
    """Frames of a file."""

    def __init__(self, file: VideoFile, metadata: VideoMetadata) -> None:
        super().__init__(metadata)
        self._file = file
        count, fps = file.total_num_frames, file.fps
        if metadata.fps is None:
            metadata.fps = fps
        metadata.total_num_frames = count
        metadata.height, metadata.width = file.height, file.width
        metadata.duration = count / metadata.fps if metadata.fps else None
        metadata.video_backend = "pyav"

    def size(self) -> tuple[int, int]:
        return self._file.height, self._file.width

    def taken(self) -> Iterator[Any]:
        size = self.size()
        indices = self.indices
        count = self._file.total_num_frames
        for array in self._file.frames(list(range(count)) if indices is None else indices):
            if array.shape[:2] != size:
                raise ValueError(
                    f"video: all frames must have one size, got {size} and {array.shape[:2]}"
                )
            yield array


def _count() -> Iterator[int]:
    index = 0
    while True:
        yield index
        index += 1


def _frame(frame: Any, policy: Policy, index: int) -> Ready:
    try:
        return prepare(frame, policy)
    except Exception as error:
        raise _named(error, f"frame {index}: ") from None


def _check_shape(first: Any, frame: Any, index: int) -> None:
    """Before anything is written: frames that show their size without being read."""
    one, other = (getattr(each, "shape", getattr(each, "size", None)) for each in (first, frame))
    if type(first) is type(frame) and one != other and isinstance(one, tuple):
        raise ValueError(
            f"video: all frames must have one size, got {one} and frame {index} of {other}"
        )


def _check_size(ready: Ready, size: tuple[int, int], index: int) -> None:
    if (ready.height, ready.width) != size:
        raise ValueError(
            f"video: all frames must have one size, got {size} and frame {index} of"
            f" {(ready.height, ready.width)}"
        )


def _named(error: Exception, where: str) -> Exception:
    """The same class of error with a place before its text."""
    kind = type(error)
    if kind.__module__ not in ("builtins", _native.__name__, "dynres_rs"):
        return error
    text = str(error).removeprefix("image: ").removeprefix("video: ")
    try:
        return kind(f"{where}{text}")
    except TypeError:
        return error


class _Variant:
    """A set of options, ready to run."""

    __slots__ = ("options", "policy", "spec", "temporal", "torchvision")

    def __init__(self, family: str, numerics: Numerics, options: Options) -> None:
        core = {key: value for key, value in options.items() if key not in FACADE}
        self.spec = Spec(family, numerics, core, True)
        self.options: Options = {
            **self.spec.options,
            **{key: options[key] for key in FACADE},
        }
        self.torchvision = numerics == "torchvision"
        self.temporal = int(self.options["temporal_patch_size"])
        self.policy = Policy(
            "transformers" if options["do_convert_rgb"] else "none",
            self.torchvision,
            options["input_data_format"],
            int(self.options["max_image_pixels"]),
        )


class VideoProcessor:
    """Bit for bit what upstream's video processor of a family returns.

    Immutable, hashable, picklable, and safe to share between threads.

    Args:
        family: a family that takes videos: `"qwen2-vl"`, `"qwen2.5-vl"`, `"qwen3-vl"`.
        numerics: as in `Processor`; None is upstream's, `"torchvision"`.
        **options: overrides, in upstream's names. Of pixels: `size` or `min_pixels` and
            `max_pixels`, `cap_pixels_per_frame`, `max_video_tokens`, and `budget`: what they
            count, `"frame"`, `"video"` or `"qwen-vl-utils"` (that package's rule, with its
            `total_pixels` and `model_seq_len`). Of frames: `do_sample_frames`, `fps` or
            `num_frames`, `min_frames`, `max_frames`, and `sampling`: whose rule, `"arange"`,
            `"linspace"` or `"qwen-vl-utils"`.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: a family without videos, an unknown option, or a value out of range.

    Matches transformers' `Qwen2VLVideoProcessor` and `Qwen3VLVideoProcessor`. Of qwen-vl-utils'
    `fetch_video` it has the frames and sizes, not the pixels: that package resizes in floating
    point, and this does as transformers does.
    """

    __slots__ = ("_base", "_family", "_numerics", "_variants")

    _family: str
    _numerics: Numerics
    _base: _Variant
    _variants: dict[Any, _Variant]

    def __init__(self, family: str, *, numerics: str | None = None, **options: Any) -> None:
        name, _ = family_row(family)
        self._set(name, numerics, hf_video.canonical(options, hf_video.preset(name), name))

    def _set(self, family: str, numerics: str | None, options: Options) -> None:
        self._family = family
        self._numerics = resolve(numerics or family_row(family)[1]["numerics"])
        self._base = _Variant(family, self._numerics, options)
        self._variants = {}

    @classmethod
    def _make(cls, family: str, options: Options, numerics: str | None) -> VideoProcessor:
        made = cls.__new__(cls)
        made._set(family, numerics, options)
        return made

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], *, numerics: str | None = None, **overrides: Any
    ) -> VideoProcessor:
        """A processor from the dict of a `video_preprocessor_config.json`, of transformers v5's
        nested `processor_config.json`, or, as upstream falls back to, of a
        `preprocessor_config.json` of the same models.

        Raises:
            TypeError: `config` is no dict, or a value has the wrong type.
            ValueError: an unknown class or key, or a value that is out of range.
        """
        return cls._make(*hf_video.read(config, overrides), numerics)

    @classmethod
    def from_pretrained(
        cls,
        path: str | os.PathLike[str],
        *,
        numerics: str | None = None,
        revision: str | None = None,
        **overrides: Any,
    ) -> VideoProcessor:
        """A processor from a model's folder, a json file, or a hub id in the local Hugging Face
        cache. Nothing is downloaded.

        Raises:
            FileNotFoundError: nothing there.
            ValueError: no JSON, and all that `from_config` raises.
        """
        return cls._make(*hf_video.read_pretrained(path, revision, overrides), numerics)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> VideoProcessor:
        """The processor that `to_dict` described."""
        if not isinstance(data, Mapping):
            raise TypeError(f"data: must be a dict, got {type(data).__name__}")
        options = dict(data)
        family = options.pop("family", None)
        if family is None:
            raise ValueError("data: must have 'family', as to_dict() writes it")
        return cls(family, numerics=options.pop("numerics", None), **options)

    def to_dict(self) -> dict[str, Any]:
        """The family, the resolved numerics and all options, as values that JSON can hold."""
        return {"family": self._family, "numerics": self._numerics, **self._base.options}

    @property
    def family(self) -> str:
        """The family's name."""
        return self._family

    @property
    def numerics(self) -> Numerics:
        """The rule in use."""
        return self._numerics

    @property
    def options(self) -> Options:
        """All options under their canonical names; a copy."""
        return dict(self._base.options)

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
            out: an array for `pixel_values_videos`, or a dict of arrays by key.
            num_threads: 1 unless asked; 0 is every core that this process may use. They share the
                temporal patches. Results never depend on it.
            errors: `"raise"`, or `"collect"`: bad videos are left out, and `batch["errors"]` lists
                `(index, exception)`.
            **options: options of this call only. `num_frames` here goes over the processor's `fps`
                and the other way round.

        Returns:
            `pixel_values_videos` (sum of t * h * w, 3 * temporal_patch_size * patch_size ** 2) and
            `video_grid_thw` (n, 3) int64: temporal patches, and rows and columns of patches.

        Raises:
            TypeError: an argument or frame of the wrong type, dtype or byte order.
            ValueError: a shape, size, number of frames, option or `out` that is not accepted.
            ImageTooLargeError: more pixels a frame than `max_image_pixels`.
            OSError: a file that cannot be decoded.
            ImportError: a file, without PyAV.
            MemoryError: no room for the output.
        """
        from . import processor as facade

        variant = self._variant(options) if options else self._base
        if return_tensors is not None:
            facade._check_name("return_tensors", return_tensors, ("np", "pt"))
        torch = facade._torch() if return_tensors == "pt" else None
        kind: DType | None = None if dtype is None else facade._dtype(dtype)
        facade._check_name("errors", errors, facade.ERRORS)
        num_threads = facade._integer("num_threads", num_threads)
        if not 0 <= num_threads <= 2**31:
            raise ValueError(f"num_threads: must be in 0..2**31, got {num_threads}")
        listed, single = _videos(videos)
        metadata = _metadata(video_metadata, len(listed), variant.temporal)
        run = _Run(variant, kind, num_threads)
        opened: list[tuple[int, _Frames, Plan | None]] = []
        failures: list[tuple[int, Exception]] = []
        for index, (video, known) in enumerate(zip(listed, metadata, strict=True)):
            try:
                frames = _open(video, known, variant, num_threads)
                opened.append((index, frames, run.plan(frames)))
            except Exception as error:
                named = error if single else _named(error, f"videos[{index}]: ")
                if errors == "raise":
                    raise named from None
                failures.append((index, named))
        pixels = run(opened, out, failures, errors, single)
        batch: Batch = {PIXELS: pixels, "video_grid_thw": run.grids}
        if torch is not None:
            if kind == "bfloat16":
                batch[PIXELS] = torch.from_numpy(pixels.view(np.int16)).view(torch.bfloat16)
            else:
                batch[PIXELS] = torch.from_numpy(pixels)
            batch["video_grid_thw"] = torch.from_numpy(run.grids)
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
            ValueError: a size or number of frames that upstream refuses.
        """
        from . import processor as facade

        variant = self._variant(options) if options else self._base
        return variant.spec.plan(
            facade._side("height", height),
            facade._side("width", width),
            facade._side("num_frames", num_frames),
        )

    def num_tokens(self, sizes: ArrayLike, **options: Any) -> I64:
        """Tokens that the language model sees for videos, timestamps not counted.

        Args:
            sizes: (n, 3) integers, each (num_frames, height, width), frames as they are taken.
            **options: as in a call.

        Returns:
            (n,) int64: t * h * w / merge_size ** 2.
        """
        array = np.asarray(sizes)
        if array.dtype.kind not in "iu" and array.size:
            raise TypeError(f"sizes: must be integers, got {array.dtype.name}")
        if array.ndim != 2 or array.shape[1] != 3:
            raise ValueError(f"sizes: must have the shape (n, 3), got {array.shape}")
        counts = [
            self.plan(int(height), int(width), num_frames=int(frames), **options).num_tokens
            for frames, height, width in array
        ]
        return np.array(counts, np.int64)

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
        variant = self._variant(options) if options else self._base
        (known,) = _metadata(video_metadata, 1, variant.temporal)
        frames = _open(video, known, variant, 1)
        plan = _Run(variant, None, 1).plan(frames)
        if plan is None:
            raise ValueError(
                "video: must have a known length; pass video_metadata={'total_num_frames': ...}"
            )
        if known.frames_indices is None:
            known.frames_indices = list(range(frames.count or 0))
        return Taken(plan, known, islice(frames.taken(), frames.count))

    def sample_frames(
        self, total_num_frames: int, video_fps: float | None = None, **options: Any
    ) -> I64:
        """The frames that are taken of a video, whatever `do_sample_frames` says.

        Args:
            total_num_frames: frames of the video.
            video_fps: its frames a second.
            **options: as in a call.

        Returns:
            (n,) int64, ascending.

        Raises:
            ValueError: what upstream refuses, and what it fails on.
        """
        from . import processor as facade

        variant = self._variant(options) if options else self._base
        count = facade._side("total_num_frames", total_num_frames)
        return _sampled(variant.options, count, video_fps)

    def _variant(self, given: dict[str, Any]) -> _Variant:
        try:
            key = freeze(given)
            found = self._variants.get(key)
        except TypeError:
            key, found = None, None
        if found is None:
            options = hf_video.canonical(given, self._base.options, self._family)
            found = _Variant(self._family, self._numerics, options)
            if key is not None:
                if len(self._variants) >= _CACHED:
                    self._variants.clear()
                self._variants[key] = found
        return found

    def __repr__(self) -> str:
        """The call that makes this processor again."""
        defaults = hf_video.preset(self._family)
        said = [repr(self._family), f"numerics={self._numerics!r}"]
        said += [
            f"{key}={value!r}"
            for key, value in self._base.options.items()
            if value != defaults[key]
        ]
        return f"VideoProcessor({', '.join(said)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, VideoProcessor):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self._family, self._numerics, freeze(self._base.options)))

    def __reduce__(self) -> tuple[Any, ...]:
        return (_from_dict, (self.to_dict(),))

    def __copy__(self) -> VideoProcessor:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> VideoProcessor:
        return self


def _from_dict(data: dict[str, Any]) -> VideoProcessor:
    return VideoProcessor.from_dict(data)


class _Run:
    """One call: plans, the output, and the frames into it."""

    def __init__(self, variant: _Variant, dtype: DType | None, num_threads: int) -> None:
        self._variant = variant
        self._dtype = dtype
        self._threads = num_threads
        threads = num_threads or os.cpu_count() or 1
        step = max(CHUNK_FRAMES, 2 * threads * variant.temporal)
        self._chunk = -(-step // variant.temporal) * variant.temporal
        self.grids = np.empty((0, 3), np.int64)
        self.metadata: list[VideoMetadata] = []

    def plan(self, frames: _Frames) -> Plan | None:
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
            indices: list[int] = _sampled(options, total, known.fps).tolist()
            if isinstance(frames, _Listed) and indices[-1] >= len(frames):
                raise ValueError(
                    f"total_num_frames: says {total} where the video has {len(frames)} frames; set"
                    " do_sample_frames=False for frames that were sampled already"
                )
            frames.indices = known.frames_indices = indices
            frames.count = len(indices)
        elif isinstance(frames, _Listed):
            frames.count = len(frames)
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

    def _check_floating(self, frames: _Frames, plan: Plan) -> None:
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
        ((_, shape, kind),) = self._variant.spec.arrays([plan], self._dtype, "expand")
        # numpy has no bfloat16: its bits
        return tuple(shape), "uint16" if kind == "bfloat16" else kind

    def __call__(
        self,
        opened: list[tuple[int, _Frames, Plan | None]],
        out: Any,
        failures: list[tuple[int, Exception]],
        errors: str,
        single: bool,
    ) -> NDArray[Any]:
        from . import processor as facade

        plans = [plan for _, _, plan in opened if plan is not None]
        known = len(plans) == len(opened)
        given: dict[str, NDArray[Any]] = {}
        if out is not None:
            if not known:
                raise ValueError("out: needs videos whose number of frames is known beforehand")
            rows = sum(plan.num_patches for plan in plans)
            shape, kind = self._shape(plans[0]) if plans else self._nothing()
            arrays = [(PIXELS, (rows, *shape[1:]), kind)]
            facts = [("video_grid_thw", (len(plans), 3), [0])]
            given = facade._given_outs(out, arrays, facts, [])
        pixels = given.get(PIXELS)
        if pixels is None and known:
            rows = sum(plan.num_patches for plan in plans)
            shape, kind = self._shape(plans[0]) if plans else self._nothing()
            pixels = np.empty((rows, *shape[1:]), kind)
        stream = PIXELS in given and pixels is not None and pixels.nbytes > STREAM_BYTES
        start = 0
        done: list[NDArray[Any]] = []
        grids: list[tuple[int, int, int]] = []
        for index, frames, plan in opened:
            try:
                if pixels is not None and plan is not None:
                    part = pixels[start : start + plan.num_patches]
                    start += plan.num_patches
                    count = self._into(frames, plan, part, stream)
                else:
                    part, count = self._growing(frames, plan)
            except Exception as error:
                named = error if single else _named(error, f"videos[{index}]: ")
                if errors == "raise":
                    raise named from None
                failures.append((index, named))
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

    def _into(self, frames: _Frames, plan: Plan, part: NDArray[Any], stream: bool) -> int:
        """All frames of a video of known length into its rows."""
        wanted = frames.count or 0
        rows = plan.num_patches // -(-wanted // self._variant.temporal)
        start = count = 0
        in_place = isinstance(frames, _Listed) and frames.in_place
        taken = islice(frames.taken(), wanted)
        for chunk in _chunks(taken, wanted if in_place else self._chunk):
            end = start + -(-len(chunk) // self._variant.temporal) * rows
            self._variant.spec.run_frames(
                plan, chunk, part[start:end], self._dtype, self._threads, stream
            )
            start, count = end, count + len(chunk)
        if count != wanted:
            raise ValueError(f"video: has {count} frames, where {wanted} were announced")
        return count

    def _growing(self, frames: _Frames, plan: Plan | None) -> tuple[NDArray[Any], int]:
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
            self._variant.spec.run_frames(
                plan, chunk, part[used:end], self._dtype, self._threads, False
            )
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


def _sampled(options: Options, total: int, video_fps: float | None) -> I64:
    return sample_indices(
        total,
        video_fps,
        rule=options["sampling"],
        num_frames=options["num_frames"],
        fps=options["fps"],
        min_frames=options["min_frames"],
        max_frames=options["max_frames"],
        temporal_patch_size=options["temporal_patch_size"],
    )


def _is_array(value: Any) -> bool:
    return hasattr(value, "ndim") and hasattr(value, "shape")


def _is_frame(value: Any) -> bool:
    """Whether an element of a list is a frame; paths and bytes are videos there."""
    if _is_array(value):
        return bool(value.ndim in (2, 3))
    return hasattr(value, "getbands") or hasattr(value, "__array_interface__")


def _videos(videos: VideosInput) -> tuple[list[Any], bool]:
    """The videos of a call in order, and whether it was one."""
    if videos is None:
        raise TypeError("videos: must be a video or a list of videos, got None")
    if _is_array(videos):
        if videos.ndim == 5:
            return list(videos), False
        return [videos], True
    if isinstance(videos, list | tuple):
        if not videos:
            raise ValueError("videos: must hold at least one video, got an empty list")
        if _is_frame(videos[0]):
            return [videos], True
        return list(videos), False
    return [videos], True


def _open(video: Any, metadata: VideoMetadata, variant: _Variant, num_threads: int) -> _Frames:
    policy = variant.policy
    if isinstance(video, str | bytes | os.PathLike):
        return _Decoded(VideoFile(video, policy.max_pixels, num_threads), metadata)
    if _is_array(video):
        if video.ndim != 4:
            raise ValueError(
                "video: must have the shape (frames, height, width, 3) or (frames, 3, height,"
                f" width), got {tuple(video.shape)}"
            )
        return _Listed(video, policy, metadata)
    if isinstance(video, list | tuple):
        return _Listed(video, policy, metadata)
    if hasattr(video, "__next__"):
        return _Streamed(video, policy, metadata)
    if hasattr(video, "__iter__") and not isinstance(video, Mapping | set):
        if metadata.total_num_frames is None and hasattr(video, "__len__"):
            metadata.total_num_frames = len(video)
        return _Streamed(iter(video), policy, metadata)
    raise TypeError(
        "video: must be an array, a list or an iterator of frames, a path, or bytes, got"
        f" {type(video).__name__}"
    )


def _metadata(given: Any, count: int, temporal: int) -> list[VideoMetadata]:
    if given is None:
        return [VideoMetadata(temporal_patch_size=temporal) for _ in range(count)]
    items = list(given) if isinstance(given, list | tuple) else [given]
    if len(items) != count:
        raise ValueError(
            f"video_metadata: must have one entry for each of {count} videos, got {len(items)}"
        )
    return [_one_metadata(item, temporal) for item in items]


def _one_metadata(item: Any, temporal: int) -> VideoMetadata:
    made = VideoMetadata(temporal_patch_size=temporal)
    if item is None:
        return made
    for field in fields(VideoMetadata):
        if field.name == "temporal_patch_size":
            continue
        if isinstance(item, Mapping):
            value = item.get(field.name)
        else:
            value = getattr(item, field.name, None)
        if value is None:
            continue
        if field.name == "total_num_frames":
            value = int(value)
            if value < 1:
                raise ValueError(f"total_num_frames: must be at least 1, got {value}")
        elif field.name == "fps":
            value = float(value)
        elif field.name == "frames_indices":
            value = [int(index) for index in value]
        setattr(made, field.name, value)
    return made
