"""What transformers' classes and the families here say to each other.

One row a class: which family it is, how the keyword arguments of a call become options of a
`Processor`, and in which containers upstream returns its arrays. Nothing here imports
transformers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from ..processor import Processor

__all__ = ["ROWS", "Elsewhere", "Row", "hashable", "processor"]

#: Turns a numpy array into what the backend works with: a torch tensor over the same memory, or
#: itself.
Wrap = Callable[[Any], Any]


class Elsewhere(ValueError):
    """This call is one for upstream's own path; the text says why."""


class Row(NamedTuple):
    """One class of transformers."""

    model: str
    """The folder under `transformers.models`."""
    name: str
    """The class; the PIL backend's is named so with `Pil` at the end."""
    family: str
    options: Callable[[Any, Mapping[str, Any]], dict[str, Any]]
    """(the instance, standardized keyword arguments) -> options of the family."""
    features: Callable[[Mapping[str, Any], Wrap, bool], dict[str, Any]]
    """(arrays by key, wrap, whether they will be one tensor) -> data of the BatchFeature."""


def _steps(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The options that all classes share. Upstream reads switches by their truth, None is off."""
    return {
        **{
            key: bool(kwargs.get(key))
            for key in ("do_resize", "do_rescale", "do_normalize", "do_convert_rgb")
        },
        **{
            key: kwargs.get(key)
            for key in (
                "resample",
                "rescale_factor",
                "image_mean",
                "image_std",
                "input_data_format",
            )
        },
    }


def _qwen_options(_: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    size = kwargs["size"]
    if kwargs.get("do_resize") and not (size.shortest_edge and size.longest_edge):
        raise Elsewhere("size without shortest_edge and longest_edge")
    return {
        **_steps(kwargs),
        "min_pixels": size.shortest_edge,
        "max_pixels": size.longest_edge,
        **_given(kwargs, "patch_size", "temporal_patch_size", "merge_size"),
    }


def _got_options(_: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    crop = bool(kwargs.get("crop_to_patches"))
    options = _steps(kwargs)
    if crop and not options["do_resize"]:
        # Upstream cuts tiles even then, and to cut it resizes; only what it does not do with a
        # size of its own is left out, and that changes nothing.
        options["do_resize"] = True
    return {
        **options,
        "image_size": _sides(kwargs["size"]) if options["do_resize"] else None,
        "crop_to_patches": crop,
        "min_num": kwargs.get("min_patches") if crop else None,
        "max_num": kwargs.get("max_patches") if crop else None,
    }


def _deepseek_options(self: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **_steps(kwargs),
        "do_pad": bool(kwargs.get("do_pad")),
        "image_size": _sides(kwargs["size"]),
        # Of the mean that the object was made with, whatever the mean is now.
        "background_color": list(self.background_color),
        **_given(kwargs, "min_size"),
    }


def _hybrid_options(self: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    names = ("high_res_resample", "high_res_image_mean", "high_res_image_std")
    return {
        **_deepseek_options(self, kwargs),
        "high_res_image_size": _sides(kwargs["high_res_size"]),
        "high_res_background_color": list(self.high_res_background_color),
        **_given(kwargs, *names),
    }


def _given(kwargs: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Arguments that upstream needs; None would mean a default here, and an error there."""
    for name in names:
        if kwargs.get(name) is None:
            raise Elsewhere(f"{name} is None")
    return {name: kwargs[name] for name in names}


def _sides(size: Any) -> int | tuple[int, int]:
    height, width = size.height, size.width
    edges = (size.shortest_edge, size.longest_edge, size.max_height, size.max_width)
    if not height or not width or any(edges):
        raise Elsewhere(f"size is {dict(size)}")
    return height if height == width else (height, width)


def _qwen_features(batch: Mapping[str, Any], wrap: Wrap, _: bool) -> dict[str, Any]:
    return {key: wrap(batch[key]) for key in ("pixel_values", "image_grid_thw")}


def _got_features(batch: Mapping[str, Any], wrap: Wrap, whole: bool) -> dict[str, Any]:
    return {
        "pixel_values": _items(batch["pixel_values"], wrap, whole),
        "num_patches": batch["num_patches"].tolist(),
    }


def _deepseek_features(batch: Mapping[str, Any], wrap: Wrap, whole: bool) -> dict[str, Any]:
    return {"pixel_values": _items(batch["pixel_values"], wrap, whole)}


def _hybrid_features(batch: Mapping[str, Any], wrap: Wrap, whole: bool) -> dict[str, Any]:
    keys = ("pixel_values", "high_res_pixel_values")
    return {key: _items(batch[key], wrap, whole) for key in keys}


def _items(array: Any, wrap: Wrap, whole: bool) -> Any:
    """(n, 3, S, S): upstream returns a list of n, and stacks it where a tensor is asked for."""
    return wrap(array) if whole else list(wrap(array))


ROWS: Final = (
    Row("qwen2_vl", "Qwen2VLImageProcessor", "qwen2-vl", _qwen_options, _qwen_features),
    Row("got_ocr2", "GotOcr2ImageProcessor", "got-ocr2", _got_options, _got_features),
    Row(
        "deepseek_vl",
        "DeepseekVLImageProcessor",
        "deepseek-vl",
        _deepseek_options,
        _deepseek_features,
    ),
    Row(
        "deepseek_vl_hybrid",
        "DeepseekVLHybridImageProcessor",
        "deepseek-vl-hybrid",
        _hybrid_options,
        _hybrid_features,
    ),
)


def processor(family: str, numerics: str, options: Mapping[str, Any]) -> Processor:
    """The processor with these options; the same one for equal values, whoever asks.

    Raises:
        TypeError, ValueError: options that are none of the family, or that cannot be hashed.
    """
    items = [(key, hashable(value)) for key, value in options.items() if value is not None]
    return _cached(family, numerics, tuple(items))


@functools.lru_cache(maxsize=128)
def _cached(family: str, numerics: str, items: tuple[tuple[str, Any], ...]) -> Processor:
    options = {key: value for key, (_, value) in items}
    return Processor(family, numerics=numerics, **options)


def hashable(value: Any) -> tuple[Any, Any]:
    """A value with its type, since 1, 1.0 and True are equal and are not the same option."""
    if isinstance(value, list | tuple):
        return tuple(type(item) for item in value), tuple(value)
    return type(value), value
