"""`dynres_rs.transformers` for every class of the table: what is registered and when it is loaded,
the same results as upstream's, and calls that are left to upstream.

`test_transformers.py` looks at four classes closely; here each has a few calls.
"""

from __future__ import annotations

import importlib
import inspect
import json
import random
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest
from dynres_rs import hf
from PIL import Image
from strategies import noise
from test_transformers import unlike

#: Their classes take seconds to import, once more beside those of `test_transformers.py`.
pytestmark = pytest.mark.slow

IMAGES = hf.classes(video=False)
VIDEOS = hf.classes(video=True)
QWEN = "Qwen2VLImageProcessor"
#: Settings that keep a call small, where the class's own would not be.
SMALL: dict[str, dict[str, Any]] = {
    "AriaImageProcessor": {"max_image_size": 490},
    "DeepseekOcr2ImageProcessor": {"size": {"height": 128, "width": 128}, "tile_size": 96},
    "DonutImageProcessor": {"size": {"height": 120, "width": 90}},
    "Emu3ImageProcessor": {"min_pixels": 4096, "max_pixels": 16384},
    "FuyuImageProcessor": {"size": {"height": 120, "width": 180}},
    "Gemma4ImageProcessor": {"max_soft_tokens": 70},
    "Gemma4UnifiedImageProcessor": {"max_soft_tokens": 70},
    "GraniteDoclingImageProcessor": {"max_patches": 4},
    "Idefics3ImageProcessor": {
        "size": {"longest_edge": 128},
        "max_image_size": {"longest_edge": 64},
    },
    "SmolVLMImageProcessor": {
        "size": {"longest_edge": 128},
        "max_image_size": {"longest_edge": 64},
    },
    "Kosmos2_5ImageProcessor": {"max_patches": 128},
    "PPChart2TableImageProcessor": {"size": {"height": 64, "width": 64}},
    "PerceptionLMImageProcessor": {"tile_size": 64, "max_num_tiles": 4},
    "Pix2StructImageProcessor": {"max_patches": 128},
    "UnlimitedOcrImageProcessor": {"size": {"height": 128, "width": 128}, "tile_size": 96},
}
#: Results of upstream whose containers or digits ours do not have: see the documentation.
UPSTREAMS_OWN = {
    ("FuyuImageProcessor", None),
    ("FuyuImageProcessor", "np"),
    ("FuyuImageProcessorPil", None),
    ("FuyuImageProcessorPil", "np"),
    ("Llama4ImageProcessor", None),
    ("SmolVLMVideoProcessor", None),
    ("SmolVLMVideoProcessor", "pt"),
    ("Sam2VideoVideoProcessor", None),
    ("PeVideoVideoProcessor", None),
}


@pytest.fixture(scope="module")
def adapter(transformers: ModuleType) -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("dynres_rs.transformers")


@pytest.fixture(autouse=True)
def quiet(adapter: ModuleType) -> Iterator[None]:
    adapter._mixin._warned.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture
def enabled(adapter: ModuleType) -> Iterator[ModuleType]:
    adapter.enable()
    yield adapter
    adapter.disable()


def outcome(call: Callable[[], Any]) -> tuple[Any, list[str]]:
    """What a call returns or raises, and what this package says of it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = call()
        except Exception as error:
            result = error
    return result, [str(one.message) for one in caught if "dynres_rs" in str(one.message)]


def differs(theirs: Any, ours: Any) -> str | None:
    if isinstance(theirs, Exception) or isinstance(ours, Exception):
        same = type(theirs) is type(ours)
        return None if same else f"{ours!r:.200}, upstream {theirs!r:.200}"
    return unlike(theirs, ours)


def classes_of(adapter: ModuleType, name: str) -> dict[str, Any]:
    """Ours that stand for a class, by name: of both backends where there are two."""
    found = {}
    for each in (name, name + "Pil"):
        try:
            found[each] = getattr(adapter, each)
        except AttributeError:
            continue
    return found


def another_release(said: list[str]) -> bool:
    """Whether ours stepped aside since transformers is not the release that the table follows."""
    return (
        tuple(map(int, version("transformers").split(".")[:2])) < (5, 24)
        and "numbers are not those of this release" in said[0]
    )


# What is registered


@pytest.mark.oracle
def test_every_class_of_the_table_is_registered(
    enabled: ModuleType, transformers: ModuleType, tmp_path: Path
) -> None:
    types = enabled.model_types()
    assert len(types) >= 91
    auto = transformers.models.auto.image_processing_auto
    for name in sorted(set(types.values())):
        if not classes_of(enabled, name):
            assert not enabled._table.HAS_TORCHVISION, name
            continue
        folder = tmp_path / name
        folder.mkdir()
        text = json.dumps({"image_processor_type": name})
        (folder / "preprocessor_config.json").write_text(text, encoding="utf-8")
        made = auto.AutoImageProcessor.from_pretrained(folder)
        assert isinstance(made, enabled.ExactImages), name
        assert type(made) is getattr(enabled, type(made).__name__)
        assert made.to_dict()["image_processor_type"] == name
        enabled.disable()
        made = auto.AutoImageProcessor.from_pretrained(folder)
        assert not isinstance(made, enabled.ExactImages), name
        assert isinstance(
            auto.AutoImageProcessor.from_pretrained(folder, backend="dynres"), enabled.ExactImages
        )
        enabled.enable()


@pytest.mark.oracle
def test_names_that_there_are_not(adapter: ModuleType) -> None:
    for name in ("NoImageProcessor", "MaskFormerImageProcessor", "anything"):
        with pytest.raises(AttributeError, match=name):
            getattr(adapter, name)
    assert set(adapter.model_types().values()) <= set(dir(adapter))


@pytest.mark.oracle
def test_somebody_elses_registration_stays(enabled: ModuleType, transformers: ModuleType) -> None:
    auto = transformers.models.auto
    config = auto.configuration_auto.CONFIG_MAPPING["qwen2_vl"]
    mapping = auto.image_processing_auto.IMAGE_PROCESSOR_MAPPING
    own = type("OwnImageProcessor", (enabled._table.IMAGES.upstream(QWEN + "Pil"),), {})
    try:
        auto.image_processing_auto.AutoImageProcessor.register(
            config, image_processor_classes={"own": own}, exist_ok=True
        )
        assert mapping[config]["own"] is own
        assert issubclass(mapping[config]["pil"], enabled.ExactImages)
        assert auto.image_processing_auto.get_image_processor_class_from_name(own.__name__) is own
    finally:
        mapping._extra_content.pop(config, None)


LAZY = """
import sys, time
from transformers import AutoImageProcessor
before = set(sys.modules)
start = time.process_time()
import dynres_rs.transformers
dynres_rs.transformers.enable()
spent = time.process_time() - start
loaded = [name for name in set(sys.modules) - before if name.startswith("transformers.models.")]
print(spent, sorted(loaded))
"""


@pytest.mark.oracle
def test_nothing_is_loaded_before_it_is_asked_for(tmp_path: Path) -> None:
    """Of models; the auto class of videos is no model."""
    import os

    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    runs = []
    for _ in range(3):  # the first one compiles
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", LAZY],
            capture_output=True, text=True, check=True, env=environment,
        )  # fmt: skip
        runs.append(done.stdout.strip().splitlines()[-1].split(" ", 1))
    for _, loaded in runs:
        assert all(".auto" in name for name in json.loads(loaded.replace("'", '"')))
    assert min(float(spent) for spent, _ in runs) < 0.2


# Side by side


@pytest.mark.torch
@pytest.mark.parametrize("name", IMAGES)
def test_images(adapter: ModuleType, one_thread: ModuleType, name: str) -> None:
    """Every class, both backends: results, containers, errors; and our path runs."""
    calls: dict[str, Any] = {
        "picture": Image.fromarray(noise(1, 97, 140)),
        "two": [noise(2, 70, 120), noise(3, 90, 41)],
        "transparent": Image.fromarray(noise(4, 50, 60, 4)),
    }
    wrong = []
    for each, cls in classes_of(adapter, name).items():
        theirs, ours = (kind(**SMALL.get(name, {})) for kind in (cls._dynres_upstream, cls))
        for kind in (None, "np", "pt"):
            for label, images in calls.items():
                kwargs = {"return_tensors": kind}
                want, _ = outcome(lambda t=theirs, i=images, k=kwargs: t(i, **k))
                adapter._mixin._warned.clear()
                got, said = outcome(lambda o=ours, i=images, k=kwargs: o(i, **k))
                difference = differs(want, got)
                if difference is not None:
                    wrong.append(f"{each} {kind} {label}: {difference}")
                elif (
                    said
                    and (each, kind) not in UPSTREAMS_OWN
                    and label != "transparent"
                    and not another_release(said)
                ):
                    wrong.append(f"{each} {kind} {label}: {said}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.torch
@pytest.mark.parametrize("name", VIDEOS)
def test_videos(
    adapter: ModuleType, transformers: ModuleType, one_thread: ModuleType, name: str
) -> None:
    cls = getattr(adapter, name, None)
    if cls is None:
        assert not hasattr(transformers, name)
        pytest.skip(f"this release of transformers has no {name}")
    theirs, ours = cls._dynres_upstream(), cls()
    calls = {
        "one": np.stack([noise(n, 60, 84) for n in range(4)]),
        "two": [np.stack([noise(n, 60, 84) for n in range(6)])] * 2,
    }
    wrong = []
    for kind in (None, "pt"):
        for label, videos in calls.items():
            kwargs = {"return_tensors": kind, "do_sample_frames": False}
            want, _ = outcome(lambda v=videos, k=kwargs: theirs(v, **k))
            adapter._mixin._warned.clear()
            got, said = outcome(lambda v=videos, k=kwargs: ours(v, **k))
            difference = differs(want, got)
            if difference is not None:
                wrong.append(f"{kind} {label}: {difference}")
            elif said and (name, kind) not in UPSTREAMS_OWN and not another_release(said):
                wrong.append(f"{kind} {label}: {said}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["Emu3ImageProcessor", "VideoLlavaImageProcessor"])
def test_classes_without_a_backend(adapter: ModuleType, name: str) -> None:
    """Their `preprocess` shows upstream's arguments and marks, and a Pillow image of one or three
    rows is left to upstream, which takes the rows for channels."""
    cls = getattr(adapter, name)
    theirs, ours = (kind(**SMALL.get(name, {})) for kind in (cls._dynres_upstream, cls))
    assert inspect.signature(ours.preprocess) == inspect.signature(theirs.preprocess)
    assert vars(cls.preprocess).items() >= {
        (key, value)
        for key, value in vars(cls._dynres_upstream.preprocess).items()
        if key != "__wrapped__"
    }
    for height in (1, 2, 3, 4):
        picture = Image.fromarray(noise(height, height, 36))
        adapter._mixin._warned.clear()
        want, _ = outcome(lambda p=picture: theirs(p, return_tensors="pt"))
        got, said = outcome(lambda p=picture: ours(p, return_tensors="pt"))
        assert differs(want, got) is None, height
        assert bool(said) == (height in (1, 3) and not isinstance(want, Exception))


SWITCHES: list[dict[str, Any]] = [
    {},
    {"do_normalize": False},
    {"do_rescale": False},
    {"do_rescale": False, "do_normalize": False},
    {"do_resize": False},
    {"do_resize": False, "size": None},
    {"do_convert_rgb": False},
    {"do_center_crop": True},
    {"do_pad": True},
    {"do_pad": False},
    {"resample": 2},
    {"resample": 3},
    {"resample": 1},
    {"resample": 0},
    {"resample": None},
    {"rescale_factor": 0.01},
    {"image_mean": [0.4, 0.5, 0.6], "image_std": (0.2, 0.3, 0.25)},
    {"image_mean": 0.5},
    {"input_data_format": "channels_last"},
    {"input_data_format": "CHANNELS_LAST"},
    {"size": {"height": 70, "width": 50}},
    {"size": {"shortest_edge": 56, "longest_edge": 5000}},
    {"size": 64},
    {"min_pixels": 4000, "max_pixels": 9000},
    {"crop_to_patches": True},
    {"unknown": 1},
]


def random_picture(rng: random.Random) -> Any:
    height, width = (round(160 ** rng.uniform(0.3, 1.0)) for _ in range(2))
    array = noise(rng.randrange(10**6), height, width)
    kind = rng.randrange(9)
    if kind < 3:
        return array
    if kind < 6:
        return Image.fromarray(array)
    if kind == 6:
        return Image.fromarray(array).convert(rng.choice(("L", "RGBA", "P", "CMYK", "LA", "1")))
    return rng.choice(
        (
            array.transpose(2, 0, 1),
            array[:, :, 0],
            array.astype(np.float32),
            array / np.float32(255),
            array[::-1],
        )
    )


@pytest.mark.torch
@pytest.mark.parametrize("name", IMAGES)
def test_random_calls(adapter: ModuleType, one_thread: ModuleType, name: str) -> None:
    """Whatever is asked for, the result or the kind of error is upstream's."""
    rng = random.Random(name)
    wrong = []
    for each, cls in classes_of(adapter, name).items():
        theirs, ours = (kind(**SMALL.get(name, {})) for kind in (cls._dynres_upstream, cls))
        for _ in range(24):
            images: Any = [random_picture(rng) for _ in range(rng.choice((1, 1, 2, 3)))]
            form = rng.randrange(3)
            given = images[0] if form == 0 else images if form == 1 else [[i] for i in images]
            kwargs = {"return_tensors": rng.choice((None, "np", "pt")), **rng.choice(SWITCHES)}
            want, _ = outcome(lambda t=theirs, g=given, k=kwargs: t(g, **k))
            got, _ = outcome(lambda o=ours, g=given, k=kwargs: o(g, **k))
            if "INTERNAL ASSERT" in str(want):
                continue  # torch trips over itself: no answer of upstream's
            difference = differs(want, got)
            if difference is not None:
                sizes = [getattr(i, "size", None) or i.shape for i in images]
                wrong.append(f"{each} {kwargs} {form} {sizes}: {difference}")
    assert not wrong, "\n".join(wrong)


# What is left to upstream


@pytest.mark.torch
def test_threads_of_torch(adapter: ModuleType, torch: ModuleType) -> None:
    name = "Pix2StructImageProcessor"
    theirs, ours = (kind(max_patches=64) for kind in _pair(adapter, name))
    image = noise(1, 90, 120)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        want, _ = outcome(lambda: theirs(image))
        got, said = outcome(lambda: ours(image))
        assert unlike(want, got) is None
        assert "threads" in said[0]
        torch.set_num_threads(1)
        want, _ = outcome(lambda: theirs(image))
        got, said = outcome(lambda: ours(image))
        assert unlike(want, got) is None
        assert not said
    finally:
        torch.set_num_threads(threads)


def _pair(adapter: ModuleType, name: str) -> tuple[Any, Any]:
    ours = getattr(adapter, name)
    return ours._dynres_upstream, ours


@pytest.mark.oracle
def test_a_function_of_the_module_that_was_replaced(
    adapter: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls = getattr(adapter, QWEN + "Pil")
    theirs, ours = cls._dynres_upstream(), cls()
    image = noise(1, 120, 170)
    before, said = outcome(lambda: ours(image))
    assert not said
    module = sys.modules[cls._dynres_upstream.__module__]
    monkeypatch.setattr(module, "smart_resize", lambda height, width, **_: (56, 84))
    want, _ = outcome(lambda: theirs(image))
    got, said = outcome(lambda: ours(image))
    assert unlike(want, got) is None
    assert unlike(before, got) is not None
    assert "smart_resize was replaced" in said[0]
    monkeypatch.undo()
    adapter._mixin._warned.clear()
    got, said = outcome(lambda: ours(image))
    assert unlike(before, got) is None
    assert not said


@pytest.mark.oracle
@pytest.mark.parametrize("where", ["class", "base", "subclass", "object"])
def test_a_method_that_was_replaced_after_the_first_call(
    adapter: ModuleType, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    cls = getattr(adapter, QWEN + "Pil")
    sub = type("Own", (cls,), {})
    theirs, ours = cls._dynres_upstream(), sub()
    image = noise(1, 120, 170)
    assert not outcome(lambda: ours(image))[1]
    original = cls._dynres_upstream.rescale
    owner = {"class": cls, "base": cls._dynres_upstream, "subclass": sub, "object": ours}[where]

    def brighter(*args: Any, **kwargs: Any) -> Any:
        given = args if where != "object" else (ours, *args)
        return original(*given, **kwargs) * 2

    monkeypatch.setattr(owner, "rescale", brighter, raising=False)
    got, said = outcome(lambda: ours(image))
    assert "rescale" in said[0] or "object" in said[0]
    monkeypatch.undo()
    want, _ = outcome(lambda: theirs(image))
    assert unlike(want, got) is not None


@pytest.mark.torch
def test_an_override_deep_inside(adapter: ModuleType, torch: ModuleType) -> None:
    cls = adapter.Qwen2VLImageProcessor

    class Own(cls):  # type: ignore[misc, valid-type]
        def _fuse_mean_std_and_rescale_factor(self, **kwargs: Any) -> Any:
            mean, std, rescale = super()._fuse_mean_std_and_rescale_factor(**kwargs)
            return mean, std * 2, rescale

    image = noise(1, 60, 84)
    got, said = outcome(lambda: Own()(image))
    assert "_fuse_mean_std_and_rescale_factor was replaced" in said[0]
    assert unlike(cls()(image), got) is not None


@pytest.mark.oracle
def test_a_subclass_with_a_path_of_its_own(adapter: ModuleType) -> None:
    """Its `_preprocess` gets images as upstream's would."""
    cls = getattr(adapter, QWEN + "Pil")
    seen = []

    class Own(cls):  # type: ignore[misc, valid-type]
        def _preprocess(self, images: Any, *args: Any, **kwargs: Any) -> Any:
            seen.extend(images)
            return super()._preprocess(images, *args, **kwargs)

    image = noise(1, 60, 84)
    assert unlike(cls()(image), Own()(image)) is None
    assert seen[0].shape == (3, 60, 84)


@pytest.mark.oracle
@pytest.mark.parametrize(
    "name", [n + "ImageProcessor" for n in ("Pixtral", "Fuyu", "Pix2Struct", "Kosmos2_5")]
)
def test_patches_that_are_no_squares(
    adapter: ModuleType, transformers: ModuleType, name: str
) -> None:
    """Upstream's own code makes them."""
    patch = {"height": 16, "width": 8}
    image = noise(1, 60, 84)
    config = {"image_processor_type": name, "patch_size": patch}
    with pytest.raises(ValueError, match="patch_size: must be a square"):
        dr.Processor.from_config(config)
    for each, cls in classes_of(adapter, name).items():
        theirs, _ = outcome(lambda each=each: getattr(transformers, each)(patch_size=patch)(image))
        adapter._mixin._warned.clear()  # both names may be of one class
        ours, said = outcome(lambda cls=cls: cls(patch_size=patch)(image))
        assert differs(theirs, ours) is None, each
        assert isinstance(theirs, Exception) or "must be a square" in said[0], each


FAULTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "no size": (noise(1, 56, 84), {"size": None, "do_resize": False}),
    "nested grey": ([[noise(1, 56, 84)[..., 0]]], {}),
    "nested stack": ([[np.stack([noise(1, 56, 84)] * 2)]], {}),
    "a filter's name": (noise(1, 56, 90), {"resample": "bicubic"}),
    "a number of numpy": (noise(1, 56, 90), {"resample": np.int64(3)}),
    "capitals": (noise(1, 56, 90), {"input_data_format": "CHANNELS_LAST"}),
}


@pytest.mark.oracle
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", [QWEN, "GotOcr2ImageProcessor", "CLIPImageProcessor"])
def test_faults_that_were(adapter: ModuleType, name: str, fault: str) -> None:
    images, kwargs = FAULTS[fault]
    for cls in classes_of(adapter, name).values():
        theirs, ours = cls._dynres_upstream(), cls()
        want, _ = outcome(lambda t=theirs: t(images, **kwargs))
        got, _ = outcome(lambda o=ours: o(images, **kwargs))
        assert differs(want, got) is None


@pytest.mark.oracle
def test_no_number_of_tiles(adapter: ModuleType) -> None:
    for cls in classes_of(adapter, "GotOcr2ImageProcessor").values():
        made = [kind(crop_to_patches=True) for kind in (cls._dynres_upstream, cls)]
        for processor in made:
            processor.max_patches = None
        want, got = (outcome(lambda p=p: p(noise(1, 60, 90)))[0] for p in made)
        assert differs(want, got) is None


@pytest.mark.oracle
def test_types_of_arguments_stand_beside_their_classes(adapter: ModuleType) -> None:
    for name in IMAGES:
        for cls in classes_of(adapter, name).values():
            plain = cls._dynres_upstream.__name__.removesuffix("Pil")
            found = vars(sys.modules[cls.__module__]).get(f"{plain}Kwargs")
            own = vars(sys.modules[cls._dynres_upstream.__module__]).get(f"{plain}Kwargs")
            assert found is own
            assert found is None or found is cls.valid_kwargs
