"""Ctrl-C on the main thread is answered within a tenth of a second, whatever the call is at.

The signal comes after so much time of the processor, and so is the answer's delay measured: other
processes on the machine do not show.
"""

import io
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest
from dynres_rs import _dynres_rs as _native
from PIL import Image

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measures delays")

QWEN = dr.Processor("qwen2-vl")
#: Exif that turns an image by a quarter.
SIDEWAYS = b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
TRIALS = (0.013, 0.037, 0.071, 0.113, 0.171)


def jpeg(height: int, width: int, **save: Any) -> bytes:
    stream = io.BytesIO()
    tile = np.random.default_rng(3).integers(0, 256, (250, 250, 3), np.uint8)
    repeated = np.tile(tile, (height // 250, width // 250, 1))
    Image.fromarray(repeated).save(stream, "JPEG", quality=70, **save)
    return stream.getvalue()


def patches(dtype: str) -> Callable[[], Any]:
    plan = QWEN.plan(2000, 3000)
    values = QWEN(np.zeros((2000, 3000, 3), np.uint8), dtype=dtype)["pixel_values"]
    return lambda: dr.unpack(values, plan)


def tiles() -> Callable[[], Any]:
    p = dr.Processor("internvl", max_num=40)
    values = p(np.zeros((2000, 3000, 3), np.uint8))["pixel_values"]
    plan = p.plan(2000, 3000)
    return lambda: dr.unpack(values, plan)


def fit(family: str, count: int, listed: bool = False) -> Callable[[], Any]:
    sizes: Any = np.random.default_rng(4).integers(40, 4000, (count, 2))
    if listed:
        sizes = sizes.tolist()
    p = dr.Processor(family)
    return lambda: p.fit(sizes, tokens_per_image=700)


def tokens(of: str) -> Callable[[], Any]:
    plan = QWEN.video.plan(900, 1200, num_frames=4000)
    return lambda: getattr(plan, of)()


def packed() -> Callable[[], Any]:
    lengths = np.random.default_rng(5).integers(1, 900, 700_000)
    return lambda: dr.pack(lengths, 4096)


def counted() -> Callable[[], Any]:
    sizes = np.random.default_rng(6).integers(40, 4000, (2_000_000, 2))
    p = dr.Processor("internvl", image_size=28, max_num=4000)
    return lambda: p.num_tokens(sizes)


def decoded(height: int, width: int, threads: int = 1, **save: Any) -> Callable[[], Any]:
    data = jpeg(height, width, **save)
    p = dr.Processor("qwen2-vl", max_pixels=100_000)
    return lambda: p(data, num_threads=threads)


def arrays(sizes: list[tuple[int, int]]) -> Callable[[], Any]:
    p = dr.Processor("qwen2-vl", max_pixels=40_000_000)
    images = [np.zeros((*size, 3), np.uint8) for size in sizes]
    return lambda: p(images, num_threads=2, dtype="uint8", temporal="compact")


def part(marker: int, *body: int) -> bytes:
    return bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2) + bytes(body)


def scans() -> Callable[[], Any]:
    """505 scans of 250,000 blocks of nothing, which `max_jpeg_work` lets pass: of each coefficient
    one bit after the other."""
    code = (1, *[0] * 15)
    # A symbol of one bit, and 14 bits more: so many blocks have ended, beside 16,384.
    bits = "".join(f"0{more:014b}" for more in (*[16383] * 7, 4247))
    bits += "1" * (-len(bits) % 8)
    nothing = int(bits, 2).to_bytes(len(bits) // 8).replace(b"\xff", b"\xff\0")
    levels = [(0, 7), *[(low + 1, low) for low in reversed(range(7))]]
    data = b"".join(
        [
            b"\xff\xd8",
            part(0xDB, 0, *[1] * 64),
            part(0xC2, 8, 4000 >> 8, 4000 & 255, 4000 >> 8, 4000 & 255, 1, 1, 0x11, 0),
            part(0xC4, 0, *code, 0),
            part(0xC4, 0x10, *code, 0xE0),
            part(0xDA, 1, 1, 0, 0, 0, 0) + bytes(250_000 // 8),
            *[
                part(0xDA, 1, 1, 0, k, k, before << 4 | low) + nothing
                for before, low in levels
                for k in range(1, 64)
            ],
            b"\xff\xd9",
        ]
    )
    assert _native.jpeg_verdict(data) is None
    p = dr.Processor("qwen2-vl", max_pixels=100_000)
    return lambda: p(data)


def called(family: str, height: int, width: int, **options: Any) -> Callable[[], Any]:
    p = dr.Processor(family, **options)
    image = np.random.default_rng(7).integers(0, 256, (height // 8, width, 3), np.uint8)
    image = np.tile(image, (8, 1, 1))
    return lambda: p(image)


CASES: dict[str, Callable[[], Callable[[], Any]]] = {
    "unpack float32": lambda: patches("float32"),
    "unpack float16": lambda: patches("float16"),
    "unpack uint8": lambda: patches("uint8"),
    "unpack tiles": tiles,
    "fit pixels": lambda: fit("qwen2-vl", 1_500_000),
    "fit a list": lambda: fit("qwen2-vl", 400_000, True),
    "fit tiles": lambda: fit("internvl", 1_500_000),
    "fit canvases": lambda: fit("deepseek-vl2", 400_000),
    "token_boxes": lambda: tokens("token_boxes"),
    "token_kinds": lambda: tokens("token_kinds"),
    "pack": packed,
    "num_tokens": counted,
    "statistics of numpy": lambda: called("kosmos2-5", 3000, 4000, numerics="pillow"),
    "a chain": lambda: called("deepseek-vl-hybrid", 3000, 4000),
    "tiles in a chain": lambda: called("idefics3", 3000, 4000),
    "many parts": lambda: called("minicpm-v4.6", 9000, 9000, max_slice_nums=400),
    "jpeg of 15 megapixels": lambda: decoded(3000, 5000),
    "jpeg of 30 megapixels": lambda: decoded(5000, 6000),
    "jpeg of hundreds of scans": scans,
    "jpeg of several scans": lambda: decoded(3000, 5000, progressive=True),
    "jpeg of much memory": lambda: decoded(5000, 8000, progressive=True),
    "jpeg that is turned": lambda: decoded(3000, 5000, exif=SIDEWAYS),
}


@pytest.fixture
def answering() -> Iterator[None]:
    """Ctrl-C's own handler, for the signal of a timer."""
    before = signal.signal(signal.SIGPROF, signal.default_int_handler)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def delay(call: Callable[[], Any], after: float) -> float:
    """Seconds of the processor from the signal to its exception."""
    began = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, after)
    try:
        while True:
            call()
    except KeyboardInterrupt:
        return time.process_time() - began - after


def late(measure: Callable[[float], float]) -> dict[float, list[float]]:
    """The trials whose signal was answered too late, with the delays. The call is at the same place
    when it is tried again, so that a delay which comes once alone is the machine's."""
    found = {}
    for after in TRIALS:
        delays = [measure(after)]
        while delays[-1] >= 0.1 and len(delays) < 3:
            delays.append(measure(after))
        if delays[-1] >= 0.1:
            found[after] = delays
    return found


@pytest.mark.parametrize("case", CASES)
def test_every_call_answers(answering: None, case: str) -> None:
    call = CASES[case]()
    assert late(lambda after: delay(call, after)) == {}


SHARED: dict[str, Callable[[], Callable[[], Any]]] = {
    "a large jpeg": lambda: decoded(5000, 6000, 2),
    "a large array": lambda: arrays([(6000, 9000)]),
    "many arrays": lambda: arrays([(500, 9000)] * 40),
}


@pytest.mark.parametrize("case", SHARED)
def test_two_threads_answer(answering: None, case: str) -> None:
    """Two threads share the work: the time of the main one counts, from a signal that a third one
    sends."""
    call = SHARED[case]()
    main = threading.main_thread().ident
    assert main is not None
    clock = time.pthread_getcpuclockid(main)

    def measure(after: float) -> float:
        sent: list[float] = []

        def send() -> None:
            time.sleep(0.02 + after)
            sent.append(time.clock_gettime(clock))
            signal.pthread_kill(main, signal.SIGPROF)

        sender = threading.Thread(target=send)
        sender.start()
        try:
            while True:
                call()
        except KeyboardInterrupt:
            answered = time.clock_gettime(clock)
        sender.join()
        return answered - sent[0]

    assert late(measure) == {}
