"""In which containers upstream returns an array, learnt from a result of its own.

Without `return_tensors` one class returns a tensor where another has a list of them, a list of
numbers or of pairs. A `Form` says it for one key: which containers stand around what.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import numpy as np

__all__ = ["Form", "Unlearnt", "form_of", "joined"]

#: Lists that are looked through for a form.
_DEEPEST: Final = 8


class Unlearnt(ValueError):
    """A value of a form that no result of upstream has shown yet."""


class Form(NamedTuple):
    """The containers around a value, and what it is."""

    containers: tuple[type, ...]
    """From the outermost: list, tuple or `torch.Size`."""
    leaf: str
    """`"tensor"`, `"array"` or `"number"`; `"unknown"` where every list was empty."""
    dtype: Any
    """Of torch, or of numpy; a number's type."""

    def shaped(self, ours: Any) -> Any:
        """Our array, or list of arrays, as upstream returns it, over the same memory.

        Raises:
            Unlearnt: it cannot be of that form.
        """
        return self._shaped(ours, 0)

    def _shaped(self, ours: Any, depth: int) -> Any:
        if depth < len(self.containers):
            container = self.containers[depth]
            if self.leaf == "number" and isinstance(ours, np.ndarray):
                if ours.dtype.kind == "f" and ours.dtype.itemsize < 8:
                    raise Unlearnt("numbers with more digits than ours")
                ours = ours.tolist()
            if not isinstance(ours, list | tuple | np.ndarray):
                raise Unlearnt("a value stands where upstream has a list")
            last = depth + 1 == len(self.containers)
            if last and self.leaf == "tensor" and isinstance(ours, np.ndarray):
                return container(self._tensor(ours))  # one view of all, then of each
            return container(self._shaped(item, depth + 1) for item in ours)
        if self.leaf == "tensor":
            return self._tensor(ours)
        if self.leaf == "array":
            if not isinstance(ours, np.ndarray) or ours.dtype != self.dtype:
                raise Unlearnt("an array of another dtype")
            return ours
        if self.leaf == "number":
            if isinstance(ours, np.ndarray) and ours.ndim == 0:
                ours = ours.item()
            if type(ours) is not self.dtype:
                raise Unlearnt("a number of another type")
            return ours
        raise Unlearnt("upstream's lists were empty")

    def _tensor(self, ours: Any) -> Any:
        torch: Any = sys.modules["torch"]
        if not isinstance(ours, np.ndarray):
            raise Unlearnt("a list stands where upstream has a tensor")
        if self.dtype == torch.bfloat16 and ours.dtype == np.uint16:  # numpy has none: its bits
            return torch.from_numpy(ours.view(np.int16)).view(torch.bfloat16)
        tensor = torch.from_numpy(ours)
        if tensor.dtype != self.dtype:
            raise Unlearnt("a tensor of another dtype")
        return tensor


def form_of(value: Any) -> Form:
    """The form of one value of an upstream result.

    Raises:
        Unlearnt: one that no array has: mixed lists, texts, objects.
    """
    return _form(value, 0)


def _form(value: Any, depth: int) -> Form:
    kind = type(value)
    torch = sys.modules.get("torch")
    if kind in (list, tuple) or (torch is not None and kind is torch.Size):
        if depth == _DEEPEST:
            raise Unlearnt("lists within lists")
        inner = joined(_form(item, depth + 1) for item in value)
        return Form((kind, *inner.containers), inner.leaf, inner.dtype)
    if torch is not None and kind is torch.Tensor:
        return Form((), "tensor", value.dtype)
    if kind is np.ndarray:
        return Form((), "array", value.dtype)
    if kind in (int, float, bool):
        return Form((), "number", kind)
    raise Unlearnt(f"a {kind.__name__}")


def joined(forms: Iterable[Form]) -> Form:
    """The form that all of them are.

    Raises:
        Unlearnt: they differ.
    """
    found = Form((), "unknown", None)
    for form in forms:
        if form.leaf == "unknown":
            continue
        if found.leaf != "unknown" and form != found:
            raise Unlearnt("lists of different things")
        found = form
    return found
