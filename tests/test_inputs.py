"""Images in every form that is accepted, against the same pixels as a plain array."""

import io
import os
from pathlib import Path
from typing import Any

import dynres_rs as dr
import dynres_rs.images
import numpy as np
import pytest
from dynres_rs.images import Policy, prepare
from numpy.typing import NDArray
from PIL import Image

U8 = NDArray[np.uint8]
HEIGHT, WIDTH = 61, 83
NUMERICS = ["torchvision", "pillow-13"]


def pixels(height: int = HEIGHT, width: int = WIDTH, channels: int = 3, seed: int = 0) -> U8:
    shape = (height, width, channels)[: 3 if channels else 2]
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def processor(family: str = "qwen2-vl", numerics: str = "torchvision", **options: Any) -> Any:
    small = {"max_pixels": 20_000} if family.startswith("qwen") else {}
    return dr.Processor(family, numerics=numerics, **small, **options)


def values(p: Any, image: Any, **kwargs: Any) -> Any:
    return p(image, **kwargs)["pixel_values"]


def same(p: Any, image: Any, like: U8, **kwargs: Any) -> None:
    np.testing.assert_array_equal(values(p, image, **kwargs), values(p, like))


@pytest.fixture(params=NUMERICS)
def qwen(request: pytest.FixtureRequest) -> Any:
    return processor(numerics=request.param)


def padded(image: U8) -> U8:
    big = np.zeros((image.shape[0], image.shape[1] + 7, 5), np.uint8)
    big[:, 3:-4, 1:4] = image
    return big[:, 3:-4, 1:4]


STRIDED = {
    "plain": lambda a: a,
    "crop of a larger one": padded,
    "rows upside down": lambda a: a[::-1].copy()[::-1],
    "columns backwards": lambda a: a[:, ::-1].copy()[:, ::-1],
    "channels backwards": lambda a: a[:, :, ::-1].copy()[:, :, ::-1],
    "every other row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "every other column": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "Fortran order": np.asfortranarray,
    "channels first": lambda a: np.ascontiguousarray(a.transpose(2, 0, 1)),
    "channels-first view": lambda a: a.transpose(2, 0, 1),
    "memmap-like subclass": lambda a: a.view(type("Sub", (np.ndarray,), {})),
    "memoryview": lambda a: memoryview(a),
}


@pytest.mark.parametrize("how", STRIDED)
def test_layouts(qwen: Any, how: str) -> None:
    image = pixels()
    same(qwen, STRIDED[how](image), image)


def test_read_only(qwen: Any) -> None:
    image = pixels()
    frozen = image.copy()
    frozen.flags.writeable = False
    same(qwen, frozen, image)


def test_broadcast_in_memory(qwen: Any) -> None:
    row = pixels(1)
    image = np.broadcast_to(row, (HEIGHT, WIDTH, 3))
    same(qwen, image, image.copy())


@pytest.mark.parametrize("how", ["HW", "HW1", "1HW"])
def test_grey(qwen: Any, how: str) -> None:
    grey = pixels(channels=0)
    given = {"HW": grey, "HW1": grey[:, :, None], "1HW": grey[None]}[how]
    same(qwen, given, np.repeat(grey[:, :, None], 3, axis=2))


def on_white(image: U8, numerics: str) -> U8:
    """Both backends of transformers 5.23, as they are written there."""
    if numerics == "torchvision":
        unit = image.astype(np.float32) * np.float32(1 / 255)
        mixed = unit[..., :3] * unit[..., 3:] + (np.float32(1) - unit[..., 3:])
        return (mixed * np.float32(255.999)).astype(np.uint8)
    alpha = image[..., 3:4] / 255
    return np.round(alpha * image[..., :3] + (1 - alpha) * 255).astype(np.uint8)


@pytest.mark.parametrize("numerics", NUMERICS)
@pytest.mark.parametrize("first", [False, True])
def test_alpha_in_arrays_goes_on_white(numerics: str, first: bool) -> None:
    image = pixels(channels=4)
    given = image.transpose(2, 0, 1) if first else image
    same(processor(numerics=numerics), given, on_white(image, numerics))


def test_the_backends_round_alpha_differently() -> None:
    image = pixels(channels=4)
    assert (on_white(image, "torchvision") != on_white(image, "pillow-13")).any()


@pytest.mark.parametrize("shape", [(3, 200_000, 4), (900, 1_100, 4), (1, 600_000, 4)])
@pytest.mark.parametrize("numerics", NUMERICS)
def test_large_alpha_and_floats(numerics: str, shape: tuple[int, int, int]) -> None:
    policy = Policy("transformers", numerics == "torchvision", "channels_last", 10**6)
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    np.testing.assert_array_equal(prepare(image, policy).pixels, on_white(image, numerics))
    rgb = image[:, :, :3]
    for dtype in (np.float32, np.float64) if numerics == "torchvision" else (np.float16,):
        floats = rgb.astype(dtype)
        np.testing.assert_array_equal(prepare(floats, policy).pixels, rgb)
        mirrored = prepare(floats[::-1, ::-1], policy).pixels
        np.testing.assert_array_equal(mirrored, rgb[::-1, ::-1])
        floats[-1, -1, -1] += 0.5
        with pytest.raises(TypeError, match="values that are no integers"):
            prepare(floats, policy)


@pytest.mark.parametrize("family", ["internvl", "deepseek-vl2"])
def test_originals_drop_alpha(family: str) -> None:
    p = processor(family, "pillow-13", **({"max_num": 2} if family == "internvl" else {}))
    image = pixels(channels=4)
    same(p, image, image[:, :, :3])
    same(p, Image.fromarray(image), image[:, :, :3])


def test_ambiguous_arrays_are_channels_first_as_upstream_has_it() -> None:
    image = pixels(3, 40)
    p = processor()
    same(p, image, Image.fromarray(image) and image, input_data_format=None)
    assert p(image[:, :3])["image_grid_thw"].tolist() == [[1, 4, 4]]
    last = values(p, image, input_data_format="channels_last")
    np.testing.assert_array_equal(last, values(p, Image.fromarray(image)))
    assert not np.array_equal(last, values(p, pixels(3, 40, seed=1)))


def test_ambiguous_arrays_are_channels_last_for_the_originals() -> None:
    image = pixels(3, 3)
    p = processor("internvl", "pillow-13", max_num=1)
    same(p, image, np.ascontiguousarray(image))
    np.testing.assert_array_equal(values(p, image), values(p, Image.fromarray(image)))


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_input_data_format(qwen: Any, layout: str) -> None:
    image = pixels()
    given = image.transpose(2, 0, 1) if layout == "channels_first" else image
    same(qwen, given, image, input_data_format=layout)
    wrong = "channels_last" if layout == "channels_first" else "channels_first"
    with pytest.raises(ValueError, match=f"input_data_format='{wrong}'"):
        qwen(given, input_data_format=wrong)


def test_a_view_is_not_copied() -> None:
    from dynres_rs.images import prepare

    image = pixels()
    p = processor()
    for given in (image, image[5:40, ::2], image.transpose(2, 0, 1), pixels(channels=0)):
        assert np.shares_memory(prepare(given, p.policy).pixels, given)
    opened = Image.fromarray(image)
    assert prepare(opened, p.policy).pixels is opened


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_that_hold_integers(dtype: type) -> None:
    image = pixels(56, 84)
    same(processor(numerics="pillow-13"), image.astype(dtype), image)
    odd = pixels()
    same(processor(numerics="pillow-13"), odd.astype(dtype), odd)
    # torchvision resizes floats as floats: only without a resize do they equal bytes
    same(processor(), image.astype(dtype), image)
    with pytest.raises(TypeError, match="must be uint8 where it is resized"):
        processor()(odd.astype(dtype))


# Pillow images

MODES = ["1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV", "LAB", "I", "F", "I;16"]
ALPHA = ["LA", "PA", "RGBA"]


def picture(mode: str) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(pixels(channels=0).astype(np.uint16) * 3)
    if mode == "PA":
        return Image.fromarray(pixels()).quantize(16).convert("PA")
    if mode == "LAB":
        return Image.frombytes("LAB", (WIDTH, HEIGHT), pixels().tobytes())
    source = pixels(channels=4)
    return Image.fromarray(source).convert(mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("family", ["qwen2-vl", "internvl"])
def test_opaque_modes(family: str, mode: str) -> None:
    image = picture(mode)
    p = processor(family, "pillow-13")
    same(p, image, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ALPHA)
def test_alpha_modes(mode: str) -> None:
    image = picture(mode)
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    flat = np.asarray(Image.alpha_composite(white, image.convert("RGBA")).convert("RGB"))
    for numerics in NUMERICS:
        same(processor(numerics=numerics), image, flat)
    same(processor("internvl", "pillow-13"), image, np.asarray(image.convert("RGB")))


def test_transparency_without_a_band() -> None:
    image = Image.fromarray(pixels())
    red, green, blue = image.getpixel((5, 7))  # type: ignore[misc]
    image.info["transparency"] = (red, green, blue)
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    flat = np.asarray(Image.alpha_composite(white, image.convert("RGBA")).convert("RGB"))
    assert (flat != np.asarray(image)).any()
    same(processor(), image, flat)
    same(processor("internvl", "pillow-13"), image, np.asarray(image))


def test_rgbx_fourth_byte_is_ignored(qwen: Any) -> None:
    image = pixels(channels=4)
    same(qwen, Image.frombytes("RGBX", (WIDTH, HEIGHT), image.tobytes()), image[:, :, :3].copy())


def test_a_pillow_object_is_not_transposed(qwen: Any) -> None:
    image = Image.fromarray(pixels())
    image.getexif()[0x0112] = 6
    same(qwen, image, pixels())


def test_without_conversion() -> None:
    p = processor(do_convert_rgb=False)
    image = pixels()
    same(p, Image.fromarray(image), image)
    # three channels are taken for what they are, as upstream does
    same(p, picture("YCbCr"), np.asarray(picture("YCbCr")))
    for given in (picture("L"), picture("RGBA"), pixels(channels=0), pixels(channels=4)):
        with pytest.raises(ValueError, match="must have 3 channels where do_convert_rgb is off"):
            p(given)


@pytest.mark.parametrize("family", ["deepseek-vl", "deepseek-vl-hybrid"])
def test_deepseek_vl_converts_nothing_unless_asked(family: str) -> None:
    p = processor(family)
    with pytest.raises(ValueError, match="must have 3 channels"):
        p(picture("L"))
    same(p, picture("RGB"), np.asarray(picture("RGB")))
    grey = np.asarray(picture("L").convert("RGB"))
    np.testing.assert_array_equal(values(p, picture("L"), do_convert_rgb=True), values(p, grey))


# Files


def encoded(image: Image.Image, kind: str = "PNG", **save: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **save)
    return stream.getvalue()


class _Path(os.PathLike[str]):
    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)


@pytest.mark.parametrize("how", ["bytes", "str", "Path", "PathLike"])
def test_files(qwen: Any, tmp_path: Path, how: str) -> None:
    image = pixels()
    path = tmp_path / "image.png"
    path.write_bytes(encoded(Image.fromarray(image)))
    given = {
        "bytes": path.read_bytes(),
        "str": str(path),
        "Path": path,
        "PathLike": _Path(path),
    }[how]
    same(qwen, given, image)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_files(orientation: int) -> None:
    image = Image.fromarray(pixels())
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(image, "PNG", exif=exif)
    turned = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}.get(orientation)
    upright = image if turned is None else image.transpose(Image.Transpose(turned))
    same(processor(), data, np.asarray(upright))
    same(processor("internvl", "pillow-13"), data, np.asarray(image))


def test_alpha_of_files_is_dropped(qwen: Any) -> None:
    image = pixels(channels=4)
    same(qwen, encoded(Image.fromarray(image)), image[:, :, :3].copy())


def test_grey_and_palette_files(qwen: Any) -> None:
    for image in (picture("L"), picture("P")):
        same(qwen, encoded(image), np.asarray(image.convert("RGB")))


# Objects that offer their memory


class _Interface:
    def __init__(self, array: U8) -> None:
        self.__array_interface__ = array.__array_interface__
        self.keep = array


class _DLPack:
    def __init__(self, array: U8) -> None:
        self.array = array

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


@pytest.mark.parametrize("kind", [_Interface, _DLPack])
def test_objects(qwen: Any, kind: Any) -> None:
    image = pixels()
    same(qwen, kind(image), image)


@pytest.mark.torch
def test_tensors(qwen: Any, torch: Any) -> None:
    image = pixels()
    for given in (torch.from_numpy(image), torch.from_numpy(image).permute(2, 0, 1)):
        same(qwen, given, image)
    batch = torch.from_numpy(np.stack([image, pixels(seed=1)]))
    np.testing.assert_array_equal(values(qwen, batch), values(qwen, [image, pixels(seed=1)]))
