"""Whose numbers to reproduce: the names of `numerics`, and the rule each stands for.

Four rules exist (see docs, "Exactness"): ATen's integer kernels as torchvision uses them, and
Pillow's, which changed the order of the two passes in 12.2 and in 13.0.
"""

from __future__ import annotations

import functools
import re
import warnings
from typing import Final, get_args

import numpy as np

from . import _dynres_rs as _native
from ._types import Numerics
from .files import shown

__all__ = ["RULES", "installed_pillow", "resolve"]

RULES: Final[tuple[Numerics, ...]] = get_args(Numerics)
_ALLOWED: Final = (
    "'torchvision', 'pillow' (follows the installed Pillow; 'pil' is the same), or"
    " 'pillow-<version>' with a major up to 13 and, for 12, a minor: 'pillow-11', 'pillow-12.3',"
    " 'pillow-13'"
)


def resolve(name: object) -> Numerics:
    """The rule that a `numerics` name stands for.

    Args:
        name: `"torchvision"`, `"pillow"` or `"pil"` (the installed Pillow's rule), or
            `"pillow-<version>"`.

    Returns:
        `"torchvision"`, `"pillow-12.0"` (all versions up to 12.1), `"pillow-12.2"` (12.2 and later
        12) or `"pillow-13"`.

    Raises:
        TypeError: `name` is no string.
        ValueError: the name, or the version in it, is unknown.
    """
    if not isinstance(name, str):
        raise TypeError(f"numerics: must be a string, got {type(name).__name__}")
    rule = installed_pillow() if name in ("pillow", "pil") else _native.numerics_rule(name)
    if rule is None:
        raise ValueError(f"numerics: must be {_ALLOWED}; got '{shown(name, 40)}'")
    return rule


@functools.cache
def installed_pillow() -> Numerics:
    """The rule of the Pillow that is installed, by its version.

    A Pillow newer than any rule known here is asked instead: images of a few hundred pixels tell
    the rules apart. Where it follows another rule than the newest one known, or none, a
    `RuntimeWarning` says so.
    """
    import PIL

    major, minor, *_ = [*re.findall(r"\d+", PIL.__version__), "0"]
    return _native.numerics_rule(f"pillow-{major}.{minor}") or _probe(PIL.__version__)


def _probe(version: str) -> Numerics:
    """Which Pillow rule the installed Pillow follows, found by resizing two tiny images."""
    from PIL import Image

    # 24x5 -> 7x6 is vertical first only in 13; 505x5 -> 101x4 is vertical first in 12.2 and 13.
    cases = [((24, 5), (7, 6)), ((505, 5), (101, 4)), ((9, 40), (12, 11))]
    agree = [rule for rule in RULES if rule != "torchvision"]
    for (height, width), (to_height, to_width) in cases:
        noise = np.arange(height * width * 3, dtype=np.uint64) * np.uint64(2654435761) >> np.uint64(
            13
        )
        pixels = (noise % np.uint64(251)).astype(np.uint8).reshape(height, width, 3)
        size = (to_width, to_height)
        theirs = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
        ours = np.empty((to_height, to_width, 3), np.uint8)
        for rule in list(agree):
            _native.resize(pixels, (to_height, to_width), "bicubic", rule, ours, 1, pixels.size)
            if not np.array_equal(ours, theirs):
                agree.remove(rule)
    found: Numerics = agree[-1] if agree else "pillow-13"
    if found != "pillow-13" or not agree:
        warnings.warn(
            f"Pillow {version} is newer than dynres_rs knows, and it resizes "
            + (f"by the rule of {found}" if agree else "by a rule that dynres_rs does not know")
            + f": numerics='pillow' now means '{found}'. Pin a release with"
            " numerics='pillow-<version>', and update dynres_rs.",
            RuntimeWarning,
            stacklevel=4,
        )
    return found
