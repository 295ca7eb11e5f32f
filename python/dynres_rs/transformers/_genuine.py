"""Whether the code of upstream's that ours stands for is still upstream's own.

A user may replace a method on an object, a class or a subclass, or a function in one of
transformers' modules, at any time. `Path` has every name that upstream's pixel path looks up, with
what was there; a call compares. Names are found in the code of the functions themselves, so that no
list of them is kept here.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any, Final

__all__ = ["Path", "Replaced"]

#: The first parts of the names of modules whose functions upstream calls.
_LIBRARIES: Final = frozenset(
    {
        *("transformers", "torch", "torchvision", "numpy", "PIL"),
        *("packaging", "huggingface_hub"),
    }
)
#: Functions of servers that pass all on to upstream's, but for inputs that ours leave to upstream:
#: where they are written, and the default that holds upstream's. SGLang's takes tensors off the
#: GPU, and makes colours of grey ones.
_WRAPPERS: Final = {("sglang.srt.utils.hf_transformers_patches", "patched_process_image"): "_orig"}
_LRU: Final[Any] = type(functools.lru_cache(lambda: None))


class Replaced(ValueError):
    """Something of upstream's pixel path was replaced; the text says what."""


class Path:
    """What upstream's methods of these names look up, and what was found.

    Args:
        upstream: the class of transformers.
        roots: its methods that ours stand for, or that run before them.
        ours: names that our class replaces itself.
    """

    def __init__(self, upstream: Any, roots: tuple[str, ...], ours: frozenset[str]) -> None:
        self._classes = [cls for cls in upstream.__mro__ if _own(cls)]
        self._methods: dict[str, Any] = {}
        self._globals: dict[tuple[int, str], tuple[dict[str, Any], str, Any]] = {}
        self._seen: set[int] = set()
        for name in roots:
            self._method(name)
        self._calls = {
            name: _unwrapped(getattr(upstream, name)) for name in self._methods if name not in ours
        }
        self._names = frozenset(self._methods)
        self._found = tuple(self._globals.values())
        self.replaced = self._replaced_before()

    def check(self, self_: Any) -> None:
        """Compares with what is there now, on the object, its class and in the modules.

        Raises:
            Replaced: something else is there.
        """
        if self.replaced is not None:
            raise Replaced(f"{self.replaced} was replaced")
        if not self._names.isdisjoint(self_.__dict__):
            raise Replaced("a method of the object was replaced")
        cls = type(self_)
        for name, value in self._calls.items():
            found = getattr(cls, name, None)
            if found is not value and _unwrapped(found) is not value:
                raise Replaced(f"the method {name} was replaced")
        for space, name, value in self._found:
            if space.get(name) is not value:
                raise Replaced(f"the function {name} was replaced")

    def _method(self, name: str) -> None:
        if name in self._methods:
            return
        raws = [_unwrapped(vars(cls)[name]) for cls in self._classes if name in vars(cls)]
        if not raws:
            return
        self._methods[name] = raws
        for raw in raws:
            for function in _functions(raw):
                self._function(function)

    def _function(self, function: FunctionType) -> None:
        if id(function) in self._seen:
            return
        self._seen.add(id(function))
        names = set(_names(function.__code__))
        space = function.__globals__
        for name in names:
            if any(name in vars(cls) and _callable(vars(cls)[name]) for cls in self._classes):
                self._method(name)
            if name in space:
                self._global(space, name, names)

    def _global(self, space: dict[str, Any], name: str, used: set[str]) -> None:
        value = space[name]
        if isinstance(value, ModuleType):
            if not _known(value.__name__):
                return  # nothing that computes pixels: it fetches them
            for attribute in used & vars(value).keys():
                if callable(vars(value)[attribute]):
                    self._note(vars(value), attribute)
        elif not callable(value):
            return
        self._note(space, name)
        if not isinstance(value, type):
            for function in _functions(value):
                if str(function.__module__).startswith("transformers."):
                    self._function(function)

    def _note(self, space: dict[str, Any], name: str) -> None:
        self._globals[id(space), name] = (space, name, space[name])

    def _replaced_before(self) -> str | None:
        """What was replaced before this class was made, told by where it was written."""
        for name, raws in self._methods.items():
            if not all(_genuine(raw) for raw in raws):
                return f"the method {name}"
        for _, name, value in self._found:
            if not isinstance(value, ModuleType) and not _genuine(value):
                return f"the function {name}"
        return None


def _own(cls: Any) -> bool:
    return str(cls.__module__).startswith("transformers.")


def _callable(raw: Any) -> bool:
    return callable(raw) or isinstance(raw, staticmethod | classmethod | property)


def _functions(raw: Any) -> Iterator[FunctionType]:
    """The Python functions behind a method or a decorated function."""
    if isinstance(raw, staticmethod | classmethod):
        raw = raw.__func__
    elif isinstance(raw, property):
        raw = raw.fget
    while raw is not None:
        if isinstance(raw, FunctionType):
            yield raw
        raw = getattr(raw, "__wrapped__", None)


def _unwrapped(raw: Any) -> Any:
    """The function within a server's that changes nothing of what ours stand for."""
    while isinstance(raw, FunctionType):
        held = _WRAPPERS.get((raw.__module__, raw.__name__))
        if held is None:
            break
        raw = (raw.__kwdefaults__ or {}).get(held)
    return raw


def _names(code: CodeType) -> Iterator[str]:
    """Every global and attribute that a function looks up, functions within it included."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _genuine(value: Any) -> bool:
    """Whether this was written by a library that upstream is made of."""
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    elif isinstance(value, property):
        value = value.fget
    if isinstance(value, FunctionType | BuiltinFunctionType | type | _LRU):
        where = getattr(value, "__module__", None)
    else:
        where = type(value).__module__
        if where.partition(".")[0] == "unittest":
            return False
    return _known(str(where or "builtins"))


def _known(module: str) -> bool:
    """Whether a module is of a library that upstream is made of, or Python's own."""
    root = module.partition(".")[0]
    return root in _LIBRARIES or root in sys.stdlib_module_names
