"""One vocabulary for options: upstream's spellings in, the canonical names of `families()` out.

The constructor's overrides, a call's keyword arguments and a config file all pass through
`canonical`. Options are a flat dict: what the compiled core knows, and two that are the facade's
own, `do_convert_rgb` and `input_data_format`.
"""

from __future__ import annotations

import difflib
import functools
import itertools
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final

import numpy as np

from . import _dynres_rs as _native
from ._types import Options
from .files import shown

__all__ = [
    "FACADE",
    "aliases",
    "canonical",
    "core_options",
    "family_row",
    "freeze",
    "names",
    "preset",
    "with_backgrounds",
]

#: Options that never reach the compiled core.
FACADE: Final = ("do_convert_rgb", "input_data_format")

#: Keys of a row of `families()` that are no options.
NOT_OPTIONS: Final = ("numerics", "convert", "aliases")

#: Upstream's keys that change no pixel of the families here: bookkeeping, and steps that these
#: classes leave out.
IGNORED: Final = frozenset(
    {
        # what the file is, and who wrote it
        "image_processor_type",
        "feature_extractor_type",
        "processor_class",
        "auto_map",
        "transformers_version",
        "_name_or_path",
        "_commit_hash",
        "_valid_kwargs_names",
        "_valid_processor_keys",
        # how upstream runs
        "use_fast",
        "backend",
        "disable_grouping",
        "return_tensors",
        "image_seq_length",
        "data_format",
        # steps of other classes, which upstream's base class accepts everywhere
        "default_to_square",
        "do_center_crop",
        "crop_size",
        "do_pad",
        "pad_size",
        # of an audio extractor that shares the file
        "chunk_length",
        "dither",
        "feature_size",
        "hop_length",
        "n_fft",
        "n_samples",
        "nb_max_frames",
        "padding_side",
        "padding_value",
        "return_attention_mask",
        "sampling_rate",
        # read by processors and models, never by the image processor
        "chat_template",
        "image_token",
        "video_token",
    }
)

#: The most numbers, or pairs of them, that an option has: released models have 36 pairs.
_MOST: Final = 1024
#: More characters than any text that is an option.
_LONGEST: Final = 60
#: More keys than any family has.
_NAMED: Final = 64
#: Pillow's numbers of the filters.
FILTERS: Final = {
    0: "nearest",
    1: "lanczos",
    2: "bilinear",
    3: "bicubic",
    4: "box",
    5: "hamming",
}
LAYOUTS: Final = {
    "channels_first": "channels_first",
    "first": "channels_first",
    "channels_last": "channels_last",
    "last": "channels_last",
}


@functools.cache
def _families() -> dict[str, dict[str, Any]]:
    return _native.families()


@functools.cache
def _vocabulary(family: str, video: bool) -> tuple[dict[str, Any], dict[str, tuple[str, Any]]]:
    """The fields of a family's options by name, and what other keys become: (form, data) by key."""
    rows = _native.keys(family, video)
    keys = {key: (form, data) for form, key, data in rows if form not in ("bare", "counted")}
    # Of a number alone, in the place of a dict.
    bare = {key: data for form, key, data in rows if form == "bare"}
    for key, (form, data) in keys.items():
        if form in ("dict", "choice"):
            keys[key] = (form, (data, bare.get(key, ())))
    return _native.schema(family, video), keys


def family_row(family: object) -> tuple[str, dict[str, Any]]:
    """A family's own name and its defaults, by name or alias; `ValueError` names those there
    are."""
    if not isinstance(family, str):
        raise TypeError(f"family: must be a string, got {type(family).__name__}")
    table = _families()
    for name, row in table.items():
        if family == name or family in row["aliases"]:
            return name, row
    near = difflib.get_close_matches(family, table, n=3, cutoff=0.0)
    raise ValueError(
        f"family: must be one that `dynres families` lists; got '{shown(family, 60)}', and the"
        f" nearest are {', '.join(repr(name) for name in near)}"
    )


def aliases() -> dict[str, list[str]]:
    """Other names of every family."""
    return {name: row["aliases"] for name, row in _families().items()}


def preset(family: str) -> Options:
    """The preset's options of a family, the facade's two included."""
    _, row = family_row(family)
    options = {key: value for key, value in row.items() if key not in NOT_OPTIONS}
    options["do_convert_rgb"] = row["convert"] != "none"
    options["input_data_format"] = None
    return options


def with_backgrounds(family: str, options: Options, given: Mapping[str, Any]) -> Options:
    """Padding colours as upstream's constructors derive them: the core makes them of the means.

    A colour that is `given` stays. Calls do not come through here: a mean of one call pads with
    the colour of the mean that the processor was made with, as upstream's does.
    """
    fields, _ = _vocabulary(family, False)
    for name, field in fields.items():
        if field["kind"] == "colour" and field["optional"] and given.get(name) is None:
            options[name] = None
    return options


def names(family: str, video: bool = False) -> set[str]:
    """Every name under which an option of a family may be given."""
    fields, keys = _vocabulary(family, video)
    return {*fields, *FACADE, *keys}


def canonical(
    given: Mapping[str, Any],
    current: Options,
    where: str = "options",
    family: str = "",
    video: bool = False,
) -> Options:
    """`current` with what is `given` in upstream's or in canonical names laid over it.

    Args:
        given: what the caller or a config file says; None is absent.
        current: all options of a processor under their canonical names; left as it is.
        where: how errors name `given`; `"config"` is a file.
        family: the family's name.
        video: of its videos.

    Returns:
        a new dict with the keys of `current`.

    Raises:
        ValueError: an unknown key, a spelling given twice, a filter or size that the family cannot
            have.
        TypeError: a value of the wrong type, as far as it is read here; the compiled core checks
            the rest.
    """
    fields, keys = _vocabulary(family, video)
    options = dict(current)
    changed: dict[str, str] = {}

    def put(name: str, value: Any, source: str) -> None:
        before = changed.get(name)
        if before is not None and options[name] != value:
            raise ValueError(f"{where}: '{before}' and '{source}' are the same option, and differ")
        changed[name] = source
        options[name] = value

    # Dicts first: upstream lets an option beside them go over what they say.
    for key in sorted(given, key=lambda key: key not in keys):
        value = given[key]
        if value is None:
            continue
        form, data = keys.get(key, ("", None))
        if form == "derived" and where == "config":
            continue
        if form in ("", "derived"):
            if key == "device":
                _device(where, value)
            elif key == "input_data_format":
                put(key, _layout(value), key)
            elif key in FACADE:
                put(key, _flag(key, value), key)
            elif key in fields:
                put(key, _value(key, value, fields[key]), key)
            elif key not in IGNORED:
                owner = f" of '{family}'" if family else ""
                known = names(family, video)
                raise ValueError(
                    f"{where}: unknown key '{shown(key, 60)}'; the keys{owner} are {_names(known)}"
                )
        elif form == "alias":
            put(data, _value(key, value, fields[data]), key)
        elif form in ("sides", "square"):
            if (
                form == "sides"
                and given.get("default_to_square") is False
                and isinstance(value, int)
            ):
                raise ValueError(f"{key}: must be a square of (height, width), got one edge")
            put(data, _sides(key, value, square=form == "square"), key)
        elif form in ("dict", "choice"):
            for name, part in _parts(key, value, data, given, whole=form == "dict").items():
                put(name, part, key)
        elif form == "must" and not _is(value, data):
            plain = isinstance(value, str | float | bool) or _is_small(value)
            got = shown(str(value), 40) if plain else f"a value of type {type(value).__name__}"
            raise ValueError(f"{where}: {key}: must be {data!r} here, got {got}")
    return options


def core_options(options: Options) -> Options:
    """What the compiled core takes of all options: none of the facade's, pairs of sides as
    tuples."""
    return {key: value for key, value in options.items() if key not in FACADE}


def freeze(value: Any) -> Any:
    """A hashable stand-in that differs wherever two values differ in type or content."""
    if isinstance(value, Mapping):
        return tuple((key, freeze(item)) for key, item in sorted(value.items()))
    if isinstance(value, list | tuple):
        return tuple([freeze(item) for item in value])
    if isinstance(value, np.ndarray):
        if value.size > _MOST:
            raise TypeError("an array that is no option")
        return (value.dtype.str, value.shape, value.tobytes())
    return (type(value), value)


def _is(value: Any, data: Any) -> bool:
    """Whether a value of any type is the one of a table."""
    return isinstance(value, str | int | float | np.number | np.bool_) and bool(value == data)


def _is_small(value: Any) -> bool:
    """Whether it is an integer that Python writes out."""
    return isinstance(value, int | np.integer) and abs(int(value)) <= 2**64


def _device(where: str, value: Any) -> None:
    if not isinstance(value, str) and type(value).__module__ != "torch":
        raise TypeError(f"{where}: device: must be 'cpu', got {type(value).__name__}")
    if str(value) != "cpu":
        raise ValueError(f"{where}: device: must be 'cpu' here, got '{shown(str(value), 40)}'")


def _flag(key: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{key}: must be True or False, got {type(value).__name__}")
    return bool(value)


def _value(key: str, value: Any, field: Mapping[str, Any]) -> Any:
    """One value in the form the core takes, by its option's kind."""
    kind = field["kind"]
    if kind == "flag":
        return _flag(key, value)
    if kind == "three":
        return _three(key, value)
    if kind == "name" and "bicubic" in field["choices"]:
        return _filter(key, value)
    if kind == "pairs":
        if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray):
            raise TypeError(f"{key}: must be pairs of integers, got {type(value).__name__}")
        if len(value) > _MOST:
            raise ValueError(f"{key}: must be at most {_MOST} pairs, got {len(value)}")
        pairs = [tuple(_int(key, side) for side in _items(key, pair)) for pair in value]
        if any(len(pair) != 2 for pair in pairs):
            raise ValueError(f"{key}: must be pairs of integers")
        return pairs
    if kind == "size" and not isinstance(value, int | np.integer):
        return _sides(key, value, square=False)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, str):
        # Longer than any that is known, or with characters that none has: the core refuses it, and
        # repeats it.
        return shown(value, _LONGEST)
    if isinstance(value, bytes | bytearray | memoryview | Mapping):
        raise TypeError(f"{key}: must be a number or a string, got {type(value).__name__}")
    if isinstance(value, Sequence | np.ndarray) and len(value) > _MOST:
        raise ValueError(f"{key}: must be one value, got {len(value)}")
    return value


def _items(name: str, value: Any) -> Sequence[Any]:
    if isinstance(value, np.ndarray) and value.ndim and value.size <= _MOST:
        return list(value)
    if isinstance(value, str | bytes | np.ndarray) or not isinstance(value, Sequence):
        raise TypeError(f"{name}: must be a sequence, got {type(value).__name__}")
    return list(value)


def _int(name: str, value: Any) -> int:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name}: must be an integer, got {type(value).__name__}")
    return int(value)


def _filter(name: str, value: Any) -> str:
    """The name of a filter, from its name, Pillow's number or enum, or torchvision's
    InterpolationMode."""
    if isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}: must be a filter's name or number, got bool")
    if isinstance(value, int | np.integer):
        found = FILTERS.get(int(value))
    else:
        text = value.value if isinstance(value, Enum) else value
        if not isinstance(text, str):
            raise TypeError(
                f"{name}: must be a filter's name or number, got {type(value).__name__}"
            )
        found = text.lower() if text.lower() in FILTERS.values() else None
    if found is None:
        what = int(value) if isinstance(value, int | np.integer) else f"'{shown(text, 40)}'"
        raise ValueError(
            f"{name}: must be one of {', '.join(map(repr, FILTERS.values()))}, got {what}"
        )
    return found


def _three(name: str, value: Any) -> list[float]:
    """Three floats, one a channel; a single number stands for all three, as upstream has it."""
    items = [value] * 3 if isinstance(value, int | float | np.number) else _items(name, value)
    for item in items:
        if isinstance(item, bool | np.bool_) or not isinstance(item, int | float | np.number):
            raise TypeError(f"{name}: must be three numbers, got {type(item).__name__}")
    if len(items) != 3:
        raise ValueError(f"{name}: must be three numbers, got {len(items)}")
    try:
        return [float(item) for item in items]
    except OverflowError:
        raise ValueError(f"{name}: must be finite numbers, got an integer above 2**1023") from None


def _layout(value: Any) -> str:
    text = value.value if isinstance(value, Enum) else value
    if not isinstance(text, str):
        raise TypeError(f"input_data_format: must be a string, got {type(value).__name__}")
    if text.lower() not in LAYOUTS:
        raise ValueError(
            "input_data_format: must be 'channels_first' or 'channels_last', got"
            f" '{shown(text, 40)}'"
        )
    return LAYOUTS[text.lower()]


def _parts(
    name: str,
    value: Any,
    data: tuple[Sequence[tuple[str, str]], tuple[str, ...]],
    given: Mapping[str, Any],
    *,
    whole: bool,
) -> Options:
    """The options that the keys of a dict are, or a number alone in its place. `whole`: each must
    be there, or stand beside it; otherwise those that are not there become None."""
    parts, alone = data
    wanted = dict.fromkeys(option for _, option in parts)
    if alone and not isinstance(value, Mapping):
        sides = [value] * len(alone) if isinstance(value, int | np.integer) else _items(name, value)
        if len(sides) == 2 and len(alone) == 1:
            alone = ("height", "width")
        if len(sides) == len(alone):
            ints = {option: _int(name, side) for option, side in zip(alone, sides, strict=True)}
            return {option: ints.get(option) for option in wanted}
    if isinstance(value, Mapping):
        left = {key: item for key, item in value.items() if item is not None}
        found = {option: left.pop(key) for key, option in parts if key in left}
        if not whole:
            if not left and found:
                return {option: found.get(option) for option in wanted}
        else:
            # upstream: an option beside the dict goes over it
            found = {option: item for option, item in found.items() if given.get(option) is None}
            missing = [key for key in wanted if key not in found and given.get(key) is None]
            if not left and not missing:
                return found
    got = _names(value) if isinstance(value, Mapping) else type(value).__name__
    firsts = {option: key for key, option in reversed(parts)}.values()
    keys = "', '".join(reversed(list(firsts)))
    raise ValueError(f"{name}: must have the keys '{keys}', got {got}")


def _sides(name: str, size: Any, square: bool) -> int | tuple[int, int]:
    """The side of a square, or (height, width), from an int, a pair, or a dict of both."""
    if isinstance(size, Mapping):
        given = {key: value for key, value in size.items() if value is not None}
        if set(given) != {"height", "width"}:
            raise ValueError(
                f"{name}: must have the keys 'height' and 'width', got {_names(given)}"
            )
        sides = [given["height"], given["width"]]
    elif isinstance(size, list | tuple):
        sides = list(size)
        if len(sides) != 2:
            raise ValueError(f"{name}: must be (height, width), got {len(sides)} numbers")
    else:
        sides = [size, size]
    height, width = (_int(name, side) for side in sides)
    if height == width:
        return height
    if square:
        raise ValueError(f"{name}: must be a square, got {(height, width)}")
    return height, width


def _names(keys: Any) -> str:
    texts = sorted(shown(key, 60) for key in itertools.islice(keys, _NAMED + 1))
    return ", ".join(f"'{text}'" for text in texts[:_NAMED]) + ", ..." * (len(texts) > _NAMED)
