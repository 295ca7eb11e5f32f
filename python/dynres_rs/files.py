"""Names and paths that callers and strangers give: how messages show them, and which are opened."""

from __future__ import annotations

import os
import stat
import unicodedata
from typing import Final

__all__ = ["as_key", "check_openable", "shown"]

#: Characters of a caller's text that a message repeats at most.
LONGEST: Final = 160


def shown(value: object, longest: int = LONGEST) -> str:
    """A caller's text as a message may repeat it: on one line, cut, and harmless on a terminal.

    Control characters and lone surrogates come out as Python writes them in a string, such as
    `\\x1b`. Of an object that is no string, number or None only the type's name is shown, since its
    own text may hold an address.

    Args:
        value: what was given.
        longest: characters that are kept; `...` stands for the rest.

    Returns:
        the text.
    """
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, bytes):
        value = value[: 4 * longest].decode("utf-8", "backslashreplace")
    if not isinstance(value, str):
        if value is not None and type(value) not in (bool, int, float):
            return f"<{type(value).__name__}>"
        # Of a longer integer Python refuses to write the digits.
        if isinstance(value, int) and value.bit_length() > 256:
            value = f"an integer of {value.bit_length()} bits"
        else:
            value = str(value)
    cut = value[:longest] + "..." if len(value) > longest else value
    if cut.isprintable():
        return cut
    # A space of any width is no printable character to Python, and harmless.
    keep = [c.isprintable() or unicodedata.category(c) == "Zs" for c in cut]
    return "".join(c if kept else repr(c)[1:-1] for c, kept in zip(cut, keep, strict=True))


def as_key(key: object) -> str:
    """A key of a caller's dict as text; one that is no text matches no name that is known."""
    return key if isinstance(key, str) else shown(key)


def check_openable(name: str) -> None:
    """Refuses what can be opened and has no end, or waits for a writer: pipes, sockets, devices.

    Args:
        name: a path. Nothing is said of one that does not exist; opening it says that.

    Raises:
        OSError: it is one of these, or no path at all.
    """
    try:
        mode = os.stat(name).st_mode  # noqa: PTH116 (a name that is no path must not raise here)
    except OSError:
        return
    except ValueError:
        raise OSError(f"{shown(name)}: is no path") from None
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(f"{shown(name)}: is no regular file but a pipe, a socket or a device")
