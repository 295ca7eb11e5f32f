"""`dynres_rs.transformers` beside the classes it stands in for: same types, dtypes, shapes, bits,
errors.

Upstream's own warnings are switched off, ours are not: a call that leaves the fast path fails
unless the test says that it must.
"""

import copy
import importlib
import json
import pickle
import pkgutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import golden_cases
import numpy as np
import pytest
from PIL import Image
from strategies import noise, one_quick

pytestmark = pytest.mark.oracle

CLASSES = {
    "Qwen2VLImageProcessor": "qwen2_vl",
    "GotOcr2ImageProcessor": "got_ocr2",
    "DeepseekVLImageProcessor": "deepseek_vl",
    "DeepseekVLHybridImageProcessor": "deepseek_vl_hybrid",
}
BACKENDS = ["pil", pytest.param("torchvision", marks=pytest.mark.torch)]
SMALL = {
    "Qwen2VLImageProcessor": {"size": {"shortest_edge": 3136, "longest_edge": 50176}},
    "GotOcr2ImageProcessor": {"size": {"height": 56, "width": 56}, "crop_to_patches": True},
    "DeepseekVLImageProcessor": {"size": {"height": 56, "width": 56}},
    "DeepseekVLHybridImageProcessor": {
        "size": {"height": 28, "width": 28},
        "high_res_size": {"height": 84, "width": 84},
    },
}
PIL_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "I;16", "F")


@pytest.fixture(autouse=True)
def only_our_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", message="dynres_rs")
        yield


@pytest.fixture(scope="module")
def adapter(transformers: ModuleType) -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("dynres_rs.transformers")


@pytest.fixture(autouse=True)
def forgotten(adapter: ModuleType) -> None:
    """Warnings that are said once are said in each test."""
    adapter._mixin._warned.clear()


@pytest.fixture
def enabled(adapter: ModuleType) -> Iterator[ModuleType]:
    adapter.enable()
    yield adapter
    adapter.disable()


def theirs_class(name: str, backend: str) -> Any:
    infix, suffix = ("pil_", "Pil") if backend == "pil" else ("", "")
    model = CLASSES[name]
    path = f"transformers.models.{model}.image_processing_{infix}{model}"
    return getattr(importlib.import_module(path), name + suffix)


def ours_class(adapter: ModuleType, name: str, backend: str) -> Any:
    return getattr(adapter, name + ("Pil" if backend == "pil" else ""))


def model_folder(folder: Path, name: str, **config: Any) -> Path:
    folder.mkdir(exist_ok=True)
    text = json.dumps({"image_processor_type": name, **config})
    (folder / "preprocessor_config.json").write_text(text, encoding="utf-8")
    return folder


def unlike(theirs: Any, ours: Any, where: str = "result") -> str | None:
    """The first difference in type, dtype, shape or bits, through all containers."""
    if type(theirs) is not type(ours):
        return f"{where}: {type(ours).__name__}, upstream {type(theirs).__name__}"
    if hasattr(theirs, "keys"):
        if list(theirs) != list(ours):
            return f"{where}: keys {list(ours)}, upstream {list(theirs)}"
        found = (unlike(theirs[key], ours[key], f"{where}[{key!r}]") for key in theirs)
        return next(filter(None, found), None)
    if isinstance(theirs, list | tuple):
        if len(theirs) != len(ours):
            return f"{where}: {len(ours)} items, upstream {len(theirs)}"
        items = enumerate(zip(theirs, ours, strict=True))
        found = (unlike(a, b, f"{where}[{i}]") for i, (a, b) in items)
        return next(filter(None, found), None)
    if hasattr(theirs, "dtype"):
        if theirs.dtype != ours.dtype or tuple(theirs.shape) != tuple(ours.shape):
            return (
                f"{where}: {ours.dtype} {tuple(ours.shape)}, upstream {theirs.dtype}"
                f" {tuple(theirs.shape)}"
            )
        if hasattr(theirs, "detach"):
            theirs, ours = (tensor.detach().double() for tensor in (theirs, ours))
        a, b = np.ascontiguousarray(theirs), np.ascontiguousarray(ours)
        if a.tobytes() == b.tobytes():
            return None
        wrong = a != b
        return f"{where}: {int(wrong.sum())} of {a.size} values differ"
    return None if theirs == ours else f"{where}: {ours!r}, upstream {theirs!r}"


def same_or_same_error(theirs: Any, ours: Any, images: Any, call: dict[str, Any]) -> str:
    """Both return the same, or raise the same class; says which."""
    try:
        want = theirs(images, **call)
    except Exception as error:
        with pytest.raises(type(error)) as caught:
            ours(images, **call)
        assert type(caught.value) is type(error)
        return type(error).__name__
    difference = unlike(want, ours(images, **call))
    assert difference is None, difference
    return "equal"


def picture(mode: str, seed: int, height: int, width: int) -> Image.Image:
    size = (width, height)
    if mode == "1":
        return picture("L", seed, height, width).convert("1")
    if mode == "P":
        return picture("RGB", seed, height, width).quantize(40)
    if mode == "F":
        values = noise(seed, height, width, 1)[:, :, 0]
        return Image.fromarray(values.astype(np.float32))
    channels = {"L": 1, "LA": 2, "I;16": 2, "RGB": 3, "YCbCr": 3, "HSV": 3}.get(mode, 4)
    return Image.frombytes(mode, size, noise(seed, height, width, channels).tobytes())


# Goldens


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("numerics", one_quick([None, "torchvision", "pillow-13"]))
def test_goldens_of_images(adapter: ModuleType, numerics: str | None, backend: str) -> None:
    """Every case of `images.json`, by the backend that recorded it or with its numbers pinned."""
    wanted = numerics or {"pil": "pillow-13", "torchvision": "torchvision"}[backend]
    if numerics is None and backend == "pil":
        from dynres_rs.numerics import installed_pillow

        if installed_pillow() != "pillow-13":
            pytest.skip("the PIL backend's goldens are those of Pillow 13")
    made: dict[str, Any] = {}
    count = 0
    for case in golden_cases.image_cases():
        if case.numerics != wanted:
            continue
        name = "Qwen2VLImageProcessor" if "qwen" in case.family else "GotOcr2ImageProcessor"
        if case.family not in made:
            cls = ours_class(adapter, name, backend)
            made[case.family] = cls(numerics=numerics, **case.config)
        images = [Image.fromarray(golden_cases.make(image)) for image in case.images]
        result = made[case.family](images, return_tensors="np")
        golden_cases.check(case, result)
        count += 1
    assert count == {"pillow-13": 120, "torchvision": 118}[wanted]


@pytest.mark.parametrize("backend", BACKENDS)
def test_goldens_of_families(adapter: ModuleType, backend: str) -> None:
    """The default processors of `families.json` that use one of our classes."""
    types = {key: name for key, name in adapter.model_types().items() if name in CLASSES}
    config = golden_cases.load("families.json")["configs"]
    numerics = golden_cases.NUMERICS_OF_BACKEND[backend]
    count = 0
    for case in golden_cases.family_cases(types):
        if case.numerics != numerics:
            continue
        name = types[case.family]
        class_name = name + ("Pil" if backend == "pil" else "")
        assert class_name in config
        if class_name not in case.id:
            continue
        cls = ours_class(adapter, name, backend)
        images = [Image.fromarray(golden_cases.make(image)) for image in case.images]
        result = cls(numerics=numerics, **case.config)(images, return_tensors="np", **case.kwargs)
        golden_cases.check(case, result)
        count += 1
    assert count > 40


# Side by side


@pytest.mark.parametrize("name", CLASSES)
def test_enable_changes_nothing(
    adapter: ModuleType, transformers: ModuleType, name: str, tmp_path: Path
) -> None:
    """A script that knows only transformers: 200 images of random sizes and modes, PIL backend."""
    auto = transformers.AutoImageProcessor
    folder = model_folder(tmp_path / "model", name, **SMALL[name])
    generator = np.random.Generator(np.random.PCG64(11))
    images = []
    for n in range(200):
        height, width = (int(side) for side in np.exp(generator.uniform(2.6, 5.3, 2)))
        images.append(picture(PIL_MODES[n % len(PIL_MODES)], n, height, width))
    kwargs: dict[str, Any] = {"do_convert_rgb": True, "return_tensors": "np"}
    processor = auto.from_pretrained(folder, backend="pil")
    assert not isinstance(processor, adapter.ExactImages)
    want = [processor(image, **kwargs) for image in images]
    adapter.enable()
    try:
        processor = auto.from_pretrained(folder, backend="pil")
        assert isinstance(processor, adapter.ExactImages)
        got = [processor(image, **kwargs) for image in images]
        whole = processor(images[:20], **kwargs)
    finally:
        adapter.disable()
    differences = [unlike(a, b, str(n)) for n, (a, b) in enumerate(zip(want, got, strict=True))]
    assert not list(filter(None, differences))
    joined = np.concatenate([part["pixel_values"] for part in want[:20]])
    assert joined.tobytes() == np.ascontiguousarray(whole["pixel_values"]).tobytes()


FAST_CALLS: dict[str, dict[str, Any]] = {
    "plain": {},
    "numpy": {"return_tensors": "np"},
    "no rescaling": {"do_rescale": False},
    "no normalising": {"do_normalize": False},
    "neither": {"do_rescale": False, "do_normalize": False, "return_tensors": "np"},
    "another factor": {"rescale_factor": 0.007},
    "bilinear": {"resample": 2},
    "lanczos": {"resample": Image.Resampling.LANCZOS},
    "device": {"device": "cpu"},
    "None": {"input_data_format": None, "device": None},
    "disable_grouping": {"disable_grouping": False},
    "center crop is ignored": {"do_center_crop": True, "crop_size": 20},
}
SLOW_CALLS: dict[str, dict[str, Any]] = {
    "nearest": {"resample": 0},
    "nearest, tiny": {"resample": Image.Resampling.NEAREST, "rescale_factor": 0.5},
}
CLASS_CALLS: dict[str, dict[str, dict[str, Any]]] = {
    "Qwen2VLImageProcessor": {
        "size": {"size": {"shortest_edge": 4000, "longest_edge": 9000}},
        "min and max": {"min_pixels": 9000, "max_pixels": 20000},
        "max alone": {"max_pixels": 9000},
        "patches": {"patch_size": 16, "merge_size": 1, "temporal_patch_size": 3},
        "mean": {"image_mean": [0.5, 0.4, 0.3], "image_std": (0.2, 0.3, 0.4)},
        "pad is ignored": {"do_pad": True, "pad_size": {"height": 9, "width": 9}},
    },
    "GotOcr2ImageProcessor": {
        "no tiles": {"crop_to_patches": False},
        "tiles": {"min_patches": 2, "max_patches": 5},
        "one tile": {"max_patches": 1},
        "some tiles": {"min_patches": 5, "max_patches": 6},
        "not square": {"size": {"height": 40, "width": 70}},
        "not square, no tiles": {"size": {"height": 40, "width": 70}, "crop_to_patches": False},
        "tiles without resizing": {"do_resize": False},
        "one number": {"size": 48},
    },
    "DeepseekVLImageProcessor": {
        "size": {"size": {"height": 70, "width": 70}},
        "min_size": {"min_size": 30},
        "tensors of one shape": {"return_tensors": "np"},
    },
    "DeepseekVLHybridImageProcessor": {
        "sizes": {
            "size": {"height": 70, "width": 70},
            "high_res_size": {"height": 50, "width": 50},
        },
        "another filter": {"high_res_resample": 2},
        "low mean": {"image_std": [0.2, 0.3, 0.4], "high_res_image_std": [0.1, 0.1, 0.2]},
    },
}
FAST = [
    pytest.param(name, call, id=f"{name}-{key}")
    for name in CLASSES
    for key, call in {**FAST_CALLS, **CLASS_CALLS[name]}.items()
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("name", "call"), FAST)
def test_calls(adapter: ModuleType, name: str, call: dict[str, Any], backend: str) -> None:
    config = SMALL[name]
    theirs = theirs_class(name, backend)(**config)
    ours = ours_class(adapter, name, backend)(**config)
    inputs: dict[str, Any] = {
        "array": noise(1, 60, 83),
        "tall": noise(2, 211, 40),
        "two": [noise(3, 60, 83), noise(4, 31, 77)],
        "nested": [[noise(3, 60, 83)], [noise(4, 30, 70), noise(5, 60, 83)]],
        "stack": np.stack([noise(6, 40, 41), noise(7, 40, 41)]),
        "channels first": noise(8, 60, 83).transpose(2, 0, 1),
        "picture": picture("RGB", 9, 57, 90),
        "transparent": picture("RGB", 9, 57, 90)
        if "Deepseek" in name
        else picture("RGBA", 9, 7, 90),
    }
    outcomes = {
        key: same_or_same_error(theirs, ours, images, call) for key, images in inputs.items()
    }
    assert set(outcomes.values()) == {"equal"}, outcomes


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("call", SLOW_CALLS)
def test_what_may_be_anything_is_upstreams(
    adapter: ModuleType, call: str, name: str, backend: str
) -> None:
    """torchvision has a rule of its own for nearest; some classes take it, a 0, for no argument."""
    theirs = theirs_class(name, backend)(**SMALL[name])
    ours = ours_class(adapter, name, backend)(**SMALL[name])
    image = noise(1, 60, 83)
    kwargs = SLOW_CALLS[call]
    with pytest.warns(UserWarning, match="dynres_rs: .* used transformers' own path"):
        got = ours(image, **kwargs)
    assert unlike(theirs(image, **kwargs), got) is None
    assert unlike(got, ours(image, **kwargs)) is None  # and does not warn again


@pytest.mark.parametrize("name", CLASSES)
def test_nearest_of_pillow_is_ours(adapter: ModuleType, name: str) -> None:
    options = {**SMALL[name], "resample": 0}
    if "Hybrid" in name:
        options["high_res_resample"] = 0
    theirs = theirs_class(name, "pil")(**options)
    ours = ours_class(adapter, name, "pil")(**options)
    image = noise(1, 60, 83)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="dynres_rs: .* used transformers' own path")
        got = ours(image)
    assert unlike(theirs(image), got) is None


ODD_INPUTS: dict[str, Callable[[], Any]] = {
    "grey array": lambda: noise(1, 60, 83, 1),
    "alpha array": lambda: noise(1, 60, 83, 4),
    "alpha array, channels first": lambda: noise(1, 60, 83, 4).transpose(2, 0, 1),
    "two axes": lambda: noise(1, 60, 83, 1)[:, :, 0],
    "three rows": lambda: noise(1, 3, 83),
    "three columns": lambda: noise(1, 60, 3),
    "one row": lambda: noise(1, 1, 30),
    "negative strides": lambda: noise(1, 60, 83)[::-1],
    "every other column": lambda: noise(1, 60, 83)[:, ::2],
    "read-only": lambda: np.frombuffer(noise(1, 60, 83).tobytes(), np.uint8).reshape(60, 83, 3),
    "whole floats": lambda: noise(1, 60, 83).astype(np.float32),
    "whole doubles": lambda: noise(1, 60, 83).astype(np.float64),
    "black floats": lambda: np.zeros((60, 83, 3), np.float32),
    "fractions": lambda: noise(1, 60, 83) / np.float32(256),
    "wide fractions": lambda: noise(1, 60, 83) / np.float32(3),
    "negative": lambda: noise(1, 60, 83).astype(np.int16) - 300,
    "words": lambda: noise(1, 60, 83).astype(np.uint16),
    "other byte order": lambda: noise(1, 60, 83).astype(">f4"),
    "half": lambda: noise(1, 60, 83).astype(np.float16),
    "not a number": lambda: noise(1, 60, 83) * np.float32("nan"),
    "booleans": lambda: noise(1, 60, 83) > 9,
    "no images": list,
    "None": lambda: None,
    "a number": lambda: 3,
    "an empty sample": lambda: [[], [noise(1, 60, 83)]],
    "no such file": lambda: "there-is-no-such-file.png",
    "no pixels": lambda: np.zeros((0, 4, 3), np.uint8),
    "no pixels, picture": lambda: Image.new("RGB", (0, 4)),
    "too long": lambda: noise(1, 2, 1000),
    "mixed": lambda: [noise(1, 60, 83), [noise(1, 60, 83)]],
    "two channels": lambda: noise(1, 60, 83, 2),
    "masked": lambda: np.ma.masked_array(noise(1, 60, 83)),
    **{f"mode {mode}": lambda mode=mode: picture(mode, 4, 60, 83) for mode in PIL_MODES},
}
ODD_CALLS: dict[str, dict[str, Any]] = {
    "plain": {},
    "convert": {"do_convert_rgb": True},
    "convert not": {"do_convert_rgb": False},
    "without resizing": {"do_resize": False},
    "bytes": {"do_rescale": False, "do_normalize": False},
    "rescaling only": {"do_normalize": False},
    "normalising only": {"do_rescale": False},
    "channels last": {"input_data_format": "channels_last"},
    "channels first": {"input_data_format": "channels_first"},
    "one mean": {"image_mean": 0.5, "image_std": 0.5},
    "short mean": {"image_mean": [0.5], "image_std": [0.5]},
    "integers": {"image_mean": [0, 1, 0], "image_std": [1, 1, 1]},
    "no deviation": {"image_mean": [0.5] * 3, "image_std": [0.0, 0.5, 0.5]},
    "no size": {"size": {"shortest_edge": 50}},
    "a box": {"size": {"max_height": 50, "max_width": 40}},
    "no resample": {"resample": None},
    "small patches": {"patch_size": 3, "merge_size": 3, "temporal_patch_size": 1},
    "no patches": {"patch_size": 0},
    "too few": {"min_patches": 7, "max_patches": 3},
    "no tiles": {"min_patches": 0, "max_patches": 0},
    "box": {"resample": 4},
    "no padding": {"do_pad": False},
    "a typo": {"do_rezise": False},
    "a string": {"return_tensors": "pandas"},
    "budget": {"size": {"shortest_edge": 9000, "longest_edge": 3136}},
    "zero budget": {"size": {"shortest_edge": 0, "longest_edge": 3136}},
}


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CLASSES)
def test_odd_calls(adapter: ModuleType, name: str, backend: str) -> None:
    """Every odd input with every odd argument: the same bits or the same class of error, by
    whichever path."""
    theirs = theirs_class(name, backend)(**SMALL[name])
    ours = ours_class(adapter, name, backend)(**SMALL[name])
    wrong = []
    seen: dict[str, int] = {}
    for kind, make in ODD_INPUTS.items():
        for what, call in ODD_CALLS.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    outcome = same_or_same_error(theirs, ours, make(), call)
                except (AssertionError, pytest.fail.Exception) as error:
                    wrong.append(f"{kind}, {what}: {str(error)[:200]}")
                except Exception as error:
                    wrong.append(f"{kind}, {what}: {type(error).__name__} {str(error)[:200]}")
                else:
                    seen[outcome] = seen.get(outcome, 0) + 1
    assert not wrong, "\n".join(wrong)
    assert seen["equal"] > 100
    assert len(seen) > 2, seen


@pytest.mark.torch
@pytest.mark.parametrize("backend", ["pil", "torchvision"])
@pytest.mark.parametrize("name", CLASSES)
def test_tensors(adapter: ModuleType, torch: ModuleType, name: str, backend: str) -> None:
    theirs = theirs_class(name, backend)(**SMALL[name])
    ours = ours_class(adapter, name, backend)(**SMALL[name])
    image = torch.from_numpy(noise(1, 60, 83))
    first = image.permute(2, 0, 1).contiguous()
    for images in (image, first, [image, first], torch.stack([image, image]), image.flip(0)):
        for kind in (None, "np", "pt"):
            call = {"return_tensors": kind}
            assert same_or_same_error(theirs, ours, images, call) == "equal"


@pytest.mark.torch
@pytest.mark.parametrize("name", CLASSES)
def test_odd_tensors(adapter: ModuleType, torch: ModuleType, name: str) -> None:
    image = torch.from_numpy(noise(1, 60, 83))
    odd = {
        "floats": image.float(),
        "fractions": image / 255,
        "half": image.half(),
        "brain": image.bfloat16(),
        "gradient": image.float().requires_grad_(),
        "meta": image.to("meta"),
        "sparse": image.to_sparse(),
        "words": image.to(torch.int32),
        "parameter": torch.nn.Parameter(image.float()),
    }
    for backend in ("pil", "torchvision"):
        theirs = theirs_class(name, backend)(**SMALL[name])
        ours = ours_class(adapter, name, backend)(**SMALL[name])
        for kind, tensor in odd.items():
            for call in ({}, {"do_resize": False}, {"do_rescale": False}):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    if kind == "meta":
                        continue
                    outcome = same_or_same_error(theirs, ours, tensor, call)
                    assert outcome, (kind, backend)


@pytest.mark.torch
def test_the_moments_of_torch(adapter: ModuleType, torch: ModuleType) -> None:
    """A default dtype or device other than torch's own changes upstream's numbers."""
    name = "Qwen2VLImageProcessor"
    theirs = theirs_class(name, "torchvision")(**SMALL[name])
    ours = ours_class(adapter, name, "torchvision")(**SMALL[name])
    image = noise(1, 60, 83)
    torch.set_default_dtype(torch.bfloat16)
    try:
        with pytest.warns(UserWarning, match="default dtype"):
            got = ours(image)
        assert unlike(theirs(image), got) is None
    finally:
        torch.set_default_dtype(torch.float32)
    with torch.device("meta"), pytest.warns(UserWarning, match="default device"):
        got = ours(image)
    assert got["image_grid_thw"].device.type == "meta"
    with pytest.warns(UserWarning, match="device='meta'"):
        assert ours(image, device="meta")["pixel_values"].device.type == "meta"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CLASSES)
def test_opened_files(adapter: ModuleType, name: str, backend: str, tmp_path: Path) -> None:
    """JPEGs that are opened and not decoded: turned by nobody, and Pillow decodes none of them."""
    theirs = theirs_class(name, backend)(**SMALL[name])
    ours = ours_class(adapter, name, backend)(**SMALL[name])
    for mode, orientation in (("RGB", 1), ("RGB", 6), ("L", 1), ("CMYK", 1)):
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / f"{mode}{orientation}.jpg"
        Image.fromarray(noise(1, 60, 83)).convert(mode).save(path, exif=exif)
        with Image.open(path) as first:  # a few pixels of it are compared with upstream's
            ours(first, do_convert_rgb=True)
        with Image.open(path) as one, Image.open(path) as other:
            want = theirs(one, do_convert_rgb=True)
            assert unlike(want, ours(other, do_convert_rgb=True)) is None
            assert not one.tile
            assert bool(other.tile) == (mode != "CMYK")


def test_whole_floats_are_fast(adapter: ModuleType) -> None:
    """What qwen-vl-utils hands over: the warnings filter makes another path an error."""
    image = noise(1, 56, 84).astype(np.float32)
    for name in ("Qwen2VLImageProcessor", "GotOcr2ImageProcessor"):
        theirs, ours = theirs_class(name, "pil")(), ours_class(adapter, name, "pil")()
        assert unlike(theirs(image), ours(image)) is None
        if name.startswith("Qwen"):
            assert unlike(theirs(image, do_resize=False), ours(image, do_resize=False)) is None


@pytest.mark.torch
def test_whole_floats_without_resizing_are_fast(adapter: ModuleType, torch: ModuleType) -> None:
    image = torch.from_numpy(noise(1, 56, 84)).permute(2, 0, 1).float()
    name = "Qwen2VLImageProcessor"
    theirs = theirs_class(name, "torchvision")()
    ours = ours_class(adapter, name, "torchvision")()
    assert unlike(theirs(image, do_resize=False), ours(image, do_resize=False)) is None


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [(1, 1), (28, 28), (480, 640), (1080, 1920), (10, 2000)])
@pytest.mark.parametrize("name", ["Qwen2VLImageProcessor", "GotOcr2ImageProcessor"])
def test_counts(adapter: ModuleType, name: str, size: tuple[int, int], backend: str) -> None:
    theirs = theirs_class(name, backend)(**SMALL[name])
    ours = ours_class(adapter, name, backend)(**SMALL[name])
    assert ours.get_number_of_image_patches(*size) == theirs.get_number_of_image_patches(*size)
    call = {"max_pixels": 90000, "min_pixels": 4000, "max_patches": 4, "crop_to_patches": True}
    want = theirs.get_number_of_image_patches(*size, call)
    assert ours.get_number_of_image_patches(*size, call) == want


# The live object

CHANGES: dict[str, tuple[str, Callable[[Any], None]]] = {
    "max_pixels": ("Qwen2VLImageProcessor", lambda p: setattr(p, "max_pixels", 8000)),
    "min_pixels": ("Qwen2VLImageProcessor", lambda p: setattr(p, "min_pixels", 30000)),
    "size": ("Qwen2VLImageProcessor", lambda p: p.size.__setitem__("longest_edge", 9000)),
    "a new size": (
        "Qwen2VLImageProcessor",
        lambda p: setattr(p, "size", {"shortest_edge": 3000, "longest_edge": 9000}),
    ),
    "patch_size": ("Qwen2VLImageProcessor", lambda p: setattr(p, "patch_size", 16)),
    "image_mean": ("Qwen2VLImageProcessor", lambda p: setattr(p, "image_mean", [0.1, 0.2, 0.3])),
    "image_std": ("GotOcr2ImageProcessor", lambda p: setattr(p, "image_std", (0.1, 0.2, 0.3))),
    "crop_to_patches": (
        "GotOcr2ImageProcessor",
        lambda p: setattr(p, "crop_to_patches", False),
    ),
    "max_patches": ("GotOcr2ImageProcessor", lambda p: setattr(p, "max_patches", 3)),
    "resample": ("DeepseekVLImageProcessor", lambda p: setattr(p, "resample", 2)),
    "do_normalize": (
        "DeepseekVLHybridImageProcessor",
        lambda p: setattr(p, "do_normalize", False),
    ),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("change", CHANGES)
def test_changed_attributes(adapter: ModuleType, change: str, backend: str) -> None:
    name, apply = CHANGES[change]
    theirs = theirs_class(name, backend)(**SMALL[name])
    ours = ours_class(adapter, name, backend)(**SMALL[name])
    image = noise(1, 120, 170)
    before = theirs(image)
    assert unlike(before, ours(image)) is None
    for processor in (theirs, ours):
        apply(processor)
    after = theirs(image)
    assert unlike(before, after) is not None
    assert unlike(after, ours(image)) is None


@pytest.mark.parametrize("backend", BACKENDS)
def test_padding_keeps_its_colour(adapter: ModuleType, backend: str) -> None:
    """Upstream's background colour is that of the mean it was made with."""
    name = "DeepseekVLImageProcessor"
    image = noise(1, 60, 83)
    theirs = theirs_class(name, backend)(**SMALL[name])
    ours = ours_class(adapter, name, backend)(**SMALL[name])
    for processor in (theirs, ours):
        processor.image_mean = (0.1, 0.2, 0.3)
    assert unlike(theirs(image), ours(image)) is None


@pytest.mark.parametrize("backend", BACKENDS)
def test_replaced_methods_are_called(adapter: ModuleType, backend: str) -> None:
    name = "Qwen2VLImageProcessor"
    cls = ours_class(adapter, name, backend)

    class Brighter(cls):  # type: ignore[misc, valid-type]
        def rescale(self, image: Any, scale: float, **kwargs: Any) -> Any:
            return super().rescale(image, scale * 2, **kwargs)

        def rescale_and_normalize(self, images: Any, *args: Any, **kwargs: Any) -> Any:
            return super().rescale_and_normalize(images, *args, **kwargs) * 2

    image = noise(1, 60, 83)
    plain = cls(**SMALL[name])(image)
    with pytest.warns(UserWarning, match="was replaced"):
        changed = Brighter(**SMALL[name])(image)
    assert unlike(plain, changed) is not None
    processor = cls(**SMALL[name])
    step = "normalize" if backend == "pil" else "patchify"
    original = getattr(processor, step)
    calls = []

    def patched(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return original(*args, **kwargs)

    setattr(processor, step, patched)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert unlike(plain, processor(image)) is None
    assert calls


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CLASSES)
def test_copies(adapter: ModuleType, name: str, backend: str, tmp_path: Path) -> None:
    cls = ours_class(adapter, name, backend)
    ours = cls(**SMALL[name])
    image = noise(1, 60, 83)
    want = ours(image)
    for twin in (pickle.loads(pickle.dumps(ours)), copy.deepcopy(ours), copy.copy(ours)):
        assert type(twin) is cls
        assert unlike(want, twin(image)) is None
        assert twin.to_dict() == ours.to_dict()
    theirs = theirs_class(name, backend)(**SMALL[name])
    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    files = [
        sorted((path.name, path.read_text()) for path in (tmp_path / folder).iterdir())
        for folder in ("ours", "theirs")
    ]
    assert files[0] == files[1]
    assert "dynres" not in files[0][0][1]


@pytest.mark.parametrize("backend", BACKENDS)
def test_pinned_numerics(adapter: ModuleType, backend: str, tmp_path: Path) -> None:
    """Another release's numbers: never upstream's where they would differ, and never saved."""
    name = "Qwen2VLImageProcessor"
    folder = model_folder(tmp_path / "model", name, **SMALL[name])
    cls = ours_class(adapter, name, backend)
    image = noise(1, 100, 40)
    import dynres_rs as dr

    for numerics in ("pillow-12.0", "pillow-13", "torchvision"):
        ours = cls.from_pretrained(folder, numerics=numerics)
        config = {"image_processor_type": name, **SMALL[name]}
        want = dr.Processor.from_config(config, numerics=numerics)(image)
        got = ours(image, return_tensors="np")
        assert unlike(want, dict(got)) is None
        twin = pickle.loads(pickle.dumps(copy.deepcopy(ours)))
        assert unlike(want, dict(twin(image, return_tensors="np"))) is None
        assert "dynres" not in ours.to_json_string()
        native = "torchvision" if ours.backend == "torchvision" else dr.numerics.resolve("pillow")
        if dr.numerics.resolve(numerics) != native:
            with pytest.raises(TypeError, match="uint8"):
                ours(image / np.float32(256))
    with pytest.raises(ValueError, match="numerics"):
        cls.from_pretrained(folder, numerics="opencv")


# Registration


def test_by_name(adapter: ModuleType, transformers: ModuleType, tmp_path: Path) -> None:
    auto = transformers.AutoImageProcessor
    for name in CLASSES:
        folder = model_folder(tmp_path / name, name, **SMALL[name])
        ours = auto.from_pretrained(folder, backend="dynres")
        assert type(ours) is getattr(adapter, name)
        assert type(ours).__module__ == "dynres_rs.transformers"
        assert not isinstance(auto.from_pretrained(folder), adapter.ExactImages)
        pinned = auto.from_pretrained(folder, backend="dynres", numerics="pillow-12.3")
        assert isinstance(pinned, getattr(adapter, name + "Pil"))
        changed = auto.from_pretrained(folder, backend="dynres", do_normalize=False)
        assert changed.do_normalize is False
        both = auto.from_pretrained(folder, backend="dynres", odd=1, return_unused_kwargs=True)
        assert isinstance(both, tuple)


def test_enable_and_disable(enabled: ModuleType, transformers: ModuleType, tmp_path: Path) -> None:
    auto = transformers.AutoImageProcessor
    assert enabled.is_enabled()
    enabled.enable()
    for name in CLASSES:
        for kind in (name, name + "Fast"):
            folder = model_folder(tmp_path / kind, kind, **SMALL[name])
            assert type(auto.from_pretrained(folder)) is getattr(enabled, name)
            pil = auto.from_pretrained(folder, backend="pil")
            assert type(pil) is getattr(enabled, name + "Pil")
            dynres = auto.from_pretrained(folder, backend="dynres")
            assert type(dynres) is getattr(enabled, name)
    enabled.disable()
    enabled.disable()
    assert not enabled.is_enabled()
    for name in CLASSES:
        processor = auto.from_pretrained(tmp_path / name)
        assert not isinstance(processor, enabled.ExactImages)
        assert type(processor).__module__.startswith("transformers.")
        assert type(auto.from_pretrained(tmp_path / name, backend="dynres")) is getattr(
            enabled, name
        )


def test_by_model_type(enabled: ModuleType, transformers: ModuleType, tmp_path: Path) -> None:
    """A config.json alone says the type of the model; every type finds its class."""
    mapping = transformers.models.auto.configuration_auto.CONFIG_MAPPING
    image_mapping = transformers.models.auto.image_processing_auto.IMAGE_PROCESSOR_MAPPING
    types = enabled.model_types()
    assert set(types) >= {
        *("qwen2_vl", "qwen2_5_vl", "qwen2_5_omni", "qwen3_vl", "internvl", "got_ocr2"),
        *("aya_vision", "qianfan_ocr", "deepseek_vl", "deepseek_vl_hybrid"),
    }
    for model_type, name in types.items():
        if name not in CLASSES:
            continue  # test_transformers_classes.py has them all
        found = image_mapping[mapping[model_type]]
        assert found["dynres"] is getattr(enabled, name)
        assert found["pil"] is getattr(enabled, name + "Pil")


def test_other_models_are_left_alone(
    enabled: ModuleType, transformers: ModuleType, tmp_path: Path
) -> None:
    for name in ("SamImageProcessor", "DetrImageProcessor"):
        folder = model_folder(tmp_path / name, name)
        processor = transformers.AutoImageProcessor.from_pretrained(folder)
        assert not isinstance(processor, enabled.ExactImages)


@pytest.mark.slow
def test_importing_says_nothing() -> None:
    """Nor does `import dynres_rs` import transformers or torch."""
    code = (
        "import sys, dynres_rs; assert not {'torch', 'transformers'} & set(sys.modules);"
        "from transformers import AutoImageProcessor; print('ready', flush=True);"
        "print('ready', file=sys.stderr); import dynres_rs.transformers"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "ready"
    assert done.stderr.strip().splitlines()[-1] == "ready"


# Videos: torchvision is the only backend that upstream has for them


VIDEO_CLASSES = {"Qwen2VLVideoProcessor": "qwen2_vl", "Qwen3VLVideoProcessor": "qwen3_vl"}
VIDEO_CALLS: dict[str, dict[str, Any]] = {
    "plain": {},
    "tensors": {"return_tensors": "pt"},
    "numpy": {"return_tensors": "np"},
    "no normalising": {"do_normalize": False},
    "no rescaling": {"do_rescale": False},
    "neither": {"do_rescale": False, "do_normalize": False},
    "size": {"size": {"shortest_edge": 3136, "longest_edge": 40000}},
    "capped": {"cap_pixels_per_frame": True},
    "three frames a patch": {"temporal_patch_size": 3},
    "bilinear": {"resample": 2},
    "device": {"device": "cpu"},
    "with metadata": {"return_metadata": True},
}


def theirs_video(name: str) -> Any:
    model = VIDEO_CLASSES[name]
    path = f"transformers.models.{model}.video_processing_{model}"
    return getattr(importlib.import_module(path), name)


def film(seed: int, frames: int, height: int, width: int) -> np.ndarray[Any, Any]:
    return np.stack([noise(seed + n, height, width) for n in range(frames)])


@pytest.mark.torch
@pytest.mark.parametrize("call", VIDEO_CALLS)
@pytest.mark.parametrize("name", VIDEO_CLASSES)
def test_videos(adapter: ModuleType, torch: ModuleType, name: str, call: str) -> None:
    theirs, ours = theirs_video(name)(), getattr(adapter, name)()
    kwargs = {"do_sample_frames": False, **VIDEO_CALLS[call]}
    videos: dict[str, Any] = {
        "array": film(1, 4, 90, 130),
        "odd": film(2, 5, 200, 120),
        "two": [film(3, 4, 60, 70), film(4, 3, 50, 64)],
        "channels first": film(5, 6, 64, 64).transpose(0, 3, 1, 2),
        "tensor": torch.from_numpy(film(6, 4, 90, 130)),
        "pictures": [[Image.fromarray(frame) for frame in film(7, 4, 40, 60)]],
        "too few": film(8, 1, 90, 130),
    }
    outcomes = {
        key: same_or_same_error(theirs, ours, video, kwargs) for key, video in videos.items()
    }
    too_few = outcomes.pop("too few")
    assert set(outcomes.values()) == {"equal"}, outcomes
    assert too_few == ("equal" if name.startswith("Qwen2") else "ValueError")


@pytest.mark.torch
@pytest.mark.parametrize("name", VIDEO_CLASSES)
def test_sampling_is_upstreams(adapter: ModuleType, torch: ModuleType, name: str) -> None:
    theirs, ours = theirs_video(name)(), getattr(adapter, name)()
    call = {
        "do_sample_frames": True,
        "num_frames": 6,
        "fps": None,
        "video_metadata": [{"fps": 10.0, "total_num_frames": 30}],
        "return_metadata": True,
    }
    if name.startswith("Qwen3"):
        theirs.fps = ours.fps = None
    assert same_or_same_error(theirs, ours, film(1, 30, 40, 60), call) == "equal"


@pytest.mark.torch
@pytest.mark.parametrize("name", ["MiniCPMV4_6VideoProcessor", "MiniCPMOcrVideoProcessor"])
def test_frames_between_seconds_are_ours(
    adapter: ModuleType, torch: ModuleType, one_thread: ModuleType, name: str
) -> None:
    """Upstream has sampled them; which lie on one canvas follows from the metadata it hands on."""
    ours = getattr(adapter, name)()
    theirs = ours._dynres_upstream()
    runs: list[int] = []
    made = ours._dynres_make
    ours._dynres_make = lambda *given: runs.append(1) or made(*given)
    for number, (stack, frames, fps) in enumerate([(3, 30, 10.0), (1, 30, 10.0), (5, 47, 12.5)]):
        known = {"fps": fps, "total_num_frames": frames, "duration": frames / fps}
        call = {
            "do_sample_frames": True,
            "stack_frames": stack,
            "video_metadata": [known],
            "return_tensors": "pt",
        }
        assert same_or_same_error(theirs, ours, film(number, frames, 40, 60), call) == "equal"
    assert len(runs) == 3
    call = {"do_sample_frames": False, "stack_frames": 2}
    assert same_or_same_error(theirs, ours, film(9, 4, 40, 60), call) == "TypeError"


@pytest.mark.torch
@pytest.mark.parametrize("name", VIDEO_CLASSES)
def test_whole_float_videos(adapter: ModuleType, torch: ModuleType, name: str) -> None:
    """What qwen-vl-utils hands over: float32 holding integers, resized already."""
    theirs, ours = theirs_video(name)(), getattr(adapter, name)()
    side = 28 if name.startswith("Qwen2") else 32
    video = torch.from_numpy(film(1, 4, 2 * side, 3 * side)).permute(0, 3, 1, 2).float()
    call = {"do_resize": False, "do_sample_frames": False, "return_tensors": "pt"}
    assert same_or_same_error(theirs, ours, video, call) == "equal"
    with pytest.warns(UserWarning, match="own path"):
        assert same_or_same_error(theirs, ours, video / 3, call) == "equal"


@pytest.mark.torch
@pytest.mark.parametrize("name", VIDEO_CLASSES)
def test_live_video_processors(
    adapter: ModuleType, torch: ModuleType, name: str, tmp_path: Path
) -> None:
    theirs, ours = theirs_video(name)(), getattr(adapter, name)()
    video = film(1, 4, 90, 130)
    call = {"do_sample_frames": False}
    before = ours(video, **call)
    for processor in (theirs, ours):
        processor.size["longest_edge"] = 200_000
        processor.image_mean = [0.1, 0.2, 0.3]
        processor.patch_size = 7
    assert same_or_same_error(theirs, ours, video, call) == "equal"
    assert unlike(before, ours(video, **call)) is not None
    for twin in (pickle.loads(pickle.dumps(ours)), copy.deepcopy(ours)):
        assert unlike(ours(video, **call), twin(video, **call)) is None
    for processor, folder in ((theirs, "theirs"), (ours, "ours")):
        processor.save_pretrained(tmp_path / folder)
    texts = [
        sorted((path.name, path.read_text()) for path in (tmp_path / folder).iterdir())
        for folder in ("theirs", "ours")
    ]
    assert texts[0] == texts[1]
    calls: list[int] = []
    patchify = ours.patchify
    ours.patchify = lambda *args, **kwargs: calls.append(1) or patchify(*args, **kwargs)
    with pytest.warns(UserWarning, match="was replaced"):
        ours(video, **call)
    assert calls


@pytest.mark.torch
def test_goldens_of_videos(adapter: ModuleType, torch: ModuleType) -> None:
    count = 0
    for case in golden_cases.load("videos.json")["cases"]:
        config = case["config"]
        name = "Qwen3VLVideoProcessor" if "qwen3" in case["family"] else "Qwen2VLVideoProcessor"
        spec = case["video"]
        frames = [
            golden_cases.make({**spec, "seed": spec["seed"] + n}) for n in range(spec["frames"])
        ]
        ours = getattr(adapter, name)(**config)
        result = ours(np.stack(frames), do_sample_frames=False, return_tensors="np")
        assert not golden_cases.differences(result, case["outputs"])
        count += 1
    assert count > 10


@pytest.mark.torch
def test_videos_by_name(
    adapter: ModuleType, torch: ModuleType, transformers: ModuleType, tmp_path: Path
) -> None:
    auto = transformers.AutoVideoProcessor
    for name in VIDEO_CLASSES:
        folder = tmp_path / name
        folder.mkdir()
        text = json.dumps({"video_processor_type": name})
        (folder / "video_preprocessor_config.json").write_text(text, encoding="utf-8")
        ours = getattr(adapter, name)
        assert type(auto.from_pretrained(folder, backend="dynres")) is ours
        assert not isinstance(auto.from_pretrained(folder), adapter.ExactVideos)
        adapter.enable()
        try:
            assert type(auto.from_pretrained(folder)) is ours
        finally:
            adapter.disable()
        assert not isinstance(auto.from_pretrained(folder), adapter.ExactVideos)
    assert set(adapter.video_model_types()) >= {"qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5"}


def test_video_classes_need_torchvision(adapter: ModuleType) -> None:
    there = adapter.HAS_TORCHVISION
    assert hasattr(adapter, "Qwen2VLVideoProcessor") is there
    assert bool(adapter.video_model_types()) is there


def test_the_hook_of_sglang(adapter: ModuleType) -> None:
    """As its `import_processors` does: import the package, then every module in its path."""
    sys.modules.pop("dynres_rs.sglang", None)
    try:
        package = importlib.import_module("dynres_rs.sglang")
        assert adapter.is_enabled()
        assert list(pkgutil.iter_modules(package.__path__)) == []
    finally:
        adapter.disable()
