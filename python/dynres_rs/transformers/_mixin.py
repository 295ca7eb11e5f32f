"""The one override: from images and standardized arguments to a BatchFeature.

Everything else is upstream's own: reading configs, checking and completing the arguments of a
call, fetching and flattening images. So attributes that change on the live object are honoured
without a line here, and whatever cannot be reproduced bit for bit is handed on to upstream's own
path with the arguments as they came.
"""

from __future__ import annotations

import functools
import re
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final, cast

import numpy as np

from ..numerics import installed_pillow, resolve
from ._families import Elsewhere, Row, processor

__all__ = ["Exact", "ExactImages", "batch_feature", "check_steps", "check_torch", "from_numpy"]

#: Methods of upstream's pixel path. A subclass or an instance that brings its own gets it run.
STEPS: Final = frozenset(
    {
        "_preprocess",
        "_prepare_image_like_inputs",
        "center_crop",
        "convert_to_rgb",
        "crop_image_to_patches",
        "normalize",
        "pad",
        "pad_to_square",
        "patchify",
        "process_image",
        "rescale",
        "rescale_and_normalize",
        "resize",
    }
)
_NUMERICS: Final = "_dynres_numerics"
_MOST_WARNINGS: Final = 64
_warned: set[str] = set()


class Exact:
    """What the classes for images and for videos share: which numbers, and no trace in files."""

    _dynres_upstream: ClassVar[Any]
    _dynres_torchvision: ClassVar[bool]
    #: The class to load for numerics of the other kind.
    _dynres_other: ClassVar[Any]

    def __init__(self, *args: Any, numerics: str | None = None, **kwargs: Any) -> None:
        upstream = cast(Any, super())
        upstream.__init__(*args, **kwargs)
        self._dynres_pin(numerics)

    def _dynres_pin(self, numerics: str | None) -> None:
        if numerics is not None:
            rule = resolve(numerics)
            if rule != self._dynres_native():
                self.__dict__[_NUMERICS] = rule

    def _dynres_numerics_now(self) -> str:
        return self.__dict__.get(_NUMERICS) or self._dynres_native()

    def _dynres_or_upstream(self, ours: Callable[[], Any], theirs: Callable[[], Any]) -> Any:
        """The fast path, and where that refuses upstream's, which then decides.

        With numerics that are not upstream's own its result would be a wrong one, so the refusal
        stands.
        """
        try:
            return ours()
        except (TypeError, ValueError, OSError) as error:
            if _NUMERICS in self.__dict__:
                raise
            reason = str(error)
        result = theirs()
        _warn(type(self).__name__, reason)
        return result

    @classmethod
    def _dynres_native(cls) -> str:
        """The numbers of the upstream class underneath."""
        return "torchvision" if cls._dynres_torchvision else installed_pillow()

    @classmethod
    def from_pretrained(cls, *args: Any, numerics: str | None = None, **kwargs: Any) -> Any:
        """transformers' `from_pretrained`, with the numbers to reproduce.

        Args:
            *args, **kwargs: as upstream.
            numerics: `"torchvision"`, `"pillow"` or `"pillow-<version>"`; None is the backend's
                own. Pillow's numbers come from the PIL backend's class, where both are installed.

        Raises:
            TypeError, ValueError: unknown numerics.
        """
        if kwargs.get("backend") in (None, "dynres"):
            kwargs.pop("backend", None)
        maker: Any = cls
        if numerics is not None and (resolve(numerics) == "torchvision") != cls._dynres_torchvision:
            maker = cls._dynres_other or cls
        if maker is not cls:
            return maker.from_pretrained(*args, numerics=numerics, **kwargs)
        made = cast(Any, super()).from_pretrained(*args, **kwargs)
        (made[0] if isinstance(made, tuple) else made)._dynres_pin(numerics)
        return made

    def to_dict(self) -> dict[str, Any]:
        """Upstream's dict: nothing in it says that this class made it."""
        found: dict[str, Any] = cast(Any, super()).to_dict()
        found.pop(_NUMERICS, None)
        return found


class ExactImages(Exact):
    """Mixed in before one of transformers' image processors, it replaces the pixel path."""

    _dynres_row: ClassVar[Row]

    def _preprocess_image_like_inputs(self, images: Any, *args: Any, **kwargs: Any) -> Any:
        upstream = cast(Any, super())
        flat = cast(Any, self)._prepare_images_structure(images)

        def ours() -> Any:
            if args:
                raise Elsewhere("positional arguments after the images")
            return self._dynres_run(flat, kwargs)

        return self._dynres_or_upstream(
            ours, lambda: upstream._preprocess_image_like_inputs(flat, *args, **kwargs)
        )

    def _dynres_run(self, images: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        row = self._dynres_row
        check_steps(self, STEPS)
        options = row.options(self, kwargs)
        wrap: Any = _itself
        if self._dynres_torchvision:
            wrap = from_numpy
            check_torch(options, kwargs.get("device"))
        for image in images:
            _check_image(image, self._dynres_torchvision)
        batch = processor(row.family, self._dynres_numerics_now(), options)(list(images))
        kind = kwargs.get("return_tensors")
        data = row.features(batch, wrap, kind is not None)
        return batch_feature()(data=data, tensor_type=kind)


def _itself(array: Any) -> Any:
    return array


def from_numpy(array: Any) -> Any:
    return sys.modules["torch"].from_numpy(array)


@functools.cache
def batch_feature() -> Any:
    from importlib import import_module

    return import_module("transformers.image_processing_base").BatchFeature


def check_steps(self: Any, steps: frozenset[str]) -> None:
    """Refuses an object that brings its own version of a step of upstream's pixel path."""
    if not steps.isdisjoint(self.__dict__) or _overridden(cast(Any, type(self)), steps):
        raise Elsewhere("a method of the pixel path was replaced")


@functools.cache
def _overridden(cls: Any, steps: frozenset[str]) -> bool:
    """Whether a subclass of ours replaced a step."""
    upstream = cls._dynres_upstream
    return any(getattr(cls, step, None) is not getattr(upstream, step, None) for step in steps)


def check_torch(options: Mapping[str, Any], device: Any) -> None:
    """Upstream computes in torch, on the device and with the default dtype of the moment."""
    torch: Any = sys.modules["torch"]
    if device is not None and torch.device(device).type != "cpu":
        raise Elsewhere(f"device={str(device)!r}")
    if torch.get_default_dtype() != torch.float32:
        raise Elsewhere("torch's default dtype is not float32")
    if torch.get_default_device().type != "cpu":
        raise Elsewhere("torch's default device is not the CPU")
    for key in ("resample", "high_res_resample"):
        if options["do_resize"] and options.get(key) is not None and not _integer(options[key]):
            raise Elsewhere(f"{key}={options[key]!r} on this machine or this torchvision")


@functools.cache
def _integer(resample: Any) -> bool:
    """Whether torchvision resizes bytes in integers with this filter, here: bilinear needs AVX2,
    and Lanczos torchvision 0.27."""
    from importlib import import_module

    utils = import_module("transformers.image_utils")
    functional = import_module("torchvision.transforms.v2.functional._geometry")
    modes = functional.InterpolationMode
    mode = utils.pil_torch_interpolation_mapping.get(resample, resample)
    if mode == modes.LANCZOS:
        newer = import_module("transformers.utils.import_utils").is_torchvision_greater_or_equal
        return bool(newer("0.27"))
    if mode not in (modes.BILINEAR, modes.BICUBIC):
        return False
    return bool(functional._do_native_uint8_resize_on_cpu(mode))


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


def _warn(name: str, reason: str) -> None:
    """Says once for each kind of reason that upstream's own path ran."""
    key = f"{name}: " + re.sub(r"\d+", "#", reason)
    if key in _warned or len(_warned) >= _MOST_WARNINGS:
        return
    _warned.add(key)
    warnings.warn(
        f"dynres_rs: {name} used transformers' own path, for a call that cannot be reproduced"
        f" exactly here ({reason}). Its result is right, and not faster. Said once.",
        UserWarning,
        stacklevel=7,
    )
