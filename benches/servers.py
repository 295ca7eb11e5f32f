"""The whole `apply()` of vLLM with the plugin and without, on one thread, as a table.

python benches/servers.py [MODEL ...]

In an environment that tests/integrations/environment.py makes. Both are asserted to give the same
tensors, ids, hashes and placeholders before anything is timed; then they take turns. Times are of
the thread on the CPU, medians, so that other work on the machine counts less.
"""

import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "integrations"))
import test_vllm as servers

SIZES = {"1080p": (1080, 1920), "12 MP": (3000, 4000)}
TURNS = 5


def switch(front: Any, plugin: Any, adapter: Any, on: bool) -> None:
    """vLLM keeps processors; a switch counts for those that it makes afterwards."""
    from vllm.transformers_utils import processor

    for function in vars(processor).values():
        if hasattr(function, "cache_clear"):
            function.cache_clear()
    for part in (plugin, adapter):
        (part.enable if on else part.disable)()
    front.processor.info.get_hf_processor()


def measure(root: Path, name: str, size: tuple[int, int]) -> tuple[float, float]:
    """Milliseconds of vLLM alone, and with the plugin."""
    import dynres_rs.transformers as adapter
    import dynres_rs.vllm as plugin

    image, front = servers.noise(*size), servers.Front(root, name)
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(TURNS):
        results = {}
        for on in (False, True):
            switch(front, plugin, adapter, on)
            before = servers.ran(plugin)
            results[on] = servers.plain(front.apply([image]))  # checked and warm
            after = servers.ran(plugin)
            assert any(after[row] > before[row] for row in servers.COVERED[name][1]) is on
            start = time.thread_time()
            front.apply([image])
            seconds[on].append(time.thread_time() - start)
        assert turn or results[False] == results[True], f"{name}: not equal"
    return tuple(1e3 * statistics.median(seconds[on]) for on in (False, True))


def main() -> None:
    import torch
    import vllm.model_executor.models.registry as registry

    registry._run_in_subprocess = lambda function: function()
    torch.set_num_threads(1)
    print(
        f"vLLM {version('vllm')}, transformers {version('transformers')}, torch {torch.__version__}"
    )
    print("| model | image | vLLM, ms | with the plugin, ms | ratio |\n|---|---|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as root:
        for name in sys.argv[1:] or servers.COVERED:
            for label, size in SIZES.items():
                theirs, ours = measure(Path(root), name, size)
                row = f"| {name} | {label} | {theirs:.0f} | {ours:.0f} | {theirs / ours:.1f}x |"
                print(row, flush=True)


if __name__ == "__main__":
    main()
