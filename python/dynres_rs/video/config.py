"""Config files of video processors, and the vocabulary of video options.

Read are transformers' `video_preprocessor_config.json`, the `video_processor` of v5's nested
`processor_config.json`, and, as upstream falls back to, `preprocessor_config.json`, whose keys then
count for videos too. The rules are those of `dynres_rs.hf`: a key that is absent takes the default
of upstream's class, null is absent, any other unknown key is an error.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from .. import _dynres_rs as _native
from .. import hf
from .. import options as vocabulary
from .._types import Options
from ..files import as_key, shown

__all__ = ["canonical", "is_video_only", "names", "preset", "read", "read_pretrained"]

_COMMON: Final[Options] = {
    "do_resize": True,
    "resample": "bicubic",
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "do_convert_rgb": True,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "min_frames": 4,
    "max_frames": 768,
    "cap_pixels_per_frame": False,
    "num_frames": None,
    "total_pixels": None,
    "video_start": None,
    "video_end": None,
}

#: Defaults of transformers' classes, which are not the presets of the families.
CLASSES: Final[dict[str, Options]] = {
    "Qwen2VLVideoProcessor": {
        **_COMMON,
        "image_mean": hf.CLIP["image_mean"],
        "image_std": hf.CLIP["image_std"],
        "patch_size": 14,
        "min_pixels": 128 * 28 * 28,
        "max_pixels": 768 * 28 * 28,
        "budget": "frame",
        "max_video_tokens": 128_000,
        "sampling": "arange",
        "do_sample_frames": False,
        "fps": None,
    },
    "Qwen3VLVideoProcessor": {
        **_COMMON,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "patch_size": 16,
        "min_pixels": 128 * 32 * 32,
        "max_pixels": 768 * 32 * 32,
        "budget": "video",
        "max_video_tokens": 768,
        "sampling": "linspace",
        "do_sample_frames": True,
        "fps": 2.0,
    },
}

#: qwen-vl-utils' limits of a frame, in tokens, whatever a config file says.
QWEN_VL_UTILS: Final = {"min_pixels": 128, "max_pixels": 768}

#: Options of which None is a value, and takes one that was there before away.
_RESET_BY_NONE: Final = ("fps", "num_frames", "total_pixels", "video_start", "video_end")

#: Which class upstream's auto classes pick for the image processor's class alone.
_OF_IMAGES: Final = {"Qwen2VLImageProcessor": "Qwen2VLVideoProcessor"}

#: Upstream's keys that change no pixel.
_IGNORED: Final = frozenset(
    {
        "video_processor_type",
        "return_metadata",
        "video_metadata",
        "max_duration",
        "max_image_size",
        "num_channels",
        "use_token_compression",
    }
)


def preset(family: str) -> Options:
    """The video options of a family, the facade's two included.

    Raises:
        ValueError: a family that takes no videos.
    """
    table = _native.video_families()
    if family not in table:
        known = ", ".join(table)
        raise ValueError(
            f"family: must be one that takes videos, {known}; got '{shown(family, 60)}'"
        )
    return {**table[family], "do_convert_rgb": True, "input_data_format": None}


def names(options: Options) -> set[str]:
    """Every name under which one of these options may be given."""
    aliases = {"size"} if "min_pixels" in options or "image_size" in options else set()
    return set(options) | aliases


def is_video_only(config: Mapping[str, Any]) -> bool:
    """Whether a config file's dict is a video processor's own."""
    keys = ("image_processor_type", "feature_extractor_type", "image_processor")
    return config.get("video_processor_type") is not None and not any(
        config.get(key) for key in keys
    )


def canonical(
    given: Mapping[str, Any], current: Options, family: str, where: str = "options"
) -> Options:
    """`current` with what is `given` in upstream's names laid over it; a new dict.

    A number of frames goes over a rate that was there before, and the other way round. With the
    budget of qwen-vl-utils come that package's limits of a frame, unless others are `given` too.

    Raises:
        ValueError: an unknown key, or both `fps` and `num_frames`.
        TypeError: a value of the wrong type.
    """
    known = {key: value for key, value in given.items() if key not in _IGNORED}
    options = vocabulary.canonical(known, current, where, family)
    if known.get("fps") is not None and known.get("num_frames") is not None:
        raise ValueError(f"{where}: 'fps' and 'num_frames' exclude each other")
    for one, other in (("fps", "num_frames"), ("num_frames", "fps")):
        if known.get(one) is not None:
            options[other] = None
    for key in _RESET_BY_NONE:
        if key in known and known[key] is None:
            options[key] = None
    if options["budget"] == "qwen-vl-utils" != current["budget"]:
        side = options["patch_size"] * options["merge_size"]
        for key, tokens in QWEN_VL_UTILS.items():
            if known.get(key) is None and known.get("size") is None:
                options[key] = tokens * side * side
    return options


def read(
    config: Mapping[str, Any], overrides: Mapping[str, Any], model_type: str | None = None
) -> tuple[str, Options]:
    """The family and all video options of a config file's dict.

    Raises:
        TypeError: `config` is no mapping, or a value has the wrong type.
        ValueError: no class that is known, or an unknown key.
    """
    if not isinstance(config, Mapping):
        raise TypeError(f"config: must be a dict, got {type(config).__name__}")
    given = {as_key(key): value for key, value in config.items() if value is not None}
    nested = given.get("video_processor") or given.get("image_processor")
    if isinstance(nested, Mapping):
        inner = {as_key(key): value for key, value in nested.items() if value is not None}
        given = {"processor_class": given.get("processor_class"), **inner}
    kind = given.get("video_processor_type")
    if kind is None:
        image = given.get("image_processor_type") or given.get("feature_extractor_type")
        image = str(image).removesuffix("Fast").removesuffix("Pil")
        family = hf.read(
            {"image_processor_type": image, "processor_class": given.get("processor_class")},
            {},
            model_type,
        ).family
        kind = _class_of(image, family)
    if not isinstance(kind, str):
        raise TypeError(f"video_processor_type: must be a string, got {type(kind).__name__}")
    defaults = CLASSES.get(kind)
    if defaults is None:
        raise ValueError(
            f"video_processor_type: must be one of {', '.join(CLASSES)}; got '{shown(kind, 80)}'"
        )
    family = _family(kind, given, model_type)
    base = {**preset(family), **defaults}
    options = canonical(given, base, family, "config")
    return family, canonical(overrides, options, family, "overrides")


def _class_of(image: str, family: str) -> str:
    if image not in _OF_IMAGES:
        raise ValueError("config: must have 'video_processor_type', or be of a model with videos")
    spatial = preset(family)["budget"] == "frame"
    return "Qwen2VLVideoProcessor" if spatial else "Qwen3VLVideoProcessor"


def _family(kind: str, given: Mapping[str, Any], model_type: str | None) -> str:
    """The family decides nothing that the class does not; it names coordinates and presets."""
    table = hf.FAMILIES["Qwen2VLImageProcessor"]
    for hint in (given.get("processor_class"), model_type):
        if isinstance(hint, str) and hint in table:
            return table[hint]
    return "qwen2-vl" if kind == "Qwen2VLVideoProcessor" else "qwen3-vl"


def read_pretrained(
    source: str | os.PathLike[str], revision: str | None, overrides: Mapping[str, Any]
) -> tuple[str, Options]:
    """The family and all video options of a model in a folder, a json file, or the local Hugging
    Face cache, from the first that is there: the `video_processor` of `processor_config.json`,
    `video_preprocessor_config.json`, `preprocessor_config.json`.

    Raises:
        FileNotFoundError: there is no such folder, file or cached model, or no config in it.
        ValueError: the file is no JSON, and all that `read` raises.
    """
    if not isinstance(source, str | os.PathLike):
        raise TypeError(f"path: must be a string or os.PathLike, got {type(source).__name__}")
    name = os.fspath(source)
    if not isinstance(name, str):
        raise TypeError("path: must be a string or os.PathLike of str")
    path = Path(name)
    if os.path.isfile(name):  # noqa: PTH113 (never raises, whatever the name)
        return read(hf._load(path, name), overrides, hf._model_type(path.parent / "config.json"))
    folder = path if os.path.isdir(name) else hf._cached(name, revision)  # noqa: PTH112
    if folder is None:
        raise FileNotFoundError(
            f"path: '{shown(name)}' is no folder, no json file, and no model in the local Hugging"
            " Face cache"
        )
    model_type = hf._model_type(folder / "config.json")
    nested = folder / "processor_config.json"
    if nested.is_file():
        config = hf._load(nested, name)
        if isinstance(config.get("video_processor"), Mapping):
            return read(config, overrides, model_type)
    for file in ("video_preprocessor_config.json", "preprocessor_config.json"):
        if (folder / file).is_file():
            return read(hf._load(folder / file, name), overrides, model_type)
    raise FileNotFoundError(
        f"path: '{shown(name)}' has no video_preprocessor_config.json, no"
        " preprocessor_config.json, and no processor_config.json with a video processor"
    )
