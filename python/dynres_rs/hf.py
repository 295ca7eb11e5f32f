"""Where the config files of released models are: folders, files, and the local Hugging Face cache.

The compiled core reads them (`read_config`, `read_video_config`); here they are found. Nothing is
ever downloaded.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from . import _dynres_rs as _native
from .files import shown

__all__ = ["IMAGES", "VIDEOS", "classes", "find", "is_video_only", "rows"]


@functools.cache
def _upstream() -> dict[str, list[dict[str, Any]]]:
    return _native.upstream()


def classes(*, video: bool) -> list[str]:
    """Upstream's classes of images, or of videos."""
    return [name for name, rows in _upstream().items() if rows[0]["video"] is video]


def rows(name: str) -> list[dict[str, Any]]:
    """The families that a class of upstream is; empty for no class that is known."""
    return _upstream().get(name, [])


def is_video_only(config: Mapping[str, Any]) -> bool:
    """Whether a config file's dict is a video processor's own."""
    keys = ("image_processor_type", "feature_extractor_type", "image_processor")
    return config.get("video_processor_type") is not None and not any(
        config.get(key) for key in keys
    )


class Wanted(NamedTuple):
    """Which files of a folder are read, in their order."""

    nested: str
    """The part of a `processor_config.json` without which that file is none of these."""
    files: tuple[str, ...]
    own: bool
    """Whether models' own forms of files are read as well."""
    missing: str
    """Why a folder has none of them."""


IMAGES: Final = Wanted(
    "image_processor",
    ("preprocessor_config.json", "video_preprocessor_config.json"),
    True,
    "no preprocessor_config.json, no processor_config.json with an image processor, no"
    " video_preprocessor_config.json, and no config.json of InternVL",
)
VIDEOS: Final = Wanted(
    "video_processor",
    ("video_preprocessor_config.json", "preprocessor_config.json"),
    False,
    "no video_preprocessor_config.json, no preprocessor_config.json, and no processor_config.json"
    " with a video processor",
)


def find(
    source: str | os.PathLike[str], revision: str | None, wanted: Wanted = IMAGES
) -> tuple[dict[str, Any], str | None]:
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
        own = wanted.own and path.name == "config.json"
        return _load(path, name), None if own else _model_type(beside)
    folder = path if os.path.isdir(name) else _cached(name, revision)  # noqa: PTH112
    if folder is None:
        raise FileNotFoundError(
            f"path: '{shown(name)}' is no folder, no json file, and no model in the local Hugging"
            " Face cache"
        )
    model_type = _model_type(folder / "config.json")
    if wanted.own and model_type == "internvl_chat":
        # Its preprocessor_config.json is a CLIP stub that upstream's own code never reads.
        return _load(folder / "config.json", name), None
    processor = folder / "processor_config.json"
    if processor.is_file():
        config = _load(processor, name)
        own = wanted.own and config.get("processor_class") == "DeepseekVLV2Processor"
        if own or isinstance(config.get(wanted.nested), Mapping):
            return config, model_type
    for file in wanted.files:
        if (folder / file).is_file():
            return _load(folder / file, name), model_type
    raise FileNotFoundError(f"path: '{shown(name)}' has {wanted.missing}")


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
    return _native.versioned_type(shown(found), shown(str(version), 20))


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
