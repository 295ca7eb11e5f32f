"""The real vLLM, its front half on a CPU: what `apply()` gives with the plugin and without.

    python tests/integrations/environment.py vllm PATH
    VIRTUAL_ENV=PATH maturin develop --release
    PATH/bin/python -m pytest -m vllm tests/integrations/test_vllm.py

Every tensor must agree bit for bit, and so must token ids, hashes and placeholders; counters say
who made them.
"""

import hashlib
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import models as folders  # noqa: E402

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.filterwarnings("ignore"),  # vLLM's own
    pytest.mark.timeout(900),
]

QWEN = "<|vision_start|><|image_pad|><|vision_end|>"
#: Folder -> what stands for an image, and the rows that must have run.
COVERED = {
    "internvl_chat": ("<image>", ["InternVLChat images", "InternVLChat calls"]),
    "h2ovl": ("<image>", ["H2OVL images", "InternVLChat calls"]),
    "nemotron_embed": ("<image>", ["Nemotron VL Embed images", "InternVLChat calls"]),
    "deepseek_vl2": ("<image>", ["DeepSeek-VL2 calls"]),
    "deepseek_ocr": ("<image>", ["DeepSeek-OCR"]),
    "qwen2_vl": (QWEN, ["calls of transformers' processors"]),
    "qwen2_5_vl": (QWEN, ["calls of transformers' processors"]),
    "qwen3_vl": (QWEN, ["calls of transformers' processors"]),
}
COPIES = [name for name, (tag, _) in COVERED.items() if tag != QWEN]
SIZES = [(1080, 1920), (1920, 1080), (300, 500), (448, 448), (61, 83), (64, 900), (1500, 700)]
TOKEN_SIZES = [
    (height, width)
    for height in (63, 448, 768, 1081)
    for width in (65, 447, 640, 1234, 2048)
]  # fmt: skip


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def vllm() -> Any:
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("VLLM_PLUGINS", "")  # the tests enable it themselves
    try:
        import vllm
        import vllm.model_executor.models.registry as registry
    except ImportError as error:
        pytest.fail(f"vLLM cannot be imported ({error}); see {HERE / 'environment.py'}", False)
    # It inspects a model's class in a process of its own, which imports all of vLLM once more.
    registry._run_in_subprocess = lambda function: function()
    return vllm


@pytest.fixture
def plugin() -> Iterator[Any]:
    import dynres_rs.vllm as plugin

    plugin.disable()
    yield plugin
    plugin.disable()


class Front:
    """A model's preprocessing in vLLM, made anew: processors are kept by vLLM, classes and all."""

    def __init__(self, root: Path, name: str, dtype: str = "bfloat16", **config: Any) -> None:
        from vllm.config import ModelConfig
        from vllm.multimodal import MULTIMODAL_REGISTRY
        from vllm.transformers_utils import processor

        for function in vars(processor).values():
            if hasattr(function, "cache_clear"):
                function.cache_clear()
        folder = str(folders.write(root, name))
        self.tag = COVERED[name][0]
        self.config = ModelConfig(
            model=folder,
            tokenizer=folder,
            trust_remote_code=True,
            dtype=dtype,
            max_model_len=32768,
            **{"mm_processor_cache_gb": 0, **config},
        )
        self.processor = MULTIMODAL_REGISTRY.create_processor(self.config)

    def apply(
        self, images: list[Any], kwargs: dict[str, Any] | None = None, cache: Any = None, text=None
    ) -> dict[str, Any]:
        from vllm.multimodal.processing.context import TimingContext
        from vllm.multimodal.processing.inputs import ProcessorInputs

        info = self.processor.info
        text = f"a{self.tag * len(images)}b" if text is None else text
        prompt = info.get_tokenizer().encode(text, add_special_tokens=False)
        items = info.parse_mm_data({"image": images})
        inputs = ProcessorInputs(prompt, items, hf_processor_mm_kwargs=kwargs or {}, cache=cache)
        return self.processor.apply(inputs, TimingContext(enabled=False))


def plain(result: dict[str, Any]) -> dict[str, Any]:
    """All of a result as values that compare, tensors by dtype, shape and bytes."""
    import torch

    def bits(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            flat = value.contiguous().reshape(-1)
            data = flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
            return str(value.dtype), tuple(value.shape), data
        return value

    kwargs = {key: bits(value) for key, value in result["mm_kwargs"].get_data().items()}
    assert kwargs
    rest = {key: result[key] for key in ("prompt_token_ids", "mm_hashes")}
    return {**rest, "kwargs": kwargs, "placeholders": repr(result["mm_placeholders"])}


def digests(result: dict[str, Any]) -> dict[str, str]:
    """A digest of each part of a `plain` result; the order of its tensors is a set's."""
    parts = {**result, **{f"kwargs.{key}": value for key, value in result["kwargs"].items()}}
    del parts["kwargs"]
    return {key: hashlib.sha256(repr(value).encode()).hexdigest() for key, value in parts.items()}


def noise(height: int, width: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def ran(plugin: Any) -> dict[str, int]:
    return {status.name: status.ran for status in plugin.status()}


def left(plugin: Any) -> dict[str, dict[str, int]]:
    return {status.name: status.left for status in plugin.status() if status.left}


Both = Callable[..., tuple[Any, Any]]


@pytest.fixture
def both(vllm: Any, root: Path, plugin: Any) -> Both:
    """(without, with), of a function that takes a `Front`; who ran is checked as well."""

    def compare(name: str, function: Callable[[Front], Any], **config: Any) -> tuple[Any, Any]:
        plugin.disable()
        before = ran(plugin)
        theirs = function(Front(root, name, **config))
        assert ran(plugin) == before, "the plugin ran although it is disabled"
        plugin.enable()
        ours = function(Front(root, name, **config))
        changed = {row for row, count in ran(plugin).items() if count > before[row]}
        assert changed >= set(COVERED[name][1])
        assert not [status for status in plugin.status() if status.state == "aside"]
        return theirs, ours

    return compare


@pytest.mark.parametrize("name", COVERED)
def test_equal(both: Both, plugin: Any, name: str) -> None:
    """Each size alone, two together, and three, where DeepSeek-VL2 cuts no tiles."""
    images = [noise(*size, seed) for seed, size in enumerate(SIZES)]
    requests = [[image] for image in images] + [images[2:4], images[3:6]]

    def work(front: Front) -> list[Any]:
        return [plain(front.apply(request)) for request in requests]

    before = left(plugin)
    theirs, ours = both(name, work)
    for request, one, other in zip(requests, theirs, ours, strict=True):
        assert one == other, [image.size for image in request]
    assert left(plugin) == before, "a call was left to vLLM"


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", COPIES)
def test_dtypes(both: Both, name: str, dtype: str) -> None:
    theirs, ours = both(name, lambda front: plain(front.apply([noise(300, 500)])), dtype=dtype)
    assert theirs == ours
    kinds = {kind for kind, *_ in [v for v in ours["kwargs"].values() if isinstance(v, tuple)]}
    assert f"torch.{dtype}" in kinds or name == "nemotron_embed"


def test_bytes_or_floats(both: Both) -> None:
    """Nemotron's embedding model normalises on its device by default, and here if told to."""
    for steps in ({}, {"do_rescale": True, "do_normalize": True}):
        theirs, ours = both(
            "nemotron_embed",
            lambda front: plain(front.apply([noise(300, 500)])),
            mm_processor_kwargs=steps,
        )
        assert theirs == ours


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("internvl_chat", {"max_dynamic_patch": 4}),
        ("internvl_chat", {"min_dynamic_patch": 3, "max_dynamic_patch": 6}),
        ("internvl_chat", {"dynamic_image_size": False}),
        ("internvl_chat", {"use_thumbnail": False}),
        ("h2ovl", {"use_msac": False}),
        ("h2ovl", {"max_dynamic_patch": 3}),
        ("qwen2_vl", {"max_pixels": 200704}),
        ("qwen3_vl", {"size": {"shortest_edge": 65536, "longest_edge": 262144}}),
    ],
)
def test_mm_processor_kwargs(both: Both, name: str, kwargs: dict[str, Any]) -> None:
    sizes = SIZES[:6]
    theirs, ours = both(
        name, lambda front: [plain(front.apply([noise(*size)], kwargs)) for size in sizes]
    )
    assert theirs == ours


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "LA"])
@pytest.mark.parametrize("name", ["internvl_chat", "deepseek_vl2"])
def test_modes(vllm: Any, root: Path, plugin: Any, name: str, mode: str) -> None:
    """What is not RGB is converted by vLLM, before or in its own code."""
    image = noise(300, 500).convert(mode)
    theirs = plain(Front(root, name).apply([image]))
    plugin.enable()
    assert plain(Front(root, name).apply([image])) == theirs


def test_files_that_are_not_decoded(both: Both, tmp_path: Path) -> None:
    """A lazily opened file is decoded wherever it is first needed."""
    path = tmp_path / "photo.jpg"
    noise(300, 500).save(path, quality=90)
    theirs, ours = both("internvl_chat", lambda front: plain(front.apply([Image.open(path)])))
    assert theirs == ours


def test_videos_of_internvl(vllm: Any, root: Path, plugin: Any) -> None:
    from vllm.transformers_utils.processors.internvl import InternVLChatVideoProcessor

    videos = [
        np.random.default_rng(seed).integers(0, 256, (3 + seed, 90, 160, 3), np.uint8)
        for seed in range(2)
    ]
    processor = InternVLChatVideoProcessor(448)
    theirs = processor(videos, return_tensors="pt")
    before = ran(plugin)
    plugin.enable()
    ours = processor(videos, return_tensors="pt")
    assert (
        ran(plugin)["InternVLChat calls with videos"]
        == 1 + before["InternVLChat calls with videos"]
    )
    assert theirs["video_num_patches"].tolist() == ours["video_num_patches"].tolist() == [3, 4]
    assert theirs["pixel_values_flat_video"].equal(ours["pixel_values_flat_video"])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_pixels": 150_000},
        {"max_long_side_pixel": 672},
        {"do_rescale": False, "do_normalize": False},
        {"max_long_side_pixel": 700, "do_rescale": False, "do_normalize": False},
    ],
)
def test_minimax_m3(vllm: Any, plugin: Any, options: dict[str, Any]) -> None:
    """Its own class, called as its processor does; a model of it needs more than a CPU to load."""
    from vllm.transformers_utils.processors.minimax_m3 import MiniMaxM3VLImageProcessor

    processor = MiniMaxM3VLImageProcessor(**options)
    images = [noise(*size) for size in [*SIZES, SIZES[0]]]
    theirs = processor(images, return_tensors="pt")
    before = ran(plugin)["MiniMax-M3"]
    plugin.enable()
    ours = processor(images, return_tensors="pt")
    assert ran(plugin)["MiniMax-M3"] == before + 1
    assert list(ours) == list(theirs)
    for key, value in theirs.items():
        assert ours[key].dtype == value.dtype
        assert ours[key].equal(value), key


def test_minimax_m3_refuses_as_it_does(vllm: Any, plugin: Any) -> None:
    from vllm.transformers_utils.processors.minimax_m3 import MiniMaxM3VLImageProcessor

    processor = MiniMaxM3VLImageProcessor(max_long_side_pixel=9000)
    for _ in range(2):
        with pytest.raises(ValueError, match="max_total_pixels"):
            processor([noise(4000, 4000)], return_tensors="pt")
        plugin.enable()


@pytest.mark.parametrize("steps", [True, False])
@pytest.mark.parametrize(("limit", "total"), [(4096, None), (500, 90)])
def test_kimi_k25(vllm: Any, plugin: Any, limit: int, total: int | None, steps: bool) -> None:
    """Its own class, images and chunks of videos, with limits that make large ones smaller."""
    from vllm.transformers_utils.processors.kimi_k25_vision_fused import (
        KimiK25FusedVisionProcessor,
    )

    config = {
        "in_patch_limit": limit, "in_patch_limit_each_frame": None, "in_patch_limit_video": total,
        "patch_limit_on_one_side": 512, "patch_size": 14, "merge_kernel_size": 2,
        "temporal_merge_kernel_size": 4, "fixed_output_tokens": None,
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
    }  # fmt: skip
    processor = KimiK25FusedVisionProcessor(config)

    def work() -> Any:
        medias = [{"type": "image", "image": noise(*size)} for size in SIZES]
        medias.append({"type": "video_chunk", "video_chunk": [noise(90, 160, n) for n in range(3)]})
        medias.append({"type": "image", "image": noise(40, 60).convert("RGBA")})
        return processor.preprocess(medias, "pt", do_rescale=steps, do_normalize=steps)

    theirs = work()
    before = ran(plugin)["Kimi-K2.5"]
    plugin.enable()
    ours = work()
    assert ran(plugin)["Kimi-K2.5"] == before + 1
    for key in ("pixel_values", "grid_thws"):
        assert ours[key].dtype == theirs[key].dtype
        assert ours[key].equal(theirs[key])


def test_nemotron_nano(vllm: Any, plugin: Any) -> None:
    """Its own class; the model's folder needs remote code."""
    from vllm.transformers_utils.processors.nemotron_vl import LlamaNemotronNanoVLImageProcessor

    processor = LlamaNemotronNanoVLImageProcessor(512, 1, 12, True, True)
    images = [noise(*size) for size in SIZES]
    theirs = processor(images, return_tensors="pt")
    before = ran(plugin)["Nemotron Nano VL images"]
    plugin.enable()
    ours = processor(images, return_tensors="pt")
    assert ran(plugin)["Nemotron Nano VL images"] == before + 1
    for key, value in theirs.items():
        assert ours[key].dtype == value.dtype
        assert ours[key].equal(value), key


@pytest.mark.parametrize("cropping", [True, False])
@pytest.mark.parametrize(
    ("cls", "options"),
    [
        ("deepseek_ocr.DeepseekOCRProcessor", {"strategy": "v1"}),
        ("deepseek_ocr.DeepseekOCRProcessor", {"strategy": "v2", "image_size": 768}),
        ("unlimited_ocr.UnlimitedOCRProcessor", {"max_crops": 32}),
    ],
)
def test_deepseek_ocr_and_its_kin(
    vllm: Any, root: Path, plugin: Any, cls: str, options: dict[str, Any], cropping: bool
) -> None:
    """Their classes; the second release counts tokens in another way, and cuts other tiles."""
    from importlib import import_module

    from dynres_rs.patching import equal

    module, _, name = cls.partition(".")
    found = getattr(import_module(f"vllm.transformers_utils.processors.{module}"), name)
    tokenizer = Front(root, "deepseek_ocr").processor.info.get_tokenizer()
    processor = found(tokenizer, **options)
    texts = ["a<image>b", "<image><image>"]
    images = [[noise(*SIZES[0])], [noise(*SIZES[2]), noise(*SIZES[5])]]

    def work() -> list[Any]:
        return [
            processor.tokenize_with_images(text, some, cropping=cropping)
            for text, some in zip(texts, images, strict=True)
        ]

    theirs = work()
    before = ran(plugin)["DeepSeek-OCR"]
    plugin.enable()
    ours = work()
    assert ran(plugin)["DeepSeek-OCR"] == before + 2
    assert all(equal(one, other) for one, other in zip(ours, theirs, strict=True))


ROWS_OF_TEXT = {"deepseek_vl2": "DeepSeek-VL2", "deepseek_ocr": "DeepSeek-OCR"}


@pytest.mark.parametrize("name", ROWS_OF_TEXT)
def test_a_wrong_number_of_tags(vllm: Any, root: Path, plugin: Any, name: str) -> None:
    """It is upstream's own ValueError, from upstream's own code."""

    def fail() -> str:
        processor = Front(root, name).processor.info.get_hf_processor()
        with pytest.raises(ValueError) as caught:
            processor.tokenize_with_images("no tags", [noise(30, 40)])
        return str(caught.value)

    reason, row = "another number of images than of image tokens", ROWS_OF_TEXT[name]
    theirs, before = fail(), left(plugin).get(row, {}).get(reason, 0)
    plugin.enable()
    assert fail() == theirs
    assert left(plugin)[row][reason] == before + 1


@pytest.mark.parametrize("name", ["internvl_chat", "deepseek_vl2", "qwen2_vl"])
def test_the_cache(vllm: Any, root: Path, plugin: Any, name: str) -> None:
    """What is cached with the plugin is what would have been without, and hits are hits."""
    from vllm.multimodal.cache import MultiModalProcessorOnlyCache

    def work() -> list[Any]:
        front = Front(root, name, mm_processor_cache_gb=1)
        cache = MultiModalProcessorOnlyCache(front.config)
        first = plain(front.apply([noise(300, 500), noise(61, 83)], cache=cache))
        again = plain(front.apply([noise(61, 83, 0), noise(40, 60, 7)], cache=cache))
        return [first, again]

    theirs = work()
    plugin.enable()
    assert work() == theirs


@pytest.mark.parametrize("name", ["internvl_chat", "deepseek_vl2", "qwen2_vl"])
def test_eight_threads(vllm: Any, root: Path, plugin: Any, name: str) -> None:
    images = [noise(200 + 10 * seed, 300, seed) for seed in range(8)]
    front = Front(root, name)
    theirs = [plain(front.apply([image])) for image in images]
    plugin.enable()
    front = Front(root, name)
    found: dict[int, list[Any]] = {}

    def work(index: int) -> None:
        found[index] = [plain(front.apply([images[index]])) for _ in range(3)]

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {index: [result] * 3 for index, result in enumerate(theirs)}


SPAWNED = """
import json, sys
sys.path.insert(0, {here!r})
import test_vllm
from pathlib import Path
import vllm.model_executor.models.registry as registry
registry._run_in_subprocess = lambda function: function()
from vllm.plugins import load_general_plugins
load_general_plugins()
import dynres_rs.vllm as plugin
result = test_vllm.plain(test_vllm.Front(Path(sys.argv[1]), "internvl_chat").apply(
    [test_vllm.noise(300, 500)]))
print(json.dumps([test_vllm.digests(result), test_vllm.ran(plugin)]))
"""


@pytest.mark.parametrize(
    ("environment", "runs"),
    [({}, True), ({"DYNRES_VLLM": "0"}, False), ({"VLLM_PLUGINS": "other"}, False)],
)
def test_a_process_of_its_own(
    vllm: Any, root: Path, plugin: Any, environment: dict[str, str], runs: bool
) -> None:
    """vLLM loads the installed entry point itself; both switches turn it off."""
    import json

    theirs = plain(Front(root, "internvl_chat").apply([noise(300, 500)]))
    inherited = {key: value for key, value in os.environ.items() if key != "VLLM_PLUGINS"}
    done = subprocess.run(
        [sys.executable, "-c", SPAWNED.format(here=str(HERE)), str(root)],
        capture_output=True,
        text=True,
        check=False,
        env={**inherited, "HF_HUB_OFFLINE": "1", **environment},
    )
    assert done.returncode == 0, done.stderr
    found, counted = json.loads(done.stdout.splitlines()[-1])
    assert found == digests(theirs)
    assert (counted["InternVLChat images"] == 1) is runs


def test_another_release_of_vllm(
    vllm: Any, root: Path, plugin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other numbers than those that were read: the self-check at first use sees it."""
    from vllm.transformers_utils.processors import internvl

    monkeypatch.setattr(internvl, "IMAGENET_MEAN", (0.5, 0.5, 0.5))
    theirs = plain(Front(root, "internvl_chat").apply([noise(300, 500)]))
    plugin.enable()
    assert plain(Front(root, "internvl_chat").apply([noise(300, 500)])) == theirs
    monkeypatch.undo()

    def blurred(image: Any, **kwargs: Any) -> Any:
        return [image.resize((448, 448), Image.Resampling.BILINEAR)]

    plugin.disable()
    monkeypatch.setattr(internvl, "dynamic_preprocess_internvl", blurred)
    theirs = plain(Front(root, "internvl_chat", dtype="float16").apply([noise(300, 500)]))
    with warnings.catch_warnings():
        plugin.enable()
        ours = plain(Front(root, "internvl_chat", dtype="float16").apply([noise(300, 500)]))
    assert ours == theirs
    states = {status.name: status.state for status in plugin.status()}
    assert states["InternVLChat images"] == "aside"


PLANS: dict[str, tuple[str, dict[str, Any]]] = {
    "internvl_chat": ("internvl", {}),
    "h2ovl": ("h2ovl", {}),
    "nemotron_embed": ("llama-nemotron-vl", {}),
    "deepseek_vl2": ("deepseek-vl2", {}),
    "deepseek_ocr": ("deepseek-ocr", {}),
    "qwen2_vl": ("qwen2-vl", {}),
    "qwen2_5_vl": ("qwen2-vl", {}),
    "qwen3_vl": ("qwen3-vl", {"min_pixels": 65536, "max_pixels": 16777216}),
}


@pytest.mark.parametrize("name", PLANS)
def test_token_counts(vllm: Any, root: Path, name: str) -> None:
    """`plan` and vLLM agree on 20 sizes, before any pixel."""
    import dynres_rs as dr

    family, options = PLANS[name]
    processor = dr.Processor(family, **options)
    front = Front(root, name)
    info = front.processor.info
    hf = info.get_hf_processor()
    found = []
    for height, width in TOKEN_SIZES:
        if COVERED[name][1][-1] == "InternVLChat calls":
            count = hf.get_num_image_tokens(image_width=width, image_height=height)
        elif name in ("deepseek_vl2", "deepseek_ocr"):
            count = info.get_num_image_tokens(image_width=width, image_height=height)
        else:
            count = info.get_num_image_tokens(
                image_width=width, image_height=height, image_processor=hf.image_processor,
                mm_kwargs={},
            )  # fmt: skip
        found.append(count)
    assert len(found) == 20
    assert processor.num_tokens(TOKEN_SIZES).tolist() == found
    assert [processor.plan(*size).num_tokens for size in TOKEN_SIZES] == found


def test_token_counts_of_minimax_m3(vllm: Any) -> None:
    import dynres_rs as dr
    from vllm.transformers_utils.processors.minimax_m3 import MiniMaxM3VLImageProcessor

    theirs = MiniMaxM3VLImageProcessor()
    processor = dr.Processor("qwen2-vl", max_pixels=theirs.max_pixels)
    merged = theirs.merge_size**2
    found = [theirs.get_number_of_image_patches(*size) // merged for size in TOKEN_SIZES]
    assert processor.num_tokens(TOKEN_SIZES).tolist() == found
