"""Compares the core's JPEG decoder with the installed Pillow, on many files and damaged ones.

    python tests/jpeg_judge.py make FOLDER --count 20000   # files, with Pillow's answers
    python tests/jpeg_judge.py check FOLDER                # every backend of this CPU, every file
    python tests/jpeg_judge.py mutate FOLDER --count 1000000

A file that the core leaves to Pillow is Pillow's by definition, and is counted. Any other must have
Pillow's pixels, byte for byte; a header that the core opens by itself must be one that Pillow opens
without a warning, with the same size and orientation. What differs is written to the folder, and
the exit status is then 1.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import pickle
import random
import re
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

import jpeg_corpus
import numpy as np
from dynres_rs import _dynres_rs as _native
from dynres_rs import jpeg
from jpeg_writer import segment
from PIL import Image

#: Pixels above which a damaged header is believed without decoding: both would need gigabytes.
MOST: Final = 1 << 22
EQUAL, LEFT = "equal", "left to Pillow"
LIMIT: Final = 1 << 31


class Judged(NamedTuple):
    """A file with Pillow's answer."""

    name: str
    data: bytes
    answer: str | None
    """The digest of its pixels, or None where Pillow refuses it."""


def digest(pixels: Any) -> str:
    """Of (H, W, 3) pixels and their shape."""
    array = np.ascontiguousarray(pixels)
    return hashlib.blake2b(repr(array.shape).encode() + array.tobytes(), digest_size=16).hexdigest()


def theirs(data: bytes) -> str | None:
    """Pillow's answer."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                return digest(np.asarray(image.convert("RGB")))
    except Exception:  # the dozen classes that Pillow raises
        return None


class _Left(Exception):
    """The core asks for Pillow's image."""


def ours(data: bytes, by_rows: bool) -> str | None:
    """The core's answer, None where it leaves the file to Pillow.

    Args:
        by_rows: through the source of rows that a call reads, else decoded whole.
    """
    head = jpeg.header(data)
    if head is None or head.height * head.width > MOST:
        return None
    pixels = np.full((head.height, head.width, 3), 77, np.uint8)
    if not by_rows:
        return digest(pixels) if _native.jpeg_decode(data, pixels) else None

    def left() -> Any:
        raise _Left

    file = _native.Jpeg(data, left)
    try:
        # A resize to the same size is a copy.
        size = (head.height, head.width)
        _native.resize(file, size, "bicubic", "pillow-13", pixels, 1, LIMIT)
    except _Left:
        return None
    return digest(pixels)


def judge(item: Judged) -> str:
    """`EQUAL`, `LEFT`, or what is wrong."""
    whole, rows = ours(item.data, False), ours(item.data, True)
    if whole != rows:
        return "rows and the whole image differ"
    if whole is None:
        return LEFT
    return EQUAL if whole == item.answer else "other pixels than Pillow's"


def judge_header(data: bytes) -> str | None:
    """What is wrong with the core's own opening of a file, if anything."""
    head = jpeg.header(data)
    if head is None or not head.allowed:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            # Only a processor's own limit speaks of sizes here.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as image:
                if image.format != "JPEG" or (image.height, image.width) != head[:2]:
                    return "another size or format than Pillow's"
                if image.mode != ("L" if head.components == 1 else "RGB"):
                    return "another mode than Pillow's"
                if head.orientation is None:
                    return None
                exif = image.getexif()
                turn = exif.get(jpeg.ORIENTATION, 1)
                if head.orientation != (turn if turn in range(2, 9) else 1):
                    return "another orientation than Pillow's"
    except Image.DecompressionBombError:
        return None
    except Exception as error:
        return f"opened, and Pillow does not: {type(error).__name__}"
    return None


# Damage


#: Where coded data ends: at a marker that is neither stuffing nor a restart.
_MARKER = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]", re.DOTALL)


def _segments(data: bytes) -> list[tuple[int, int]]:
    """(start, end) of the segments of a whole file, coded data after a scan's header included."""
    found, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xD9:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        if data[at + 1] == 0xDA:
            match = _MARKER.search(data, end)
            end = len(data) if match is None else match.start()
        found.append((at, min(end, len(data))))
        at = end
    return found


def _bits(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice([1, 1, 2, 8])):
        at = rng.randrange(len(data))
        data[at] ^= 1 << rng.randrange(8)


def _bytes(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice([1, 1, 2, 4])):
        data[rng.randrange(len(data))] = rng.choice([0, 1, 0xFF, 0xD0, 0xD9, rng.randrange(256)])


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(2, len(data)) :]
    if rng.random() < 0.5:
        data += b"\xff\xd9"


def _drop(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    del data[at : at + rng.choice([1, 2, 3, rng.randrange(1, 60)])]


def _repeat(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    part = data[at : at + rng.randrange(1, 60)]
    data[at:at] = part


def _insert(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(2, len(data) + 1)
    markers = [bytes([0xFF, kind]) for kind in (*range(0xC0, 0xE0), 0, 1, 0xFF)]
    data[at:at] = rng.choice([rng.randbytes(rng.randrange(1, 8)), rng.choice(markers)])


def _trail(data: bytearray, rng: random.Random) -> None:
    data += rng.choice([b"\0" * 9, rng.randbytes(30), b"\xff\xd8\xff\xd9", bytes(data[:200])])


def _field(data: bytearray, rng: random.Random) -> None:
    """A byte of the frame's, a scan's or a table's header."""
    places = [at for at, _ in _segments(bytes(data)) if data[at + 1] in (0xC0, 0xC1, 0xC2, 0xDA)]
    places += [at for at, _ in _segments(bytes(data)) if data[at + 1] in (0xC4, 0xDB, 0xDD)][:3]
    if places:
        at = rng.choice(places) + rng.randrange(1, 22)
        if at < len(data):
            data[at] = rng.choice(
                [data[at] ^ 1 << rng.randrange(8), rng.randrange(256), 0, 1, 0x11]
            )


def _segment(data: bytearray, rng: random.Random) -> None:
    """A segment removed, said twice, moved, or one that is odd put in."""
    parts = _segments(bytes(data))
    if not parts:
        return
    start, end = rng.choice(parts)
    kind = rng.randrange(5)
    if kind == 0:
        del data[start:end]
    elif kind == 1:
        data[start:start] = data[start:end]
    elif kind == 2:
        part = bytes(data[start:end])
        del data[start:end]
        at = rng.choice(_segments(bytes(data)) or [(2, 2)])[0]
        data[at:at] = part
    else:
        data[start:start] = odd_segment(rng)


def odd_segment(rng: random.Random) -> bytes:
    """A segment of an application, a comment or a number, well-formed or nearly."""
    bodies: list[tuple[int, bytes]] = [
        (0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0"),
        (0xE0, b"JFXX\0\x10"),
        (0xE1, _exif(rng)),
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation='6'/>"),
        (0xE2, b"ICC_PROFILE\0\1\1" + rng.randbytes(20)),
        (0xE2, b"MPF\0II*\0\x08\0\0\0\0\0\0\0\0\0"),
        (0xED, b"Photoshop 3.0\08BIM\x03\xed\0\0\0\0\0\x10" + rng.randbytes(16)),
        (0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([rng.randrange(4)])),
        (0xFE, rng.randbytes(9)),
        (0xDD, rng.randrange(5).to_bytes(2)),
        (0xDC, b"\0\x10"),
        (0xDB, bytes([rng.randrange(5)]) + bytes([rng.randrange(1, 256)]) * 64),
        (rng.randrange(0xE0, 0xF0), rng.randbytes(rng.randrange(20))),
    ]
    marker, body = rng.choice(bodies)
    if rng.random() < 0.4:
        body = body[: rng.randrange(len(body) + 1)]
    made = bytearray(segment(marker, body))
    if rng.random() < 0.2:
        made[2:4] = (max(0, len(body) + 2 + rng.choice([-3, -2, -1, 1, 2, 40]))).to_bytes(2)
    return bytes(made)


def _exif(rng: random.Random) -> bytes:
    exif = Image.Exif()
    exif[jpeg.ORIENTATION] = rng.randrange(12)
    if rng.random() < 0.5:
        exif[0x010F] = "Maker"
        exif[0x0128] = 2
    body = bytearray(exif.tobytes())
    if not body.startswith(b"Exif\0\0"):
        body[:0] = b"Exif\0\0"
    if rng.random() < 0.5:
        at = rng.randrange(len(body))
        body[at] = rng.choice([body[at] ^ 1 << rng.randrange(8), rng.randrange(256)])
    return bytes(body)


def _restarts(data: bytearray, rng: random.Random) -> None:
    places = [at for at in range(len(data) - 1) if data[at] == 0xFF and 0xD0 <= data[at + 1] < 0xD8]
    if not places:
        return _bits(data, rng)
    at = rng.choice(places)
    if rng.random() < 0.5:
        data[at + 1] = 0xD0 + rng.randrange(8)
    else:
        del data[at : at + 2]
    return None


DAMAGE: Final[list[Callable[[bytearray, random.Random], None]]] = [
    *(_bits, _bytes, _cut, _drop, _repeat, _insert, _trail),
    *(_field, _field, _segment, _segment, _restarts),
]


def damaged(seeds: Sequence[bytes], number: int) -> bytes:
    """Damaged file `number`: one or more damages, or the front of one file and the end of
    another."""
    rng = random.Random(number)
    data = bytearray(rng.choice(seeds))
    if rng.random() < 0.08:
        other = rng.choice(seeds)
        data = data[: rng.randrange(2, len(data))] + other[rng.randrange(2, len(other)) :]
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        if len(data) > 4:
            rng.choice(DAMAGE)(data, rng)
    return bytes(data)


def judge_damaged(data: bytes) -> str:
    """`EQUAL`, `LEFT`, or what is wrong with a file that may be damaged."""
    wrong = judge_header(data)
    if wrong is not None:
        return wrong
    whole = ours(data, False)
    if whole != ours(data, True):
        return "rows and the whole image differ"
    if whole is None:
        return LEFT
    if whole == theirs(data):
        return EQUAL
    head = jpeg.header(data)
    if head is not None and not head.allowed and not _opens(data, head):
        return LEFT  # Pillow opens it first, and refuses
    return "accepted, with other pixels than Pillow's, or none"


def _opens(data: bytes, head: jpeg.Header) -> bool:
    """Whether Pillow opens the file, as a JPEG of the size and mode that the core sees."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                mode = "L" if head.components == 1 else "RGB"
                found = (image.format in ("JPEG", "MPO"), image.height, image.width, image.mode)
                return found == (True, head.height, head.width, mode)
    except Exception:
        return False


def seeds(count: int, longest: int = 2500) -> list[bytes]:
    """Small files to damage, of every encoder."""
    found: list[bytes] = []
    number = 0
    while len(found) < count:
        data = jpeg_corpus.make(number).data
        number += 1
        head = jpeg.header(data)
        if len(data) <= longest and (head is None or head.height * head.width < 6000):
            found.append(data)
    return found


# The commands


def _make_part(numbers: range) -> list[Judged]:
    part = []
    for number in numbers:
        made = jpeg_corpus.make(number)
        part.append(Judged(f"{number} {made.encoder}", made.data, theirs(made.data)))
    return part


def _make(folder: Path, count: int, jobs: int, first: int) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    end = first + count
    parts = [range(start, min(start + 250, end)) for start in range(first, end, 250)]
    with ProcessPoolExecutor(jobs) as pool:
        for numbers, part in zip(parts, pool.map(_make_part, parts), strict=True):
            (folder / f"part-{numbers.start:06d}.pickle").write_bytes(pickle.dumps(part))
            print(f"{numbers.stop - first} files", flush=True)
    return 0


def _stored(folder: Path) -> Iterator[Judged]:
    for path in sorted(folder.glob("part-*.pickle")):
        yield from pickle.loads(path.read_bytes())


def _check(folder: Path) -> int:
    """Of the backend in use."""
    counts: Counter[tuple[str, str]] = Counter()
    refused = 0
    started = time.process_time()
    for item in _stored(folder):
        verdict = judge(item)
        if verdict == LEFT and item.answer is None:
            refused += 1
        counts[item.name.split(" ", 1)[1], verdict] += 1
        wrong = judge_header(item.data) if verdict in (EQUAL, LEFT) else verdict
        if wrong is not None:
            counts["any", wrong] += 1
            print(f"{item.name}: {wrong}", flush=True)
            (folder / f"differs-{item.name.replace(' ', '-')}.jpg").write_bytes(item.data)
    return _report(counts, refused, time.process_time() - started)


def _report(counts: Counter[tuple[str, str]], refused: int, seconds: float) -> int:
    total = Counter[str]()
    for (encoder, verdict), count in sorted(counts.items()):
        print(f"  {encoder:12} {verdict}: {count}")
        if encoder != "any":
            total[verdict] += count
    wrong = sum(n for (_, verdict), n in counts.items() if verdict not in (EQUAL, LEFT))
    print(
        f"{_native.simd()}: {total.total()} files, {total[EQUAL]} equal, {total[LEFT]} left to"
        f" Pillow ({refused} of them refused by it), {wrong} differ; {seconds:.0f} s",
        flush=True,
    )
    return 1 if wrong or not total.total() else 0


def _mutate_part(given: tuple[list[bytes], range, str]) -> tuple[Counter[tuple[str, str]], float]:
    files, numbers, folder = given
    counts: Counter[tuple[str, str]] = Counter()
    slowest = 0.0
    for number in numbers:
        data = damaged(files, number)
        started = time.process_time()
        verdict = judge_damaged(data)
        slowest = max(slowest, time.process_time() - started)
        counts["damaged", verdict] += 1
        if verdict not in (EQUAL, LEFT):
            print(f"{number}: {verdict}", flush=True)
            (Path(folder) / f"damaged-{number}.jpg").write_bytes(data)
    return counts, slowest


def _mutate(folder: Path, count: int, jobs: int, first: int) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    files = seeds(400)
    step = 5000
    parts = [range(at, min(at + step, first + count)) for at in range(first, first + count, step)]
    counts: Counter[tuple[str, str]] = Counter()
    slowest, started = 0.0, time.monotonic()
    with ProcessPoolExecutor(jobs) as pool:
        given = [(files, part, str(folder)) for part in parts]
        for number, (found, slow) in enumerate(pool.map(_mutate_part, given)):
            counts += found
            slowest = max(slowest, slow)
            if (number + 1) % 10 == 0:
                print(f"{(number + 1) * step} damaged files, {dict(counts)}", flush=True)
    print(f"the slowest took {slowest * 1000:.0f} ms of processor time")
    return _report(counts, 0, time.monotonic() - started)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("command", choices=["make", "check", "mutate"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="The first file's number.")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--backend", help="Only this one; else every one of this CPU.")
    given = parser.parse_args()
    if given.command == "make":
        print("encoders:", ", ".join(jpeg_corpus.installed()))
        return _make(given.folder, given.count, given.jobs, given.first)
    if given.command == "mutate":
        return _mutate(given.folder, given.count, given.jobs, given.first)
    if given.backend == _native.simd():
        return _check(given.folder)
    failed = 0
    for backend in [given.backend] if given.backend else _native.backends():
        command = [sys.executable, __file__, "check", str(given.folder), "--backend", backend]
        done = subprocess.run(command, env=os.environ | {"DYNRES_SIMD": backend}, check=False)
        failed |= done.returncode
    return failed


if __name__ == "__main__":
    sys.exit(main())
