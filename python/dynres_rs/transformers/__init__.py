"""transformers' image and video processors with the same bits, faster.

    import dynres_rs.transformers

    ip = AutoImageProcessor.from_pretrained(path, backend="dynres")

or, for code that is not to change, once at the start:

    dynres_rs.transformers.enable()

Importing this registers the backend `"dynres"` for every model type whose class the compiled table
has: `model_types()` and, where torchvision is installed, `video_model_types()` list them.
`enable()` makes it the default for them, `disable()` takes that back. Neither loads a model's
module: a class is made when it is asked for, here by its name
(`from dynres_rs.transformers import CLIPImageProcessor`) or by transformers.

Each class here subclasses upstream's of the same name and replaces its pixel path. It takes the
torchvision backend's class and numbers where torchvision is installed, else the PIL backend's;
`from_pretrained(..., numerics=)` chooses otherwise. What cannot be reproduced bit for bit (floating
point images with fractions, filters without a kernel here, tensors and devices off the CPU, code of
upstream's that was replaced) runs on upstream's own path, with a warning that is said once.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

try:
    importlib.import_module("transformers.image_processing_backends")
except ImportError:
    raise ImportError(
        "dynres_rs.transformers needs transformers 5: pip install 'dynres_rs[transformers]'"
    ) from None

from ._images import ExactImages
from ._registration import Registers, make
from ._table import HAS_TORCHVISION, IMAGES, VIDEOS
from ._videos import ExactVideos

__all__ = [
    "ExactImages",
    "ExactVideos",
    "disable",
    "enable",
    "is_enabled",
    "model_types",
    "video_model_types",
]


def __getattr__(name: str) -> Any:
    """Makes the class of that name; `AttributeError` for one that there is not."""
    plain = name.removesuffix("Pil")
    if not plain.endswith(("ImageProcessor", "VideoProcessor")):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        made = make(plain, __name__)
    except ValueError as error:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}: {error}") from None
    for module, names in made.items():
        space = vars(importlib.import_module(module))
        for key, value in names.items():
            space.setdefault(key, value)
    for key in (plain, plain + "Pil"):
        for module in made:
            found = vars(importlib.import_module(module)).get(key)
            if found is not None:
                globals()[key] = found
    if name not in globals():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals()[name]


def __dir__() -> list[str]:
    names = {*model_types().values(), *video_model_types().values()}
    return sorted({*globals(), *names})


def model_types() -> dict[str, str]:
    """The model types that are registered, and the name of the class of each."""
    return IMAGES.model_types()


def video_model_types() -> dict[str, str]:
    """The model types whose video processor is registered, and the name of the class of each; none
    without torchvision."""
    return VIDEOS.model_types() if HAS_TORCHVISION else {}


def _find(name: str) -> Any:
    found = globals().get(name)
    return __getattr__(name) if found is None else found


_registers: Final = Registers(_find)
_enabled = False


def enable() -> None:
    """Makes the classes here the default of `AutoImageProcessor`, `AutoVideoProcessor` and
    `AutoProcessor`.

    Backends asked for by name (`"torchvision"`, `"pil"`) are replaced as well: each by the class
    with its numbers. Calling it twice changes nothing. Processors that exist already stay as they
    are, and so does what somebody else has registered.
    """
    global _enabled
    _registers.enable(True)
    _enabled = True


def disable() -> None:
    """Takes `enable()` back: upstream's classes are the default again, and `backend="dynres"`
    remains."""
    global _enabled
    _registers.enable(False)
    _enabled = False


def is_enabled() -> bool:
    """Whether the classes here are the default now."""
    return _enabled
