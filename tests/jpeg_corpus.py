"""JPEG files of many encoders and settings, each made from a number.

`make(number)` always gives the same file where the same encoders are installed. Pillow and the
writer of `jpeg_writer` are always there; simplejpeg, libjpeg-turbo's `cjpeg` and `jpegtran`,
mozjpeg (mozjpeg-lossless-optimization), jpegli (pyjpegli) and FFmpeg's encoder (PyAV)
are used where they are found.
"""

from __future__ import annotations

import functools
import importlib
import io
import itertools
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from jpeg_writer import Component, Frame, Scan, segment, write
from numpy.typing import NDArray
from PIL import Image, ImageFile

__all__ = ["ENCODERS", "Made", "installed", "make"]

U8 = NDArray[np.uint8]
Random = np.random.Generator

#: Luma tables of the first two rows of cameras and programs, in zigzag order, cut to their start:
#: the rest goes on as the last number says.
CAMERAS: Final = (
    (1, 1, 1, 2, 1, 1, 2, 2, 2, 2, 3, 2, 2, 3, 4, 6, 4, 4, 4, 4, 4, 8, 6, 6, 5, 6, 9, 8, 10, 10),
    (2, 1, 1, 2, 2, 3, 4, 5, 1, 1, 1, 2, 2, 4, 5, 5, 1, 1, 2, 2, 3, 5, 6, 5),
    (6, 4, 4, 6, 9, 11, 12, 16, 4, 5, 5, 6, 8, 10, 12, 12, 4, 5, 5, 6, 10, 12, 14, 19),
    (5, 3, 3, 5, 7, 12, 15, 18, 4, 4, 4, 6, 8, 17, 18, 17, 4, 4, 5, 7, 12, 17, 21, 17),
    (3, 2, 2, 3, 5, 8, 10, 12, 2, 2, 3, 4, 5, 12, 12, 11, 3, 3, 3, 5, 8, 11, 14, 11),
)


class Made(NamedTuple):
    """A file and how it came about."""

    encoder: str
    data: bytes


@functools.cache
def _module(name: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError:
        return None


# Pictures


def _size(rng: Random) -> tuple[int, int]:
    kind = rng.integers(20)
    if kind < 2:
        return int(rng.integers(1, 5)), int(rng.integers(1, 5))
    if kind < 4:
        return int(rng.integers(1, 3)), int(rng.integers(1, 400))
    if kind < 6:
        return int(rng.integers(1, 400)), int(rng.integers(1, 3))
    if kind < 15:
        return int(rng.integers(1, 70)), int(rng.integers(1, 70))
    if kind < 19:
        return int(rng.integers(50, 260)), int(rng.integers(50, 260))
    return int(rng.integers(200, 700)), int(rng.integers(200, 700))


def picture(rng: Random, size: tuple[int, int] | None = None) -> U8:
    """Noise, waves with edges, flat areas, or letters' sharp strokes."""
    height, width = size or _size(rng)
    kind = rng.integers(6)
    if kind == 0:
        return rng.integers(0, 256, (height, width, 3), np.uint8)
    if kind == 1:
        return np.full((height, width, 3), rng.integers(0, 256, 3), np.uint8)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    waves = [
        127 + 120 * np.sin(x / rng.uniform(1, 40) + y / rng.uniform(1, 40) + c) for c in range(3)
    ]
    image = np.stack(waves, axis=2) + rng.normal(0, rng.choice([0, 1, 4, 20]), (height, width, 3))
    if kind == 2:
        image[(x // 7 + y // 5) % 4 == 0] = rng.integers(0, 256, 3)
    if kind == 3:
        image = np.where(rng.random((height, width, 1)) < 0.1, 0, 255) + 0 * image
    if kind == 4:
        image[:] = image.mean(axis=2, keepdims=True)
    return image.clip(0, 255).astype(np.uint8)


def _tables(rng: Random) -> list[list[int]]:
    """Two quantisation tables: a camera's, or anything from 1 to 255."""
    if rng.integers(2):
        start = CAMERAS[rng.integers(len(CAMERAS))]
        camera = [*start, *[start[-1]] * (64 - len(start))]
        return [camera, [min(255, entry * 2) for entry in camera]]
    kind = rng.integers(3)
    if kind == 0:
        return [[255] * 64] * 2
    return rng.integers(1, 256 if kind == 1 else 4, (2, 64)).tolist()


# Encoders


def _pillow(rng: Random) -> bytes:
    image = Image.fromarray(picture(rng))
    save: dict[str, Any] = {"quality": int(rng.integers(1, 101))}
    if rng.integers(4) == 0:
        image = image.convert("L")
    elif rng.integers(30) == 0:
        image = image.convert("CMYK")
    elif rng.integers(30) == 0:
        save["keep_rgb"] = True
    else:
        save["subsampling"] = int(rng.integers(3))
    if rng.integers(4) == 0:
        del save["quality"]
        save["qtables"] = _tables(rng)
    if rng.integers(3) == 0:
        save["optimize"] = True
    if rng.integers(3) == 0:
        save["progressive"] = True
    if rng.integers(3) == 0:
        save[str(rng.choice(["restart_marker_rows", "restart_marker_blocks"]))] = int(
            rng.integers(1, 5)
        )
    if rng.integers(6) == 0:
        exif = Image.Exif()
        exif[0x0112] = int(rng.integers(10))
        exif[0x010F] = "Maker"
        save["exif"] = exif
    if rng.integers(6) == 0:
        save |= {"dpi": (72, 72), "comment": b"\xff\xda in a comment", "icc_profile": bytes(700)}
    stream = io.BytesIO()
    # Pillow's encoder fails on small progressive files of high quality with less room.
    before, ImageFile.MAXBLOCK = ImageFile.MAXBLOCK, 1 << 22
    try:
        image.save(stream, "JPEG", **save)
    finally:
        ImageFile.MAXBLOCK = before
    return stream.getvalue()


def _simplejpeg(rng: Random) -> bytes:
    image, quality = picture(rng), int(rng.integers(1, 101))
    kind = str(rng.choice(["444", "422", "420", "440", "411", "Gray"]))
    fast = bool(rng.integers(2))
    if kind == "Gray":
        grey = np.ascontiguousarray(image[:, :, :1])
        return bytes(_module("simplejpeg").encode_jpeg(grey, quality, "GRAY", "Gray", fast))
    return bytes(_module("simplejpeg").encode_jpeg(image, quality, "RGB", kind, fast))


def _run(command: list[str], given: bytes) -> bytes:
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    if done.returncode or not done.stdout:
        raise RuntimeError(f"{command}: {done.stderr[:200]!r}")
    return done.stdout


def _scans_text(components: int, rng: Random) -> str:
    lines = []
    for scan in random_scans(components, rng):
        places = ",".join(map(str, scan.components))
        lines.append(f"{places}: {scan.first}-{scan.last}, {scan.before}, {scan.after};")
    return "\n".join(lines)


def _options(components: int, rng: Random, folder: str) -> list[str]:
    """What `cjpeg` and `jpegtran` have in common."""
    options = []
    kind = rng.integers(6)
    if kind == 0:
        options.append("-optimize")
    elif kind == 1:
        options.append("-progressive")
    elif kind == 2:
        script = Path(folder) / "scans"
        script.write_text(_scans_text(components, rng))
        options += ["-scans", str(script)]
    elif kind == 3 and rng.integers(6) == 0:
        options.append("-arithmetic")
    if rng.integers(3) == 0:
        options += ["-restart", f"{rng.integers(1, 5)}{rng.choice(['', 'B'])}"]
    return options


def _cjpeg(rng: Random) -> bytes:
    image = picture(rng)
    command = ["cjpeg", "-quality", str(rng.integers(1, 101))]
    components = 3
    if rng.integers(5) == 0:
        command.append("-grayscale")
        components = 1
    elif rng.integers(30) == 0:
        command.append("-rgb")
    elif rng.integers(2):
        # A whole MCU has ten blocks at most, and libjpeg asks for factors that divide the largest.
        while True:
            factors = [(int(h), int(v)) for h, v in rng.integers(1, 5, (3, 2))]
            wide, tall = max(h for h, _ in factors), max(v for _, v in factors)
            whole = all(wide % h == 0 and tall % v == 0 for h, v in factors)
            if whole and sum(h * v for h, v in factors) <= 10:
                break
        command += ["-sample", ",".join(f"{h}x{v}" for h, v in factors)]
    if rng.integers(4) == 0:
        command += ["-dct", str(rng.choice(["int", "fast", "float"]))]
    if rng.integers(5) == 0:
        command += ["-smooth", str(rng.integers(1, 101))]
    with tempfile.TemporaryDirectory() as folder:
        if rng.integers(3) == 0:
            tables = Path(folder) / "tables"
            tables.write_text("\n".join(" ".join(map(str, table)) for table in _tables(rng)))
            command += ["-qtables", str(tables), "-baseline"]
        command += _options(components, rng, folder)
        height, width = image.shape[:2]
        return _run(command, b"P6 %d %d 255\n" % (width, height) + image.tobytes())


def _jpegtran(rng: Random) -> bytes:
    while True:
        data = (_pillow, _simplejpeg)[rng.integers(2) if _module("simplejpeg") else 0](rng)
        opened = Image.open(io.BytesIO(data))
        if opened.mode in ("RGB", "L"):
            break
    command = ["jpegtran", "-copy", str(rng.choice(["none", "all"]))]
    turns = [[], ["-rotate", "90"], ["-rotate", "180"], ["-flip", "horizontal"], ["-transpose"]]
    command += turns[rng.integers(len(turns))]
    with tempfile.TemporaryDirectory() as folder:
        command += _options(1 if opened.mode == "L" else 3, rng, folder)
        return _run(command, data)


def _mozjpeg(rng: Random) -> bytes:
    while True:
        data = _pillow(rng)
        if Image.open(io.BytesIO(data)).mode in ("RGB", "L"):
            return bytes(_module("mozjpeg_lossless_optimization").optimize(data))


def _jpegli(rng: Random) -> bytes:
    image = picture(rng)
    height, width = image.shape[:2]
    quality = int(rng.integers(1, 101))
    return bytes(_module("pyjpegli").encode(image.tobytes(), width, height, quality))


def _ffmpeg(rng: Random) -> bytes:
    av = _module("av")
    image = picture(rng)
    context = av.CodecContext.create("mjpeg", "w")
    context.height, context.width = image.shape[:2]
    context.pix_fmt = str(rng.choice(["yuvj420p", "yuvj422p", "yuvj444p"]))
    context.time_base = Fraction(1, 25)
    context.options = {"huffman": str(rng.choice(["default", "optimal"]))}
    context.qmin = context.qmax = int(rng.integers(1, 32))
    frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(format=context.pix_fmt)
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])


# Coefficients of no picture


def random_scans(components: int, rng: Random) -> list[Scan]:
    """A script of a progression that says every bit of every coefficient, in a lawful order."""
    scans: list[Scan] = []
    after = int(rng.integers(3))
    everything = tuple(range(components))
    together = [everything] if rng.integers(2) else [(place,) for place in everything]
    scans += [Scan(places, 0, 0, 0, after) for places in together]
    # What is still to be said, each in its own order; any of them may be next.
    queues: list[list[Scan]] = [
        [Scan(everything, 0, 0, bit + 1, bit) for bit in reversed(range(after))]
    ]
    for place in everything:
        cuts = sorted({1, 64, *rng.integers(2, 64, rng.integers(3)).tolist()})
        for first, end in itertools.pairwise(cuts):
            bits = int(rng.integers(3))
            queues.append(
                [Scan((place,), first, end - 1, 0, bits)]
                + [Scan((place,), first, end - 1, b + 1, b) for b in reversed(range(bits))]
            )
    while queues := [queue for queue in queues if queue]:
        scans.append(queues[rng.integers(len(queues))].pop(0))
    return scans


def coefficients(rng: Random, shape: tuple[int, int], kind: int, most: int = 1023) -> Any:
    """Blocks: as pictures have them, sparse, large beyond any picture, or only the first row."""
    whole = (*shape, 64)
    if kind == 0:
        fall = 60 / (1 + np.arange(64)) ** rng.uniform(0.5, 1.5)
        blocks = rng.laplace(0, 1, whole) * fall
    elif kind == 1:
        blocks = rng.integers(-most, most + 1, whole) * (rng.random(whole) < 0.06)
    elif kind == 2:
        blocks = rng.integers(-most, most + 1, whole)
    else:
        first = np.isin(np.arange(64), (0, 1, 5, 6, 14, 15, 27, 28))  # of zigzag order
        blocks = rng.integers(-most, most + 1, whole) * first * (rng.random(whole) < 0.7)
    return blocks.clip(-most, most).astype(np.int32)


def _writer(rng: Random) -> bytes:
    """Frames that no encoder writes: any factors, tables, codes, scripts and coefficients."""
    height, width = (int(side) for side in rng.integers(1, 50, 2))
    count = 1 if rng.integers(4) == 0 else 3
    usual = [(1, 1), (2, 1), (1, 2), (2, 2), (4, 1), (1, 4), (4, 2)]
    factors = [usual[rng.integers(len(usual))], (1, 1), (1, 1)]
    if rng.integers(3) == 0:
        factors = [(int(h), int(v)) for h, v in rng.integers(1, 5, (3, 2))]
    factors = factors[:count]
    together = sum(h * v for h, v in factors) <= 10
    absurd = rng.integers(2)
    tables = {
        slot: rng.integers(1, 256 if absurd else 20, 64).tolist() for slot in range(min(count, 2))
    }
    deep = rng.integers(8) == 0
    if deep:
        tables = {slot: rng.integers(1, 65536, 64).tolist() for slot in tables}
    frame = Frame(height, width, [], tables, progressive=bool(rng.integers(2)))
    frame.extended = bool(deep or rng.integers(4) == 0)
    frame.wide_tables = frame.extended and bool(rng.integers(2))
    frame.restart = int(rng.integers(1, 6)) if rng.integers(3) == 0 else 0
    numbers = [1, 2, 3] if rng.integers(2) else rng.permutation(np.arange(4, 250))[:count].tolist()
    frame.components = [
        Component(int(numbers[place]), h, v, min(place, 1), np.empty(0, np.int32))
        for place, (h, v) in enumerate(factors)
    ]
    kind = int(rng.integers(4))
    most = int(rng.choice([60, 1023, 2047, 16383 if absurd else 1023]))
    for place, component in enumerate(frame.components):
        component.blocks = coefficients(rng, frame.padded(place), kind, most)
        component.blocks[:, :, 0] //= 2  # a difference of two has a bit more
    if frame.progressive:
        frame.scans = random_scans(count, rng)
        if not together:
            frame.scans = [
                Scan((place,), *bands)
                for scan in frame.scans
                for place in scan.components
                for bands in [(scan.first, scan.last, scan.before, scan.after)]
            ]
    elif not together or rng.integers(4) == 0:
        frame.scans = [Scan((place,)) for place in rng.permutation(count).tolist()]
    if rng.integers(2):
        frame.weights = rng
    if count == 3 and rng.integers(3):
        frame.segments.append(
            segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")
            if rng.integers(2)
            else segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([1]))
        )
    return write(frame)


ENCODERS: Final[dict[str, Callable[[Random], bytes]]] = {
    "pillow": _pillow,
    "writer": _writer,
    "simplejpeg": _simplejpeg,
    "cjpeg": _cjpeg,
    "jpegtran": _jpegtran,
    "mozjpeg": _mozjpeg,
    "jpegli": _jpegli,
    "ffmpeg": _ffmpeg,
}
_NEEDS: Final = {
    "simplejpeg": "simplejpeg",
    "mozjpeg": "mozjpeg_lossless_optimization",
    "jpegli": "pyjpegli",
    "ffmpeg": "av",
}


@functools.cache
def installed() -> tuple[str, ...]:
    """The encoders that are found."""
    found = []
    for name in ENCODERS:
        if name in ("cjpeg", "jpegtran"):
            there = shutil.which(name) is not None
        else:
            there = name not in _NEEDS or _module(_NEEDS[name]) is not None
        if there:
            found.append(name)
    return tuple(found)


def make(number: int, encoder: str | None = None) -> Made:
    """File `number`, by an encoder of its own choice or the one that is named."""
    rng = np.random.default_rng([16, number])
    names = installed()
    name = encoder or names[number % len(names)]
    return Made(name, ENCODERS[name](rng))
