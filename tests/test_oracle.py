"""Live comparison with what is installed: Pillow, and the PIL backend of transformers.

`numerics="pillow"` follows the installed Pillow, and so does upstream: both sides move together.
"""

import io
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest
from dynres_rs.hf import classes
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps
from property_counts import property_test
from reference import families
from reference import resample as reference_resample
from strategies import (
    Setup,
    draw_images,
    noise,
    pictures,
    same,
    same_output,
    seeds,
    setups,
    sides,
)

pytestmark = [pytest.mark.oracle, pytest.mark.usefixtures("upstream_warnings_allowed")]

PIL_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
PIL_CLASSES = {
    "Qwen2VLImageProcessor": "qwen2_vl",
    "GotOcr2ImageProcessor": "got_ocr2",
    "DeepseekVLImageProcessor": "deepseek_vl",
    "DeepseekVLHybridImageProcessor": "deepseek_vl_hybrid",
}
GREY = (127, 127, 127)


def installed_rule() -> Any:
    return dr.Processor("internvl", numerics="pillow").numerics


def upstream(transformers: ModuleType, name: str, config: dict[str, Any]) -> Callable[..., Any]:
    """A call of transformers' processor that returns a dict of arrays."""
    model = PIL_CLASSES[name]
    path = f"{transformers.__name__}.models.{model}.image_processing_pil_{model}"
    module = __import__(path, fromlist=[name])
    processor = getattr(module, name + "Pil")(**config)
    return lambda images, **kwargs: dict(processor(images, return_tensors="np", **kwargs))


def ours(name: str, config: dict[str, Any], numerics: str = "pillow") -> dr.Processor:
    config = {"image_processor_type": name, **config}
    return dr.Processor.from_config(config, numerics=numerics)


# Pillow


@property_test(
    seed=seeds,
    source=st.tuples(sides, sides),
    target=st.tuples(sides, sides),
    channels=st.sampled_from([3, 4]),
    resample=st.sampled_from(sorted(PIL_FILTERS)),
)
def test_resize_is_pillows(
    seed: int, source: tuple[int, int], target: tuple[int, int], channels: int, resample: str
) -> None:
    """RGBX stands for four independent channels: Pillow premultiplies RGBA."""
    image = noise(seed, *source, channels)
    mode = "RGB" if channels == 3 else "RGBX"
    picture = Image.frombytes(mode, source[::-1], image.tobytes())
    want = np.asarray(picture.resize(target[::-1], PIL_FILTERS[resample]))
    same(dr.resize(image, target, resample=resample, numerics="pillow"), want)
    rule = installed_rule()
    same(reference_resample.resize(image, target, resample, rule), want)  # type: ignore[arg-type]


@property_test(seed=seeds, source=st.tuples(sides, sides), canvas=st.tuples(sides, sides))
def test_padding_of_the_reference_is_pillows(
    seed: int, source: tuple[int, int], canvas: tuple[int, int]
) -> None:
    image = noise(seed, *source)
    want = np.asarray(ImageOps.pad(Image.fromarray(image), canvas[::-1], color=GREY))
    same(families.pad_like_pillow(image, canvas, GREY, "bicubic", installed_rule()), want)


@property_test(
    seed=seeds,
    source=st.tuples(sides, sides),
    rows=st.integers(1, 3),
    columns=st.integers(1, 3),
)
def test_deepseek_vl2_pads_as_pillow(
    seed: int, source: tuple[int, int], rows: int, columns: int
) -> None:
    """One canvas to choose from beside the single tile, in pixels before normalising."""
    side = 28
    image = Image.fromarray(noise(seed, *source))
    candidates = [[side, side], [side * columns, side * rows]]
    processor = dr.Processor("deepseek-vl2", numerics="pillow", candidate_resolutions=candidates)
    batch = processor(image, dtype="uint8")
    columns, rows = (int(count) for count in batch["images_spatial_crop"][0])
    local = np.asarray(ImageOps.pad(image, (side * columns, side * rows), color=GREY))
    tiles = [np.asarray(ImageOps.pad(image, (side, side), color=GREY))]
    tiles += [
        local[y : y + side, x : x + side]
        for y in range(0, side * rows, side)
        for x in range(0, side * columns, side)
    ]
    same(batch["pixel_values"], np.stack(tiles).transpose(0, 3, 1, 2))


# transformers


hf_setups = setups().filter(lambda setup: setup.upstream_class is not None)


@property_test(setup=hf_setups, given=pictures)
def test_pipelines(transformers: ModuleType, setup: Setup, given: list[Any]) -> None:
    _, inputs = draw_images(setup, given)
    assert setup.upstream_class is not None
    want = upstream(transformers, setup.upstream_class, setup.config)(inputs)
    same_output(setup.processor("pillow")(inputs), want)


@property_test(
    setup=hf_setups,
    given=pictures.map(lambda images: images[:1]),
    rescale=st.booleans(),
    normalize=st.booleans(),
)
def test_switches(
    transformers: ModuleType, setup: Setup, given: list[Any], rescale: bool, normalize: bool
) -> None:
    _, inputs = draw_images(setup, given)
    assert setup.upstream_class is not None
    switches = {"do_rescale": rescale, "do_normalize": normalize}
    want = upstream(transformers, setup.upstream_class, setup.config)(inputs, **switches)
    same_output(setup.processor("pillow")(inputs, **switches), want)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("Qwen2VLImageProcessor", (28, 56)),
        ("Qwen2VLImageProcessor", (84, 28)),
        ("Qwen2VLImageProcessor", (112, 140)),
        ("GotOcr2ImageProcessor", (384, 384)),
        ("GotOcr2ImageProcessor", (40, 57)),
        ("GotOcr2ImageProcessor", (1, 1)),
    ],
)
@pytest.mark.parametrize("count", [1, 2])
def test_without_resizing(
    transformers: ModuleType, name: str, size: tuple[int, int], count: int
) -> None:
    images = [noise(seed, *size) for seed in range(count)]
    want = upstream(transformers, name, {})(images, do_resize=False)
    same_output(ours(name, {})(images, do_resize=False), want)


def test_one_patch_at_most_and_no_resizing(transformers: ModuleType) -> None:
    """The PIL backend does not crop then, and the torchvision backend does."""
    name, image = "GotOcr2ImageProcessor", noise(1, 40, 57)
    config = {"crop_to_patches": True, "max_patches": 1}
    want = upstream(transformers, name, config)(image, do_resize=False)
    same_output(ours(name, config)(image, do_resize=False), want)
    assert want["pixel_values"].shape == (1, 3, 40, 57)
    cropped = ours(name, config, "torchvision")(image, do_resize=False)
    assert cropped["pixel_values"].shape == (1, 3, 384, 384)


def test_images_of_several_sizes_without_resizing() -> None:
    """Of these upstream makes a ragged list, or no tensor."""
    with pytest.raises(ValueError, match=r"of one size, got \(40, 57\) and \(41, 57\)"):
        ours("GotOcr2ImageProcessor", {})([noise(1, 40, 57), noise(1, 41, 57)], do_resize=False)


def test_plans_without_resizing() -> None:
    processor = ours("GotOcr2ImageProcessor", {"size": {"height": 448, "width": 448}})
    plan = processor.plan(112, 224, do_resize=False)
    assert (plan.resized, plan.shape, plan.num_tokens) == ((112, 224), (1, 3, 112, 224), 4 * 8)
    assert processor.num_tokens([[112, 224], [448, 448]], do_resize=False).tolist() == [32, 256]
    boxes = plan.token_boxes()
    assert boxes.shape == (32, 4) and boxes.max() == 224


@pytest.mark.parametrize("switch", ["do_pad", "do_resize"])
@pytest.mark.parametrize("name", ["DeepseekVLImageProcessor", "DeepseekVLHybridImageProcessor"])
def test_no_switch_is_ignored(transformers: ModuleType, name: str, switch: str) -> None:
    """A key that changes pixels is obeyed or refused."""
    image = noise(1, 40, 57)
    for config, call in (({switch: False}, {}), ({}, {switch: False})):
        want = upstream(transformers, name, config)(image, **call)
        try:
            got = ours(name, config)(image, **call)
        except ValueError as error:
            assert switch in str(error)
        else:
            same_output(got, want)


def test_counts_without_pixels(transformers: ModuleType) -> None:
    """`get_number_of_image_patches`, which serving engines call."""
    sizes = [(1, 1), (28, 28), (480, 640), (1080, 1920), (3000, 4000), (10, 2000), (77, 28)]
    module = transformers.models.qwen2_vl.image_processing_pil_qwen2_vl
    count = module.Qwen2VLImageProcessorPil().get_number_of_image_patches
    qwen = ours("Qwen2VLImageProcessor", {})
    assert [qwen.plan(*s).num_patches for s in sizes] == [count(*s) for s in sizes]
    module = transformers.models.got_ocr2.image_processing_pil_got_ocr2
    count = module.GotOcr2ImageProcessorPil(crop_to_patches=True).get_number_of_image_patches
    internvl = ours("GotOcr2ImageProcessor", {"crop_to_patches": True})
    assert [internvl.plan(*s).num_tiles for s in sizes] == [count(*s) for s in sizes]


#: Classes whose own function returns something else than a number of patches or tiles: rows and
#: columns, tokens, or the crops alone without the view beside them.
COUNTED_OTHERWISE = {
    "Apertus1p5ImageProcessor",
    "DeepseekOcr2ImageProcessor",
    "HYV4VLImageProcessor",
    "HunYuanVLImageProcessor",
    "Idefics3ImageProcessor",
    "MuseGlimmerImageProcessor",
    "SmolVLMImageProcessor",
    "Step3p7ImageProcessor",
    "UnlimitedOcrImageProcessor",
}


def test_counts_of_every_class(transformers: ModuleType) -> None:
    generator = np.random.Generator(np.random.PCG64(6))
    sizes = np.exp2(generator.uniform(3, 11.5, (60, 2))).astype(int).tolist()
    seen = 0
    for name in classes(video=False):
        theirs = getattr(transformers, f"{name}Pil", None)
        try:
            if name in COUNTED_OTHERWISE or not hasattr(theirs, "get_number_of_image_patches"):
                continue
            count = theirs().get_number_of_image_patches
        except ImportError as error:  # some of these classes need torch to be looked at
            assert "PyTorch" in str(error)
            continue
        mine = ours(name, {})
        for size in sizes:
            try:
                want = count(*size, images_kwargs={})
            except ValueError:
                with pytest.raises(ValueError, match="image"):
                    mine.get_number_of_image_patches(*size)
            else:
                assert mine.get_number_of_image_patches(*size) == want, (name, size)
        seen += 1
    assert seen >= 8


# Modes of PIL images


def random_mode(mode: str, seed: int, height: int, width: int) -> Image.Image:
    """An image of any mode with values all over its range."""
    size = (width, height)
    generator = np.random.Generator(np.random.PCG64(seed))

    def raw(channels: int) -> bytes:
        return noise(seed, height, width, channels).tobytes()

    if mode == "1":
        return Image.frombytes("L", size, raw(1)).convert("1")
    if mode == "P":
        return Image.frombytes("RGB", size, raw(3)).quantize(50)
    if mode == "PA":
        image = Image.frombytes("PA", size, raw(2))
        image.putpalette(generator.integers(0, 256, 768, np.uint8).tobytes())
        return image
    if mode == "I":
        return Image.fromarray(generator.integers(-300, 700, (height, width), np.int32))
    if mode == "F":
        return Image.fromarray(generator.uniform(-60, 320, (height, width)).astype(np.float32))
    channels = {"L": 1, "RGB": 3, "YCbCr": 3, "LAB": 3, "HSV": 3, "LA": 2, "La": 2}
    if mode.startswith("I;16"):
        return Image.frombytes(mode, size, raw(2))
    return Image.frombytes(mode, size, raw(channels.get(mode, 4)))


MODES = [
    *("1", "L", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LAB", "HSV", "I", "F"),
    *("LA", "La", "I;16", "I;16L", "I;16B", "I;16N"),
]
TRANSPARENT: dict[str, tuple[str, Any]] = {
    "P, one entry": ("P", 3),
    "P, a table": ("P", bytes(range(0, 250, 5))),
    "L, one value": ("L", 17),
    "1, one value": ("1", 0),
    "RGB, one colour": ("RGB", (0, 255, 255)),
}


def same_or_same_error(want: Callable[[], Any], got: Callable[[], Any]) -> str:
    """Both return the same arrays, or both refuse; says which."""
    try:
        expected = want()
    except (ValueError, TypeError):
        with pytest.raises((ValueError, TypeError)):
            got()
        return "refused"
    same_output(got(), expected)
    return "equal"


def test_the_list_of_modes_is_pillows() -> None:
    assert set(MODES) >= set(Image.MODES)


@pytest.mark.parametrize("size", [(40, 57), (56, 56)])
@pytest.mark.parametrize("name", PIL_CLASSES)
@pytest.mark.parametrize("mode", MODES)
def test_modes(transformers: ModuleType, mode: str, name: str, size: tuple[int, int]) -> None:
    image = random_mode(mode, 7, *size)
    theirs = upstream(transformers, name, {})
    processor = ours(name, {})
    outcome = same_or_same_error(lambda: theirs(image), lambda: processor(image))
    if name in ("Qwen2VLImageProcessor", "GotOcr2ImageProcessor"):
        # Pillow has no way from La to RGB; everything else goes through.
        assert outcome == ("refused" if mode == "La" else "equal")
    elif mode in ("RGB", "YCbCr", "LAB", "HSV"):
        assert outcome == "equal"


@pytest.mark.parametrize("name", ["Qwen2VLImageProcessor", "GotOcr2ImageProcessor"])
@pytest.mark.parametrize("kind", TRANSPARENT)
def test_transparency_in_info(transformers: ModuleType, kind: str, name: str) -> None:
    mode, transparency = TRANSPARENT[kind]
    image = random_mode(mode, 7, 40, 57)
    image.info["transparency"] = transparency
    same_output(ours(name, {})(image), upstream(transformers, name, {})(image))


@pytest.mark.parametrize("mode", [m for m in MODES if m != "La"])
def test_the_original_code_calls_convert(mode: str) -> None:
    """InternVL and DeepSeek-VL2: `convert("RGB")`, which drops alpha."""
    image = random_mode(mode, 8, 40, 57)
    for family in ("internvl", "deepseek-vl2"):
        processor = dr.Processor(family, numerics="pillow")
        same_output(processor(image), processor(image.convert("RGB")))


# Arrays


def _four(seed: int = 3) -> NDArray[np.uint8]:
    return noise(seed, 40, 57, 4)


LAYOUTS: dict[str, Callable[[], NDArray[Any]]] = {
    "height, width, 3": lambda: noise(4, 40, 57),
    "height, width, 1": lambda: noise(4, 40, 57, 1),
    "height, width, 4": lambda: _four(),
    "3, height, width": lambda: np.ascontiguousarray(noise(4, 40, 57).transpose(2, 0, 1)),
    "1, height, width": lambda: noise(4, 40, 57, 1).transpose(2, 0, 1),
    "4, height, width": lambda: np.ascontiguousarray(_four().transpose(2, 0, 1)),
    "3 rows": lambda: noise(4, 3, 57),
    "3 columns, channels first": lambda: noise(4, 3, 57, 20),
    "float32": lambda: noise(4, 40, 57).astype(np.float32),
    "float64": lambda: noise(4, 40, 57).astype(np.float64),
    "negative strides": lambda: noise(4, 40, 57)[::-1, ::-1],
    "columns apart": lambda: noise(4, 40, 114)[:, ::2],
    "batch of 2": lambda: np.stack([noise(4, 40, 57), noise(5, 40, 57)]),
}


@pytest.mark.parametrize("name", ["Qwen2VLImageProcessor", "GotOcr2ImageProcessor"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(transformers: ModuleType, layout: str, name: str) -> None:
    image = LAYOUTS[layout]()
    same_output(ours(name, {})(image), upstream(transformers, name, {})(image))


@property_test(seed=seeds, height=st.integers(5, 60), width=st.integers(5, 60))
def test_arrays_with_alpha(transformers: ModuleType, seed: int, height: int, width: int) -> None:
    """Composited on white in float64, rounded half to even."""
    image = noise(seed, height, width, 4)
    name = "Qwen2VLImageProcessor"
    same_output(ours(name, {})(image), upstream(transformers, name, {})(image))


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_input_data_format(transformers: ModuleType, layout: str) -> None:
    image = noise(2, 3, 57) if layout == "channels_last" else noise(2, 3, 57, 3)
    name = "Qwen2VLImageProcessor"
    want = upstream(transformers, name, {})(image, input_data_format=layout)
    same_output(ours(name, {})(image, input_data_format=layout), want)


def test_two_axes_are_grey() -> None:
    """Upstream refuses two axes outright; here they are grey, as upstream treats one channel."""
    grey = noise(4, 40, 57, 1)
    processor = ours("Qwen2VLImageProcessor", {})
    same_output(processor(grey[:, :, 0]), processor(grey))


REFUSED: dict[str, Callable[[], Any]] = {
    "two channels": lambda: noise(1, 30, 40, 2),
    "five channels": lambda: noise(1, 30, 40, 5),
    "ratio above 200": lambda: noise(1, 5, 1005),
    "floats above 255": lambda: noise(1, 30, 40) * 3.5,
    "uint16 above 255": lambda: noise(1, 30, 40).astype(np.uint16) * 200,
    "negative": lambda: noise(1, 30, 40).astype(np.int16) - 300,
    "not a number": lambda: noise(1, 30, 40) * np.nan,
    "None": lambda: None,
    "no images": list,
    "no such file": lambda: "there-is-no-such-file.png",
}


@pytest.mark.parametrize("what", REFUSED)
def test_both_refuse(transformers: ModuleType, what: str) -> None:
    """The exceptions that ours are chosen from; `test_errors` has their exact messages."""
    name = "Qwen2VLImageProcessor"
    with pytest.raises((ValueError, TypeError, OSError)):
        upstream(transformers, name, {})(REFUSED[what]())
    with pytest.raises((ValueError, TypeError, OSError)):
        ours(name, {})(REFUSED[what]())


# Files


def _file(kind: str, folder: Path) -> Path:
    buffer = io.BytesIO()
    suffix = "png"
    if kind == "JPEG, turned by EXIF":
        suffix = "jpg"
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(noise(1, 40, 57)).save(buffer, "JPEG", exif=exif)
    elif kind == "transparent PNG":
        random_mode("RGBA", 1, 40, 57).save(buffer, "PNG")
    elif kind == "palette PNG":
        random_mode("P", 1, 40, 57).save(buffer, "PNG", transparency=3)
    elif kind == "PNG with a transparent colour":
        red, green, blue = noise(1, 40, 57)[3, 5].tolist()
        color = (red, green, blue)
        Image.fromarray(noise(1, 40, 57)).save(buffer, "PNG", transparency=color)
    elif kind == "16-bit PNG":
        Image.frombytes("I;16", (57, 40), noise(1, 40, 57, 2).tobytes()).save(buffer, "PNG")
    else:
        suffix = "jpg"
        random_mode("CMYK", 1, 40, 57).save(buffer, "JPEG")
    path = folder / f"image.{suffix}"
    path.write_bytes(buffer.getvalue())
    return path


FILES = [
    "JPEG, turned by EXIF",
    "transparent PNG",
    "palette PNG",
    "PNG with a transparent colour",
    "16-bit PNG",
    "CMYK JPEG",
]


@pytest.mark.parametrize("kind", FILES)
def test_files(transformers: ModuleType, kind: str, tmp_path: Path) -> None:
    path = _file(kind, tmp_path)
    name = "Qwen2VLImageProcessor"
    want = upstream(transformers, name, {})(str(path))
    processor = ours(name, {})
    same_output(processor(str(path)), want)
    same_output(processor(path), want)
    same_output(processor(path.read_bytes()), want)


@pytest.mark.parametrize("kind", FILES)
def test_files_as_the_original_code_reads_them(kind: str, tmp_path: Path) -> None:
    path = _file(kind, tmp_path)
    for family in ("internvl", "deepseek-vl2"):
        processor = dr.Processor(family, numerics="pillow")
        with Image.open(path) as image:
            want = processor(image.convert("RGB"))
        same_output(processor(path), want)
