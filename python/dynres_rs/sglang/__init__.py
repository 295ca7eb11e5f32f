"""SGLang's preprocessing with the same bits, faster, its copy of DeepSeek-VL2 included.

    SGLANG_EXTERNAL_MM_PROCESSOR_PACKAGE=dynres_rs.sglang python -m sglang.launch_server ...

SGLang imports the package of that name before it makes its processor, and importing it is all:
transformers' processors are replaced by those of `dynres_rs.transformers`, and SGLang's own copy
of DeepSeek-VL2 behind a check (`dynres_rs.patching`). It is a package because SGLang goes through
its `__path__`. `status()` says, for the process that it is called in, what was replaced and how
often it ran.
"""

from __future__ import annotations

from typing import Final

from ..patching import Patches, Row, Status
from ..text import Tokens, deepseek_settings, deepseek_small, deepseek_views

__all__ = ["Status", "disable", "enable", "status"]


def _deepseek_vl2(
    _: object,
    self: object,
    conversation: str,
    images: list[object],
    bos: bool = True,
    eos: bool = True,
    cropping: bool = True,
    max_req_input_len: int = -1,
) -> tuple[list[int], list[object], list[bool], list[list[int]]]:
    tokens = Tokens(self, conversation, images)
    views = deepseek_views(self, tokens, images, cropping, "float32")
    tokens.close(bos, eos, max_req_input_len)
    return tokens.ids, list(views), tokens.mask, tokens.crops


_patches: Final = Patches(
    "sglang",
    (
        Row(
            "DeepSeek-VL2",
            "sglang.srt.configs.deepseekvl2",
            "DeepseekVLV2Processor.tokenize_with_images",
            "self, conversation, images, bos=True, eos=True, cropping=True, max_req_input_len=-1",
            _deepseek_vl2,
            deepseek_settings,
            deepseek_small,
        ),
    ),
)


def enable() -> None:
    """Puts ours in the place of what it is equal to, transformers' processors and SGLang's copy.

    Importing this package calls it. Calling it twice changes nothing.
    """
    from .. import transformers

    transformers.enable()
    _patches.enable()


def disable() -> None:
    """Takes `enable()` back, for what is made from now on."""
    from .. import transformers

    transformers.disable()
    _patches.disable()


def status() -> list[Status]:
    """What was replaced in this process, what ran and how often, and what was left to SGLang.

    Returns:
        one `Status` a replaced function, as `dynres_rs.vllm.status()` has them.
    """
    return _patches.status()


enable()
