"""Config files of video processors, and the vocabulary of video options.

Read are transformers' `video_preprocessor_config.json`, the `video_processor` of v5's nested
`processor_config.json`, and, as upstream falls back to, `preprocessor_config.json`, whose keys then
count for videos too. The rules are those of `dynres_rs.hf`: a key that is absent takes the default
of upstream's class, null is absent, any other unknown key is an error.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from .. import _dynres_rs as _native
from .. import hf
from .. import options as vocabulary
from .._types import Options
from ..files import as_key, shown
from .rules import EXCLUSIVE

__all__ = ["canonical", "is_video_only", "names", "preset", "read", "read_pretrained"]

#: qwen-vl-utils' limits of a frame, in tokens, whatever a config file says.
QWEN_VL_UTILS: Final = {"min_pixels": 128, "max_pixels": 768}

#: Options of which None is a value, and takes one that was there before away.
_RESET_BY_NONE: Final = ("fps", "num_frames", "total_pixels", "video_start", "video_end")

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
        near = difflib.get_close_matches(family, table, n=3, cutoff=0.0)
        raise ValueError(
            f"family: must be one that takes videos; got '{shown(family, 60)}', and the nearest"
            f" are {', '.join(repr(name) for name in near)}"
        )
    return {**table[family], "do_convert_rgb": True, "input_data_format": None}


def named(family: str) -> str:
    """A family's own name, by name, alias or model type."""
    if not isinstance(family, str):
        raise TypeError(f"family: must be a string, got {type(family).__name__}")
    for name, others in vocabulary.aliases().items():
        # Images of that name have the videos of that name, or none.
        if family == name or family in others:
            return name
    for name in hf.classes(video=True):
        for row in hf.rows(name):
            if family in row["model_types"]:
                return str(row["family"])
    return family


def names(family: str) -> set[str]:
    """Every name under which a video option of a family may be given."""
    return vocabulary.names(family, True)


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
    own = names(family)
    known = {key: value for key, value in given.items() if key in own or key not in _IGNORED}
    options = vocabulary.canonical(known, current, where, family, video=True)
    if options["sampling"] in EXCLUSIVE:
        if known.get("fps") is not None and known.get("num_frames") is not None:
            raise ValueError(f"{where}: 'fps' and 'num_frames' exclude each other")
        for one, other in (("fps", "num_frames"), ("num_frames", "fps")):
            if known.get(one) is not None:
                options[other] = None
    for key in _RESET_BY_NONE:
        if key in known and known[key] is None and key in options:
            options[key] = None
    if known.get("budget") == "qwen-vl-utils" != current["budget"]:
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
        row = _of_images(given, model_type)
    elif not isinstance(kind, str):
        raise TypeError(f"video_processor_type: must be a string, got {type(kind).__name__}")
    else:
        row = hf.class_row(kind.removesuffix("Fast"), given, model_type, video=True)
    if row is None:
        known = ", ".join(hf.classes(video=True))
        raise ValueError(f"video_processor_type: must be one of {known}; got '{shown(kind, 80)}'")
    family = row["family"]
    base = {**preset(family), **row["defaults"]}
    options = canonical(given, base, family, "config")
    return family, canonical(overrides, options, family, "overrides")


def _of_images(given: Mapping[str, Any], model_type: str | None) -> dict[str, Any] | None:
    """The row that upstream's auto classes pick for the image processor's class alone."""
    image = given.get("image_processor_type") or given.get("feature_extractor_type")
    image = str(image).removesuffix("Fast").removesuffix("Pil")
    hints = {"image_processor_type": image, "processor_class": given.get("processor_class")}
    family = hf.read(hints, {}, model_type).family
    for name in hf.classes(video=True):
        for row in hf.rows(name):
            if row["family"] == family:
                return row
    raise ValueError("config: must have 'video_processor_type', or be of a model with videos")


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
