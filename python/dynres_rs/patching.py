"""How a server's own copy of a model's preprocessing is replaced, and when not.

A `Row` names one function or method of a server. `Patches` puts ours in its place as soon as the
module is imported, and never imports it itself. Three things guard each row:

1. The parameters must be those that the row was written for, names, order and defaults.
2. At first use, for each set of settings, both run on small images, and every bit must agree.
   Otherwise upstream's own code runs from then on, with one warning.
3. A call that the row cannot reproduce, or that fails in it, is upstream's, and so is its error.

Nothing here imports a server, torch or transformers.
"""

from __future__ import annotations

import contextvars
import functools
import importlib.metadata
import inspect
import logging
import re
import sys
from collections.abc import Callable, Hashable, Iterable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import FunctionType, ModuleType
from typing import Any, Final, NamedTuple

import numpy as np

__all__ = ["Aside", "Patches", "Row", "Status", "Upstream", "equal"]

#: Settings that are checked; a process that sees more of them leaves the others to upstream.
MOST_SETTINGS: Final = 64
#: Reasons that `status()` tells apart.
_MOST_REASONS: Final = 16

_log: Final = logging.getLogger("dynres_rs")
#: `"theirs"` while upstream's code runs to be compared with, in which no other row may stand in,
#: and `"ours"` while ours does, which counts for nothing.
_trial: Final[contextvars.ContextVar[str]] = contextvars.ContextVar("dynres_trial", default="")


class Aside(Exception):
    """This call is one for upstream's own code; the text says why."""


class Upstream(NamedTuple):
    """What a row's functions get before the arguments of the call."""

    module: ModuleType
    original: Callable[..., Any]
    """The function that was replaced."""
    ran: Callable[[], None]
    """Counts a call as run here, for rows that stand around upstream's function."""


class Row(NamedTuple):
    """One function or method of a server, and what stands in for it."""

    name: str
    """What `status()` calls it."""
    module: str
    attribute: str
    """`function`, or `Class.method`."""
    parameters: str
    """As `inspect.signature` shows them, annotations left out."""
    run: Callable[..., Any]
    """(`Upstream`, its arguments) -> what upstream returns. `Aside` leaves it to upstream."""
    settings: Callable[..., Hashable] | None = None
    """(`Upstream`, its arguments) -> on which settings the numbers depend."""
    small: Callable[..., tuple[Sequence[Any], dict[str, Any]]] | None = None
    """(`Upstream`, its arguments) -> (positional, keyword) arguments of a small call with the same
    settings. None where `run` calls upstream's function itself and only stands around it."""


class Status(NamedTuple):
    """What became of one row in this process."""

    name: str
    target: str
    """Module and attribute that are replaced."""
    state: str
    """`off`, `waiting` (the module is not imported yet), `patched` (not used yet), `checked` (equal
    on small images, in use) or `aside` (upstream's own code runs)."""
    ran: int
    """Calls that ran here."""
    left: dict[str, int]
    """Reason -> calls that were left to upstream."""
    reason: str
    """Why the state is `aside`; empty otherwise."""


class _Patch:
    """A row, what it replaced, and its counters."""

    def __init__(self, row: Row, server: str) -> None:
        self.row = row
        self.server = server
        self.state = "off"
        self.reason = ""
        self.ran = 0
        self.left: dict[str, int] = {}
        self.checked: dict[Hashable, bool] = {}
        self.module: ModuleType | None = None
        self.owner: Any = None
        self.attribute = ""
        self.raw: Any = None
        self.function: Any = None

    def status(self) -> Status:
        row = self.row
        target = f"{row.module}.{row.attribute}"
        return Status(row.name, target, self.state, self.ran, dict(self.left), self.reason)

    def apply(self, module: ModuleType) -> None:
        """Puts the replacement in; steps aside where the module is not the one that was read."""
        if self.raw is not None or self.state == "aside":
            return
        owner: Any = module
        *parents, name = self.row.attribute.split(".")
        try:
            for parent in parents:
                owner = getattr(owner, parent)
            raw = inspect.getattr_static(owner, name)
        except AttributeError:
            self.step_aside("it is not there")
            return
        kind = type(raw) if isinstance(raw, classmethod | staticmethod) else None
        function = raw if kind is None else raw.__func__
        found = _parameters(function)
        if found != self.row.parameters:
            self.step_aside(f"its parameters are ({found}), not ({self.row.parameters})")
            return
        if function is not self.function:  # else it was checked before, and is what it was
            self.checked.clear()
        self.function = function
        new = self.replacement(function, module)
        setattr(owner, name, new if kind is None else kind(new))
        self.module, self.owner, self.attribute, self.raw = module, owner, name, raw
        self.state = "patched"

    def remove(self) -> None:
        if self.raw is not None and self.attribute in vars(self.owner):
            setattr(self.owner, self.attribute, self.raw)
        self.raw = None
        self.checked = {settings: good for settings, good in self.checked.items() if good}
        self.state, self.reason = "off", ""

    def replacement(self, original: Callable[..., Any], module: ModuleType) -> Callable[..., Any]:
        row = self.row
        upstream = Upstream(module, original, self.count)

        @functools.wraps(original)
        def replaced(*args: Any, **kwargs: Any) -> Any:
            if self.state == "aside" or _trial.get() == "theirs":
                return original(*args, **kwargs)
            if row.small is None:
                return row.run(upstream, *args, **kwargs)
            try:
                self.check(upstream, args, kwargs)
                result = row.run(upstream, *args, **kwargs)
            except Exception as error:  # whatever it is, upstream has the last word
                self.leave(error)
                # Not inside the handler, so that upstream's own error has no context of ours.
            else:
                self.count()
                return result
            return original(*args, **kwargs)

        return replaced

    def count(self) -> None:
        if not _trial.get():
            self.ran += 1

    def check(self, upstream: Upstream, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Compares both on small images, once for each set of settings.

        Two threads may do it at once: no lock is held that a fork could inherit.
        """
        row = self.row
        assert row.small is not None
        settings = row.settings(upstream, *args, **kwargs) if row.settings is not None else None
        # A function of the module that somebody replaces since is another rule to compare with.
        functions = (each for each in vars(upstream.module).values() if type(each) is FunctionType)
        settings = (settings, *functions)
        good = self.checked.get(settings)
        if good is None:
            if len(self.checked) >= MOST_SETTINGS:
                raise Aside("too many different settings")
            few, named = row.small(upstream, *args, **kwargs)
            token = _trial.set("theirs")
            try:
                theirs = upstream.original(*few, **named)
                _trial.set("ours")
                good = equal(row.run(upstream, *few, **named), theirs)
            finally:
                _trial.reset(token)
            self.checked[settings] = good
        if not good:
            self.step_aside("its numbers are not those of this release")
            raise Aside(self.reason)
        self.state = "checked"

    def leave(self, error: Exception) -> None:
        if self.state == "aside":
            return
        text = f"{error}" if isinstance(error, Aside) else f"{type(error).__name__}: {error}"
        reason = re.sub(r"\d+", "#", text)
        if reason not in self.left and len(self.left) >= _MOST_REASONS:
            reason = "other"
        self.left[reason] = self.left.get(reason, 0) + 1
        _log.debug("dynres_rs: %s: left to %s: %s", self.row.name, self.server, text)

    def step_aside(self, reason: str) -> None:
        """From now on upstream's own code runs, and it is said once."""
        if self.state == "aside":
            return
        self.state, self.reason = "aside", reason
        _log.warning(
            "dynres_rs %s steps aside for %s in %s %s: %s.%s: %s. Images are prepared there, with"
            " the right result.",
            _version("dynres_rs"),
            self.row.name,
            self.server,
            _version(self.server),
            self.row.module,
            self.row.attribute,
            reason,
        )


class Patches:
    """The rows of one server, put in as its modules are imported."""

    def __init__(self, server: str, rows: Iterable[Row]) -> None:
        self.server = server
        self._patches = [_Patch(row, server) for row in rows]
        self._finder: _Finder | None = None

    def enable(self) -> None:
        """Replaces what is imported already, and waits for the rest. Twice changes nothing."""
        if self._finder is not None:
            return
        for patch in self._patches:
            if patch.state == "off":
                patch.state = "waiting"
        self._finder = _Finder({patch.row.module for patch in self._patches}, self._imported)
        sys.meta_path.insert(0, self._finder)
        for name in sorted(self._finder.wanted):
            module = sys.modules.get(name)
            # One that is being imported right now in another thread is not whole yet.
            if module is not None and not getattr(module.__spec__, "_initializing", False):
                self._imported(module)

    def disable(self) -> None:
        """Puts back what was there."""
        if self._finder is not None:
            if self._finder in sys.meta_path:
                sys.meta_path.remove(self._finder)
            self._finder = None
        for patch in self._patches:
            patch.remove()

    def status(self) -> list[Status]:
        """What became of each row, in the order of the table."""
        return [patch.status() for patch in self._patches]

    def _imported(self, module: ModuleType) -> None:
        for patch in self._patches:
            if patch.row.module == module.__name__:
                patch.apply(module)


class _Finder(MetaPathFinder):
    """Lets others find the modules that are waited for, and tells when one is whole."""

    def __init__(self, wanted: set[str], done: Callable[[ModuleType], None]) -> None:
        self.wanted = wanted
        self.done = done

    def find_spec(
        self, fullname: str, path: Any, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self.wanted:
            return None
        for finder in sys.meta_path:
            if finder is self or isinstance(finder, _Finder) or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader)
                return spec
        return None


class _Loader(Loader):
    """Runs the real loader, takes itself out of the module's attributes, and tells."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        for finder in list(sys.meta_path):
            if isinstance(finder, _Finder) and module.__name__ in finder.wanted:
                finder.done(module)


def equal(ours: Any, theirs: Any) -> bool:
    """Whether two results are of the same kind and shape, and equal bit for bit.

    A float array may have been rounded here to the dtype that the server rounds to afterwards;
    upstream's is rounded so then, by its own library.
    """
    if isinstance(ours, list | tuple) or isinstance(theirs, list | tuple):
        return (
            type(ours) is type(theirs)
            and len(ours) == len(theirs)
            and all(equal(mine, other) for mine, other in zip(ours, theirs, strict=True))
        )
    if hasattr(ours, "keys") and hasattr(theirs, "keys"):
        return (
            type(ours) is type(theirs)
            and list(ours.keys()) == list(theirs.keys())
            and all(equal(ours[key], theirs[key]) for key in ours.keys())  # noqa: SIM118
        )
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(theirs, torch.Tensor):
        if not isinstance(ours, torch.Tensor) or ours.shape != theirs.shape:
            return False
        if ours.dtype != theirs.dtype:
            if not (ours.is_floating_point() and theirs.dtype == torch.float32):
                return False
            theirs = theirs.to(ours.dtype)
        return _bytes_of(torch, ours) == _bytes_of(torch, theirs)
    if isinstance(theirs, np.ndarray):
        return (
            isinstance(ours, np.ndarray)
            and (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
            and ours.tobytes() == theirs.tobytes()
        )
    return type(ours) is type(theirs) and bool(ours == theirs)


def _bytes_of(torch: Any, tensor: Any) -> bytes:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    data: bytes = flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
    return data


def _parameters(function: Callable[..., Any]) -> str:
    """`a, b=1, *, c` of a function, annotations left out."""
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in inspect.signature(function).parameters.values()
    ]
    return str(inspect.Signature(bare))[1:-1]


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "(unknown version)"
