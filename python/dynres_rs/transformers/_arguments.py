"""The keyword arguments of a call, as upstream completes and standardizes them, as our options.

Upstream reads a switch by its truth, so None is off there; everywhere else None has a meaning of
its own that is left to upstream. What the vocabulary of a family does not know is left to upstream
too, unless it says nothing. An option that is no argument is read from the object, where upstream
reads it.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Final, NamedTuple

from .. import _dynres_rs as _native
from ..options import FACADE, IGNORED
from ._table import Row

__all__ = ["PLUMBING", "Elsewhere", "Vocabulary", "frozen", "kind_of", "layout_of", "vocabulary"]

#: Arguments that say how a call runs, not what it gives. The conversion to RGB reads its own.
PLUMBING: Final = frozenset(
    {
        *("return_tensors", "device", "disable_grouping", "data_format"),
        *("input_data_format", "do_convert_rgb"),
    }
)
#: Arguments that are read where a switch is on, and the switch: transformers' words for them. The
#: names of others begin as the switch's own, `pad_size` as that of `do_pad`.
_SWITCHES: Final = {
    "size": "do_resize",
    "resample": "do_resize",
    "crop_size": "do_center_crop",
    "image_mean": "do_normalize",
    "image_std": "do_normalize",
}
#: Names of numbers, in arguments that are looked at for their kind alone.
_NUMBERS: Final = (int, float)


class Elsewhere(ValueError):
    """This call is one for upstream's own path; the text says why."""


class Vocabulary(NamedTuple):
    """What the table says of a family's options."""

    fields: dict[str, dict[str, Any]]
    """Options by name."""
    forms: dict[str, tuple[str, Any]]
    """Other keys: form, and what it becomes."""
    filters: frozenset[str]
    """Options that are filters."""

    def given(
        self, owner: Any, arguments: Mapping[str, Any], base: Mapping[str, Any], skipped: Any
    ) -> dict[str, Any]:
        """What a call says, for `dynres_rs.options.canonical`.

        Args:
            owner: the object that was called.
            arguments: its standardized arguments.
            base: the options that stand where nothing is said.
            skipped: names of arguments that have been acted on.

        Raises:
            Elsewhere: an argument that is not one here.
        """
        given: dict[str, Any] = {}
        for name, value in arguments.items():
            if name in PLUMBING or name in skipped:
                continue
            # What a switch that is off leaves out may be None.
            if value is not None or not _is_off(name, arguments):
                self._put(given, name, value, base)
        for name in self.fields:
            if name not in given and name not in arguments and hasattr(owner, name):
                value = getattr(owner, name)
                if value is not None:
                    self._put(given, name, value, base)
        return given

    def _put(self, given: dict[str, Any], name: str, value: Any, base: Mapping[str, Any]) -> None:
        field = self.fields.get(name)
        form, data = self.forms.get(name, ("", None))
        if form == "ignore":
            return
        if field is None and form in ("", "derived"):
            if value is None or value is False or name in IGNORED:
                return
            raise Elsewhere(f"{name} is not known here")
        if name in self.filters:
            _check_filter(name, value)
        elif (field is not None and field["kind"] == "flag") or type(data) is bool:
            value = bool(value)
        elif value is None:
            options = [name] if form == "" else _targets(form, data)
            if any(base[option] is not None for option in options):
                raise Elsewhere(f"{name} is None")
            return
        elif hasattr(value, "shortest_edge") or isinstance(value, Mapping):
            value = dict(value)
        given[name] = value


def _is_off(name: str, arguments: Mapping[str, Any]) -> bool:
    """Whether the switch without which nobody reads an argument is off."""
    switches = [_SWITCHES[name]] if name in _SWITCHES else _before(name)
    return any(each in arguments and not arguments[each] for each in switches)


def _before(name: str) -> list[str]:
    """Switches that an argument's name begins with."""
    words = name.split("_")
    return ["do_" + "_".join(words[:end]) for end in range(1, len(words))]


def _targets(form: str, data: Any) -> list[str]:
    if form in ("dict", "choice"):
        return [option for _, option in data]
    return [data] if isinstance(data, str) else []


def _check_filter(name: str, value: Any) -> None:
    """Refuses a filter that upstream would read in another way, or not at all."""
    if type(value) is not int and not isinstance(value, _filter_types()):
        raise Elsewhere(f"{name} is {'None' if value is None else 'a ' + type(value).__name__}")


@functools.cache
def _filter_types() -> tuple[type, ...]:
    utils = importlib.import_module("transformers.image_utils")
    mapping = getattr(utils, "torch_pil_interpolation_mapping", None) or {}
    return (utils.PILImageResampling, *{type(mode) for mode in mapping})


def vocabulary(row: Row) -> Vocabulary:
    """The vocabulary of a class's family."""
    return _vocabulary(row.family, row.video)


@functools.cache
def _vocabulary(family: str, video: bool) -> Vocabulary:
    fields = _native.schema(family, video)
    rows = _native.keys(family, video)
    forms = {key: (form, data) for form, key, data in rows if form not in ("bare", "counted")}
    filters = frozenset(
        name
        for name, field in fields.items()
        if field["kind"] == "name" and "bicubic" in field["choices"]
    )
    return Vocabulary(fields, forms, filters)


@functools.cache
def _plain_types() -> frozenset[type]:
    """The types of arguments that upstream and we are known to read alike."""
    utils = importlib.import_module("transformers.image_utils")
    others = {utils.SizeDict, utils.ChannelDimension, *_filter_types()}
    others.add(importlib.import_module("transformers.utils").TensorType)
    return frozenset({type(None), bool, int, float, str, *others})


def frozen(name: str, value: Any) -> Any:
    """A stand-in for an argument that can be hashed, and differs where values or types do.

    Raises:
        Elsewhere: it has a type that is not known to be read as upstream reads it.
    """
    kind = type(value)
    if kind in (list, tuple):
        return kind, tuple([frozen(name, item) for item in value])
    if kind is dict:
        return kind, tuple([(key, frozen(name, item)) for key, item in value.items()])
    if kind in _plain_types():
        return kind, value if not hasattr(value, "shortest_edge") else tuple(value)
    if name in PLUMBING:
        return kind, str(value)
    raise Elsewhere(f"{name} is a {kind.__name__}")


def kind_of(name: str, value: Any, filters: Iterable[str]) -> Any:
    """What an argument is, whatever its numbers are: calls alike in it run the same code."""
    if name not in filters and type(value) in _NUMBERS:
        return type(value)
    if isinstance(value, list | tuple):
        return type(value), tuple(type(item) for item in value[:4])
    if hasattr(value, "shortest_edge") or isinstance(value, Mapping):
        return tuple(dict(value))
    if value is None or isinstance(value, bool | int | str | Enum):
        return value
    return type(value)


def layout_of(value: Any) -> str | None:
    """`input_data_format`, in the two spellings that upstream takes.

    Raises:
        Elsewhere: any other.
    """
    text = value.value if isinstance(value, Enum) else value
    if text is None or (type(text) is str and text in ("channels_first", "channels_last")):
        return text
    raise Elsewhere("input_data_format is neither 'channels_first' nor 'channels_last'")


assert set(FACADE) <= PLUMBING
