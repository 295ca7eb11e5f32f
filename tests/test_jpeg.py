"""JPEG files through simplejpeg: Pillow's own pixels, or Pillow itself."""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest
from dynres_rs import decode, llamafactory, memory, qwen_vl_utils
from dynres_rs.images import Policy, prepare
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, JpegImagePlugin
from property_counts import property_test

simplejpeg = decode.simplejpeg()
U8 = NDArray[np.uint8]
UPRIGHT = Policy("transformers", False, None, 10**8)
AS_IS = Policy("original", False, None, 10**8)
SUBSAMPLING = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}


@pytest.fixture(autouse=True)
def installed() -> None:
    if simplejpeg is None:
        pytest.fail("simplejpeg is not installed: pip install 'dynres_rs[jpeg]'", pytrace=False)


def photo(height: int, width: int, seed: int = 0) -> U8:
    """Smooth areas, edges and noise, so that every step of the decoder matters."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [127 + 120 * np.sin(x / (5 + c) + y / (9 - c) + seed) for c in range(3)]
    image = np.stack(waves, axis=2) + rng.normal(0, 12, (height, width, 3))
    image[(x // 7 + y // 5) % 4 == 0] = (255, 0, 40)
    return image.clip(0, 255).astype(np.uint8)


def jpeg(image: Image.Image | U8, **save: Any) -> bytes:
    stream = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(
        stream, "JPEG", **save
    )
    return stream.getvalue()


def theirs(data: bytes, upright: bool = True) -> U8:
    image = Image.open(io.BytesIO(data))
    if upright:
        image = ImageOps.exif_transpose(image)
    return np.asarray(image.convert("RGB"))


@pytest.fixture
def decoded() -> Iterator[list[bool]]:
    """Whether each file of the test went through simplejpeg."""
    took: list[bool] = []
    inner = decode.decode_jpeg

    def spy(*args: Any) -> Any:
        pixels = inner(*args)
        took.append(pixels is not None)
        return pixels

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dynres_rs.images.decode_jpeg", spy)
        yield took


def ours(data: Any, policy: Policy = UPRIGHT) -> U8:
    return np.asarray(prepare(data, policy).pixels)[:, :, :3]


@pytest.mark.parametrize("subsampling", SUBSAMPLING.values(), ids=list(SUBSAMPLING))
@pytest.mark.parametrize("quality", [1, 10, 30, 50, 75, 90, 95, 100])
def test_qualities(decoded: list[bool], subsampling: int, quality: int) -> None:
    for height, width in [(1, 1), (2, 3), (8, 8), (15, 17), (16, 16), (97, 131), (240, 321)]:
        image = photo(height, width, quality)
        for options in ({}, {"optimize": quality < 90}, {"restart_marker_rows": 1}):
            data = jpeg(image, quality=quality, subsampling=subsampling, **options)
            np.testing.assert_array_equal(ours(data), theirs(data))
    assert all(decoded) and len(decoded) == 21


@property_test(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    quality=st.integers(1, 100),
    subsampling=st.sampled_from(["444", "422", "420", "440", "411", "Gray"]),
    fast=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_image(
    height: int, width: int, quality: int, subsampling: str, fast: bool, seed: int
) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    if seed % 2:
        image = photo(height, width, seed % 1000)
    if subsampling == "Gray":
        data = simplejpeg.encode_jpeg(image[:, :, :1].copy(), quality, "GRAY", "Gray", fast)
    else:
        data = simplejpeg.encode_jpeg(image, quality, "RGB", subsampling, fast)
    np.testing.assert_array_equal(ours(data), theirs(data))


def test_the_settings_are_pillows() -> None:
    """Fancy upsampling and the accurate DCT: the fast ones give other pixels."""
    data = jpeg(photo(97, 131), quality=90, subsampling=2)
    for fast in ({"fastupsample": True}, {"fastdct": True}):
        assert (simplejpeg.decode_jpeg(data, "RGB", **fast) != theirs(data)).any()


@pytest.mark.parametrize("orientation", [0, *range(1, 10)])
@pytest.mark.parametrize("where", ["exif", "xmp"])
def test_orientation(decoded: list[bool], orientation: int, where: str) -> None:
    if where == "exif":
        exif = Image.Exif()
        exif[0x0112] = orientation
        save: dict[str, Any] = {"exif": exif}
    else:
        save = {"xmp": b'<x tiff:Orientation="%d"></x>' % orientation}
    data = jpeg(photo(140, 201), **save)  # several blocks of the copy that turns it
    np.testing.assert_array_equal(ours(data), theirs(data))
    np.testing.assert_array_equal(ours(data, AS_IS), theirs(data, upright=False))
    assert decoded == [True, True]
    p = dr.Processor("qwen2-vl", max_pixels=20_000)
    np.testing.assert_array_equal(p(data)["pixel_values"], p(theirs(data))["pixel_values"])


def test_grey_and_what_cameras_add(decoded: list[bool]) -> None:
    image = photo(97, 131)
    grey = jpeg(Image.fromarray(image).convert("L"))
    profile = jpeg(image, icc_profile=b"x" * 70_000, comment=b"\xff\xc2", dpi=(72, 72))
    stream = io.BytesIO()
    Image.fromarray(image).save(
        stream, "MPO", save_all=True, append_images=[Image.fromarray(photo(20, 30))]
    )
    trailing = jpeg(image) + b"\0" * 5000
    adobe = jpeg(image)
    adobe = adobe[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\x01" + adobe[2:]
    filled = adobe[:2] + b"\xff\xff" + adobe[2:]
    for data in (grey, profile, stream.getvalue(), trailing, adobe, filled):
        np.testing.assert_array_equal(ours(data), theirs(data))
    assert decoded == [True] * 6


def test_paths(decoded: list[bool], tmp_path: Path) -> None:
    data = jpeg(photo(97, 131))
    path = tmp_path / "image.jpg"
    path.write_bytes(data)
    for given in (path, str(path)):
        np.testing.assert_array_equal(ours(given), theirs(data))
    assert decoded == [True, True]


def without_jfif(data: bytes) -> bytes:
    """The file without its APP0, so that Adobe's marker or the components' names decide."""
    assert data[2:4] == b"\xff\xe0"
    return data[:2] + data[4 + int.from_bytes(data[4:6]) :]


UNUSUAL = [
    "progressive",
    "CMYK",
    "RGB in an Adobe file",
    "4:4:0",
    "4:1:1",
    "arithmetic coding",
    "twelve bits",
    "cut in the pixels",
    "cut in the header",
    "no end",
    "garbage in the pixels",
    "no picture",
    "PNG",
    "turned, its EXIF cut",
]


def unusual() -> dict[str, bytes]:
    image = photo(97, 131)
    plain = jpeg(image, quality=90)
    four = Image.fromarray(image).convert("CMYK")
    frame = plain.index(b"\xff\xc0")
    body = plain.index(b"\xff\xda")
    adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0"
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = jpeg(image, exif=exif)
    return {
        "progressive": jpeg(image, progressive=True),
        "CMYK": jpeg(four),
        "RGB in an Adobe file": without_jfif(plain)[:2] + adobe + without_jfif(plain)[2:],
        "4:4:0": simplejpeg.encode_jpeg(image, 90, "RGB", "440"),
        "4:1:1": simplejpeg.encode_jpeg(image, 90, "RGB", "411"),
        "arithmetic coding": plain.replace(b"\xff\xc0", b"\xff\xc9", 1),
        "twelve bits": plain[: frame + 4] + b"\x0c" + plain[frame + 5 :],
        "cut in the pixels": plain[: len(plain) // 2],
        "cut in the header": plain[: frame + 6],
        "no end": plain[:-2],
        "garbage in the pixels": plain[: body + 800] + b"\xff\xd5\0\xff" * 9 + plain[body + 836 :],
        "no picture": plain[:body],
        "PNG": encoded_png(image),
        "turned, its EXIF cut": turned.replace(b"MM\0*", b"MM\0+", 1),
    }


def encoded_png(image: U8) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("kind", UNUSUAL)
def test_unusual_files_are_pillows(decoded: list[bool], kind: str, tmp_path: Path) -> None:
    data = unusual()[kind]
    path = tmp_path / "image.jpg"
    path.write_bytes(data)
    results = []
    for library in (simplejpeg, None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(decode, "simplejpeg", lambda library=library: library)
            for given in (data, path):
                try:
                    results.append(ours(given))
                except Exception as error:
                    results.append((type(error), str(error).replace(str(path), "it")))
    with_bytes, with_path, bytes_without, path_without = results
    if isinstance(with_bytes, tuple):
        assert (with_bytes, with_path) == (bytes_without, path_without)
    else:
        np.testing.assert_array_equal(with_bytes, bytes_without)
        np.testing.assert_array_equal(with_path, path_without)
    assert decoded in ([], [False] * 4) or kind == "turned, its EXIF cut"


def test_too_large_is_refused_before_a_pixel_is_decoded(decoded: list[bool]) -> None:
    with pytest.raises(dr.ImageTooLargeError):
        prepare(jpeg(photo(40, 61)), UPRIGHT._replace(max_pixels=40 * 61 - 1))
    assert decoded == []


def test_libraries_that_disagree_leave_it_to_pillow(decoded: list[bool]) -> None:
    def wrong(data: bytes, colorspace: str, buffer: Any = None) -> Any:
        return simplejpeg.decode_jpeg(data, colorspace, buffer=buffer) ^ 1

    other = SimpleNamespace(
        encode_jpeg=simplejpeg.encode_jpeg,
        decode_jpeg=wrong,
        decode_jpeg_header=simplejpeg.decode_jpeg_header,
    )
    data = jpeg(photo(40, 61))
    decode._agrees.cache_clear()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(decode, "simplejpeg", lambda: other)
            np.testing.assert_array_equal(ours(data), theirs(data))
    finally:
        decode._agrees.cache_clear()
    assert decoded == [False]


def test_without_simplejpeg(decoded: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "simplejpeg", lambda: None)
    data = jpeg(photo(40, 61))
    np.testing.assert_array_equal(ours(data), theirs(data))
    assert decoded == [False]


# Images that the caller opened with Pillow


def opened_pixels(image: Any, policy: Policy = AS_IS) -> U8:
    return np.asarray(prepare(image, policy).pixels)[:, :, :3]


@pytest.fixture
def pillow_decodes(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The images whose pixels Pillow has decoded."""
    for kind in (*decode.SUBSAMPLING, "Gray"):
        assert decode._agrees(kind)
    seen: list[Any] = []
    load_prepare = ImageFile.ImageFile.load_prepare

    def spy(self: Any) -> None:
        seen.append(self)
        load_prepare(self)

    monkeypatch.setattr(ImageFile.ImageFile, "load_prepare", spy)
    return seen


def mpo() -> bytes:
    stream = io.BytesIO()
    second = Image.fromarray(photo(97, 131, 5))
    Image.fromarray(photo(97, 131)).save(stream, "MPO", save_all=True, append_images=[second])
    return stream.getvalue()


@pytest.mark.parametrize("policy", [UPRIGHT, AS_IS, AS_IS._replace(convert="none")])
@pytest.mark.parametrize("kind", ["RGB", "L", "MPO"])
def test_an_opened_image_is_decoded_on_the_way(
    pillow_decodes: list[Any], policy: Policy, kind: str, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # of an image, not of a file, so nobody turns it
    data = (
        mpo() if kind == "MPO" else jpeg(Image.fromarray(photo(97, 131)).convert(kind), exif=exif)
    )
    want = theirs(data, upright=False)
    pillow_decodes.clear()
    path = tmp_path / "image.jpg"
    path.write_bytes(data)
    for source in (path, io.BytesIO(data)):
        image = Image.open(source)
        if kind == "L" and policy.convert == "none":
            with pytest.raises(ValueError, match="3 channels"):
                opened_pixels(image, policy)
            image.close()
            continue
        np.testing.assert_array_equal(opened_pixels(image, policy), want)
        assert pillow_decodes == []
        assert image.getexif().get(0x0112) == (None if kind == "MPO" else 6)
        # It comes again, so somebody keeps it: its pixels are there from now on.
        np.testing.assert_array_equal(opened_pixels(image, policy), want)
        assert pillow_decodes == [image] and not image.tile
        pillow_decodes.clear()
        image.close()


def test_what_is_open_afterwards(tmp_path: Path) -> None:
    """As after Pillow's own decoding: a file of its own is closed, one of the caller's is not."""
    data = jpeg(photo(97, 131))
    path = tmp_path / "image.jpg"
    path.write_bytes(data)
    image: Any = Image.open(path)
    file = image.fp
    opened_pixels(image)
    assert file.closed
    path.unlink()
    np.testing.assert_array_equal(np.asarray(image), theirs(data))
    with io.BytesIO(data) as callers:
        opened_pixels(Image.open(callers))
        assert not callers.closed
        with Image.open(callers) as image:
            opened_pixels(image)
        with pytest.raises((AssertionError, AttributeError, ValueError)):
            image.load()


def drafted(data: bytes) -> Any:
    image = Image.open(io.BytesIO(data))
    image.draft("RGB", (60, 60))
    return image


def second_frame(data: bytes) -> Any:
    image = Image.open(io.BytesIO(mpo()))
    image.seek(1)
    return image


def half_a_tile(data: bytes) -> Any:
    image: Any = Image.open(io.BytesIO(data))
    image.tile = [(*image.tile[0][:1], (0, 0, 131, 50), *image.tile[0][2:])]
    return image


def of_a_class_of_its_own(data: bytes) -> Any:
    class Inverted(JpegImagePlugin.JpegImageFile):
        def load(self) -> Any:
            first = bool(self.tile)
            access = super().load()
            if first:
                self.paste(ImageOps.invert(self.copy()))
            return access

    return Inverted(io.BytesIO(data))


def transparent(data: bytes) -> Any:
    image = Image.open(io.BytesIO(data))
    image.info["transparency"] = (255, 0, 40)
    return image


def closed(data: bytes) -> Any:
    image = Image.open(io.BytesIO(data))
    image.close()
    return image


def cut(data: bytes) -> Any:
    return Image.open(io.BytesIO(data[: len(data) // 2]))


def not_from_the_start(data: bytes) -> Any:
    image = Image.open(io.BytesIO(data))
    image.fp.read(700)
    return image


@pytest.mark.parametrize("policy", [UPRIGHT, AS_IS], ids=["transformers", "original"])
@pytest.mark.parametrize(
    "make",
    [
        drafted,
        second_frame,
        half_a_tile,
        of_a_class_of_its_own,
        transparent,
        closed,
        cut,
        not_from_the_start,
    ],
)
def test_unusual_opened_images_are_pillows(make: Any, policy: Policy) -> None:
    data = jpeg(photo(97, 131), quality=90)
    results = []
    for library in (simplejpeg, None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(decode, "simplejpeg", lambda library=library: library)
            try:
                results.append(opened_pixels(make(data), policy))
            except Exception as error:
                results.append((type(error), str(error)))
    with_it, without_it = results
    if isinstance(with_it, tuple):
        assert with_it == without_it
    else:
        np.testing.assert_array_equal(with_it, without_it)


def test_an_opened_image_too_large_is_not_decoded(pillow_decodes: list[Any]) -> None:
    image = Image.open(io.BytesIO(jpeg(photo(40, 61))))
    p = dr.Processor("qwen2-vl", max_image_pixels=40 * 61 - 1)
    with pytest.raises(dr.ImageTooLargeError):
        p(image)
    assert decode.SEEN not in image.__dict__


@pytest.mark.parametrize("subsampling", SUBSAMPLING.values(), ids=list(SUBSAMPLING))
def test_adapters_decode_on_the_way(
    pillow_decodes: list[Any], subsampling: int, tmp_path: Path
) -> None:
    """The bits, the mode, the info of Pillow's resize, without an image of the full size."""
    path = tmp_path / "image.jpg"
    path.write_bytes(jpeg(photo(301, 407), subsampling=subsampling, dpi=(72, 72)))
    with Image.open(path) as image:
        want = [image.convert("RGB").resize((112, 84)), image.convert("RGB").resize((116, 85))]
    pillow_decodes.clear()
    fetched = qwen_vl_utils.fetch_image({"image": str(path), "max_pixels": 10_000})
    scaled = llamafactory.preprocess_image(Image.open(path), 10_000, 0)
    for got, right in zip((fetched, scaled), want, strict=True):
        assert (got.mode, got.size, got.info) == (right.mode, right.size, right.info)
        assert got.tobytes() == right.tobytes()
    assert pillow_decodes == []


# The memory that is decoded into


def test_memory_is_used_again_and_never_while_in_use() -> None:
    first, second = (jpeg(photo(97, 131, seed)) for seed in (1, 2))
    held = prepare(first, AS_IS).pixels
    assert isinstance(held, np.ndarray)
    part = held[5:, ::2]
    del held
    others = [prepare(second, AS_IS).pixels for _ in range(3)]
    np.testing.assert_array_equal(part, theirs(first)[5:, ::2])
    for other in others:
        np.testing.assert_array_equal(other, theirs(second))
    del part, others, other
    places = set()
    for data in (first, second, first):
        pixels = prepare(data, AS_IS).pixels
        assert isinstance(pixels, np.ndarray)
        places.add(pixels.__array_interface__["data"][0])
        np.testing.assert_array_equal(pixels, theirs(data))
        del pixels
    assert len(places) == 1 or not memory._COUNTED


def test_memory_of_large_images_is_not_kept() -> None:
    room = decode.DECODED.empty((5000, 5000, 3), "uint8")
    assert room.nbytes > decode.DECODED.limit == 64 << 20
    assert room.base is None
    assert decode.DECODED.nbytes <= decode.DECODED.limit


def test_memory_of_one_image_is_kept() -> None:
    decode.DECODED.forget()
    for seed in range(3):
        images = [
            prepare(jpeg(photo(97 + 30 * seed, side, seed)), AS_IS).pixels for side in (90, 131)
        ]
        assert decode.DECODED.nbytes <= max(image.nbytes for image in images)


def test_threads_decode_at_once() -> None:
    files = [jpeg(photo(97 + seed, 131, seed)) for seed in range(8)]
    wanted = [theirs(data) for data in files]

    def right(number: int) -> bool:
        seed = number % len(files)
        image = Image.open(io.BytesIO(files[seed]))
        return np.array_equal(prepare(image, AS_IS).pixels, wanted[seed])

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(right, range(400)))
