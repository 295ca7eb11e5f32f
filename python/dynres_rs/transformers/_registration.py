"""Our classes in transformers' registers, each made when it is asked for.

transformers keeps what users register by the class of a model's config, and looks there first: by
that class, or through all entries by a name. `Register` answers both for every model type whose
class the table has, and makes a class, which loads upstream's module, when one is taken out.
"""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any, Final

from ._genuine import Path
from ._images import ROOTS, ExactImages, LegacyImages
from ._mixin import Exact, State
from ._table import HAS_TORCHVISION, IMAGES, VIDEOS, Auto, row
from ._videos import ROOTS as VIDEO_ROOTS
from ._videos import ExactVideos

__all__ = ["Registers", "make"]

#: The backend that asks for ours by name.
BACKEND: Final = "dynres"
_REPLACED: Final = frozenset(
    {
        *("_preprocess", "_prepare_image_like_inputs"),
        *("preprocess", "_preprocess_image_like_inputs"),
    }
)


def make(name: str, module: str) -> dict[str, dict[str, Any]]:
    """The classes that stand for a class of upstream's: of the default backend, and of the PIL
    backend where there are two; and the types of their arguments, which belong beside them.

    Without torchvision the PIL backend's class has the plain name: transformers looks classes up by
    it, and takes its own for any other.

    Args:
        name: upstream's, without `Pil`.
        module: where they are to be found, for pickle; the PIL backend's, whose arguments may have
            types of the same names, in its module `pil`.

    Returns:
        by module, what it has by name.

    Raises:
        ValueError: no such class here, or in this release of transformers.
    """
    known = row(name)
    if known is None:
        raise ValueError(f"name: must be a class that the table has, got {name}")
    auto = VIDEOS if known.video else IMAGES
    backends = _backends(auto, name)
    if not HAS_TORCHVISION:
        backends.pop("torchvision", None)
    if not backends:
        raise ValueError(f"name: {name} needs torchvision")
    made: dict[str, dict[str, Any]] = {}
    classes = []
    for backend, theirs in backends.items():
        try:
            hasattr(auto.upstream(theirs), "backend")
        except ImportError:  # a stand-in for a class that needs another package
            raise ValueError(f"name: {name} needs a package that is not here") from None
        default = backend == "torchvision" or len(backends) == 1
        plain = name if default else theirs
        where = module if default else f"{module}.pil"
        classes.append(_subclass(auto, theirs, plain, where, backend == "torchvision"))
        types_of = _argument_types(classes[-1]._dynres_upstream)
        # Without torchvision both names mean the PIL backend's.
        made[where] = {plain: classes[-1], theirs: classes[-1], **types_of}
    if len(classes) == 2:
        classes[0]._dynres_other, classes[1]._dynres_other = classes[1], classes[0]
    return made


def _backends(auto: Auto, name: str) -> dict[str, str]:
    """Upstream's names of a class by backend."""
    for classes in auto.names.values():
        if auto.name_of(classes) == name:
            if isinstance(classes, str):  # no backends yet: videos of older releases
                return {"torchvision": classes}
            order = ("torchvision", "pil")
            return {key: classes[key] for key in order if classes.get(key)}
    return {}


def _subclass(auto: Auto, theirs: str, name: str, module: str, torchvision: bool) -> Any:
    base = auto.upstream(theirs)
    mixin: type[Exact] = ExactVideos
    roots: tuple[str, ...] = VIDEO_ROOTS
    if not auto.video:
        mixin, roots = ExactImages, ROOTS
        if not hasattr(base, "backend"):
            mixin, roots = LegacyImages, ("preprocess", *ROOTS)
    body: dict[str, Any] = {
        "__module__": module,
        "__qualname__": name,
        "__doc__": f"transformers' `{base.__name__}`, bit for bit, through dynres_rs.",
        "_dynres_row": row(name.removesuffix("Pil")),
        "_dynres_upstream": base,
        "_dynres_torchvision": torchvision,
        "_dynres_other": None,
        "_dynres_state": State(Path(base, roots, _REPLACED)),
    }
    if mixin is LegacyImages:
        body["preprocess"] = _preprocess(base)
    return types.new_class(name, (mixin, base), {}, lambda space: space.update(body))


def _preprocess(base: Any) -> Any:
    """`LegacyImages.preprocess` with the arguments, text and marks of the one that it stands for:
    callers look there for what they may pass."""

    @functools.wraps(base.preprocess)
    def preprocess(self: Any, images: Any = None, *args: Any, **kwargs: Any) -> Any:
        return LegacyImages.preprocess(self, images, *args, **kwargs)

    return preprocess


def _argument_types(upstream: Any) -> dict[str, Any]:
    """The types of a class's arguments, where its module names them so."""
    space = vars(sys.modules[upstream.__module__])
    plain = upstream.__name__.removesuffix("Pil")
    names = (f"{plain}Kwargs", f"{plain}InitKwargs")
    return {name: space[name] for name in names if name in space}


class _Classes(dict[str, Any]):
    """The classes of one model type by backend: names, until one is taken out."""

    def __init__(
        self, names: dict[str, Any], name: str, find: Callable[[str], Any], enabled: bool
    ) -> None:
        super().__init__({**names, BACKEND: name})
        self._name = name
        self._find = find
        self._enabled = enabled

    def __getitem__(self, backend: str) -> Any:
        value = super().__getitem__(backend)
        if not isinstance(value, str) or not (self._enabled or backend == BACKEND):
            return value
        if backend == "pil" and not HAS_TORCHVISION:
            value = self._name
        elif backend == "torchvision" and not HAS_TORCHVISION:
            return value
        return self._find(value)

    def get(self, backend: str, default: Any = None) -> Any:
        return self[backend] if backend in self else default  # noqa: SIM401 (it would call itself)


class _Entries(dict[Any, Any]):
    """What is registered, and for every other config class of a model type of ours its classes."""

    def __init__(self, real: dict[Any, Any], auto: Auto, find: Callable[[str], Any]) -> None:
        super().__init__(real)
        self._auto = auto
        self._find = find
        self.enabled = False
        self._types = auto.model_types()

    def _model_type(self, config: Any) -> str | None:
        """As transformers finds it: the last type of that config class first, then any."""
        name = getattr(config, "__name__", None)
        if name is None or not isinstance(config, type):
            return None
        mapping = self._auto.mapping
        last = mapping._reverse_config_mapping.get(name)
        if last in self._auto.names:
            return last if last in self._types else None
        for model_type, class_name in mapping._config_mapping.items():
            if class_name == name and model_type in self._auto.names:
                return model_type if model_type in self._types else None
        return None

    def _classes(self, model_type: str) -> _Classes:
        classes = self._auto.names[model_type]
        names = {"torchvision": classes} if isinstance(classes, str) else dict(classes)
        return _Classes(names, self._types[model_type], self._find, self.enabled)

    def __contains__(self, config: object) -> bool:
        return super().__contains__(config) or self._model_type(config) is not None

    def __missing__(self, config: Any) -> Any:
        model_type = self._model_type(config)
        if model_type is None:
            raise KeyError(config)
        found = self._classes(model_type)
        resolved = {}
        for backend in found:
            value = found[backend]
            resolved[backend] = self._auto.upstream(value) if isinstance(value, str) else value
        return resolved

    def values(self) -> Any:
        ours = {model_type: self._classes(model_type) for model_type in self._first_types()}
        found: dict[Any, Any] = {id(key): value for key, value in self.items()}
        return (found | ours).values()

    def _first_types(self) -> Iterator[str]:
        """One model type of each class: entries are looked through for a name."""
        seen = set()
        for model_type, name in self._types.items():
            if name not in seen:
                seen.add(name)
                yield model_type


class Registers:
    """Ours in both of transformers' registers.

    Args:
        find: our class of a name.
    """

    def __init__(self, find: Callable[[str], Any]) -> None:
        self._all: list[_Entries] = []
        for auto in (IMAGES, VIDEOS) if HAS_TORCHVISION else (IMAGES,):
            entries = _Entries(auto.mapping._extra_content, auto, find)
            auto.mapping._extra_content = entries
            self._all.append(entries)

    def enable(self, on: bool) -> None:
        """Makes ours the default of every model type that nobody has registered a class for."""
        for entries in self._all:
            entries.enabled = on
