"""The real SGLang, its tokenizer process's half on a CPU: what `process_mm_data_async` gives with
the plugin and without.

    python tests/integrations/environment.py sglang PATH
    VIRTUAL_ENV=PATH maturin develop --release
    PATH/bin/python -m pytest -m sglang tests/integrations/test_sglang.py

Features must agree bit for bit, and token ids as well; counters and classes say who made them.
"""

import asyncio
import importlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import models as folders  # noqa: E402

pytestmark = [
    pytest.mark.sglang,
    pytest.mark.filterwarnings("ignore"),  # SGLang's own
    pytest.mark.timeout(900),
]

QWEN = "<|vision_start|><|image_pad|><|vision_end|>"
#: Folder -> what stands for an image, and the class that SGLang has for it.
COVERED = {
    "deepseek_vl2": ("<image>", "deepseek_vl_v2.DeepseekVL2ImageProcessor"),
    "qwen2_vl": (QWEN, "qwen_vl.QwenVLImageProcessor"),
    "qwen2_5_vl": (QWEN, "qwen_vl.QwenVLImageProcessor"),
    "qwen3_vl": (QWEN, "qwen_vl.QwenVLImageProcessor"),
}
SIZES = [(1080, 1920), (300, 500), (61, 83), (64, 900), (1500, 700)]


class Request:
    """As far as the processors look at one."""

    rid = "a request"

    def __getattr__(self, name: str) -> None:
        return None


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def sglang() -> Any:
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        import sglang.srt.managers.tokenizer_manager
    except ImportError as error:
        pytest.fail(f"SGLang cannot be imported ({error}); see {HERE / 'environment.py'}", False)
    return sglang


@pytest.fixture
def plugin() -> Iterator[Any]:
    import dynres_rs.sglang as plugin

    plugin.disable()
    yield plugin
    plugin.disable()


class Front:
    """A model's preprocessing as the tokenizer manager makes it."""

    def __init__(self, root: Path, name: str, **arguments: Any) -> None:
        from sglang.srt import runtime_context
        from sglang.srt.configs.model_config import ModelConfig
        from sglang.srt.managers.tokenizer_manager import get_processor_wrapper
        from sglang.srt.server_args import ServerArgs

        folder = str(folders.write(root, name))
        self.tag, path = COVERED[name]
        given = ServerArgs(model_path=folder, device="cpu", trust_remote_code=True, **arguments)
        runtime_context.publish(given, role="tokenizer")
        config = ModelConfig.from_server_args(given)
        self.inner = get_processor_wrapper()
        module, _, cls = path.rpartition(".")
        package = importlib.import_module(f"sglang.srt.multimodal.processors.{module}")
        self.processor = getattr(package, cls)(config.hf_config, given, self.inner, "default")

    async def one(self, images: list[Any], limit: int = 100_000) -> tuple[Any, ...]:
        """(token ids, what the items hold as values that compare)."""
        text = f"a{self.tag * len(images)}b"
        output = await self.processor.process_mm_data_async(images, text, Request(), limit)
        items = [plain(item.feature) for item in output.mm_items]
        assert items
        return output.input_ids, items

    def run(self, *requests: list[Any], limit: int = 100_000) -> list[tuple[Any, ...]]:
        """All requests at once, as a server has them."""

        async def gather() -> list[tuple[Any, ...]]:
            return list(await asyncio.gather(*[self.one(each, limit) for each in requests]))

        return asyncio.run(gather())


def plain(value: Any) -> Any:
    import torch

    assert isinstance(value, torch.Tensor | np.ndarray)
    tensor = torch.as_tensor(value).contiguous().reshape(-1)
    return str(tensor.dtype), tuple(value.shape), tensor.view(torch.uint8).numpy().tobytes()


def encoded(height: int, width: int, seed: int = 0) -> bytes:
    """A PNG, as a request carries it."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def requests() -> list[list[bytes]]:
    images = [encoded(*size, seed) for seed, size in enumerate(SIZES)]
    return [[image] for image in images] + [images[1:3], images[1:4]]


def ran(plugin: Any) -> int:
    (status,) = plugin.status()
    return int(status.ran)


@pytest.mark.parametrize("limit", [100_000, 1500, 40])
def test_deepseek_vl2(sglang: Any, root: Path, plugin: Any, limit: int) -> None:
    """Its own copy, with the longest input that it cuts token ids to."""
    theirs = Front(root, "deepseek_vl2").run(*requests(), limit=limit)
    before = ran(plugin)
    plugin.enable()
    ours = Front(root, "deepseek_vl2").run(*requests(), limit=limit)
    assert ours == theirs
    (status,) = plugin.status()
    assert (status.state, status.left) == ("checked", {})
    assert status.ran == before + len(requests())
    lengths = [len(ids) for ids, _ in ours]
    assert (max(lengths) > 1500) is (limit > 1500)


@pytest.mark.parametrize("name", [name for name, (tag, _) in COVERED.items() if tag == QWEN])
@pytest.mark.parametrize("backend", ["auto", "pil"])
@pytest.mark.parametrize("workers", [1, 2])
def test_qwen(sglang: Any, root: Path, plugin: Any, name: str, backend: str, workers: int) -> None:
    """transformers' processors, and the copies of them that SGLang's workers have."""
    import dynres_rs.transformers as adapter
    from dynres_rs.transformers._mixin import _warned as said

    arguments = {"image_processor_backend": backend, "mm_processor_worker_num": workers}
    front = Front(root, name, **arguments)
    assert not isinstance(front.inner.image_processor, adapter.ExactImages)
    theirs = front.run(*requests())
    plugin.enable()
    front = Front(root, name, **arguments)
    assert isinstance(front.inner.image_processor, adapter.ExactImages)
    said.clear()
    assert front.run(*requests()) == theirs
    assert not said  # ours ran, and upstream's path did not


def test_grey_tensors(sglang: Any, root: Path, plugin: Any) -> None:
    """SGLang's own change of upstream's method makes colours of them; others are ours."""
    import torch

    image = torch.from_numpy(np.random.default_rng(7).integers(0, 256, (1, 90, 120), np.uint8))
    arguments = {"image_processor_backend": "pil"}
    call = {"return_tensors": "pt"}
    theirs = Front(root, "qwen2_vl", **arguments).inner.image_processor([image], **call)
    plugin.enable()
    ours = Front(root, "qwen2_vl", **arguments).inner.image_processor([image], **call)
    assert torch.equal(ours["pixel_values"], theirs["pixel_values"])


def test_the_hook(sglang: Any) -> None:
    """SGLang imports the package that its variable names, and all modules in it."""
    code = (
        "from sglang.srt.managers.multimodal_processor import import_processors;"
        "import_processors('dynres_rs.sglang', overwrite=True);"
        "import dynres_rs.sglang as plugin, dynres_rs.transformers as adapter;"
        "import sglang.srt.configs.deepseekvl2;"
        "print(adapter.is_enabled(), [status.state for status in plugin.status()])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "True ['patched']"
