"""Images: from what the caller gave and standardized arguments to a BatchFeature.

Upstream converts each image first, then hands all of them to `_preprocess`. Here they stay as the
caller gave them, `Held` with the arguments of their conversion, until it is known whose path runs.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Final, cast

import numpy as np

from .. import jpeg
from ..images import prepare
from ..options import canonical, preset, with_backgrounds
from ..processor import Processor
from ._arguments import Elsewhere, layout_of, vocabulary
from ._mixin import _NUMERICS, Exact, Made, named, noise, samples_of

__all__ = ["ROOTS", "ExactImages", "Held", "LegacyImages"]

#: Upstream's methods that ours stand for, or that run before them on each image.
ROOTS: Final = ("_preprocess", "process_image")
#: Off while upstream's own code needs converted images.
_holding: Final[ContextVar[bool]] = ContextVar("dynres_holding", default=True)
#: Sizes that a check tries, in turn: images of two shapes, of one, and of sides that most patch
#: sizes divide, for calls that do not resize.
_SMALL: Final = (((60, 83), (150, 47)), ((60, 83),), ((336, 672),), ((448, 896),))
#: Pixels of an image that its conversion is checked with.
_CROP: Final = 12


class Held:
    """An image before its conversion."""

    __slots__ = ("arguments", "image")

    def __init__(self, image: Any, arguments: Mapping[str, Any]) -> None:
        self.image = image
        self.arguments = arguments


class ExactImages(Exact):
    """Mixed in before one of transformers' image processors, it replaces the pixel path."""

    def _preprocess_image_like_inputs(self, images: Any, *args: Any, **kwargs: Any) -> Any:
        upstream = cast(Any, super())._preprocess_image_like_inputs
        forms = vocabulary(self._dynres_row).forms
        if all(
            form != "must" or name not in kwargs or type(data) is not bool
            or bool(kwargs[name]) == data
            for name, (form, data) in forms.items()
        ):  # fmt: skip
            return upstream(images, *args, **kwargs)
        token = _holding.set(False)
        try:
            return upstream(images, *args, **kwargs)
        finally:
            _holding.reset(token)

    def _prepare_image_like_inputs(self, images: Any, *args: Any, **kwargs: Any) -> Any:
        if args or not _holding.get() or not self._dynres_may_hold():
            return cast(Any, super())._prepare_image_like_inputs(images, *args, **kwargs)
        ndims = {key: kwargs.pop(key) for key in ("expected_ndims",) if key in kwargs}
        found = cast(Any, self)._prepare_images_structure(images, **ndims)
        return _mapped(lambda image: Held(image, kwargs), found)

    def _dynres_may_hold(self) -> bool:
        """Whether what is held reaches our `_preprocess`, and nothing else."""
        return (
            "_preprocess" not in self.__dict__
            and getattr(type(self), "_preprocess", None) is ExactImages._preprocess
        )

    def _preprocess(self, images: Any, *args: Any, **kwargs: Any) -> Any:
        upstream = cast(Any, super())._preprocess
        flat = _flat(images)
        if not flat or not all(type(image) is Held for image in flat):
            return upstream(images, *args, **kwargs)

        def theirs(held: Any, arguments: Mapping[str, Any]) -> Any:
            def converted(one: Held) -> Any:
                return cast(Any, self).process_image(one.image, **one.arguments)

            return upstream(_mapped(converted, held), **arguments)

        return self._dynres_call(images, named(upstream, args, kwargs), theirs)

    def _dynres_make(self, inputs: Any, arguments: Mapping[str, Any]) -> Made:
        flat = _flat(inputs)
        conversion = flat[0].arguments
        said = (
            bool(conversion.get("do_convert_rgb")),
            layout_of(conversion.get("input_data_format")),
        )
        counted = samples_of(arguments, flat)
        if counted is not None:
            arguments = {key: value for key, value in arguments.items() if key != counted}
        nested = isinstance(inputs[0], list | tuple)
        floating = any(_is_floating(held.image) for held in flat)
        key = (self._dynres_key(arguments), said, counted, nested, floating)
        return self._dynres_kept(
            key, lambda: self._dynres_new(arguments, said, (counted, nested, floating))
        )

    def _dynres_new(
        self, arguments: Mapping[str, Any], said: tuple[bool, str | None], inputs: Any
    ) -> Made:
        row = self._dynres_row
        base = {**preset(row.family), **row.defaults}
        given = vocabulary(row).given(self, arguments, base, ())
        given |= {"do_convert_rgb": said[0]}
        if said[1] is not None:
            given["input_data_format"] = said[1]
        options = canonical(given, base, "options", row.family)
        options = with_backgrounds(row.family, options, given)
        numerics = self._dynres_numerics_now()
        made = Processor.__new__(Processor)
        processor = made._make(row.family, numerics, options, jpeg.take({}))

        def run(held: Any, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
            images = _mapped(lambda one: one.image, held)
            if inputs[0] is not None:
                images = _by_sample(images, arguments[inputs[0]])
            return processor(images)

        kind = self._dynres_kind((said, inputs), arguments, frozenset())
        return Made(run, kind, {**options, "policy": processor.policy})

    def _dynres_check_inputs(self, inputs: Any, made: Made) -> None:
        flat = _flat(inputs)
        arguments = flat[0].arguments
        if self._dynres_torchvision:
            self._dynres_check_torch(arguments, made.options)
        elif made.options.get("do_resize"):
            for name in vocabulary(self._dynres_row).filters:
                if made.options[name] == "nearest" and getattr(self, name, 0) != 0:
                    # Some classes take nearest, which is 0, for no argument of a call.
                    raise Elsewhere(f"{name}=0")
        by_memory = self._dynres_row.serial and not self._dynres_torchvision
        for held in flat:
            _check_image(held.image, self._dynres_torchvision)
            if by_memory and not _side_by_side(held.image):
                raise Elsewhere("numbers that depend on the order of an array in memory")
            self._dynres_check_conversion(held, made)

    def _dynres_check_conversion(self, held: Held, made: Made) -> None:
        """Compares both ways to RGB on a few pixels, once for each kind of image."""
        kind = _kind(held.image)
        layout = held.arguments.get("input_data_format")
        if layout is not None and getattr(held.image, "shape", None) is None:
            # Some releases take the layout of arrays for that of Pillow's images too.
            kind = f"{kind or 'Pillow'}, input_data_format {layout}"
        if kind is None or _NUMERICS in self.__dict__:
            return
        policy = made.options["policy"]
        known = self._dynres_state.conversions
        key = (kind, policy)
        if key not in known:
            sample = _sample(held.image, policy.layout)
            try:
                theirs = np.asarray(cast(Any, self).process_image(sample, **held.arguments))
                ours = np.asarray(prepare(sample, policy).pixels)
                good = theirs.dtype == ours.dtype and np.array_equal(
                    theirs, ours[:, :, :3].transpose(2, 0, 1)
                )
            except Exception:  # whatever either says of it, it is not the same
                good = False
            known[key] = good
        if not known[key]:
            raise Elsewhere(f"an image of {kind}, which this release converts in its own way")

    def _dynres_small(self, inputs: Any, made: Made) -> Sequence[Any]:
        first = _flat(inputs)[0]
        nested = isinstance(inputs[0], list | tuple)
        floating = any(_is_floating(held.image) for held in _flat(inputs))
        first_axis = made.options["policy"].layout == "channels_first"

        def image(size: tuple[int, int]) -> Held:
            pixels = noise(*size)
            pixels = pixels.transpose(2, 0, 1) if first_axis else pixels
            return Held(pixels.astype(np.float32) if floating else pixels, first.arguments)

        found: list[Any] = []
        for sizes in _SMALL:
            images = [image(size) for size in sizes]
            if nested:
                found.append([images, images[:1]] if len(images) > 1 else [images])
            else:
                found.append(images)
        return found


def _mapped(function: Callable[[Any], Any], images: Any) -> list[Any]:
    """Each image through a function, nested as upstream nests them."""
    if len(images) and isinstance(images[0], list | tuple):
        return [[function(image) for image in sample] for sample in images]
    return [function(image) for image in images]


def _by_sample(images: list[Any], counts: Sequence[int]) -> list[list[Any]]:
    """A flat list in the samples that it was given in."""
    rest = iter(images)
    return [[next(rest) for _ in range(count)] for count in counts]


def _flat(images: Any) -> list[Any]:
    if not isinstance(images, list | tuple) or not images:
        return []
    if isinstance(images[0], list | tuple):
        return [image for sample in images for image in sample]
    return list(images)


def _is_floating(image: Any) -> bool:
    dtype = getattr(image, "dtype", None)
    return dtype is not None and (
        dtype.kind == "f" if hasattr(dtype, "kind") else bool(dtype.is_floating_point)
    )


def _check_image(image: Any, torchvision: bool) -> None:
    """Lets pass what is known to be read as upstream reads it; the facade checks dtype and
    values."""
    kind = type(image)
    if kind is np.ndarray:
        if image.ndim != 3:
            raise Elsewhere(f"an array of {image.ndim} axes")
        if torchvision and min(image.strides) < 0:
            raise Elsewhere("an array with negative strides")
        return
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(image, torch.Tensor):
        if kind is not torch.Tensor or image.layout != torch.strided or image.requires_grad:
            raise Elsewhere(f"a {kind.__name__}")
        if image.device.type != "cpu":
            raise Elsewhere(f"a tensor on {image.device.type}")
        if image.ndim != 3:
            raise Elsewhere(f"a tensor of {image.ndim} axes")
        return
    pillow = getattr(sys.modules.get("PIL.Image"), "Image", None)
    if pillow is None or not isinstance(image, pillow):
        raise Elsewhere(f"a {kind.__name__}")


def _side_by_side(image: Any) -> bool:
    """Whether pixels lie side by side in memory, row after row: numpy adds in that order."""
    shape = getattr(image, "shape", None)
    if shape is None:
        return True
    array = image if isinstance(image, np.ndarray) else image.numpy()
    return bool(array.flags.c_contiguous and shape[2] == 3 and shape[0] > 4)


def _kind(image: Any) -> Any:
    """What decides how an image becomes RGB; None for one that is, as bytes in memory."""
    shape = getattr(image, "shape", None)
    if shape is None:
        transparent = "transparency" in image.info
        return None if image.mode == "RGB" and not transparent else (image.mode, transparent)
    if 3 in (shape[0], shape[-1]) and shape[0] not in (1, 4) and shape[-1] not in (1, 4):
        return None
    return (
        f"{type(image).__name__}s of the channels",
        tuple(side if side in (1, 3, 4) else 0 for side in (shape[0], shape[-1])),
        str(image.dtype),
    )


def _sample(image: Any, layout: str | None) -> Any:
    """A few pixels of the same kind, of many values where the kind allows it."""
    shape = getattr(image, "shape", None)
    if shape is None:
        size = (min(image.width, _CROP), min(image.height, _CROP))
        cut = image.crop((0, 0, *size))
        bands = len(cut.getbands())
        if cut.mode in ("L", "LA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV"):
            pixels = noise(_CROP, _CROP).tobytes()[: size[0] * size[1] * bands]
            pixels += bytes(size[0] * size[1] * bands - len(pixels))
            cut.frombytes(pixels)
        return cut
    return image[tuple(slice(0, _CROP if side > 4 else side) for side in shape)]


#: Arguments of the older classes that are read here or change nothing.
_OLDER: Final = frozenset({"images", "self", "kwargs", "return_legacy_image_output"})


class LegacyImages(ExactImages):
    """The same for a class of upstream that has no backend: its `preprocess` is replaced whole."""

    def preprocess(self, images: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Upstream's `preprocess`."""
        upstream = cast(Any, super()).preprocess
        listed = list(images) if isinstance(images, list | tuple) else [images]
        settings = dict(named(upstream, args, kwargs))
        for name, parameter in inspect.signature(upstream).parameters.items():
            if name in _OLDER or parameter.kind is not parameter.POSITIONAL_OR_KEYWORD:
                continue
            if settings.get(name) is None:
                default = parameter.default
                settings[name] = getattr(self, name, None) if default is None else default
        settings["size"] = _size(settings.get("size"))
        held = [Held(image, settings) for image in listed]

        def theirs(inputs: Any, _: Mapping[str, Any]) -> Any:
            given = images if inputs is held else [one.image for one in inputs]
            return upstream(given, *args, **kwargs)

        return self._dynres_call(held, settings, theirs)

    def _dynres_check_inputs(self, inputs: Any, made: Made) -> None:
        super()._dynres_check_inputs(inputs, made)
        if len({_is_channels_first(held.image) for held in inputs}) > 1:
            # Upstream asks the first one, and takes all others for the same.
            raise Elsewhere("images of several layouts")

    def _dynres_check_conversion(self, held: Held, made: Made) -> None:
        if _kind(held.image) is not None:
            raise Elsewhere(f"an image of {_kind(held.image)}")
        if getattr(held.image, "height", None) in (1, 3):
            # Upstream makes an array of it, and takes the rows for channels.
            raise Elsewhere(f"a Pillow image of height {held.image.height}")


def _is_channels_first(image: Any) -> bool:
    """Whether upstream takes an image for (channels, height, width)."""
    shape = getattr(image, "shape", None)
    return shape is not None and shape[0] in (1, 3)


def _size(size: Any) -> Any:
    return dict(size) if isinstance(size, Mapping) else size
