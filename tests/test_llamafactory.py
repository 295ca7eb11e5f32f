"""`dynres_rs.llamafactory` against the rule in Pillow's own calls, on a stand-in with
LLaMA-Factory's names, and on its own classes where it is installed."""

import importlib
import importlib.machinery
import importlib.util
import math
import sys
import types
from collections.abc import Iterator
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest
from dynres_rs import llamafactory
from PIL import Image
from strategies import noise


def plain_scale(image: Any, pixels: int) -> Any:
    factor = math.sqrt(pixels / (image.width * image.height))
    return image.resize((int(image.width * factor), int(image.height * factor)))


def stand_in() -> Any:
    """New classes with the package's names: the rules of 0.9.5, by Pillow."""

    class MMPluginMixin:
        def _preprocess_image(
            self, image: Any, image_max_pixels: int, image_min_pixels: int, **kwargs: Any
        ) -> Any:
            if image.width * image.height > image_max_pixels:
                image = plain_scale(image, image_max_pixels)
            if image.width * image.height < image_min_pixels:
                image = plain_scale(image, image_min_pixels)
            return image.convert("RGB") if image.mode != "RGB" else image

    class BasePlugin(MMPluginMixin):
        pass

    class Qwen2VLPlugin(BasePlugin):
        def _preprocess_image(self, image: Any, **kwargs: Any) -> Any:
            image = super()._preprocess_image(image, **kwargs)
            if min(image.width, image.height) < 28:
                image = image.resize((max(image.width, 28), max(image.height, 28)))
            if image.width / image.height > 200:
                image = image.resize((image.height * 180, image.height))
            if image.height / image.width > 200:
                image = image.resize((image.width, image.width * 180))
            return image

    class Qwen3VLPlugin(Qwen2VLPlugin):
        pass

    module: Any = types.ModuleType("stand_in")
    for cls in (MMPluginMixin, BasePlugin, Qwen2VLPlugin, Qwen3VLPlugin):
        setattr(module, cls.__name__, cls)
    return module


@pytest.fixture
def module() -> Iterator[Any]:
    yield stand_in()
    llamafactory.unpatch()


LIMITS = [
    {"image_max_pixels": 768 * 768, "image_min_pixels": 32 * 32},
    {"image_max_pixels": 9000, "image_min_pixels": 100},
    {"image_max_pixels": 10**7, "image_min_pixels": 90000},
]


def pictures() -> Iterator[Any]:
    sizes = [(300, 500), (1200, 900), (20, 5000), (5000, 20), (9, 13), (2, 450), (700, 3)]
    for n, (height, width) in enumerate(sizes):
        yield Image.fromarray(noise(n, height, width))
    for mode, channels in (("RGBA", 4), ("L", 1), ("LA", 2), ("CMYK", 4)):
        yield Image.frombytes(mode, (120, 90), noise(3, 90, 120, channels).tobytes())
    yield Image.fromarray(noise(3, 90, 120)).quantize(20)
    yield Image.fromarray(noise(3, 90, 120)).convert("1")


def same_image(got: Any, want: Any) -> None:
    assert (got.mode, got.size) == (want.mode, want.size)
    assert got.tobytes() == want.tobytes()


@pytest.mark.parametrize("limits", LIMITS)
def test_patch(module: Any, limits: dict[str, int]) -> None:
    plugins = {name: getattr(module, name)() for name in ("BasePlugin", "Qwen3VLPlugin")}
    want = [[p._preprocess_image(i, **limits) for i in pictures()] for p in plugins.values()]
    originals = [vars(module.MMPluginMixin)["_preprocess_image"]]
    llamafactory.patch(module)
    llamafactory.patch(module)
    got = [[p._preprocess_image(i, **limits) for i in pictures()] for p in plugins.values()]
    for before, after in zip(want, got, strict=True):
        for a, b in zip(before, after, strict=True):
            same_image(b, a)
    assert vars(module.MMPluginMixin)["_preprocess_image"] is not originals[0]
    llamafactory.unpatch()
    assert vars(module.MMPluginMixin)["_preprocess_image"] is originals[0]


@pytest.mark.parametrize("limits", LIMITS)
def test_functions(module: Any, limits: dict[str, int]) -> None:
    base, qwen = module.BasePlugin(), module.Qwen2VLPlugin()
    for image in pictures():
        ours = llamafactory.preprocess_image(image, **limits, video_fps=2.0)
        same_image(ours, base._preprocess_image(image, **limits))
        ours = llamafactory.preprocess_image_qwen2_vl(image, **limits)
        same_image(ours, qwen._preprocess_image(image, **limits))


def test_what_fits_is_left_alone(module: Any) -> None:
    image = Image.fromarray(noise(1, 50, 60))
    assert llamafactory.preprocess_image(image, 10**6, 0) is image


def test_a_side_of_zero_is_refused(module: Any) -> None:
    image = Image.fromarray(noise(1, 2, 3000))
    with pytest.raises(ValueError, match="height and width"):
        module.BasePlugin()._preprocess_image(image, 100, 0)
    with pytest.raises(ValueError, match="height and width"):
        llamafactory.preprocess_image(image, 100, 0)


def test_two_resizes_in_a_row(module: Any) -> None:
    """The trainer's, then the processor's own: both exact."""
    image = Image.fromarray(noise(1, 600, 800))
    limits = {"image_max_pixels": 100_000, "image_min_pixels": 1024}
    processor = dr.Processor("qwen2-vl", numerics="pillow")
    want = processor(module.Qwen2VLPlugin()._preprocess_image(image, **limits))
    got = processor(llamafactory.preprocess_image_qwen2_vl(image, **limits))
    assert np.array_equal(got["pixel_values"], want["pixel_values"])


def _round(module: Any) -> None:
    def rounded(self: Any, image: Any, image_max_pixels: int, **kwargs: Any) -> Any:
        factor = min(1.0, math.sqrt(image_max_pixels / (image.width * image.height)))
        size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
        return image.resize(size).convert("RGB")

    module.MMPluginMixin._preprocess_image = rounded


def _other_side(module: Any) -> None:
    base = module.BasePlugin

    def at_least_32(self: Any, image: Any, **kwargs: Any) -> Any:
        image = base._preprocess_image(self, image, **kwargs)
        return image.resize((max(image.width, 32), max(image.height, 32)))

    module.Qwen2VLPlugin._preprocess_image = at_least_32


def _gone(module: Any) -> None:
    del module.Qwen2VLPlugin._preprocess_image


@pytest.mark.parametrize("change", [_round, _other_side, _gone])
def test_other_rules_are_not_patched(module: Any, change: Any) -> None:
    change(module)
    before = dict(vars(module.MMPluginMixin))
    with pytest.raises(ImportError, match=r"0\.9\.5"):
        llamafactory.patch(module)
    assert dict(vars(module.MMPluginMixin)) == before


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llamafactory", None)
    with pytest.raises(ImportError, match="needs llamafactory"):
        llamafactory.patch()


@pytest.mark.torch
def test_its_own_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The released file, with stand-ins for the heavy packages that it imports and this method
    does not use."""
    spec = importlib.util.find_spec("llamafactory")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("llamafactory is not installed")
    root = spec.submodule_search_locations[0]
    for name in ("llamafactory", "llamafactory.data", "llamafactory.extras"):
        folder: Any = types.ModuleType(name)
        folder.__path__ = [root + name.removeprefix("llamafactory").replace(".", "/")]
        monkeypatch.setitem(sys.modules, name, folder)
    for name in ("peft", "peft.utils", "torchaudio"):
        stub = types.ModuleType(name)
        stub.__spec__ = importlib.machinery.ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, stub)
    peft: Any = sys.modules["peft.utils"]
    peft.SAFETENSORS_WEIGHTS_NAME = peft.WEIGHTS_NAME = ""
    module: Any = importlib.import_module("llamafactory.data.mm_plugin")
    try:
        plugins = [object.__new__(getattr(module, n)) for n in ("BasePlugin", "Qwen2VLPlugin")]
        want = [[p._preprocess_image(i, **LIMITS[1]) for i in pictures()] for p in plugins]
        llamafactory.patch()
        method = module.Qwen2VLPlugin._preprocess_image
        assert method.__module__ == "dynres_rs.llamafactory"
        got = [[p._preprocess_image(i, **LIMITS[1]) for i in pictures()] for p in plugins]
    finally:
        llamafactory.unpatch()
        for name in [n for n in sys.modules if n.startswith("llamafactory")]:
            monkeypatch.delitem(sys.modules, name, raising=False)
    for before, after in zip(want, got, strict=True):
        for a, b in zip(before, after, strict=True):
            same_image(b, a)
