"""Config files of released models: which family they are, and their options under canonical names.

Read are transformers' `preprocessor_config.json` in all its spellings, its nested
`processor_config.json` (v5), InternVL's own `config.json` and DeepSeek-VL2's own
`processor_config.json`. What a file leaves out takes the default of upstream's class, not the
value that released checkpoints have; null is absent; keys that cannot change a pixel are ignored
(`options.IGNORED` and the lists here); any other unknown key is an error. Nothing is ever
downloaded.
"""

from __future__ import annotations

import difflib
import functools
import itertools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from . import _dynres_rs as _native
from ._types import Options
from .files import as_key, shown
from .options import canonical, preset, with_backgrounds

__all__ = ["Config", "find", "read"]


class Config(NamedTuple):
    """What a config file says."""

    family: str
    options: Options
    """All options of the family, the facade's two included."""
    others: tuple[str, ...] = ()
    """Families that the file may mean as well, and that speak other coordinates."""


#: Keys of InternVL's model config that the image side does not read.
INTERNVL_IGNORED: Final = frozenset(
    {
        "_attn_implementation_autoset",
        "_commit_hash",
        "_name_or_path",
        "architectures",
        "attn_implementation",
        "auto_map",
        "bos_token_id",
        "dtype",
        "eos_token_id",
        "hidden_size",
        "initializer_range",
        "llm_config",
        "model_type",
        "num_image_token",
        "output_attentions",
        "output_hidden_states",
        "pad_token_id",
        "return_dict",
        "select_layer",
        "system_message",
        "template",
        "tie_word_embeddings",
        "torch_dtype",
        "transformers_version",
        "use_backbone_lora",
        "use_cache",
        "use_llm_lora",
    }
)

#: Keys of DeepSeek-VL2's processor config that the image side does not read.
DEEPSEEK_VL2_IGNORED: Final = frozenset(
    {
        "add_special_token",
        "auto_map",
        "ignore_id",
        "image_token",
        "mask_prompt",
        "pad_token",
        "processor_class",
        "sft_format",
        "transformers_version",
    }
)


def read(
    config: Mapping[str, Any], overrides: Mapping[str, Any], model_type: str | None = None
) -> Config:
    """Reads the dict of a config file.

    Args:
        config: the parsed JSON.
        overrides: options that go over it, in upstream's or in canonical names; None is absent.
        model_type: the model's type where it is known from beside the file; it only picks among
            families that share a class.

    Raises:
        TypeError: `config` is no mapping, or a value has the wrong type.
        ValueError: no class that is known, an unknown key, or a value that cannot be reproduced
            exactly.
    """
    if not isinstance(config, Mapping):
        raise TypeError(f"config: must be a dict, got {type(config).__name__}")
    given = {as_key(key): value for key, value in config.items() if value is not None}
    nested = given.get("image_processor")
    if isinstance(nested, Mapping):
        inner = {as_key(key): value for key, value in nested.items() if value is not None}
        given = {"processor_class": given.get("processor_class"), **inner}
    elif given.get("processor_class") == "DeepseekVLV2Processor":
        return _deepseek_vl2(given, overrides)
    elif _is_internvl_chat(given):
        return _internvl_chat(given, overrides)
    return _transformers(given, overrides, model_type)


def _transformers(
    given: dict[str, Any], overrides: Mapping[str, Any], model_type: str | None
) -> Config:
    own = _own_code(given)
    named = (given.get("image_processor_type"), own, given.get("feature_extractor_type"))
    kind = next((each for each in named if each is not None), None)
    if kind is None:
        if given.get("video_processor_type") is not None:
            raise ValueError("config: video processors are not supported, only image processors")
        raise ValueError("config: must have 'image_processor_type', or be a file of a known model")
    if not isinstance(kind, str):
        raise TypeError(f"image_processor_type: must be a string, got {type(kind).__name__}")
    name = _plain_name(kind)
    row = remote_row(own or name, model_type)
    row = row or class_row(name, given, model_type, video=False)
    if row is None and own is not None:
        raise ValueError(
            f"auto_map: '{shown(own, 80)}' is the model's own code, which is not here; of the"
            f" families that are, the nearest by name are {_nearest_families(own)}"
        )
    if row is None:
        raise ValueError(
            "image_processor_type: must be a class that `dynres families` lists, or one with 'Fast'"
            f" or 'Pil' at the end; got '{shown(kind, 80)}', and the nearest are"
            f" {_nearest(name, video=False)}"
        )
    family = row["family"]
    base = {**preset(family), **row["defaults"]}
    options = canonical(given, base, "config", family)
    options = canonical(overrides, options, "overrides", family)
    options = with_backgrounds(family, options, overrides)
    others: tuple[str, ...] = ()
    if overrides.get("coords") is None and not _is_hinted(row, given, model_type):
        others = _others(name, given, row)
    return Config(family, options, others)


def _is_hinted(row: Mapping[str, Any], given: Mapping[str, Any], model_type: str | None) -> bool:
    return any(
        hint in row["processors"] or hint in row["model_types"]
        for hint in (given.get("processor_class"), model_type)
    )


def _others(name: str, given: Mapping[str, Any], row: Mapping[str, Any]) -> tuple[str, ...]:
    """Families that a file may mean as well, and that speak other coordinates."""
    coords = preset(row["family"])["coords"]
    return tuple(
        other["family"]
        for other in rows(name)
        if (other["sign"] is None or _has(given, other["sign"]))
        and (row["sign"] is None or other["sign"] is not None)
        and preset(other["family"])["coords"] != coords
    )


def _own_code(given: Mapping[str, Any]) -> str | None:
    """The class of an image processor that a model brings along; None for a file without one."""
    classes = given.get("auto_map")
    found = classes.get("AutoImageProcessor") if isinstance(classes, Mapping) else None
    # The slow class and the fast one.
    names = found if isinstance(found, list | tuple) else [found]
    first = next((name for name in names if isinstance(name, str) and name), None)
    return None if first is None else first.rpartition(".")[2]


def _plain_name(kind: str) -> str:
    """A class's name without its backend, and as it is called today."""
    name = kind.removesuffix("Fast").removesuffix("Pil")
    if name.endswith("FeatureExtractor"):
        name = name.removesuffix("FeatureExtractor") + "ImageProcessor"
    return name


def _nearest(name: str, *, video: bool) -> str:
    """The classes whose names are nearest, for an error."""
    return ", ".join(difflib.get_close_matches(name, classes(video=video), n=3, cutoff=0.0))


def _nearest_families(name: str) -> str:
    """The families whose classes have the nearest names, for an error."""
    known = {
        **_remote(),
        **{key: rows for key, rows in _upstream().items() if not rows[0]["video"]},
    }
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.0)
    return ", ".join(f"'{known[key][0]['family']}' ({key})" for key in near)


@functools.cache
def _remote() -> dict[str, list[dict[str, Any]]]:
    return _native.remote()


def remote_row(name: str, model_type: str | None) -> dict[str, Any] | None:
    """The row of the family whose released models bring along the class of that name; None for any
    other. A class that transformers has as well needs the model's type."""
    found = _remote().get(name, [])
    if not found:
        return None
    meant = next((row for row in found if model_type in row["model_types"]), None)
    return meant or (None if name in _upstream() else found[0])


@functools.cache
def _upstream() -> dict[str, list[dict[str, Any]]]:
    return _native.upstream()


def classes(*, video: bool) -> list[str]:
    """Upstream's classes of images, or of videos."""
    return [name for name, rows in _upstream().items() if rows[0]["video"] is video]


def rows(name: str) -> list[dict[str, Any]]:
    """The families that a class of upstream is; empty for no class that is known."""
    return _upstream().get(name, [])


def class_row(
    name: str, given: Mapping[str, Any], model_type: str | None, *, video: bool
) -> dict[str, Any] | None:
    """The row of the family that is meant by a class and what else its file says; None for no class
    that is known. Several families may share a class."""
    found = rows(name)
    if not found or found[0]["video"] is not video:
        return None
    for hint in (given.get("processor_class"), model_type):
        for row in found:
            if hint in row["processors"] or hint in row["model_types"]:
                return row
    signs = [row for row in found if row["sign"] is not None and _has(given, row["sign"])]
    without = [row for row in found if row["sign"] is None]
    return (signs or without or found)[0]


def _has(given: Mapping[str, Any], sign: tuple[str, str, int]) -> bool:
    """Whether a file has a family's sign."""
    form, key, number = sign
    value = given.get(key)
    if form == "equals":
        return value == number
    if isinstance(value, Mapping):
        sides = [value.get("height"), value.get("width")]
    else:
        sides = list(value) if isinstance(value, list | tuple) else [value]
    return all(isinstance(side, int) and side > 0 and side % number == 0 for side in sides)


def _is_internvl_chat(given: Mapping[str, Any]) -> bool:
    return given.get("model_type") == "internvl_chat" or (
        "image_processor_type" not in given
        and any(key in given for key in ("force_image_size", "max_dynamic_patch", "ps_version"))
    )


def _internvl_chat(given: dict[str, Any], overrides: Mapping[str, Any]) -> Config:
    """InternVL's `config.json` (`InternVLChatConfig`), whose defaults are 1.1's: no tiles.

    `ps_version` moves no pixel, only tokens: a file that does not say is taken for v2, as every
    release that tiles is.
    """
    overrides = dict(overrides)
    version = overrides.pop("ps_version", None) or given.get("ps_version", "v2")
    if version != "v2":
        raise ValueError(
            f"ps_version: must be 'v2', got '{shown(version, 40)}'; v1 orders tokens otherwise"
        )
    if given.get("pad2square", False):
        raise ValueError("pad2square: must be false; images padded to squares are not supported")
    vision = given.get("vision_config", {})
    if not isinstance(vision, Mapping):
        raise TypeError(f"vision_config: must be a dict, got {type(vision).__name__}")
    read = {
        "image_size": given.get("force_image_size") or vision.get("image_size") or 224,
        "patch_size": vision.get("patch_size") or 14,
        "min_num": given.get("min_dynamic_patch", 1),
        "max_num": given.get("max_dynamic_patch", 6),
        "use_thumbnail": given.get("use_thumbnail", False),
        "crop_to_patches": given.get("dynamic_image_size", False),
        "downsample_ratio": given.get("downsample_ratio", 0.5),
    }
    known = {
        "force_image_size",
        "vision_config",
        "min_dynamic_patch",
        "max_dynamic_patch",
        "use_thumbnail",
        "dynamic_image_size",
        "downsample_ratio",
        "ps_version",
        "pad2square",
    }
    _refuse_unknown(given, known | INTERNVL_IGNORED, known)
    options = canonical(read, preset("internvl"), "config", "internvl")
    return Config("internvl", canonical(overrides, options, "overrides", "internvl"))


def _deepseek_vl2(given: dict[str, Any], overrides: Mapping[str, Any]) -> Config:
    """DeepSeek-VL2's `processor_config.json` (`DeepseekVLV2Processor.__init__`)."""
    known = {
        "candidate_resolutions",
        "patch_size",
        "downsample_ratio",
        "image_mean",
        "image_std",
        "normalize",
    }
    _refuse_unknown(given, known | DEEPSEEK_VL2_IGNORED, known)
    for key in ("candidate_resolutions", "patch_size", "downsample_ratio"):
        if key not in given and overrides.get(key) is None:
            raise ValueError(f"config: must have '{key}', which has no default upstream")
    base = {
        **preset("deepseek-vl2"),
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "do_normalize": True,
    }
    read = {key: value for key, value in given.items() if key in known}
    options = canonical(read, base, "config", "deepseek-vl2")
    return Config("deepseek-vl2", canonical(overrides, options, "overrides", "deepseek-vl2"))


def _refuse_unknown(given: Mapping[str, Any], allowed: set[str], known: set[str]) -> None:
    for key in given:
        if key not in allowed:
            raise ValueError(
                f"config: unknown key '{shown(key, 60)}'; the keys that matter are"
                f" {', '.join(sorted(known))}"
            )


def find(source: str | os.PathLike[str], revision: str | None) -> tuple[dict[str, Any], str | None]:
    """The config of a model in a folder, in a json file, or in the local Hugging Face cache, and
    the model's type where it is known from beside it. Of a model of videos alone it is theirs.

    Raises:
        FileNotFoundError: there is no such folder, file or cached model, or no config in it.
        ValueError: the file is no JSON.
    """
    if not isinstance(source, str | os.PathLike):
        raise TypeError(f"path: must be a string or os.PathLike, got {type(source).__name__}")
    name = os.fspath(source)
    if not isinstance(name, str):
        raise TypeError("path: must be a string or os.PathLike of str")
    path = Path(name)
    if os.path.isfile(name):  # noqa: PTH113 (never raises, whatever the name)
        beside = path.parent / "config.json"
        model_type = _model_type(beside) if path.name != "config.json" else None
        return _load(path, name), model_type
    folder = path if os.path.isdir(name) else _cached(name, revision)  # noqa: PTH112
    if folder is None:
        raise FileNotFoundError(
            f"path: '{shown(name)}' is no folder, no json file, and no model in the local Hugging"
            " Face cache"
        )
    model_type = _model_type(folder / "config.json")
    if model_type == "internvl_chat":
        # Its preprocessor_config.json is a CLIP stub that upstream's own code never reads.
        return _load(folder / "config.json", name), None
    processor = folder / "processor_config.json"
    if processor.is_file():
        config = _load(processor, name)
        if isinstance(config.get("image_processor"), Mapping) or (
            config.get("processor_class") == "DeepseekVLV2Processor"
        ):
            return config, model_type
    for file in ("preprocessor_config.json", "video_preprocessor_config.json"):
        if (folder / file).is_file():
            return _load(folder / file, name), model_type
    raise FileNotFoundError(
        f"path: '{shown(name)}' has no preprocessor_config.json, no processor_config.json with an"
        " image processor, no video_preprocessor_config.json, and no config.json of InternVL"
    )


def _load(path: Path, given: str) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        kind = type(error)
        raise kind(f"path: {path.name} of '{shown(given)}' cannot be read") from None
    except ValueError:
        raise ValueError(f"path: {path.name} of '{shown(given)}' is no JSON") from None
    except RecursionError:
        raise ValueError(f"path: {path.name} of '{shown(given)}' is nested too deeply") from None
    if not isinstance(config, dict):
        raise ValueError(f"path: {path.name} of '{shown(given)}' must hold an object")
    return config


def _model_type(path: Path) -> str | None:
    """The model's type in a config.json, with its version where families differ by that; None
    where there is none to be had."""
    if not path.is_file():
        return None
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        found, version = config.get("model_type"), config.get("version")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    if not isinstance(found, str):
        return None
    versioned = f"{found}-{shown(str(version), 20)}"
    rows = itertools.chain.from_iterable(_remote().values())
    return versioned if any(versioned in row["model_types"] for row in rows) else found


def _cached(name: str, revision: str | None) -> Path | None:
    """The snapshot of a hub id in the local cache: `models--org--name/snapshots/<commit>`."""
    parts = name.split("/")
    if "\0" in name or len(name) > 512 or shown(name, 512) != name:
        return None
    if len(parts) > 2 or not all(part and part not in (".", "..") for part in parts):
        return None
    home = os.environ.get("HF_HOME") or os.path.join(  # noqa: PTH118
        os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface"
    )
    hub = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    root = Path(hub) if hub else Path(home) / "hub"
    model = root.expanduser() / ("models--" + "--".join(parts))
    if revision is not None and not isinstance(revision, str):
        raise TypeError(f"revision: must be a string, got {type(revision).__name__}")
    wanted = revision or "main"
    if any(part in ("", ".", "..") for part in wanted.split("/")):
        return None
    reference = model / "refs" / wanted
    if os.path.isfile(reference):  # noqa: PTH113
        wanted = reference.read_text(encoding="utf-8").strip()
    snapshot = model / "snapshots" / wanted
    return snapshot if os.path.isdir(snapshot) else None  # noqa: PTH112
