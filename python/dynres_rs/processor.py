"""`Processor`: a family with its options, called with images."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _dynres_rs as _native
from . import hf, jpeg, memory
from ._dynres_rs import Plan, Spec
from ._types import (
    I64,
    Batch,
    ErrorPolicy,
    ImagesInput,
    Numerics,
    Options,
    Temporal,
)
from .arguments import (
    ERRORS,
    _check_name,
    _dtype,
    _given_outs,
    _integer,
    _side,
    _torch,
    as_numbers,
)
from .files import as_key
from .headers import image_size
from .images import Policy, Ready, is_batch_array, prepare
from .margins import is_across
from .memory import _empty
from .numerics import resolve
from .options import (
    FACADE,
    canonical,
    core_options,
    family_row,
    freeze,
    preset,
    with_backgrounds,
)
from .options import names as option_names
from .planning import Planned, Planner, count_tokens
from .video import VideoProcessor, VideosInput
from .video import config as video_config

__all__ = ["Processor"]

TEMPORAL: Final = ("expand", "compact")
_Images: TypeAlias = tuple[list[Plan], list[Any], list[tuple[int, Exception]]]
_CACHED_SPECS: Final = 64


class _Variant:
    """A set of options, ready to run: what one call needs, built once for each distinct set."""

    __slots__ = ("float_as_bytes", "options", "plain", "policy", "spec", "torchvision")

    def __init__(self, family: str, numerics: Numerics, options: Options) -> None:
        self.spec = Spec(family, numerics, core_options(options))
        self.options: Options = {
            **{key: _plain(value) for key, value in self.spec.options.items()},
            **{key: options[key] for key in FACADE},
        }
        self.torchvision = numerics == "torchvision"
        convert = family_row(family)[1]["convert"]
        if not options["do_convert_rgb"]:
            convert = "none"
        elif convert == "none":
            convert = "transformers"
        self.policy = Policy(
            convert,
            self.torchvision,
            options["input_data_format"],
            int(self.options["max_image_pixels"]),
        )
        page = (self.options["height"], self.options["width"]) if self.turns() else None
        crops = bool(self.options.get("do_crop_margin"))
        self.policy = self.policy._replace(crop_margin=crops, page=page)
        # Whether an array is what it looks like, with nothing said about its layout or done to it.
        self.plain = self.policy.layout is None and not crops and page is None
        # Integers in a float array come out of upstream in float32 whatever they were only with
        # both steps on.
        self.float_as_bytes = bool(
            self.options.get("do_rescale") and self.options.get("do_normalize")
        )

    def turns(self) -> bool:
        """Whether images are turned to a page."""
        # Upstream's torchvision class that also cuts margins turns other axes: the core refuses it.
        fails = self.torchvision and "do_crop_margin" in self.options
        return bool(self.options.get("do_align_long_axis")) and not fails

    def turned(self, height: int, width: int) -> tuple[int, int]:
        """The size of an image of this size once it is turned."""
        page = self.policy.page
        lies_across = page is not None and is_across((height, width), page)
        return (width, height) if lies_across else (height, width)


class Processor(Planner):
    """Bit for bit what upstream's image processor of a family returns.

    Immutable, hashable, picklable, and safe to share between threads.

    Args:
        family: a key of `dynres_rs.families()`: `"qwen2-vl"`, `"internvl"`, `"deepseek-vl2"`, ...
            Its preset holds the values of the released checkpoints.
        numerics: whose numbers to reproduce: `"torchvision"`, `"pillow"` (the installed Pillow), or
            `"pillow-<version>"`; None is upstream's default backend.
        **options: overrides, in upstream's names (`max_pixels`, `size`, `min_patches`,
            `do_resize`, ...) or those of `dynres_rs.families()`. `max_image_pixels` bounds the
            pixels of an image, going in and coming out. `jpeg` says who decodes JPEGs: `"own"`,
            this package where that gives Pillow's pixels, or `"pillow"`; None is the environment's
            `DYNRES_JPEG`, else `"own"`. Both give the same bits. `max_jpeg_work` is the most
            blocks of 8 x 8 samples times scans of a JPEG that is decoded, by whomever;
            134,217,728 unless given.
        video: a dict of overrides for videos, as `VideoProcessor` takes them.

    Neither `jpeg` nor `max_jpeg_work` is in `to_dict`; pickling keeps them.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an unknown family, numerics or option, or a value that is out of range.

    Matches, by family, transformers' `Qwen2VLImageProcessor`, `GotOcr2ImageProcessor`,
    `DeepseekVLImageProcessor` and `DeepseekVLHybridImageProcessor` (each with its torchvision or
    PIL backend), InternVL's `dynamic_preprocess` and transform, and DeepSeek-VL2's
    `DeepseekVLV2Processor`.
    """

    __slots__ = (
        "_base",
        "_decoding",
        "_family",
        "_no_video",
        "_numerics",
        "_variants",
        "_video",
        "_video_options",
    )

    _family: str
    _numerics: Numerics
    _base: _Variant
    _decoding: jpeg.Decoding
    _variants: dict[Any, _Variant]
    _video: VideoProcessor | None
    _video_options: Options | None
    _no_video: str | None
    """Why the config has no options of videos, where it has none."""

    def __init__(
        self,
        family: str,
        *,
        numerics: str | None = None,
        video: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        name, _ = family_row(family)
        decoding = jpeg.take(options)
        full = canonical(options, preset(name), "options", name)
        self._set(name, numerics, with_backgrounds(name, full, options), decoding)
        if video is not None:
            # The file may be one of another family's video processor: its name is stored with it.
            given = _as_options("video", video)
            own = given.pop("family", name)
            self._video = VideoProcessor(own, numerics=self._numerics, **given)
            self._video_options = self._video.options

    def _set(
        self,
        family: str,
        numerics: str | None,
        options: Options,
        decoding: jpeg.Decoding,
    ) -> None:
        self._decoding = decoding
        self._video = self._video_options = self._no_video = None
        if numerics is None:
            numerics = family_row(family)[1]["numerics"]
        self._family = family
        self._numerics = resolve(numerics)
        self._base = _Variant(family, self._numerics, options)
        self._variants = {}

    @classmethod
    def _make(cls, config: hf.Config, numerics: str | None, decoding: jpeg.Decoding) -> Processor:
        made = cls.__new__(cls)
        made._set(config.family, numerics, config.options, decoding)
        return made

    def _with_video(self, read: Callable[[], tuple[str, Options]], *, asked: bool) -> Processor:
        """The same with the video options of its own config, where its family has any. Where
        videos were not `asked` for, a config of images that is none of videos is refused when they
        are."""
        if self._family in _native.video_families():
            try:
                self._video = VideoProcessor._make(*read(), self._numerics)
            except (TypeError, ValueError) as error:
                if asked:
                    raise
                self._no_video = str(error)
                return self
            # As the core took them, so that what `to_dict` writes makes an equal processor.
            self._video_options = self._video.options
        return self

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], *, numerics: str | None = None, **overrides: Any
    ) -> Processor:
        """A processor from the dict of a model's own config file.

        Args:
            config: a `preprocessor_config.json`, transformers v5's nested `processor_config.json`,
                InternVL's `config.json` or DeepSeek-VL2's `processor_config.json`. A key that is
                absent or null takes the default of upstream's class; keys that cannot change
                pixels are ignored. Videos take their options from the nested `video_processor`,
                else from the same keys, as upstream does; a `video_preprocessor_config.json` is
                for videos alone, and images then take the family's preset.
            numerics: as in the constructor.
            **overrides: options for images that go over the file; `video`, a dict, for videos.

        Raises:
            TypeError: `config` is no dict, or a value has the wrong type.
            ValueError: an unknown class or key, or a value that is out of range.
        """
        video = _as_options("video", overrides.pop("video", None))
        if isinstance(config, Mapping) and video_config.is_video_only(config):
            family, _ = video_config.read(config, {})
            made = cls(family, numerics=numerics, **overrides)
        else:
            decoding = jpeg.take(overrides)
            made = cls._make(hf.read(config, overrides), numerics, decoding)
        return made._with_video(
            lambda: video_config.read(config, video),
            asked=bool(video)
            or bool(config.get("video_processor"))
            or bool(config.get("video_processor_type")),
        )

    @classmethod
    def from_pretrained(
        cls,
        path: str | os.PathLike[str],
        *,
        numerics: str | None = None,
        revision: str | None = None,
        **overrides: Any,
    ) -> Processor:
        """A processor from a model's folder, a json file, or a hub id in the local Hugging Face
        cache.

        Nothing is downloaded. In a folder, InternVL's `config.json` comes first (its
        `preprocessor_config.json` is a stub), then a `processor_config.json` that holds an image
        processor, then `preprocessor_config.json`.

        Args:
            path: the folder, file or id.
            numerics: as in the constructor.
            revision: branch, tag or commit of a hub id; None is `main`.
            **overrides: options for images that go over the file; `video`, a dict, for videos.

        Raises:
            FileNotFoundError: nothing there.
            ValueError: no JSON, and all that `from_config` raises.
        """
        video = _as_options("video", overrides.pop("video", None))
        decoding = jpeg.take(overrides)
        made = cls._make(hf.read_pretrained(path, revision, overrides), numerics, decoding)
        return made._with_video(
            lambda: video_config.read_pretrained(path, revision, video), asked=bool(video)
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Processor:
        """The processor that `to_dict` described.

        Raises:
            TypeError: `data` is no dict.
            ValueError: no family in it, or what the constructor raises.
        """
        if not isinstance(data, Mapping):
            raise TypeError(f"data: must be a dict, got {type(data).__name__}")
        options = {as_key(key): value for key, value in data.items()}
        family = options.pop("family", None)
        if family is None:
            raise ValueError("data: must have 'family', as to_dict() writes it")
        return cls(family, numerics=options.pop("numerics", None), **options)

    def to_dict(self) -> dict[str, Any]:
        """The family, the resolved numerics and all options, as values that JSON can hold."""
        data = {"family": self._family, "numerics": self._numerics, **_copy(self._base.options)}
        if self._video_options is None:
            return data
        family = {} if self.video.family == self._family else {"family": self.video.family}
        return {**data, "video": {**family, **self._video_options}}

    @property
    def family(self) -> str:
        """The family's name, a key of `dynres_rs.families()`."""
        return self._family

    @property
    def numerics(self) -> Numerics:
        """The rule in use: `"torchvision"`, `"pillow-12.0"`, `"pillow-12.2"` or `"pillow-13"`."""
        return self._numerics

    @property
    def video(self) -> VideoProcessor:
        """The processor of the same family's videos; `ValueError` for a family without."""
        if self._no_video is not None:
            raise ValueError(self._no_video)
        if self._video is None:
            self._video = VideoProcessor(self._family, numerics=self._numerics)
        return self._video

    @property
    def policy(self) -> Policy:
        """How images become RGB, for `dynres_rs.images.prepare`."""
        return self._base.policy._replace(decoding=self._decoding)

    def __call__(
        self,
        images: ImagesInput = None,
        *,
        videos: ImagesInput = None,
        return_tensors: str | None = None,
        dtype: Any = None,
        temporal: Temporal = "expand",
        out: Any = None,
        num_threads: int = 1,
        errors: ErrorPolicy = "raise",
        **options: Any,
    ) -> Batch:
        """Preprocesses images, videos, or both.

        Args:
            images: one image, a list (one request), or a list of lists (one request each). An
                array of four axes is a list. An image is a numpy array (H, W), (H, W, 1), (H, W,
                3), (H, W, 4) or channels first, uint8 (or floating point holding integers in
                0..255, where upstream gives the same numbers); a Pillow image of any mode; a torch
                tensor on the CPU; an object with `__array_interface__`, DLPack or a buffer;
                encoded `bytes`; or a path.
            videos: one video or a list, as `VideoProcessor` takes them; `video_metadata` and
                `return_metadata` with them.
            return_tensors: None or `"np"` for numpy arrays, `"pt"` for torch tensors over the same
                memory.
            dtype: of `pixel_values`: None is upstream's (float32; uint8 when rescaling and
                normalising are both off), else `"float32"`, `"float16"`, `"bfloat16"` (as uint16
                in numpy) or `"uint8"` (not normalised).
            temporal: `"expand"` repeats a still image over a temporal patch as upstream does,
                `"compact"` does not.
            out: an array for `pixel_values`, or a dict of arrays by key, to write to; the result
                holds views of it. Or a function of a key, a shape and a numpy dtype, called for
                each array of pixels: what it returns is written to, and None is a new array.
            num_threads: 1 unless asked; 0 is every core that this process may use. Results never
                depend on it.
            errors: `"raise"`, or `"collect"`: bad images are left out, and `batch["errors"]` lists
                `(index, exception)`. The others are planned as if the bad ones were there.
            **options: options of this call only, in upstream's names or those of
                `dynres_rs.families()`. With images and videos each goes to whichever knows it, as
                upstream does; `videos_kwargs`, a dict, is for videos alone.

        Returns:
            arrays by key, images in order: `pixel_values`, and int64 metadata as upstream names it
            (`image_grid_thw`, `num_patches`, `images_spatial_crop`, ...); of videos
            `pixel_values_videos` and `video_grid_thw`. With both, the errors of videos are in
            `batch["video_errors"]`.

        Raises:
            TypeError: an argument or image of the wrong type, dtype or byte order.
            ValueError: a shape, size, layout, option or `out` that is not accepted; nothing has
                been written then.
            ImageTooLargeError: more pixels than `max_image_pixels`.
            OSError: a file or bytes that cannot be decoded.
            MemoryError: no room for the output.
        """
        if videos is not None:
            return self._mixed(
                images, videos, options, out, errors, temporal,
                return_tensors=return_tensors, dtype=dtype, num_threads=num_threads,
            )  # fmt: skip
        variant = self._variant(options) if options else self._base
        if variant.plain and out is None and return_tensors is None:
            usual = variant.spec.plain(images, dtype, temporal, errors, num_threads, memory.OUTPUTS)
            if usual is not None:
                return usual
        if return_tensors is not None:
            _check_name("return_tensors", return_tensors, ("np", "pt"))
        torch = _torch() if return_tensors == "pt" else None
        if dtype is not None:
            dtype = _dtype(dtype)
        _check_name("temporal", temporal, TEMPORAL)
        _check_name("errors", errors, ERRORS)
        if type(num_threads) is not int:
            num_threads = _integer("num_threads", num_threads)
        if num_threads < 0 or num_threads > 2**31:
            raise ValueError(f"num_threads: must be in 0..2**31, got {num_threads}")

        spec = variant.spec
        if type(images) is np.ndarray and images.ndim == 3:
            flat, counts, single = [images], [1], True
        else:
            flat, counts, single = _flatten(images, spec.apart)
        # With an `out` whose shape tells how many images are good, that must be known before.
        by_rows = out is None or errors == "raise"

        def given_images(by_rows: bool) -> _Images:
            return self._images(variant, flat, counts, single, errors, by_rows)

        plans, pixels, failures = given_images(by_rows)
        while True:
            asked = spec.batch(plans, _samples(counts, failures), dtype, temporal)
            facts = asked.facts()
            # numpy has no bfloat16: its bits
            arrays = [
                (key, shape, "uint16" if kind == "bfloat16" else kind, listed)
                for key, shape, kind, listed in asked.arrays
            ]
            given: dict[str, Any] = {}
            bad = {index for index, _ in failures}
            indices = [index for index in range(len(flat)) if index not in bad]
            if out is not None:
                where = list(zip(indices, pixels, strict=True))
                shapes = {
                    key: (fact.shape, fact.dtype.name)
                    for key, fact in facts.items()
                    if isinstance(fact, np.ndarray)
                }
                given = _given_outs(out, arrays, shapes, where)
            strips = asked.strips
            outs: list[Any] = [None if key in strips else given.get(key) for key, _, _, _ in arrays]
            outs = [
                _empty(key, _unstripped(shape) if key in strips else shape, kind)
                if there is None
                else there
                for there, (key, shape, kind, _) in zip(outs, arrays, strict=True)
            ]
            failed = asked.run(pixels, outs, num_threads)
            if failed is None:
                break
            if errors == "collect" and isinstance(pixels[failed[0]], _native.Jpeg):
                # Only now is it known which fail: all are decoded before the batch is laid out.
                plans, pixels, failures = given_images(by_rows=False)
                continue
            raise failed[1] if single else _name_index(failed[1], indices[failed[0]])
        outs = [
            _strip(array, given.get(key)) if key in strips else array
            for array, (key, _, _, _) in zip(outs, arrays, strict=True)
        ]
        half = {key for key, _, kind, _ in asked.arrays if kind == "bfloat16"}

        def finished(key: str, array: NDArray[Any]) -> Any:
            if torch is None:
                return array
            if key in half:
                return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
            return torch.from_numpy(array)

        batch: Batch = {}
        for array, (key, _, _, listed) in zip(outs, arrays, strict=True):
            if listed:
                batch.setdefault(key, []).append(finished(key, array))
            else:
                batch[key] = finished(key, array)
        for key, fact in facts.items():
            if isinstance(fact, list):
                batch[key] = fact
                continue
            if key in given:
                given[key][...] = fact
                fact = given[key]
            batch[key] = finished(key, fact)
        if errors == "collect":
            batch["errors"] = failures
        return batch

    def _images(
        self,
        variant: _Variant,
        flat: list[Any],
        counts: list[int],
        single: bool,
        errors: ErrorPolicy,
        by_rows: bool,
    ) -> _Images:
        """The plans and pixels of a call's images, and the images that have none, with why."""
        policy = variant.policy._replace(decoding=self._decoding)
        plans: list[Plan] = []
        pixels: list[Any] = []
        failures: list[tuple[int, Exception]] = []
        for index, image in enumerate(flat):
            failure: Exception | None = None
            try:
                ready = prepare(image, policy, by_rows=by_rows)
                plan = variant.spec.plan(ready.height, ready.width, counts[index])
                if ready.floating is not None:
                    _check_floating(ready, plan, variant)
            except Exception as error:
                error = _plain_memory_error(error)
                if single and errors == "raise":
                    raise error from None
                failure = error if single else _name_index(error, index)
            if failure is not None:
                # Without its traceback, which would keep the images alive.
                failure = failure.with_traceback(None)
                if errors == "raise":
                    try:
                        raise failure
                    finally:
                        del failure
                failures.append((index, failure))
                continue
            plans.append(plan)
            pixels.append(ready.pixels)
        return plans, pixels, failures

    def _mixed(
        self,
        images: ImagesInput,
        videos: VideosInput,
        options: dict[str, Any],
        out: Any,
        errors: ErrorPolicy,
        temporal: Temporal,
        **common: Any,
    ) -> Batch:
        """A call with videos: each option and output to whichever knows it."""
        video = self.video
        own = {"video_metadata", "return_metadata"}
        alone = _as_options("videos_kwargs", options.pop("videos_kwargs", None))
        names = video_config.names(video.family) | own
        for_videos = {key: value for key, value in options.items() if key in names} | dict(alone)
        if images is None:
            for_videos = {**options, **alone}
            return video(videos, out=out, errors=errors, **common, **for_videos)
        only = names - option_names(self._family)
        for_images = {key: value for key, value in options.items() if key not in only}
        given: list[Any] = [out, out if callable(out) else None]
        if isinstance(out, Mapping):
            theirs = ("pixel_values_videos", "video_grid_thw")
            given = [
                {key: value for key, value in out.items() if (key in theirs) is of_videos}
                for of_videos in (False, True)
            ]
        batch = self(images, out=given[0], errors=errors, temporal=temporal, **common, **for_images)
        moving = video(videos, out=given[1], errors=errors, **common, **for_videos)
        if "errors" in moving:
            moving["video_errors"] = moving.pop("errors")
        return {**batch, **moving}

    def plan(
        self,
        height: int | tuple[int, int] | str | os.PathLike[str],
        width: int | None = None,
        *,
        num_images: int = 1,
        num_frames: int | None = None,
        **options: Any,
    ) -> Plan:
        """Everything that will happen to an image of this size, without its pixels, or to a video.

        Args:
            height: of the image, in pixels; or, without `width`, (height, width), or the path of a
                file, of which the header is read (see `image_size`).
            width: of the image, in pixels.
            num_images: images in the request, for the families that plan by it.
            num_frames: frames that are taken of a video; None is an image.
            **options: as in a call.

        Raises:
            TypeError: a size that is no integer.
            ValueError: a size that upstream refuses, or that is not at least 1; a size alone where
                margins are cut off, which follow from pixels;
                `ImageTooLargeError` above the limit.
            OSError: no such file, or nothing that Pillow knows.
        """
        variant = self._base
        if num_frames is None and options:
            variant = self._variant(options)
        if num_frames is None and variant.policy.crop_margin:
            if width is not None or not isinstance(height, str | os.PathLike):
                raise ValueError(
                    "do_crop_margin: must be off for a plan from a size alone; what is cut off"
                    " follows from the pixels, which the path of a file has"
                )
            ready = prepare(height, variant.policy._replace(decoding=self._decoding))
            return self._plan_ready(ready, _side("num_images", num_images), variant)
        if width is None:
            height, width = self._size_of(height)
        sides = (_side("height", height), _side("width", width))
        if num_frames is not None:
            return self.video.plan(*sides, num_frames=num_frames, **options)
        return variant.spec.plan(*variant.turned(*sides), _side("num_images", num_images))

    def _plan_ready(
        self, ready: Ready, num_images: int = 1, variant: _Variant | None = None
    ) -> Plan:
        """The plan of an image that `prepare` made by the policy."""
        spec = (variant or self._base).spec
        return spec.plan(ready.height, ready.width, num_images)

    def _size_of(self, image: Any) -> tuple[int, int]:
        """The size that a pair is, or that the header of a file says."""
        if isinstance(image, str | os.PathLike):
            return image_size(image, self._base.policy.convert != "original")
        if isinstance(image, tuple | list) and len(image) == 2:
            return image[0], image[1]
        raise TypeError(
            f"height: without a width must be (height, width) or a path, got {type(image).__name__}"
        )

    def num_tokens(self, sizes: ArrayLike, *, num_images: int = 1, **options: Any) -> I64:
        """Tokens that the language model sees for images of these sizes, chat template not counted.

        Args:
            sizes: (n, 2) integers, each (height, width) in pixels; or (n, 3), of videos, each
                (num_frames, height, width).
            num_images: images in each request, for the families that plan by it.
            **options: as in a call.

        Returns:
            (n,) int64, each as `plan(height, width).num_tokens`.

        Raises:
            TypeError: sizes that are no integers.
            ValueError: another shape, or a size that upstream refuses.
        """
        variant = self._variant(options) if options else self._base
        array = as_numbers("sizes", sizes)
        if array.ndim == 2 and array.shape[1] == 3:
            return self.video.num_tokens(array, **options)
        count = _side("num_images", num_images)
        if variant.policy.page is None or array.ndim != 2 or array.shape[1] != 2:
            return count_tokens(variant.spec, array, count)
        turned = [variant.turned(int(height), int(width)) for height, width in array]
        return count_tokens(variant.spec, np.array(turned, array.dtype).reshape(-1, 2), count)

    def _planned(self) -> Planned:
        base = self._base
        return Planned(base.spec, self._family, self._numerics, base.options)

    def _video_plan(
        self, num_frames: int, height: int, width: int, options: dict[str, Any]
    ) -> Plan:
        return self.video.plan(height, width, num_frames=num_frames, **options)

    def _changed(self, options: dict[str, Any]) -> Self:
        made = type(self).__new__(type(self))
        changed = canonical(options, self._base.options, "options", self._family)
        made._set(self._family, self._numerics, changed, self._decoding)
        made._video, made._video_options = self._video, self._video_options
        made._no_video = self._no_video
        return made

    def _variant(self, options: dict[str, Any]) -> _Variant:
        """The options of one call, laid over the processor's and kept for the next call like it."""
        key: Any
        found: _Variant | None
        try:
            key = tuple([(name, type(value), value) for name, value in options.items()])
            found = self._variants.get(key)
        except Exception:  # a value that cannot be hashed, or whose hash raises
            try:
                key = freeze(options)
                found = self._variants.get(key)
            except Exception:
                key, found = None, None
        if found is None:
            base = self._base.options
            found = _Variant(
                self._family, self._numerics, canonical(options, base, "options", self._family)
            )
            if key is not None:
                if len(self._variants) >= _CACHED_SPECS:
                    self._variants.clear()
                self._variants[key] = found
        return found

    def __repr__(self) -> str:
        """The call that makes this processor again."""
        defaults = _Variant(self._family, self._numerics, preset(self._family)).options
        said = [repr(self._family), f"numerics={self._numerics!r}"]
        said += [
            f"{key}={value!r}"
            for key, value in self._base.options.items()
            if value != defaults[key]
        ]
        if self._video_options is not None:
            usual = video_config.preset(self.video.family)
            changed = {k: v for k, v in self._video_options.items() if v != usual[k]}
            if self.video.family != self._family:
                changed = {"family": self.video.family, **changed}
            said.append(f"video={changed!r}")
        return f"Processor({', '.join(said)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Processor):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self._family, self._numerics, freeze(self._base.options)))

    def __reduce__(self) -> tuple[Any, ...]:
        return (_from_dict, (type(self), self.to_dict(), tuple(self._decoding)))

    def __copy__(self) -> Processor:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Processor:
        return self


def _as_options(name: str, given: object) -> dict[str, Any]:
    """A dict of options that a caller gave, or none."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(f"{name}: must be a dict, got {type(given).__name__}")
    return {as_key(key): value for key, value in given.items()}


def _from_dict(
    cls: type[Processor], data: dict[str, Any], decoding: tuple[str, int] | None = None
) -> Processor:
    made = cls.from_dict(data)
    made._decoding = made._decoding if decoding is None else jpeg.Decoding(*decoding)
    return made


def _plain(value: Any) -> Any:
    """Tuples as lists, so that a dict that went through JSON compares equal."""
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _copy(options: Options) -> Options:
    return {key: _plain(value) for key, value in options.items()}


def _flatten(images: ImagesInput, apart: bool) -> tuple[list[Any], list[int], bool]:
    """The images of a call in order, how many are in the sample of each, and whether it was one
    image. `apart`: each image of a flat list is a sample of its own."""
    if images is None:
        raise TypeError("images: must be an image or a list of images, got None")
    if is_batch_array(images):
        images = list(images)
    if not isinstance(images, list | tuple):
        return [images], [1], True
    nested = [isinstance(image, list | tuple) for image in images]
    samples: Iterable[Any] = images if images and all(nested) else [images]
    if any(nested) and samples is not images:
        raise ValueError("images: must be all images, or all lists of images, not both")
    flat: list[Any] = []
    counts: list[int] = []
    for sample in samples:
        group: list[Any] = []
        for image in sample:
            group.extend(image if is_batch_array(image) else [image])
        flat += group
        alone = apart and samples is not images
        counts += [1] * len(group) if alone else [len(group)] * len(group)
    if not flat:
        raise ValueError("images: must hold at least one image, got an empty list")
    return flat, counts, False


def _unstripped(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the patches of a strip (1, channels, patch size, patches * patch size)."""
    _, channels, side, length = shape
    return length // side, channels, side, side


def _strip(patches: NDArray[Any], out: NDArray[Any] | None) -> NDArray[Any]:
    """Patches (patches, channels, side, side) side by side: (1, channels, side, patches * side)."""
    count, channels, side, _ = patches.shape
    rows = patches.transpose(1, 2, 0, 3)
    if out is None:
        return rows.reshape(1, channels, side, count * side)
    out.reshape(channels, side, count, side)[...] = rows
    return out


def _plain_memory_error(error: Exception) -> Exception:
    """The same error; numpy's own `MemoryError`, which takes a shape and a dtype, as the built-in
    one."""
    if isinstance(error, MemoryError) and type(error) is not MemoryError:
        return MemoryError(f"image: {error}")
    return error


def _name_index(error: Exception, index: int) -> Exception:
    """The same class of error, its text with the image's index before it."""
    kind = type(error)
    text = str(error).removeprefix("image: ")
    if kind.__module__ not in ("builtins", _native.__name__) and not isinstance(
        error, _native.ImageTooLargeError | _native.InternalError
    ):
        return error
    try:
        return kind(f"images[{index}]: {text}")
    except TypeError:
        return error


def _samples(counts: list[int], failures: list[tuple[int, Exception]]) -> list[int]:
    """How many good images each sample has. `counts`: by image, the images of its sample."""
    bad = {index for index, _ in failures}
    samples = []
    index = 0
    while index < len(counts):
        count = counts[index]
        samples.append(sum(number not in bad for number in range(index, index + count)))
        index += count
    return samples


def _check_floating(ready: Ready, plan: Plan, variant: _Variant) -> None:
    """Floating-point input is exact as uint8 only where upstream makes no difference between them.

    transformers' PIL backend goes through uint8 itself; its torchvision backend resizes in
    floating point and does not round, which equals the uint8 path only where nothing is resized.
    Without rescaling and normalising the input's dtype would show in the output.
    """
    if not variant.float_as_bytes:
        raise TypeError(
            f"image: must be uint8 unless do_rescale and do_normalize are on, got {ready.floating}"
        )
    size = (ready.height, ready.width)
    if variant.torchvision and any(view.resized != size for view in plan.views):
        raise TypeError(
            "image: must be uint8 where it is resized by numerics='torchvision', which keeps"
            f" fractions of floating-point images; got {ready.floating}"
        )
