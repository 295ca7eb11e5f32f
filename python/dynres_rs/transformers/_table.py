"""transformers' classes that the compiled table knows, and which of them the installed release has.

Nothing here imports a model: transformers keeps the names of its classes by model type, and they
are read as they stand there.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from .. import hf

__all__ = ["HAS_TORCHVISION", "IMAGES", "VIDEOS", "Auto", "Row", "row"]


class Row(NamedTuple):
    """One class of transformers, by the name that configs have."""

    name: str
    family: str
    """The family whose options are read."""
    defaults: Mapping[str, Any]
    """Options of the class where they are not the family's preset."""
    serial: bool
    """Whether its numbers change with torch's number of threads; those here are of one."""
    video: bool


@functools.cache
def row(name: str) -> Row | None:
    """The row of a class, without `Pil`; None for one that the table does not have.

    Families that share a class differ in what its files say, and all of that is read from the
    object: any of them will do, and the one without a sign of its own comes first.
    """
    found = hf.rows(name)
    if not found:
        return None
    first = next((row for row in found if row["sign"] is None), found[0])
    return Row(name, first["family"], first["defaults"], first["serial"], first["video"])


class Auto:
    """One of transformers' auto classes: its names by model type, and its registrations."""

    def __init__(self, kind: str, *, video: bool) -> None:
        path = f"transformers.models.auto.{kind}_processing_auto"
        module = importlib.import_module(path)
        self.video = video
        self.mapping: Any = getattr(module, f"{kind.upper()}_PROCESSOR_MAPPING")
        self.names: Any = getattr(module, f"{kind.upper()}_PROCESSOR_MAPPING_NAMES")
        self._module = module
        self._by_name = (
            "video_processor_class_from_name" if video else "get_image_processor_class_from_name"
        )

    def upstream(self, name: str) -> Any:
        """transformers' own class of that name, whatever is registered; loads its module.

        Raises:
            ValueError: this release has no such class.
        """
        extra = self.mapping._extra_content
        self.mapping._extra_content = {}
        try:
            found = getattr(self._module, self._by_name)(name)
        finally:
            self.mapping._extra_content = extra
        if found is None:
            raise ValueError(f"name: this release of transformers has no {name}")
        return found

    def model_types(self) -> dict[str, str]:
        """The model types whose class the table has, and its name."""
        found = {}
        for model_type, classes in sorted(self.names.items()):
            name = self.name_of(classes)
            if name is not None:
                found[model_type] = name
        return found

    def name_of(self, classes: Any) -> str | None:
        """The name of the class among those of a model type that the table has, if it has one."""
        given = classes.values() if isinstance(classes, Mapping) else (classes,)
        for value in given:
            if not isinstance(value, str):
                continue
            known = row(value.removesuffix("Pil"))
            if known is not None and known.video is self.video:
                return known.name
        return None


IMAGES: Final = Auto("image", video=False)
VIDEOS: Final = Auto("video", video=True)
HAS_TORCHVISION: Final[bool] = bool(
    importlib.import_module("transformers.utils").is_torchvision_available()
)
