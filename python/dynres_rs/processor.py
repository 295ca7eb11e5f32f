"""`Processor`: a family with its options, called with images."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Self

from numpy.typing import ArrayLike

from . import _dynres_rs as _native
from . import hf, jpeg, memory
from ._call import Call, How, ImageVariant
from ._configured import Configured
from ._dynres_rs import Plan, Spec, as_numbers, side
from ._types import I64, Batch, ErrorPolicy, ImagesInput, Options, Temporal
from .files import as_key
from .headers import image_size
from .images import Policy, Ready, prepare
from .options import canonical, preset, with_backgrounds
from .options import family as family_of
from .options import names as option_names
from .planning import Planner
from .video import VideoProcessor, VideosInput
from .video.processor import read_pretrained

__all__ = ["Processor"]


class Processor(Configured[ImageVariant], Planner):
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

    __slots__ = ("_decoding", "_no_video", "_video", "_video_options")

    _decoding: jpeg.Decoding
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
        name, _, _ = family_of(family)
        decoding = jpeg.take(options)
        full = canonical(options, preset(name), "options", name)
        self._make(name, numerics, with_backgrounds(name, full, options), decoding)
        if video is not None:
            # The file may be one of another family's video processor: its name is stored with it.
            given = _as_options("video", video)
            own = given.pop("family", name)
            self._video = VideoProcessor(own, numerics=self._numerics, **given)
            self._video_options = self._video.options

    def _make(
        self, family: str, numerics: str | None, options: Options, decoding: jpeg.Decoding
    ) -> Self:
        self._decoding = decoding
        self._video = self._video_options = self._no_video = None
        self._set(family, family_of(family)[1] if numerics is None else numerics, options)
        return self

    def _prepared(self, options: Options) -> ImageVariant:
        return ImageVariant(self._family, self._numerics, options)

    def _with_video(self, read: Callable[[], tuple[str, Options]], *, asked: bool) -> Processor:
        """The same with the video options of its own config, where its family has any. Where
        videos were not `asked` for, a config of images that is none of videos is refused when they
        are."""
        if self._family in _native.video_families():
            try:
                self._video = VideoProcessor._of(*read(), self._numerics)
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
        made, _ = cls._read(config, None, numerics, overrides)
        return made._with_video(
            lambda: _native.read_video_config(config, video),
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
        processor, then `preprocessor_config.json`, then `video_preprocessor_config.json`, of which
        images take the family's preset.

        A folder may leave open which of two families it is of, as one that an image processor of
        transformers saved alone. Their pixels are the same; where their coordinates differ, a
        `UserWarning` names both, unless `coords` is given.

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
        config, model_type = hf.find(path, revision)
        made, others = cls._read(config, model_type, numerics, overrides)
        if others:
            own = made._base.options["coords"]
            also = ", ".join(f"{name} ({preset(name)['coords']})" for name in others)
            warnings.warn(
                f"path: the config does not say whether its model is {made.family} or"
                f" {' or '.join(others)}; plans speak the coordinates of {made.family} ({own}),"
                f" not those of {also}: give coords='{own}' or another",
                stacklevel=2,
            )
        return made._with_video(
            lambda: read_pretrained(path, revision, video),
            asked=bool(video) or hf.is_video_only(config),
        )

    @classmethod
    def _read(
        cls,
        config: Mapping[str, Any],
        model_type: str | None,
        numerics: str | None,
        overrides: dict[str, Any],
    ) -> tuple[Processor, list[str]]:
        """The processor of a config's dict, without what it says of videos, and the families that
        it may mean as well."""
        if isinstance(config, Mapping) and hf.is_video_only(config):
            family, _ = _native.read_video_config(config, {}, model_type)
            if family not in _native.families():
                raise ValueError(
                    f"config: is of '{family}', which takes videos alone: VideoProcessor reads it"
                )
            return cls(family, numerics=numerics, **overrides), []
        decoding = jpeg.take(overrides)
        family, options, others = _native.read_config(config, overrides, model_type)
        return cls.__new__(cls)._make(family, numerics, options, decoding), others

    def to_dict(self) -> dict[str, Any]:
        """The family, the resolved numerics and all options, as values that JSON can hold."""
        data = super().to_dict()
        if self._video_options is None:
            return data
        family = {} if self.video.family == self._family else {"family": self.video.family}
        return {**data, "video": {**family, **self._video_options}}

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
        how = How.of(return_tensors, dtype, temporal, errors, num_threads)
        call = Call(variant, self._decoding, how)
        while True:
            call.collect(images, out)
            call.allocate(out)
            if call.fill():
                return call.finish()

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
        names = {*option_names(video.family, True), *own}
        for_videos = {key: value for key, value in options.items() if key in names} | dict(alone)
        if images is None:
            for_videos = {**options, **alone}
            return video(videos, out=out, errors=errors, **common, **for_videos)
        only = names.difference(option_names(self._family))
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
        variant = self._base if num_frames is not None else self._variant(options)
        if num_frames is None and variant.policy.crop_margin:
            if width is not None or not isinstance(height, str | os.PathLike):
                raise ValueError(
                    "do_crop_margin: must be off for a plan from a size alone; what is cut off"
                    " follows from the pixels, which the path of a file has"
                )
            ready = prepare(height, variant.policy._replace(decoding=self._decoding))
            return self._plan_ready(ready, side("num_images", num_images), variant)
        if width is None:
            height, width = self._size_of(height)
        sides = (side("height", height), side("width", width))
        if num_frames is not None:
            return self.video.plan(*sides, num_frames=num_frames, **options)
        return variant.spec.plan(*variant.turned(*sides), side("num_images", num_images))

    def _plan_ready(
        self, ready: Ready, num_images: int = 1, variant: ImageVariant | None = None
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
        variant = self._variant(options)
        array = as_numbers("sizes", sizes)
        if array.ndim == 2 and array.shape[1] == 3:
            return self.video.num_tokens(array, **options)
        return _native.num_tokens(variant.spec, array, side("num_images", num_images))

    def _spec(self) -> Spec:
        return self._base.spec

    def _video_plan(
        self, num_frames: int, height: int, width: int, options: dict[str, Any]
    ) -> Plan:
        return self.video.plan(height, width, num_frames=num_frames, **options)

    def _changed(self, options: dict[str, Any]) -> Self:
        changed = self._canonical(options)
        made = type(self).__new__(type(self))
        made._make(self._family, self._numerics, changed, self._decoding)
        made._video, made._video_options = self._video, self._video_options
        made._no_video = self._no_video
        return made

    def _said(self) -> list[str]:
        said = super()._said()
        if self._video_options is not None:
            usual = preset(self.video.family, True)
            changed = {k: v for k, v in self._video_options.items() if v != usual[k]}
            if self.video.family != self._family:
                changed = {"family": self.video.family, **changed}
            said.append(f"video={changed!r}")
        return said

    def __reduce__(self) -> tuple[Any, ...]:
        return (_from_dict, (type(self), self.to_dict(), tuple(self._decoding)))


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
