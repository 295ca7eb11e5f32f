"""vLLM's entry point: what `pip install dynres_rs` changes in vLLM, and the switch for it.

vLLM loads each entry point of the group `vllm.general_plugins` in each of its processes and calls
it. This one is `dynres_rs.transformers.enable()`, unless the environment variable `DYNRES_VLLM` is
`0`.
"""

from __future__ import annotations

import os
from typing import Final

__all__ = ["SWITCH", "plugin"]

#: The environment variable; `0`, `off`, `false` or `no` leave vLLM as it is.
SWITCH: Final = "DYNRES_VLLM"
_OFF: Final = ("0", "off", "false", "no")
_ON: Final = ("", "1", "on", "true", "yes")


def plugin() -> None:
    """Puts the image and video processors here in the place of transformers' own, for vLLM.

    Raises:
        ValueError: `DYNRES_VLLM` is set to something else than a yes or a no.
        ImportError: transformers is missing, or older than 5.
    """
    given = os.environ.get(SWITCH, "").strip().lower()
    if given in _OFF:
        return
    if given not in _ON:
        raise ValueError(f"{SWITCH}: must be 0 or 1")
    from .transformers import enable

    enable()
