"""The PIL backend's classes, where the package has both backends', and types of their arguments.

`dynres_rs.transformers` has the classes too; the types may share their names with those of the
torchvision backend, and transformers looks for them in the module of the class.
"""

from __future__ import annotations

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    """Makes the class of that name; `AttributeError` for one that there is not."""
    if not name.endswith("Pil"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("dynres_rs.transformers"), name)
