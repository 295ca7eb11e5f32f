"""What goes wrong with one image or video of a call."""

from __future__ import annotations

from . import _dynres_rs as _native

__all__ = ["Failures", "placed"]


class Failures(list[tuple[int, Exception]]):
    """The numbers of the images, or videos, of a call that failed, and why.

    Args:
        kind: what errors call one: `"image"` or `"video"`.
        errors: `"raise"` or `"collect"`, as in a call.
        single: whether the call is of one, whose number is then left out.
    """

    def __init__(self, kind: str, errors: str, *, single: bool) -> None:
        self._kind = kind
        self._raises = errors == "raise"
        self._single = single

    def add(self, index: int, error: Exception) -> None:
        """Keeps an error, or raises it where that is asked for."""
        if isinstance(error, MemoryError) and type(error) is not MemoryError:
            # numpy's own takes a shape and a dtype.
            error = MemoryError(f"{self._kind}: {error}")
        named = error if self._single else placed(error, f"{self._kind}s[{index}]: ")
        if self._raises:
            try:
                raise named from None
            finally:
                del named, error  # the frame that they refer to must not refer to them
        # Without its traceback, which would keep images and outputs alive.
        self.append((index, named.with_traceback(None)))


def placed(error: Exception, where: str) -> Exception:
    """The same class of error with a place before its text."""
    kind = type(error)
    if kind.__module__ not in ("builtins", _native.__name__, "dynres_rs"):
        return error
    text = str(error).removeprefix("image: ").removeprefix("video: ")
    try:
        return kind(f"{where}{text}")
    except TypeError:
        return error
