"""JPEG files: decoded by the core with Pillow's own pixels, or by Pillow itself."""

import base64
import io
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest
from dynres_rs import _dynres_rs as _native
from dynres_rs import headers, jpeg, llamafactory, qwen_vl_utils
from dynres_rs._jpeg_samples import SAMPLES
from dynres_rs.images import Policy, prepare
from hypothesis import strategies as st
from jpeg_corpus import coefficients, random_scans
from jpeg_writer import Component, Frame, Scan, segment, write
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, JpegImagePlugin
from property_counts import property_test
from strategies import one_quick

U8 = NDArray[np.uint8]
PILLOW = jpeg.Decoding("pillow")
OWN = jpeg.Decoding("own")
UPRIGHT = Policy("transformers", False, None, 10**8, OWN)
AS_IS = Policy("original", False, None, 10**8, OWN)
PROGRESSIVE = {"progressive": True}
SUBSAMPLING = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}


def test_the_core_decodes_here() -> None:
    """Else this file's tests would compare Pillow with itself."""
    assert jpeg.disagreement() is None
    assert jpeg.is_own(OWN)


def photo(height: int, width: int, seed: int = 0) -> U8:
    """Smooth areas, edges and noise, so that every step of the decoder matters."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [127 + 120 * np.sin(x / (5 + c) + y / (9 - c) + seed) for c in range(3)]
    image = np.stack(waves, axis=2) + rng.normal(0, 12, (height, width, 3))
    image[(x // 7 + y // 5) % 4 == 0] = (255, 0, 40)
    return image.clip(0, 255).astype(np.uint8)


def encoded(image: Image.Image | U8, **save: Any) -> bytes:
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
    """Whether the core decoded each JPEG that it was asked for."""
    took: list[bool] = []
    inner = jpeg.decode

    def spy(*args: Any) -> Any:
        pixels = inner(*args)
        took.append(pixels is not None)
        return pixels

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jpeg, "decode", spy)
        yield took


def ours(data: Any, policy: Policy = UPRIGHT) -> U8:
    return np.asarray(prepare(data, policy).pixels)[:, :, :3]


@pytest.mark.parametrize("subsampling", SUBSAMPLING.values(), ids=list(SUBSAMPLING))
@pytest.mark.parametrize("quality", [1, 10, 30, 50, 75, 90, 95, 100])
def test_qualities(decoded: list[bool], subsampling: int, quality: int) -> None:
    for height, width in [(1, 1), (2, 3), (8, 8), (15, 17), (16, 16), (97, 131), (240, 321)]:
        image = photo(height, width, quality)
        for options in (
            {},
            {"optimize": quality < 90},
            {"restart_marker_rows": 1},
            PROGRESSIVE if quality < 90 else {},
        ):
            data = encoded(image, quality=quality, subsampling=subsampling, **options)
            np.testing.assert_array_equal(ours(data), theirs(data))
    assert all(decoded) and len(decoded) == 28


@property_test(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    factors=st.sampled_from([(1, 1), (2, 1), (2, 2), (1, 2), (4, 1), (1, 4), (4, 2), None]),
    progressive=st.booleans(),
    restart=st.integers(0, 3),
    kind=st.integers(0, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_coefficients(
    height: int,
    width: int,
    factors: tuple[int, int] | None,
    progressive: bool,
    restart: int,
    kind: int,
    seed: int,
) -> None:
    """Files of any factors, scripts, codes, tables and coefficients; `factors` None is grey."""
    rng = np.random.default_rng(seed)
    largest = 256 if seed % 2 else 30
    tables = {slot: rng.integers(1, largest, 64).tolist() for slot in (0, 1)}
    frame = Frame(height, width, [], tables, progressive=progressive, restart=restart)
    for place, (h, v) in enumerate([factors, (1, 1), (1, 1)] if factors else [(1, 1)]):
        empty = np.empty(0, np.int32)
        frame.components.append(Component(place + 1, h, v, min(place, 1), empty))
    for place, component in enumerate(frame.components):
        component.blocks = coefficients(rng, frame.padded(place), kind)
        component.blocks[:, :, 0] //= 2
    if progressive:
        frame.scans = random_scans(len(frame.components), rng)
    if seed % 3 == 0:
        frame.weights = rng
    data = write(frame)
    np.testing.assert_array_equal(ours(data), theirs(data))


@pytest.mark.parametrize("orientation", [0, *range(1, 10)])
@pytest.mark.parametrize("where", ["exif", "xmp"])
def test_orientation(decoded: list[bool], orientation: int, where: str, tmp_path: Path) -> None:
    if where == "exif":
        exif = Image.Exif()
        exif[0x0112] = orientation
        save: dict[str, Any] = {"exif": exif}
    else:
        save = {"xmp": b'<x tiff:Orientation="%d"></x>' % orientation}
    data = encoded(photo(140, 201), **save)
    np.testing.assert_array_equal(ours(data), theirs(data))
    np.testing.assert_array_equal(ours(data, AS_IS), theirs(data, upright=False))
    assert decoded == [True, True]
    height, width = theirs(data).shape[:2]
    path = tmp_path / "image.jpg"
    path.write_bytes(data)
    assert headers.image_size(path) == (height, width)
    assert headers.image_size(path, upright=False) == (140, 201)
    p = dr.Processor("qwen2-vl", max_pixels=20_000)
    np.testing.assert_array_equal(p(data)["pixel_values"], p(theirs(data))["pixel_values"])


def turned(data: bytes, orientation: int) -> U8:
    """Pillow's pixels, turned by numpy."""
    rows = theirs(data, upright=False)
    if orientation > 4:
        rows = rows.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        rows = rows[::-1]
    return rows[:, ::-1] if orientation in (2, 3, 6, 7) else rows


@property_test(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    kind=st.sampled_from(["L", "RGB", "progressive"]),
    subsampling=st.integers(0, 2),
    orientation=st.integers(1, 8),
    seed=st.integers(0, 999),
)
def test_turned_images_have_the_rows_of_stored_ones(
    height: int, width: int, kind: str, subsampling: int, orientation: int, seed: int
) -> None:
    image = Image.fromarray(photo(height, width, seed))
    save: dict[str, Any] = {"progressive": kind == "progressive", "subsampling": subsampling}
    data = encoded(image.convert("L") if kind == "L" else image, **save)
    want = turned(data, orientation)
    pixels = np.full(want.shape, 7, np.uint8)
    assert _native.jpeg_decode(data, pixels, orientation)
    np.testing.assert_array_equal(pixels, want)
    file = _native.Jpeg(data, lambda: pytest.fail("Pillow is asked"), orientation)
    assert file.size == want.shape[:2]
    size = (1 + want.shape[0] // 2, 1 + want.shape[1] // 3)
    made, expected = (np.empty((*size, 3), np.uint8) for _ in range(2))
    for source, out in ((file, made), (np.ascontiguousarray(want), expected)):
        _native.resize(source, size, "bicubic", "pillow-13", out, 1, 1 << 31)
    np.testing.assert_array_equal(made, expected)


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("family", one_quick(["qwen2-vl", "internvl", "deepseek-vl2"]))
def test_turned_files_in_calls(family: str, orientation: int) -> None:
    """Whole, and by rows from any one on; left to Pillow where the file fails late."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"max_pixels": 60_000} if family == "qwen2-vl" else {}
    own, pillow = (dr.Processor(family, jpeg=name, **options) for name in ("own", "pillow"))
    data = encoded(photo(310, 230, orientation), exif=exif)
    odd = data[:-60] + b"\xff\xd3" + data[-58:]
    assert _native.jpeg_verdict(data) is None and _native.jpeg_verdict(odd) is not None
    for file in (data, odd):
        one, other = own([file, photo(40, 60)]), pillow([file, photo(40, 60)])
        for key, array in one.items():
            np.testing.assert_array_equal(array, other[key])
    with pytest.raises(OSError, match="is truncated"):
        own(data[:-300])


def test_wrong_orientations() -> None:
    data, out = encoded(photo(9, 12)), np.empty((9, 12, 3), np.uint8)
    for wrong in (0, 9):
        with pytest.raises(ValueError, match=f"orientation: must be 1 to 8, got {wrong}$"):
            _native.jpeg_decode(data, out, wrong)
        with pytest.raises(ValueError, match=f"orientation: must be 1 to 8, got {wrong}$"):
            _native.Jpeg(data, lambda: None, wrong)
    with pytest.raises(ValueError, match="out: must have 12 rows, got 9"):
        _native.jpeg_decode(data, out, 6)


def large(kind: str) -> bytes:
    """A file that two threads share: see `ALONE` in `src/jpeg/mod.rs`."""
    image, exif = Image.fromarray(photo(640, 530)), Image.Exif()
    exif[0x0112] = 6
    save: dict[str, dict[str, Any]] = {
        "4:2:0": {},
        "4:4:4": {"subsampling": 0},
        "restarts": {"restart_marker_blocks": 5},
        "turned": {"exif": exif},
        "progressive": PROGRESSIVE,
    }
    return encoded(image.convert("L") if kind == "L" else image, **save.get(kind, {}))


@pytest.mark.parametrize("kind", ["4:2:0", "4:4:4", "L", "restarts", "turned", "progressive"])
@pytest.mark.parametrize("family", one_quick(["qwen2-vl", "internvl"]))
def test_two_threads_share_a_large_image(kind: str, family: str) -> None:
    data = large(kind)
    own, pillow = (dr.Processor(family, jpeg=name) for name in ("own", "pillow"))
    want = pillow(data)
    odd = data[:-90] + b"\xff\xd3" + data[-88:]
    want_odd = pillow(odd)
    for threads in (1, 2, 5):
        for _ in range(3):
            for file, wanted in ((data, want), (odd, want_odd)):
                made = own(file, num_threads=threads)
                for key, array in made.items():
                    np.testing.assert_array_equal(array, wanted[key])
            with pytest.raises(OSError, match="is truncated"):
                own(data[:-900], num_threads=threads)
    batch = own([data, data[:-900], data], num_threads=6, errors="collect")
    assert [number for number, _ in batch["errors"]] == [1]


def test_coefficients_that_are_left_behind_are_clear() -> None:
    """The next file has the memory of the last one, whose rows may not all have been used."""
    p = dr.Processor("qwen2-vl", max_pixels=30_000)
    rng = np.random.default_rng(3)
    for number in range(24):
        height, width = rng.integers(9, 260, 2).tolist()
        subsampling = number % 3
        data = encoded(photo(height, width, number), progressive=True, subsampling=subsampling)
        if number % 4 == 3:
            with pytest.raises(OSError, match="truncated"):
                p(data[: len(data) // 2])
        np.testing.assert_array_equal(ours(data), theirs(data))
        part = _native.Jpeg(data, lambda: pytest.fail("Pillow is asked"))
        out = np.empty((height, width, 3), np.uint8)
        _native.resize(part, (height, width), "bicubic", "pillow-13", out, 1, 1 << 31)
        np.testing.assert_array_equal(out, theirs(data))


@pytest.mark.slow
def test_memory_is_published() -> None:
    """What a header says beside what the system gives; the file's own bytes are not in it."""
    for save, least in ((PROGRESSIVE, 3000 * 2000 * 3), ({}, 2000 * 3)):
        header = jpeg.header(encoded(photo(3000, 2000), **save))
        assert header is not None
        assert least <= header.memory <= 1.15 * least + 400_000


def test_grey_and_what_cameras_add(decoded: list[bool]) -> None:
    image = photo(97, 131)
    grey = encoded(Image.fromarray(image).convert("L"))
    profile = encoded(image, icc_profile=b"x" * 70_000, comment=b"\xff\xc2", dpi=(72, 72))
    stream = io.BytesIO()
    Image.fromarray(image).save(
        stream, "MPO", save_all=True, append_images=[Image.fromarray(photo(20, 30))]
    )
    trailing = encoded(image) + b"\0" * 5000
    adobe = encoded(image)
    adobe = adobe[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\x01" + adobe[2:]
    filled = adobe[:2] + b"\xff\xff" + adobe[2:]
    for data in (grey, profile, stream.getvalue(), trailing, adobe, filled):
        np.testing.assert_array_equal(ours(data), theirs(data))
    assert decoded == [True] * 6


def test_paths(decoded: list[bool], tmp_path: Path) -> None:
    data = encoded(photo(97, 131))
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
    "CMYK",
    "RGB in an Adobe file",
    "arithmetic coding",
    "twelve bits",
    "cut in the pixels",
    "cut in the header",
    "no end",
    "garbage in the pixels",
    "progressive, cut",
    "progressive, its last bits missing",
    "no picture",
    "a short JFIF segment",
    "two frames",
    "PNG",
    "turned, its EXIF cut",
]


def unusual() -> dict[str, bytes]:
    image = photo(97, 131)
    plain = encoded(image, quality=90)
    four = Image.fromarray(image).convert("CMYK")
    frame = plain.index(b"\xff\xc0")
    body = plain.index(b"\xff\xda")
    adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0"
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(image, exif=exif)
    progressive = encoded(image, progressive=True)
    head = plain[frame : frame + 19]
    return {
        "CMYK": encoded(four),
        "RGB in an Adobe file": without_jfif(plain)[:2] + adobe + without_jfif(plain)[2:],
        "arithmetic coding": plain.replace(b"\xff\xc0", b"\xff\xc9", 1),
        "twelve bits": plain[: frame + 4] + b"\x0c" + plain[frame + 5 :],
        "cut in the pixels": plain[: len(plain) // 2],
        "cut in the header": plain[: frame + 6],
        "no end": plain[:-2],
        "garbage in the pixels": plain[: body + 800] + b"\xff\xd5\0\xff" * 9 + plain[body + 836 :],
        "progressive, cut": progressive[: len(progressive) // 2],
        "progressive, its last bits missing": unfinished(),
        "no picture": plain[:body],
        "a short JFIF segment": plain[:2] + segment(0xE0, b"JFIF\0") + without_jfif(plain)[2:],
        "two frames": plain[:frame] + head + plain[frame:],
        "PNG": encoded_png(image),
        "turned, its EXIF cut": turned.replace(b"MM\0*", b"MM\0+", 1),
    }


def unfinished() -> bytes:
    """A progressive file whose AC coefficients lack their lowest bit: libjpeg smooths it."""
    rng = np.random.default_rng(1)
    frame = Frame(40, 56, [], {0: [4] * 64}, progressive=True)
    frame.components = [Component(1, 1, 1, 0, np.empty(0, np.int32))]
    frame.components[0].blocks = coefficients(rng, frame.padded(0), 0)
    frame.scans = [Scan((0,), 0, 0, 0, 1), Scan((0,), 1, 63, 0, 1), Scan((0,), 0, 0, 1, 0)]
    return write(frame)


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
    for decoding in (OWN, PILLOW):
        for given in (data, path):
            try:
                results.append(ours(given, UPRIGHT._replace(decoding=decoding)))
            except Exception as error:
                results.append((type(error), str(error).replace(str(path), "it")))
    with_bytes, with_path, bytes_without, path_without = results
    if isinstance(with_bytes, tuple):
        assert (with_bytes, with_path) == (bytes_without, path_without)
    else:
        np.testing.assert_array_equal(with_bytes, bytes_without)
        np.testing.assert_array_equal(with_path, path_without)
    # Where only the EXIF is odd, Pillow opens the file and says how it is turned.
    assert True not in decoded or kind == "turned, its EXIF cut"
    # The same in a call, where a file may be the core's until its last row.
    p, q = (dr.Processor("qwen2-vl", jpeg=name, max_pixels=9_000) for name in ("own", "pillow"))
    if isinstance(with_bytes, tuple):
        for processor in (p, q):
            with pytest.raises(with_bytes[0]) as caught:
                processor(data)
            assert str(caught.value) == with_bytes[1]
    else:
        np.testing.assert_array_equal(p(data)["pixel_values"], q(data)["pixel_values"])


def test_too_large_is_refused_before_a_pixel_is_decoded(decoded: list[bool]) -> None:
    with pytest.raises(dr.ImageTooLargeError):
        prepare(encoded(photo(40, 61)), UPRIGHT._replace(max_pixels=40 * 61 - 1))
    assert decoded == []


@pytest.mark.parametrize("decoding", [OWN, PILLOW], ids=["own", "pillow"])
def test_pillows_own_limit_holds(decoding: jpeg.Decoding, monkeypatch: pytest.MonkeyPatch) -> None:
    """`Image.MAX_IMAGE_PIXELS`: a warning above it, an error above twice as much."""
    data = encoded(photo(40, 61))
    policy = UPRIGHT._replace(decoding=decoding)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40 * 61 - 1)
    with pytest.warns(Image.DecompressionBombWarning):
        np.testing.assert_array_equal(ours(data, policy), photo_of(data))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40 * 61 // 2 - 1)
    with pytest.raises(dr.ImageTooLargeError, match="MAX_IMAGE_PIXELS"):
        prepare(data, policy)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    np.testing.assert_array_equal(ours(data, policy), photo_of(data))


def photo_of(data: bytes) -> U8:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return theirs(data)


@pytest.mark.parametrize("decoding", [OWN, PILLOW], ids=["own", "pillow"])
def test_truncated_files_that_pillow_is_told_to_load(
    decoding: jpeg.Decoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(photo(97, 131))[:-900]
    policy = UPRIGHT._replace(decoding=decoding)
    with pytest.raises(OSError, match="is truncated"):
        prepare(data, policy)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    np.testing.assert_array_equal(ours(data, policy), theirs(data))


def test_another_opener_than_pillows_is_asked(decoded: list[bool]) -> None:
    """Whoever has registered an opener of JPEGs decides what is opened."""
    opener, accepts = Image.OPEN["JPEG"]

    def inverts(stream: Any, name: Any = None) -> Any:
        return of_a_class_of_its_own(stream.read())

    assert jpeg.is_own(OWN)  # asked once a process
    data = encoded(photo(20, 31))
    Image.OPEN["JPEG"] = (inverts, accepts)
    try:
        np.testing.assert_array_equal(ours(data), theirs(data))
    finally:
        Image.OPEN["JPEG"] = (opener, accepts)
    assert (ours(data) != 255 - theirs(data)).any()


# Whether the two decoders agree, and who decodes


def test_samples_are_what_they_are_called() -> None:
    found = {}
    for name, text in SAMPLES.items():
        header = jpeg.header(base64.b85decode(text))
        assert header is not None
        found[name] = (header.subsampling, header.progressive)
    for kind in ("4:4:4", "4:2:2", "4:2:0", "4:4:0", "4:1:1", "grey"):
        assert found[kind] == (kind, False)
    assert found["progressive 4:2:0"] == ("4:2:0", True)
    absurd = base64.b85decode(SAMPLES["absurd quantisation tables"])
    tables = Image.open(io.BytesIO(absurd)).quantization  # type: ignore[attr-defined]
    assert max(tables[0]) > 200 and min(tables[0]) < 20


@pytest.fixture
def another_libjpeg(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Pillow whose decoder gives other pixels, seen from the core: its own are off by one."""

    def wrong(data: bytes, out: U8) -> bool:
        done = _native.jpeg_decode(data, out)
        out ^= 1
        return done

    jpeg.disagreement.cache_clear()
    other = SimpleNamespace(**{**vars(_native), "jpeg_decode": wrong})
    monkeypatch.setattr(jpeg, "_native", other)
    yield
    monkeypatch.undo()
    jpeg.disagreement.cache_clear()
    assert jpeg.disagreement() is None


def test_decoders_that_disagree_leave_it_to_pillow(
    another_libjpeg: None, decoded: list[bool]
) -> None:
    data = encoded(photo(40, 61))
    np.testing.assert_array_equal(ours(data), theirs(data))
    image = Image.open(io.BytesIO(data))
    np.testing.assert_array_equal(opened_pixels(image), theirs(data))
    p = dr.Processor("qwen2-vl", jpeg="own")
    np.testing.assert_array_equal(p(data)["pixel_values"], p(theirs(data))["pixel_values"])
    assert decoded == []
    assert "other pixels" in jpeg.status() and "grey" in jpeg.status()


def test_a_pillow_without_jpegs_decodes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    jpeg.disagreement.cache_clear()
    monkeypatch.setattr(Image, "open", lambda stream: 1 // 0)
    assert jpeg.disagreement() == next(iter(SAMPLES))
    monkeypatch.undo()
    jpeg.disagreement.cache_clear()


def test_the_callers_choice(decoded: list[bool]) -> None:
    data = encoded(photo(97, 131))
    own, pillow = (dr.Processor("qwen2-vl", jpeg=name) for name in ("own", "pillow"))
    np.testing.assert_array_equal(pillow(data)["pixel_values"], own(data)["pixel_values"])
    assert decoded == [True]
    assert own == pillow and hash(own) == hash(pillow)
    assert own.to_dict() == pillow.to_dict() == dr.Processor("qwen2-vl").to_dict()
    assert pickle.loads(pickle.dumps(pillow)).policy.decoding == PILLOW
    limited = dr.Processor.from_config(
        {"image_processor_type": "Qwen2VLImageProcessor"}, jpeg="pillow", max_jpeg_work=7
    )
    assert pickle.loads(pickle.dumps(limited)).policy.decoding == ("pillow", 7)
    assert limited.fit([(400, 600)], tokens_per_image=40).policy.decoding == ("pillow", 7)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"jpeg": "turbo"}, ValueError, "jpeg: must be 'own' or 'pillow', got 'turbo'"),
        ({"jpeg": 1}, TypeError, "jpeg: must be a string, got int"),
        ({"max_jpeg_work": 0}, ValueError, "max_jpeg_work: must be at least 1, got 0"),
        ({"max_jpeg_work": 1.5}, TypeError, "max_jpeg_work: must be an integer, got float"),
        ({"max_jpeg_work": True}, TypeError, "max_jpeg_work: must be an integer, got bool"),
    ],
)
def test_wrong_choices(options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=f"^{text}$"):
        dr.Processor("qwen2-vl", **options)


@pytest.mark.parametrize(
    ("value", "said"),
    [("pillow", "as DYNRES_JPEG asks"), ("own", "dynres_rs decodes"), ("", "dynres_rs decodes")],
)
def test_the_environments_choice(value: str, said: str) -> None:
    code = "import dynres_rs; from dynres_rs import jpeg; print(jpeg.status())"
    assert said in in_environment(value, code).stdout


def test_an_unknown_choice_of_the_environment() -> None:
    done = in_environment("turbo", "import dynres_rs")
    assert "ImportError: DYNRES_JPEG: must be one of own, pillow; got 'turbo'" in done.stderr


def in_environment(value: str, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"DYNRES_JPEG": value},
        capture_output=True,
        text=True,
        check=False,
    )


# Work


def bomb(scans: int, height: int = 16, width: int = 16) -> bytes:
    """A progressive file that says the same bits of nothing again and again."""
    frame = Frame(height, width, [], {0: [1] * 64}, progressive=True)
    frame.components = [Component(1, 1, 1, 0, np.empty(0, np.int32))]
    frame.components[0].blocks = np.zeros((*frame.padded(0), 64), np.int32)
    frame.scans = [Scan((0,), 0, 0), *[Scan((0,), 1, 63)] * scans]
    return write(frame)


@pytest.mark.parametrize("decoding", [OWN, PILLOW], ids=["own", "pillow"])
def test_bombs_are_refused_before_they_are_decoded(
    decoding: jpeg.Decoding, pillow_decodes: list[Any], tmp_path: Path
) -> None:
    data = bomb(99)
    path = tmp_path / "bomb.jpg"
    path.write_bytes(data)
    right = UPRIGHT._replace(decoding=decoding._replace(max_work=4 * 100))
    below = UPRIGHT._replace(decoding=decoding._replace(max_work=4 * 100 - 1))
    text = "more than max_jpeg_work=399 blocks times scans to decode, got 400$"
    for given in (data, path, lambda: Image.open(io.BytesIO(data))):
        made = given() if callable(given) else given
        with pytest.raises(dr.ImageTooLargeError, match=text):
            prepare(made, below)
        assert pillow_decodes == []
        made = given() if callable(given) else given
        np.testing.assert_array_equal(np.asarray(prepare(made, right).pixels), theirs(data))
        pillow_decodes.clear()
    p = dr.Processor("qwen2-vl", jpeg=decoding.decoder, max_jpeg_work=399)
    batch = p([photo(40, 61), data], errors="collect")
    assert [(index, type(error)) for index, error in batch["errors"]] == [
        (1, dr.ImageTooLargeError)
    ]
    assert len(batch["image_grid_thw"]) == 1


def test_bombs_of_other_kinds() -> None:
    """What the core does not decode has its scans counted all the same."""
    four = encoded(Image.fromarray(photo(16, 16)).convert("CMYK"), progressive=True)
    scan = four.rindex(b"\xff\xda")
    again = four[:-2] + four[scan:-2] * 50 + four[-2:]
    policy = UPRIGHT._replace(decoding=OWN._replace(max_work=16 * 30))
    assert prepare(four, policy).height == 16
    with pytest.raises(dr.ImageTooLargeError, match="max_jpeg_work"):
        prepare(again, policy)


@pytest.mark.parametrize("progressive", [False, True])
def test_work_is_counted_alike(progressive: bool) -> None:
    """The core's count, and the one of files that the core does not know."""
    for height, width in ((1, 1), (16, 17), (97, 131)):
        for subsampling in SUBSAMPLING.values():
            data = encoded(
                photo(height, width), subsampling=subsampling, progressive=progressive,
                comment=b"\xff\xda\0\0", restart_marker_blocks=2,
            )  # fmt: skip
            header = jpeg.header(data)
            assert header is not None
            assert header.work == _native.jpeg_work(data) > 0
            assert (header.work > 10) or not progressive


# Files that fail late, in calls


def late() -> dict[str, bytes]:
    """Files whose headers are in order."""
    data = encoded(photo(300, 200), quality=95)
    progressive = encoded(photo(300, 200), progressive=True)
    return {
        "cut": data[:-400],
        "an odd restart": data[:-60] + b"\xff\xd3" + data[-58:],
        "progressive, cut": progressive[:-400],
    }


@pytest.mark.parametrize("num_threads", [1, 3])
@pytest.mark.parametrize("kind", ["cut", "an odd restart", "progressive, cut"])
def test_an_image_that_fails_late_leaves_no_rows(kind: str, num_threads: int) -> None:
    data = late()[kind]
    good = [encoded(photo(60 + 9 * n, 90, n)) for n in range(4)]
    own, pillow = (
        dr.Processor("qwen2-vl", jpeg=name, max_pixels=20_000) for name in ("own", "pillow")
    )
    given = [good[0], data, good[1], data, good[2], good[3]]
    results = [p(given, errors="collect", num_threads=num_threads) for p in (own, pillow)]
    for one, other in zip(*[result.pop("errors") for result in results], strict=True):
        assert (one[0], type(one[1]), str(one[1])) == (other[0], type(other[1]), str(other[1]))
    assert results[0].keys() == results[1].keys()
    for key, array in results[0].items():
        np.testing.assert_array_equal(array, results[1][key])


def test_an_image_that_fails_late_raises_pillows_error() -> None:
    data = late()["cut"]
    p = dr.Processor("qwen2-vl", jpeg="own", max_pixels=20_000)
    with pytest.raises(OSError, match=rf"^{len(data)} bytes: is truncated$"):
        p(data)
    with pytest.raises(OSError, match=rf"^images\[1\]: {len(data)} bytes: is truncated$"):
        p([photo(40, 60), data, data])


def test_out_for_the_images_that_are_good() -> None:
    """Which images fail is known before `out` is looked at."""
    good, bad = encoded(photo(60, 90)), late()["cut"]
    p = dr.Processor("qwen2-vl", jpeg="own", max_pixels=20_000)
    want = p([good])["pixel_values"]
    out = np.zeros_like(want)
    batch = p([good, bad], errors="collect", out=out)
    assert [index for index, _ in batch["errors"]] == [1]
    np.testing.assert_array_equal(out, want)


def test_an_odd_file_that_pillow_decodes_is_written_again() -> None:
    """Bytes that libjpeg skips with a warning of its own: the core leaves it, Pillow does not."""
    data = late()["an odd restart"]
    own, pillow = (
        dr.Processor("qwen2-vl", jpeg=name, max_pixels=20_000) for name in ("own", "pillow")
    )
    assert _native.jpeg_verdict(data) is not None
    for threads in (1, 4):
        np.testing.assert_array_equal(
            own([data, data], num_threads=threads)["pixel_values"],
            pillow([data, data])["pixel_values"],
        )


# Sizes


def test_sizes_without_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(photo(97, 131), comment=b"x" * 60_000, icc_profile=b"y" * 70_000)
    plain = encoded(photo(31, 20), progressive=True)
    (tmp_path / "long.jpg").write_bytes(data)
    (tmp_path / "plain.jpg").write_bytes(plain)
    opened = []
    inner = Image.open
    monkeypatch.setattr(Image, "open", lambda *args: opened.append(args) or inner(*args))
    assert dr.image_size(tmp_path / "plain.jpg") == (31, 20)
    p = dr.Processor("qwen2-vl")
    assert p.plan(tmp_path / "plain.jpg") == p.plan((31, 20)) == p.plan(31, 20)
    assert opened == []
    assert headers.image_size(tmp_path / "long.jpg") == (97, 131)  # its header is Pillow's to read
    assert len(opened) == 1
    (tmp_path / "cut.jpg").write_bytes(plain[:100])
    with pytest.raises(OSError, match="cannot be read"):
        headers.image_size(tmp_path / "cut.jpg")
    with pytest.raises(OSError, match="No such file"):
        headers.image_size(tmp_path / "none.jpg")


# Images that the caller opened with Pillow


def opened_pixels(image: Any, policy: Policy = AS_IS) -> U8:
    return np.asarray(prepare(image, policy).pixels)[:, :, :3]


@pytest.fixture
def pillow_decodes(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The images whose pixels Pillow has decoded."""
    assert jpeg.disagreement() is None
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
        mpo()
        if kind == "MPO"
        else encoded(Image.fromarray(photo(97, 131)).convert(kind), exif=exif)
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
    data = encoded(photo(97, 131))
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
    data = encoded(photo(97, 131), quality=90)
    results = []
    for decoding in (OWN, PILLOW):
        try:
            results.append(opened_pixels(make(data), policy._replace(decoding=decoding)))
        except Exception as error:
            results.append((type(error), str(error)))
    with_it, without_it = results
    if isinstance(with_it, tuple):
        assert with_it == without_it
    else:
        np.testing.assert_array_equal(with_it, without_it)


def test_an_opened_image_too_large_is_not_decoded(pillow_decodes: list[Any]) -> None:
    image = Image.open(io.BytesIO(encoded(photo(40, 61))))
    p = dr.Processor("qwen2-vl", max_image_pixels=40 * 61 - 1)
    with pytest.raises(dr.ImageTooLargeError):
        p(image)
    assert jpeg.SEEN not in image.__dict__


@pytest.mark.parametrize("subsampling", SUBSAMPLING.values(), ids=list(SUBSAMPLING))
def test_adapters_decode_on_the_way(
    pillow_decodes: list[Any], subsampling: int, tmp_path: Path
) -> None:
    """The bits, the mode, the info of Pillow's resize, without an image of the full size."""
    path = tmp_path / "image.jpg"
    path.write_bytes(encoded(photo(301, 407), subsampling=subsampling, dpi=(72, 72)))
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
    first, second = (encoded(photo(97, 131, seed)) for seed in (1, 2))
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
    assert len(places) == 1


def test_memory_of_large_images_is_not_kept() -> None:
    room = jpeg.DECODED.empty((5000, 5000, 3), "uint8")
    assert room.nbytes > jpeg.DECODED.limit == 64 << 20
    assert room.base is None
    assert jpeg.DECODED.nbytes <= jpeg.DECODED.limit


def test_memory_of_one_image_is_kept() -> None:
    jpeg.DECODED.forget()
    for seed in range(3):
        images = [
            prepare(encoded(photo(97 + 30 * seed, side, seed)), AS_IS).pixels for side in (90, 131)
        ]
        assert jpeg.DECODED.nbytes <= max(image.nbytes for image in images)


def test_threads_decode_at_once() -> None:
    files = [encoded(photo(97 + seed, 131, seed)) for seed in range(8)]
    wanted = [theirs(data) for data in files]

    def right(number: int) -> bool:
        seed = number % len(files)
        image = Image.open(io.BytesIO(files[seed]))
        return np.array_equal(prepare(image, AS_IS).pixels, wanted[seed])

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(right, range(400)))
