"""What servers take for an image with the plugin and without, on one thread, as a table.

python benches/servers.py vllm [MODEL ...]
python benches/servers.py sglang [MODEL ...]

In an environment that tests/integrations/environment.py makes for the server. Of vLLM it is the
whole `apply()`, of SGLang the call of its processor that `process_mm_data_async` makes. Both ways
are asserted to give the same before anything is timed (vLLM: tensors, ids, hashes and
placeholders; SGLang: features and ids); then they take turns. Times are of the thread on the CPU,
medians, so that other work on the machine counts less.
"""

import io
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "integrations"))

SIZES = {"1080p": (1080, 1920), "12 MP": (3000, 4000)}
TURNS = 5


class Vllm:
    """`apply()` of a model."""

    def __init__(self, root: Path, name: str) -> None:
        import dynres_rs.vllm as plugin
        import test_vllm as servers

        self.servers, self.plugin, self.name = servers, plugin, name
        self.front = servers.Front(root, name)
        self.image: Any = None

    @staticmethod
    def prepare() -> list[str]:
        import test_vllm as servers
        from vllm.model_executor.models import registry

        registry._run_in_subprocess = lambda function: function()
        return list(servers.COVERED)

    def switch(self, on: bool) -> None:
        """vLLM keeps processors; a switch counts for those that it makes afterwards."""
        import dynres_rs.transformers as adapter
        from vllm.transformers_utils import processor

        for function in vars(processor).values():
            if hasattr(function, "cache_clear"):
                function.cache_clear()
        for part in (self.plugin, adapter):
            (part.enable if on else part.disable)()
        self.front.processor.info.get_hf_processor()

    def show(self, size: tuple[int, int]) -> None:
        self.image = self.servers.noise(*size)

    def call(self) -> Any:
        return self.front.apply([self.image])

    def checked(self, on: bool) -> Any:
        """A result as values that compare, after a call that the plugin made or did not."""
        before = self.servers.ran(self.plugin)
        result = self.servers.plain(self.call())
        after = self.servers.ran(self.plugin)
        assert any(after[row] > before[row] for row in self.servers.COVERED[self.name][1]) is on
        return result


class Sglang:
    """The call of a model's processor, `NAME:BACKEND` where transformers has two."""

    def __init__(self, root: Path, name: str) -> None:
        import test_sglang as servers

        self.servers, self.root = servers, root
        self.name, _, backend = name.partition(":")
        self.arguments = {"image_processor_backend": backend} if backend else {}
        self.front: Any = None
        self.image: Any = None

    @staticmethod
    def prepare() -> list[str]:
        import test_sglang as servers

        return [
            row
            for name, (tag, _) in servers.COVERED.items()
            for row in ([f"{name}:auto", f"{name}:pil"] if tag == servers.QWEN else [name])
        ]

    def switch(self, on: bool) -> None:
        import dynres_rs.sglang as plugin

        (plugin.enable if on else plugin.disable)()
        self.front = self.servers.Front(self.root, self.name, **self.arguments)

    def show(self, size: tuple[int, int]) -> None:
        self.image = Image.open(io.BytesIO(self.servers.encoded(*size)))
        self.image.load()

    def call(self) -> Any:
        text = f"a{self.front.tag}b"
        more = {} if self.arguments else {"max_req_input_len": 100_000, "conversations": text}
        return self.front.processor.process_mm_data(text, images=[self.image], **more)

    def checked(self, on: bool) -> Any:
        """A result as values that compare, after a call that the plugin made or did not."""
        import dynres_rs.sglang as plugin
        import dynres_rs.transformers as adapter
        import torch
        from dynres_rs.transformers._mixin import _warned as said

        before = self.servers.ran(plugin)
        result = {
            key: self.servers.plain(value) if isinstance(value, torch.Tensor) else value
            for key, value in dict(self.call()).items()
        }
        if self.arguments:
            # Ours, and no call that it left to upstream.
            exact = isinstance(self.front.inner.image_processor, adapter.ExactImages) and not said
        else:
            exact = self.servers.ran(plugin) > before
        assert exact is on
        return result


def measure(server: Any, size: tuple[int, int]) -> tuple[float, float]:
    """Milliseconds of the server alone, and with the plugin."""
    server.show(size)
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(TURNS):
        results = {}
        for on in (False, True):
            server.switch(on)
            results[on] = server.checked(on)  # checked and warm
            start = time.thread_time()
            server.call()
            seconds[on].append(time.thread_time() - start)
        assert turn or results[False] == results[True], f"{server.name}: not equal"
    return tuple(1e3 * statistics.median(seconds[on]) for on in (False, True))


def main() -> None:
    import dynres_rs as dr
    import torch

    which, *names = sys.argv[1:]
    kind, title = {"vllm": (Vllm, "vLLM"), "sglang": (Sglang, "SGLang")}[which]
    every = kind.prepare()
    torch.set_num_threads(1)
    packages = ", ".join(f"{name} {version(name)}" for name in (which, "transformers"))
    print(f"{packages}, torch {torch.__version__}, `{dr.simd()}`")
    print(f"| model | image | {title}, ms | with the plugin, ms | ratio |\n|---|---|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as root:
        for name in names or every:
            server = kind(Path(root), name)
            for label, size in SIZES.items():
                theirs, ours = measure(server, size)
                row = f"| {name} | {label} | {theirs:.0f} | {ours:.0f} | {theirs / ours:.1f}x |"
                print(row, flush=True)


if __name__ == "__main__":
    main()
