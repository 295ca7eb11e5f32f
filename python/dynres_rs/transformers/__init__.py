"""transformers' image and video processors with the same bits, faster.

    import dynres_rs.transformers

    ip = AutoImageProcessor.from_pretrained(path, backend="dynres")

or, for code that is not to change, once at the start:

    dynres_rs.transformers.enable()

Importing this registers the backend `"dynres"` for every model type that uses one of four classes:
`Qwen2VLImageProcessor`, `GotOcr2ImageProcessor` (InternVL's among others),
`DeepseekVLImageProcessor`, `DeepseekVLHybridImageProcessor`; and, where torchvision is installed,
of `Qwen2VLVideoProcessor` and `Qwen3VLVideoProcessor`. `enable()` makes it the default for them,
`disable()` takes that back.

Each class here subclasses upstream's of the same name and replaces its pixel path. It takes the
torchvision backend's class and numbers where torchvision is installed, else the PIL backend's;
`from_pretrained(..., numerics=)` chooses otherwise. What cannot be reproduced bit for bit (floating
point images with fractions, filters without a kernel here, tensors and devices off the CPU) runs
on upstream's own path, with a warning that is said once.
"""

from __future__ import annotations

import contextlib
import importlib
import types
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from ._families import ROWS, Row
from ._mixin import ExactImages
from ._video import VIDEO_ROWS, ExactVideos

__all__ = [
    "DeepseekVLHybridImageProcessor",
    "DeepseekVLHybridImageProcessorPil",
    "DeepseekVLImageProcessor",
    "DeepseekVLImageProcessorPil",
    "ExactImages",
    "ExactVideos",
    "GotOcr2ImageProcessor",
    "GotOcr2ImageProcessorPil",
    "Qwen2VLImageProcessor",
    "Qwen2VLImageProcessorPil",
    "Qwen2VLVideoProcessor",
    "Qwen3VLVideoProcessor",
    "disable",
    "enable",
    "is_enabled",
    "model_types",
    "video_model_types",
]

try:
    importlib.import_module("transformers.image_processing_backends")
except ImportError:
    raise ImportError(
        "dynres_rs.transformers needs transformers 5: pip install 'dynres_rs[transformers]'"
    ) from None

_auto: Final[Any] = importlib.import_module("transformers.models.auto.image_processing_auto")
_HAS_TORCHVISION: Final[bool] = bool(
    importlib.import_module("transformers.utils").is_torchvision_available()
)


def _upstream(row: Row, torchvision: bool) -> Any:
    infix, suffix = ("", "") if torchvision else ("pil_", "Pil")
    path = f"transformers.models.{row.model}.image_processing_{infix}{row.model}"
    return getattr(importlib.import_module(path), row.name + suffix)


def _make(row: Row, torchvision: bool, name: str) -> Any:
    base = _upstream(row, torchvision)
    body = {
        "__module__": __name__,
        "__qualname__": name,
        "__doc__": f"transformers' `{base.__name__}`, bit for bit, through dynres_rs.",
        "_dynres_row": row,
        "_dynres_upstream": base,
        "_dynres_torchvision": torchvision,
        "_dynres_other": None,
    }
    return types.new_class(name, (ExactImages, base), {}, lambda space: space.update(body))


def _pair(name: str) -> tuple[Any, Any]:
    """A row's two classes: the default backend's, and the PIL backend's.

    Without torchvision both are the same class, under the name that configs have: transformers
    looks classes up by it, and takes its own for any other.
    """
    row = next(row for row in ROWS if row.name == name)
    if not _HAS_TORCHVISION:
        only = _make(row, False, name)
        return only, only
    default, pil = _make(row, True, name), _make(row, False, name + "Pil")
    default._dynres_other, pil._dynres_other = pil, default
    return default, pil


Qwen2VLImageProcessor, Qwen2VLImageProcessorPil = _pair("Qwen2VLImageProcessor")
GotOcr2ImageProcessor, GotOcr2ImageProcessorPil = _pair("GotOcr2ImageProcessor")
DeepseekVLImageProcessor, DeepseekVLImageProcessorPil = _pair("DeepseekVLImageProcessor")
DeepseekVLHybridImageProcessor, DeepseekVLHybridImageProcessorPil = _pair(
    "DeepseekVLHybridImageProcessor"
)


def _video_class(name: str) -> Any:
    """None without torchvision: transformers has no other backend for videos."""
    if not _HAS_TORCHVISION:
        return None
    model, _, family = next(row for row in VIDEO_ROWS if row[1] == name)
    module = importlib.import_module(f"transformers.models.{model}.video_processing_{model}")
    base = getattr(module, name)
    body = {
        "__module__": __name__,
        "__qualname__": name,
        "__doc__": f"transformers' `{name}`, bit for bit, through dynres_rs.",
        "_dynres_family": family,
        "_dynres_upstream": base,
        "_dynres_torchvision": True,
        "_dynres_other": None,
    }
    return types.new_class(name, (ExactVideos, base), {}, lambda space: space.update(body))


Qwen2VLVideoProcessor = _video_class("Qwen2VLVideoProcessor")
Qwen3VLVideoProcessor = _video_class("Qwen3VLVideoProcessor")


def model_types() -> dict[str, str]:
    """The model types that are registered, and the name of the class of each."""
    names = {row.name for row in ROWS}
    return {
        model_type: name
        for model_type, classes in sorted(_auto.IMAGE_PROCESSOR_MAPPING_NAMES.items())
        for name in names.intersection(value for value in classes.values() if value)
    }


def video_model_types() -> dict[str, str]:
    """The model types whose video processor is registered, and the name of the class of each; none
    without torchvision."""
    if not _HAS_TORCHVISION:
        return {}
    names = {name for _, name, _ in VIDEO_ROWS}
    return {
        model_type: classes["torchvision"]
        for model_type, classes in sorted(_auto_video().VIDEO_PROCESSOR_MAPPING_NAMES.items())
        if classes and classes.get("torchvision") in names
    }


def _auto_video() -> Any:
    return importlib.import_module("transformers.models.auto.video_processing_auto")


def _configs(types_of: dict[str, str]) -> list[tuple[Any, str]]:
    """(config class, name of the processor's class), for all that this transformers has."""
    mapping = importlib.import_module("transformers.models.auto.configuration_auto").CONFIG_MAPPING
    found = []
    for model_type, name in types_of.items():
        try:
            found.append((mapping[model_type], name))
        except (KeyError, ImportError, AttributeError):
            continue  # listed before its config exists, or with a library that is absent
    return found


def _register(config: Any, classes: dict[str, Any]) -> None:
    _auto.AutoImageProcessor.register(config, image_processor_classes=classes, exist_ok=True)


def _register_video(config: Any, classes: dict[str, Any]) -> None:
    auto = _auto_video().AutoVideoProcessor
    auto.register(config, video_processor_classes=classes, exist_ok=True)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Registering resolves upstream's classes, which says of each that torchvision is absent."""
    logging = importlib.import_module("transformers.utils.logging")
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)


class _Registration(NamedTuple):
    """A config class with its classes by backend: upstream's, and ours."""

    register: Callable[[Any, dict[str, Any]], None]
    config: Any
    theirs: dict[str, Any]
    ours: dict[str, Any]


def _register_all() -> list[_Registration]:
    done = []
    for config, name in _configs(model_types()):
        before = dict(_auto.IMAGE_PROCESSOR_MAPPING[config])
        default, pil = globals()[name], globals()[name + "Pil"]
        _register(config, {"dynres": default})
        ours = {"torchvision": default, "pil": pil} if _HAS_TORCHVISION else {"pil": pil}
        theirs = {backend: before.get(backend) for backend in ours}
        done.append(_Registration(_register, config, theirs, ours))
    for config, name in _configs(video_model_types()):
        before = dict(_auto_video().VIDEO_PROCESSOR_MAPPING[config])
        _register_video(config, {"dynres": globals()[name]})
        theirs, ours = {"torchvision": before["torchvision"]}, {"torchvision": globals()[name]}
        done.append(_Registration(_register_video, config, theirs, ours))
    return done


with _silent():
    _registered: Final = _register_all()
_enabled = False


def enable() -> None:
    """Makes the classes here the default of `AutoImageProcessor`, `AutoVideoProcessor` and
    `AutoProcessor`.

    Backends asked for by name (`"torchvision"`, `"pil"`) are replaced as well: each by the class
    with its numbers. Calling it twice changes nothing. Processors that exist already stay as they
    are.
    """
    global _enabled
    for entry in _registered:
        entry.register(entry.config, entry.ours)
    _enabled = True


def disable() -> None:
    """Takes `enable()` back: upstream's classes are the default again, and `backend="dynres"`
    remains."""
    global _enabled
    for entry in _registered:
        entry.register(entry.config, entry.theirs)
    _enabled = False


def is_enabled() -> bool:
    """Whether the classes here are the default now."""
    return _enabled
