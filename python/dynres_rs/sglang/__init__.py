"""SGLang's hook: importing this makes the processors of `dynres_rs.transformers` the default.

    SGLANG_EXTERNAL_MM_PROCESSOR_PACKAGE=dynres_rs.sglang python -m sglang.launch_server ...

SGLang imports the package of that name before it makes its processor. It is a package, with no
module in it, because SGLang goes through its `__path__`.
"""

from __future__ import annotations

from ..transformers import enable

__all__: list[str] = []

enable()
