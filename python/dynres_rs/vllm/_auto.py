"""transformers' processors in vLLM: replaced when the first one of ours is asked for.

A process that serves another model never
needs `dynres_rs.transformers`, so `from_pretrained` runs as it is; only where it returned a class
that has a twin here is the package enabled, and the call made again.
"""

from __future__ import annotations

import contextvars
import importlib
import logging
import sys
from typing import Any, Final

from .. import hf
from ..patching import Row, Upstream

__all__ = ["ROWS", "disable", "wanted_dtype"]

_PARTS: Final = ("image_processor", "video_processor")

_log: Final = logging.getLogger("dynres_rs")
_dtype: Final[contextvars.ContextVar[str]] = contextvars.ContextVar(
    "dynres_dtype", default="float32"
)
_enabled = False
_failed = False


def wanted_dtype() -> str:
    """What vLLM casts floats to after the call that runs now: `"bfloat16"`, `"float16"` or
    `"float32"`."""
    return _dtype.get()


def disable() -> None:
    """Makes transformers' classes the default again, if they are not because of this module."""
    global _enabled
    if _enabled:
        importlib.import_module("dynres_rs.transformers").disable()
        _enabled = False


def _from_pretrained(upstream: Upstream, cls: Any, *args: Any, **kwargs: Any) -> Any:
    made = upstream.original(cls, *args, **kwargs)
    if not _enabled and not _failed and _has_twin(made) and _enable():
        made = upstream.original(cls, *args, **kwargs)
    if _is_ours(made):
        upstream.ran()
    return made


def _has_twin(made: Any) -> bool:
    kind = type(made[0] if isinstance(made, tuple) else made)
    return bool(hf.rows(kind.__name__.removesuffix("Pil"))) and kind.__module__.startswith(
        "transformers.models."
    )


def _is_ours(made: Any) -> bool:
    ours = sys.modules.get("dynres_rs.transformers")
    made = made[0] if isinstance(made, tuple) else made
    return ours is not None and isinstance(made, ours.ExactImages | ours.ExactVideos)


def _enable() -> bool:
    global _enabled, _failed
    try:
        importlib.import_module("dynres_rs.transformers").enable()
    except Exception:
        _failed = True
        _log.warning(
            "dynres_rs: the installed transformers is not one that dynres_rs.transformers can"
            " replace; its own processors run",
            exc_info=True,
        )
        return False
    _enabled = True
    return True


def _call_hf_processor(
    upstream: Upstream,
    self: Any,
    hf_processor: Any,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Tells what runs inside which dtype vLLM casts to afterwards."""
    dtype = str(getattr(self.model_config, "dtype", "")).removeprefix("torch.")
    token = _dtype.set(dtype if dtype in ("bfloat16", "float16") else "float32")
    try:
        return upstream.original(self, hf_processor, *args, **kwargs)
    finally:
        _dtype.reset(token)
        parts = [getattr(hf_processor, name, None) for name in _PARTS]
        if any(_is_ours(part) for part in parts):
            upstream.ran()


ROWS: Final = (
    Row(
        "image processors of transformers",
        "transformers.models.auto.image_processing_auto",
        "AutoImageProcessor.from_pretrained",
        "cls, pretrained_model_name_or_path, *inputs, **kwargs",
        _from_pretrained,
    ),
    Row(
        "video processors of transformers",
        "transformers.models.auto.video_processing_auto",
        "AutoVideoProcessor.from_pretrained",
        "cls, pretrained_model_name_or_path, *inputs, **kwargs",
        _from_pretrained,
    ),
    Row(
        "calls of transformers' processors",
        "vllm.multimodal.processing.context",
        "InputProcessingContext.call_hf_processor",
        "self, hf_processor, data, kwargs={}",
        _call_hf_processor,
    ),
)
