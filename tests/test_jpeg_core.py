"""The core's JPEG decoder gives Pillow's bytes or steps aside, alone and as rows of a call."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest
from dynres_rs import _dynres_rs as core
from PIL import Image, ImageFile

pytestmark = pytest.mark.oracle

SIZES = [
    (1, 1),
    (1, 9),
    (2, 2),
    (3, 5),
    (8, 8),
    (7, 17),
    (16, 16),
    (17, 33),
    (15, 64),
    (31, 65),
    (33, 127),
    (9, 129),
    (65, 130),
    (100, 257),
    (250, 3),
]


def picture(rng: np.random.Generator, size: tuple[int, int], kind: str) -> Image.Image:
    height, width = size
    y, x = np.mgrid[:height, :width]
    if kind == "noise":
        pixels = rng.integers(0, 256, (height, width, 3))
    elif kind == "edges":
        pixels = np.stack([x * 3 + y, y * 2 - x, x + y * 4], -1) % 256
    elif kind == "flat":
        pixels = np.broadcast_to(rng.integers(0, 256, 3), (height, width, 3))
    else:
        waves = [np.sin(x / 9), np.cos(y / 17), np.sin((x + y) / 31)]
        pixels = np.stack([128 + 100 * wave + rng.normal(0, 6, wave.shape) for wave in waves], -1)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def written(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    # Pillow's own guess is too small for noise of high quality.
    before, ImageFile.MAXBLOCK = ImageFile.MAXBLOCK, 1 << 22
    try:
        image.save(file, "JPEG", **options)
    finally:
        ImageFile.MAXBLOCK = before
    return file.getvalue()


def by_pillow(data: bytes) -> np.ndarray[Any, Any]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def check(data: bytes, what: object) -> None:
    expected = by_pillow(data)
    out = np.full_like(expected, 0x55)
    assert core.jpeg_decode(data, out), (what, core.jpeg_verdict(data))
    np.testing.assert_array_equal(out, expected, str(what))


@pytest.mark.parametrize("subsampling", [0, 1, 2, "grey"])
@pytest.mark.parametrize("kind", ["noise", "edges", "flat", "waves"])
@pytest.mark.parametrize("progressive", [False, True])
def test_equals_pillow(subsampling: int | str, kind: str, progressive: bool) -> None:
    rng = np.random.default_rng([*kind.encode(), *str(subsampling).encode(), progressive])
    for size in SIZES:
        image = picture(rng, size, kind)
        options: dict[str, Any] = {"progressive": progressive}
        if subsampling == "grey":
            image = image.convert("L")
        else:
            options["subsampling"] = subsampling
        for quality in (3, 40, 85, 97, 100):
            options["optimize"] = bool(rng.integers(2))
            options["restart_marker_blocks"] = int(rng.choice([0, 0, 1, 5]))
            data = written(image, quality=quality, **options)
            check(data, (size, quality, options))


@pytest.mark.parametrize("progressive", [False, True])
def test_absurd_tables(progressive: bool) -> None:
    """What wraps and saturates in the vector code of libjpeg-turbo does so here."""
    rng = np.random.default_rng(8)
    for case in range(60):
        image = picture(rng, (int(rng.integers(1, 60)), int(rng.integers(1, 60))), "noise")
        if case % 3 == 0:
            tables = [[255] * 64] * 2
        else:
            tables = [[int(v) for v in rng.integers(1, 256, 64)] for _ in range(2)]
        data = written(image, qtables=tables, subsampling=case % 3, progressive=progressive)
        check(data, case)
        # The same coefficients under other tables than they were made for.
        at = data.index(b"\xff\xdb") + 5
        large = data[:at] + bytes([int(v) for v in rng.integers(200, 256, 64)]) + data[at + 64 :]
        check(large, (case, "other tables"))


def test_other_encoders() -> None:
    simplejpeg = pytest.importorskip("simplejpeg", reason="an encoder that only benches need")
    rng = np.random.default_rng(4)
    for size in SIZES:
        pixels = np.ascontiguousarray(np.asarray(picture(rng, size, "waves")))
        for subsampling in ("444", "422", "420", "440", "411"):
            data = simplejpeg.encode_jpeg(pixels, quality=83, colorsubsampling=subsampling)
            check(data, (size, subsampling))
        grey = np.ascontiguousarray(pixels[..., :1])
        check(simplejpeg.encode_jpeg(grey, quality=83, colorspace="GRAY"), (size, "grey"))


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["scalar", "avx2"])
def test_under_other_backends(backend: str) -> None:
    if backend not in core.backends() or backend == core.simd():
        pytest.skip("this processor lacks it, or the other tests run under it")
    environment = {**os.environ, "DYNRES_SIMD": backend}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    chosen = [*command, "-k", "equals_pillow or absurd or other_encoders"]
    done = subprocess.run(chosen, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-2000:]


def test_damaged_files_are_pillows() -> None:
    """Whatever is accepted has Pillow's bytes; what Pillow refuses is never accepted."""
    rng = np.random.default_rng(11)
    base = [
        written(picture(rng, (37, 52), "waves"), subsampling=number % 3, progressive=number > 3)
        for number in range(8)
    ]
    accepted = 0
    for number in range(3000):
        data = bytearray(base[number % len(base)])
        at = int(rng.integers(2, len(data)))
        match number % 5:
            case 0:
                data[at] ^= 1 << int(rng.integers(8))
            case 1:
                data[at] = int(rng.integers(256))
            case 2:
                del data[at : at + int(rng.integers(1, 4))]
            case 3:
                data[at:at] = rng.bytes(int(rng.integers(1, 4)))
            case _:
                data = data[:at]
        changed = bytes(data)
        header = core.jpeg_header(changed)
        if header is None or header[0] * header[1] > 1 << 20:
            continue
        grey = header[2] == 1
        out = np.zeros(header[:2] if grey else (*header[:2], 3), np.uint8)
        if not core.jpeg_decode(changed, out):
            continue
        if not header[8]:
            continue  # Pillow opens it first, and may refuse it.
        accepted += 1
        np.testing.assert_array_equal(out, by_pillow(changed), str(number))
    assert accepted > 100


def test_what_is_left_to_pillow() -> None:
    rng = np.random.default_rng(1)
    image = picture(rng, (20, 30), "waves")
    assert core.jpeg_header(written(image.convert("CMYK"))) is None
    assert core.jpeg_header(b"") is None
    assert core.jpeg_header(b"\x89PNG\r\n\x1a\n") is None
    data = written(image)
    out = np.zeros((20, 30, 3), np.uint8)
    for changed in (data[:-2], data[:-30], data[:-2] + b"\0" + data[-2:]):
        assert core.jpeg_header(changed) is not None
        assert core.jpeg_decode(changed, out) is False
        assert core.jpeg_verdict(changed)
    assert core.jpeg_decode(data + b"more", out) is True
    with pytest.raises(ValueError, match="rows"):
        core.jpeg_decode(data, np.zeros((21, 30, 3), np.uint8))
    with pytest.raises(ValueError, match="bytes"):
        core.jpeg_decode(data, np.zeros((20, 30), np.uint8))
    with pytest.raises(ValueError, match="writeable"):
        core.jpeg_decode(data, np.frombuffer(bytes(1800), np.uint8).reshape(20, 30, 3))


def test_header() -> None:
    rng = np.random.default_rng(2)
    image = picture(rng, (33, 50), "waves")
    exif = Image.Exif()
    exif[0x0112] = 6
    for subsampling, name, blocks in [(0, "4:4:4", 105), (1, "4:2:2", 80), (2, "4:2:0", 72)]:
        data = written(image, subsampling=subsampling, exif=exif)
        header = core.jpeg_header(data)
        assert header[:7] == (33, 50, 3, name, False, 6, blocks)
        assert header[8] is True
        assert core.jpeg_header(data[: data.index(b"\xff\xda") + 20])[:7] == header[:7]
        assert core.jpeg_header(data[: data.index(b"\xff\xda")]) is None
    data = written(image, progressive=True)
    scans = data.count(b"\xff\xda")
    _, _, _, _, progressive, orientation, work, memory, _ = core.jpeg_header(data)
    assert (progressive, orientation, work) == (True, 1, 72 * scans)
    assert memory >= 72 * 128
    header = core.jpeg_header(written(image.convert("L")))
    assert header[:7] == (33, 50, 1, "grey", False, 1, 35)


FAMILIES = ["qwen2-vl", "internvl", "deepseek-vl2"]


def run(
    processor: dr.Processor, data: bytes, fallback: Callable[[], Image.Image], threads: int = 1
) -> tuple[dict[str, Any], Any]:
    spec = processor._base.spec
    file = core.Jpeg(data, fallback)
    plan = spec.plan(*file.size)
    asked = spec.batch([plan], [1], None, "expand")
    outs = {key: np.zeros(shape, kind) for key, shape, kind, _ in asked.arrays}
    return outs, asked.run([file], list(outs.values()), threads)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("threads", [1, 3])
def test_rows_of_a_call(family: str, threads: int) -> None:
    """Files that stand for images, in every shape of units, are used row by row."""
    rng = np.random.default_rng(6)
    processor = dr.Processor(family)
    for number, size in enumerate([(56, 84), (100, 64), (333, 517), (700, 200), (29, 31)]):
        image = picture(rng, size, "waves")
        if number == 1:
            image = image.convert("L")
        options = {} if number == 1 else {"subsampling": number % 3}
        data = written(image, progressive=number == 3, restart_marker_rows=1, **options)
        outs, failed = run(processor, data, pytest.fail, threads)
        assert failed is None
        expected = processor(Image.open(io.BytesIO(data)).convert("RGB"))
        np.testing.assert_array_equal(outs["pixel_values"], expected["pixel_values"])


@pytest.mark.parametrize("progressive", [False, True])
def test_a_file_that_is_not_what_it_seemed(
    progressive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found out when most rows were used: Pillow's image is written from the first row on."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = written(picture(np.random.default_rng(9), (300, 400), "waves"), progressive=progressive)
    data = data[:-40]
    processor = dr.Processor("qwen2-vl")
    calls = []

    def fallback() -> Image.Image:
        calls.append(1)
        return Image.open(io.BytesIO(data)).convert("RGB")

    for threads in (1, 4):
        outs, failed = run(processor, data, fallback, threads)
        assert failed is None
        expected = processor(fallback())
        np.testing.assert_array_equal(outs["pixel_values"], expected["pixel_values"])
    assert len(calls) == 4


def test_what_the_fallback_says() -> None:
    data = written(picture(np.random.default_rng(9), (60, 80), "waves"))[:-30]
    processor = dr.Processor("qwen2-vl")

    def refuses() -> Image.Image:
        raise OSError("image: cannot be decoded")

    _, failed = run(processor, data, refuses)
    assert failed[0] == 0
    assert isinstance(failed[1], OSError)
    assert str(failed[1]) == "image: cannot be decoded"
    _, failed = run(processor, data, lambda: Image.new("RGB", (80, 61)))
    assert isinstance(failed[1], ValueError)
    with pytest.raises(ValueError, match="data"):
        core.Jpeg(b"GIF89a", refuses)
