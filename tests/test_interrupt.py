"""Ctrl-C on the main thread is answered within a tenth of a second, whatever the call is at.

The signal comes after so much time of the processor, and so is the answer's delay measured: other
processes on the machine do not show.
"""

import io
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measures delays")

QWEN = dr.Processor("qwen2-vl")
TRIALS = (0.013, 0.037, 0.071, 0.113, 0.171)


def jpeg(height: int, width: int) -> bytes:
    stream = io.BytesIO()
    tile = np.random.default_rng(3).integers(0, 256, (250, 250, 3), np.uint8)
    repeated = np.tile(tile, (height // 250, width // 250, 1))
    Image.fromarray(repeated).save(stream, "JPEG", quality=70)
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


def decoded(height: int, width: int) -> Callable[[], Any]:
    data = jpeg(height, width)
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
    "jpeg of 15 megapixels": lambda: decoded(3000, 5000),
    "jpeg of 30 megapixels": lambda: decoded(5000, 6000),
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


@pytest.mark.parametrize("case", CASES)
def test_every_call_answers(answering: None, case: str) -> None:
    call = CASES[case]()
    delays = [delay(call, after) for after in TRIALS]
    assert max(delays) < 0.1, delays
