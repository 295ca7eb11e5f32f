"""vLLM's preprocessing with the same bits, faster, its own copies of models' code included.

There is nothing to call: the package's entry point in the group `vllm.general_plugins` is
`plugin`, and vLLM calls it in each of its processes. It imports nothing of vLLM, transformers or
torch. Where one of vLLM's own copies is imported, ours takes its place behind a check
(`dynres_rs.patching`), and where transformers returns an image or video processor that
`dynres_rs.transformers` replaces, that package is imported and enabled.

    DYNRES_VLLM=0 vllm serve ...      # without it
    VLLM_PLUGINS=... vllm serve ...   # a list of plugins without `dynres`: without it

`status()` says, for the process that it is called in, what was replaced and how often it ran.
"""

from __future__ import annotations

import os
from typing import Final

from ..patching import Patches, Status
from . import _auto, _copies

__all__ = ["SWITCH", "Status", "disable", "enable", "plugin", "status"]

#: The environment variable; `0`, `off`, `false` or `no` leave vLLM as it is.
SWITCH: Final = "DYNRES_VLLM"
_OFF: Final = ("0", "off", "false", "no")
_ON: Final = ("", "1", "on", "true", "yes")
_patches: Final = Patches("vllm", (*_copies.ROWS, *_auto.ROWS))


def plugin() -> None:
    """What vLLM calls: `enable()`, unless the environment says `DYNRES_VLLM=0`.

    Raises:
        ValueError: `DYNRES_VLLM` is set to something else than a yes or a no.
    """
    given = os.environ.get(SWITCH, "").strip().lower()
    if given in _OFF:
        return
    if given not in _ON:
        raise ValueError(f"{SWITCH}: must be 0 or 1")
    enable()


def enable() -> None:
    """Puts ours in the place of what it is equal to, now or when vLLM imports it.

    Calling it twice changes nothing.
    """
    _patches.enable()


def disable() -> None:
    """Takes `enable()` back, for what is made from now on; `dynres_rs.transformers.disable()` is
    called where it was enabled from here."""
    _patches.disable()
    _auto.disable()


def status() -> list[Status]:
    """What was replaced in this process, what ran and how often, and what was left to vLLM.

    Returns:
        one `Status` a replaced function, in a fixed order: `name`, `target`, `state` (`off`,
        `waiting`, `patched`, `checked` or `aside`), `ran`, `left` (reason -> calls) and `reason`.
    """
    return _patches.status()
