"""Samples in slots of shared memory: the same bits, never overwritten while somebody has them.

Every wait has an end: a hang is a failure, not a stuck session.
"""

import contextlib
import copy
import gc
import multiprocessing as mp
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest
from dynres_rs import ring as rings
from dynres_rs.largest import largest_bytes
from dynres_rs.ring import Sample, SharedRing
from hypothesis import strategies as st
from numpy.typing import NDArray
from property_counts import property_test
from strategies import sized

METHODS = ["fork", "spawn", "forkserver"]
WAIT = 120
QWEN = dr.Processor("qwen2-vl", max_pixels=40_000)
TILES = dr.Processor("internvl", image_size=56, max_num=6)
HYBRID = dr.Processor("deepseek-vl-hybrid", image_size=56, high_res_image_size=84)

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc and /dev/shm"),
    # Python 3.12 and later warn about any fork of a process with threads: that is what is tested.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
    # Two workers are asked for on one core as well.
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
]


def image(index: int) -> NDArray[np.uint8]:
    """Test pixels by number: 60 to 139 rows and columns."""
    height, width = 60 + index * 7 % 80, 60 + index * 13 % 80
    count = np.arange(height * width * 3, dtype=np.uint32) * 2654435761 + index
    return (count >> 11).astype(np.uint8).reshape(height, width, 3)


#: A processor, its images and the arguments of the call, by what they try.
CASES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "float32": (QWEN, image(1), {}),
    "float16": (QWEN, image(2), {"dtype": "float16"}),
    "bfloat16": (QWEN, image(3), {"dtype": "bfloat16"}),
    "uint8 compact": (QWEN, image(4), {"dtype": "uint8", "temporal": "compact"}),
    "an option": (QWEN, image(5), {"max_pixels": 20_000}),
    "several images": (QWEN, [image(6), image(7), image(8)], {"dtype": "uint8"}),
    "several samples": (QWEN, [[image(6)], [image(7), image(8)]], {}),
    "tiles": (TILES, [image(9), image(10)[:20]], {"dtype": "uint8"}),
    "two arrays of pixels": (HYBRID, [image(11)], {}),
    "a bad image": (QWEN, [image(12), b"no image"], {"errors": "collect"}),
    "bad images only": (QWEN, [b"no image"], {"errors": "collect"}),
    "a video": (QWEN, None, {"videos": [np.stack([image(13)] * 4)]}),
    "images and a video": (QWEN, [image(14)], {"videos": [np.stack([image(15)] * 4)]}),
    "frames that are not counted": (QWEN.video, iter([image(16)] * 4), {"do_sample_frames": False}),
}
ORDINARY = ("bad images only", "frames that are not counted")
"""They need no slot, or their size is not known beforehand."""


def equal(got: Any, want: Any) -> None:
    assert list(got) == list(want)
    for key, value in want.items():
        if isinstance(value, np.ndarray):
            assert got[key].dtype == value.dtype
            np.testing.assert_array_equal(got[key], value)
        else:
            assert str(got[key]) == str(value)


def whole(ring: SharedRing) -> NDArray[np.uint8]:
    return np.frombuffer(ring._memory.map, np.uint8)


def lies_in(ring: SharedRing, array: Any) -> bool:
    return bool(np.may_share_memory(whole(ring), np.asarray(array)))


def put(ring: SharedRing, index: int) -> Sample:
    return ring.put(QWEN, image(index), dtype="uint8", temporal="compact")


def result(index: int) -> dict[str, Any]:
    return QWEN(image(index), dtype="uint8", temporal="compact")


def small_ring(slots: int = 4) -> SharedRing:
    return SharedRing.for_processor(QWEN, slots, dtype="uint8", temporal="compact")


def sent(sample: Sample) -> bytes:
    """As `multiprocessing` sends it, from a process to itself here."""
    return bytes(ForkingPickler.dumps(sample))


def eventually(ring: SharedRing, free: int) -> None:
    """The other process lets go of what it has sent in a thread of its own."""
    end = time.monotonic() + WAIT
    while ring.free != free and time.monotonic() < end:
        time.sleep(0.005)
    assert ring.free == free


# One process


@pytest.mark.parametrize("case", CASES)
def test_same_bits(case: str) -> None:
    processor, images, call = CASES[case]
    ring = SharedRing(2, 1 << 24)
    if "frames" in case:
        frames = list(images)
        want, sample = processor(iter(frames), **call), ring.put(processor, iter(frames), **call)
    else:
        want, sample = processor(images, **call), ring.put(processor, images, **call)
    equal(sample, want)
    pixels = [value for key, value in sample.items() if "pixel_values" in key]
    assert [lies_in(ring, value) for value in pixels] == [case not in ORDINARY] * len(pixels)
    assert (ring.free, ring.missed) == (2 - (case not in ORDINARY), 0)
    message = sent(sample)
    del sample, pixels
    got = pickle.loads(message)
    assert type(got) is dict
    equal(got, want)
    assert lies_in(ring, next(iter(got.values()))) is (case not in ORDINARY)
    if case not in ORDINARY:
        assert len(message) < 4000
    del got
    assert (ring.free, ring.missed) == (2, 0)


def test_a_slot_is_free_when_its_last_array_is_gone() -> None:
    ring = small_ring(1)
    views: list[Callable[[NDArray[Any]], Any]] = [
        lambda a: a,
        lambda a: a[3:],
        lambda a: a[1:][1:].T,
        lambda a: a.view(np.int8).reshape(-1),
        lambda a: memoryview(a),
        lambda a: np.asarray(memoryview(a))[2:],
        lambda a: np.frombuffer(a, np.uint16)[5:],
        lambda a: np.from_dlpack(a),
        lambda a: iter(a),
        lambda a: [a[1]],
    ]
    for receive in (False, True):
        for view in views:
            sample: Any = put(ring, 1)
            if receive:
                message = sent(sample)
                del sample
                assert ring.free == 0  # on its way
                sample = pickle.loads(message)
            kept = view(sample["pixel_values"])
            del sample
            assert ring.free == 0
            del kept
            assert ring.free == 1
    assert ring.missed == 0


def test_metadata_does_not_keep_a_slot() -> None:
    ring = small_ring(1)
    sample: Any = pickle.loads(sent(put(ring, 1)))
    grid = sample["image_grid_thw"]
    del sample
    assert ring.free == 1
    np.testing.assert_array_equal(grid, result(1)["image_grid_thw"])


def test_both_sides_keep_a_slot() -> None:
    ring = small_ring(2)
    sample = put(ring, 1)
    received = pickle.loads(sent(sample))
    assert np.shares_memory(sample["pixel_values"], received["pixel_values"])
    # while the first is out, it goes the ordinary way again
    again = pickle.loads(sent(sample))
    assert not lies_in(ring, again["pixel_values"])
    equal(again, result(1))
    del received
    assert ring.free == 1
    received = pickle.loads(sent(sample))
    assert lies_in(ring, received["pixel_values"])
    del sample
    assert ring.free == 1
    equal(received, result(1))
    del received
    assert ring.free == 2


def test_no_slot_and_no_room() -> None:
    ring = small_ring(2)
    held = [put(ring, 1), put(ring, 2)]
    for number in range(1, 4):
        sample = put(ring, 3)
        assert not lies_in(ring, sample["pixel_values"])
        equal(sample, result(3))
        equal(pickle.loads(sent(sample)), result(3))
        assert ring.missed == number
    del held
    assert lies_in(ring, put(ring, 3)["pixel_values"])
    assert ring.missed == 3
    biggest = QWEN(image(3))["pixel_values"].nbytes
    assert biggest > ring.slot_bytes > ring.largest
    equal(ring.put(QWEN, image(3)), QWEN(image(3)))
    assert (ring.free, ring.missed, ring.largest) == (2, 4, biggest)
    # the first of two arrays fits
    first = HYBRID([image(11)])["pixel_values"].nbytes
    ring = SharedRing(1, first)
    got: Any = pickle.loads(sent(ring.put(HYBRID, [image(11)])))
    equal(got, HYBRID([image(11)]))
    assert (ring.free, ring.missed) == (0, 1)
    assert ring.largest > first
    del got
    assert ring.free == 1


def test_an_exception_frees_the_slot() -> None:
    ring = small_ring(1)

    def fails(*, out: Any, return_tensors: str) -> Any:
        out("pixel_values", (10, 10), np.dtype(np.uint8))[...] = 1
        assert ring.free == 0
        raise KeyError("pixels")

    with pytest.raises(KeyError, match="pixels"):
        ring.put(fails)
    gc.collect()
    assert ring.free == 1
    with pytest.raises(TypeError, match="image: must be"):
        ring.put(QWEN, 3)
    with pytest.raises(TypeError, match="out"):
        ring.put(QWEN, image(1), out=None)


def test_a_sample_is_a_dict() -> None:
    ring = small_ring(2)
    sample = put(ring, 1)
    values = np.arange(100_000)
    del sample["image_grid_thw"]
    sample["labels"], sample["name"], sample["many"] = np.arange(3), "rocket", values
    sample["part"] = sample["pixel_values"][2:5]
    sample["across"] = sample["pixel_values"].T[:3]  # not contiguous
    sample["text"] = np.array(["a", None], object)
    want = copy.deepcopy(sample)
    assert type(want) is dict and not lies_in(ring, want["pixel_values"])
    equal(pickle.loads(pickle.dumps(sample)), want)
    twin = copy.copy(sample)
    del sample
    message = sent(twin)
    del twin
    got = pickle.loads(message)
    equal(got, want)
    assert {key for key, value in got.items() if lies_in(ring, value)} == {"pixel_values", "part"}
    assert got["labels"].flags.writeable
    got["pixel_values"][...] = 0  # the receiver's own
    del got
    assert ring.free == 2
    plain = Sample(result(2), more=1)
    equal(pickle.loads(sent(plain)), {**result(2), "more": 1})


def test_messages_that_cannot_be_taken() -> None:
    ring = small_ring(1)
    message = sent(put(ring, 1))
    held = pickle.loads(message)
    with pytest.raises(RuntimeError, match="arrived twice"):
        pickle.loads(message)
    del held
    with pytest.raises(RuntimeError, match="arrived twice"):
        pickle.loads(message)
    assert ring.free == 1
    message = sent(put(ring, 1))
    del ring
    gc.collect()
    with pytest.raises(RuntimeError, match="does not have its ring"):
        pickle.loads(message)


def test_arrays_outlive_the_ring() -> None:
    ring = small_ring(1)
    sample: Any = pickle.loads(sent(put(ring, 1)))
    before = descriptors()
    del ring
    gc.collect()
    equal(sample, result(1))
    del sample
    gc.collect()
    assert descriptors() < before


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_rings_leave_no_descriptor() -> None:
    gc.collect()
    before = descriptors()
    for _ in range(20):
        put(small_ring(), 1)
    gc.collect()
    assert descriptors() == before


def test_arguments() -> None:
    for slots, size in ((0, 1), (1, 0), (-1, 5), (2**31, 5), (1, 2**62)):
        with pytest.raises(ValueError, match="must be in 1"):
            SharedRing(slots, size)
    with pytest.raises(ValueError, match="must be below 2"):
        SharedRing(2**20, 2**50)
    before = descriptors()
    with pytest.raises((OSError, MemoryError)):
        SharedRing(1, 2**61)
    assert descriptors() == before
    for slots, size in ((1.5, 1), ("8", 1), (1, None), (True, 1)):
        with pytest.raises(TypeError, match="must be an integer"):
            SharedRing(slots, size)  # type: ignore[arg-type]
    ring = SharedRing(np.int64(3), 5)  # type: ignore[arg-type]
    assert (ring.slots, ring.slot_bytes, ring.free, ring.missed, ring.largest) == (3, 4096, 3, 0, 0)
    assert repr(ring) == "SharedRing(slots=3, slot_bytes=4096): 3 free, 0 missed"
    with pytest.raises(RuntimeError, match="inherit"):
        pickle.dumps(ring)
    with pytest.raises(TypeError, match="processor: must be a Processor"):
        SharedRing.for_processor(QWEN.video, 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has no largest sample"):
        SharedRing.for_processor(dr.Processor("qwen2-vl", do_resize=False), 1)
    with pytest.raises(ValueError, match="images: must be in 1"):
        SharedRing.for_processor(QWEN, 1, images=0)


def is_unlimited(processor: dr.Processor) -> bool:
    """Whether an image of 12,000 pixels a side comes out in more than half as many."""
    return bool(np.prod(sized(processor).plan(12_000, 12_000).resized) > 12_000**2 // 2)


def is_accepted(processor: dr.Processor, height: int, width: int) -> bool:
    try:
        sized(processor).plan(height, width)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("family", sorted(dr.families()))
def test_no_size_is_larger_than_the_largest(family: str) -> None:
    """By plans alone, of sizes that the search for the largest does not try."""
    p = dr.Processor(family)
    if is_unlimited(p):
        return
    room = largest_bytes(p, None, "expand")
    numbers = random.Random(7)
    for _ in range(150):
        area, shape = 2 ** numbers.uniform(10, 27), 20 ** numbers.uniform(-0.99, 0.99)
        height, width = round((area * shape) ** 0.5), round((area / shape) ** 0.5)
        if is_accepted(p, height, width):
            plan = sized(p).plan(height, width)
            pixels = sum(view.canvas[0] * view.canvas[1] for view in plan.views)
            if 12 * pixels > room:  # views that are made on the way count in `pixels` as well
                assert plan.nbytes() <= room, (height, width)


def flat(arrays: Any) -> list[Any]:
    """The arrays of nested lists."""
    if isinstance(arrays, list):
        return [array for item in arrays for array in flat(item)]
    return [arrays]


@property_test(
    family=st.sampled_from(sorted(dr.families())),
    budget=st.integers(20_000, 300_000),
    tiles=st.integers(1, 7),
    sizes=st.lists(st.tuples(st.integers(28, 900), st.integers(28, 900)), min_size=1, max_size=3),
    dtype=st.sampled_from([None, "float32", "float16", "bfloat16", "uint8"]),
    temporal=st.sampled_from(["expand", "compact"]),
)
def test_room_for_the_largest(
    family: str, budget: int, tiles: int, sizes: Any, dtype: Any, temporal: Any
) -> None:
    preset = dr.Processor(family).to_dict()
    # As many of these as the family has. `None` stays: it turns a rule off.
    wanted: dict[str, Any] = {"min_pixels": 3136, "max_pixels": budget}
    if "max_num" in preset or "image_size" in preset:
        wanted = {"image_size": 56, "max_num": tiles}
    options = {key: value for key, value in wanted.items() if preset.get(key) is not None}
    try:
        p = dr.Processor(family, **options)
    except ValueError:  # its other options do not allow it
        p = dr.Processor(family)
    if is_unlimited(p):
        with pytest.raises(ValueError, match=r"has no largest sample.*slot_bytes"):
            SharedRing.for_processor(p, 1)
        return
    ring = SharedRing.for_processor(p, 1, images=len(sizes), dtype=dtype, temporal=temporal)
    blank = [np.zeros((*size, 3), np.uint8) for size in sizes if max(size) < 20 * min(size)]
    blank = [one for one in blank if is_accepted(p, *one.shape[:2])]
    if not blank:
        return
    sample = ring.put(p, blank, dtype=dtype, temporal=temporal)
    pixels = sample.get("pixel_values")
    if isinstance(pixels, list):  # of several shapes: each has its own memory
        want = p(blank, dtype=dtype, temporal=temporal)["pixel_values"]
        pairs = zip(flat(pixels), flat(want), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)
        return
    assert ring.missed == 0
    assert 0 < ring.largest <= ring.slot_bytes


@property_test(
    slots=st.integers(1, 4), steps=st.lists(st.integers(0, 2**30), min_size=1, max_size=60)
)
def test_what_is_held_never_changes(slots: int, steps: list[int]) -> None:
    """Puts, messages, receipts and letting go in any order, against a model of what is held."""
    ring = small_ring(slots)
    put_here: list[tuple[Any, int, int]] = []  # a sample, its image, the slot's number
    on_the_way: list[tuple[bytes, int, int]] = []
    received: list[tuple[Any, int, int]] = []
    count = missed = 0
    for step in steps:
        action, chosen = step % 5, step // 5
        if action < 2:
            index = chosen % 20
            used = {slot for held in (put_here, on_the_way, received) for _, _, slot in held}
            sample = put(ring, index)
            inside = lies_in(ring, sample["pixel_values"])
            assert inside is (len(used - {-1}) < slots)
            missed += not inside
            put_here.append((sample, index, count if inside else -1))
            count += 1
            del sample
        elif action == 2 and put_here:
            sample, index, slot = put_here.pop(chosen % len(put_here))
            # A slot that is out there already is not sent again, but what it holds.
            out_there = {slot for held in (on_the_way, received) for _, _, slot in held}
            on_the_way.append((sent(sample), index, -1 if slot in out_there else slot))
            if chosen % 2:  # and stays here as well
                put_here.append((sample, index, slot))
            del sample
        elif action == 3 and on_the_way:
            message, index, slot = on_the_way.pop(chosen % len(on_the_way))
            received.append((pickle.loads(message), index, slot))
        elif action == 4 and put_here + received:
            held = random.Random(chosen).choice([some for some in (put_here, received) if some])
            held.pop(chosen % len(held))
        for sample, index, _ in put_here + received:
            np.testing.assert_array_equal(sample["pixel_values"], RESULTS[index])
            del sample
        assert ring.missed == missed


RESULTS = [result(index)["pixel_values"] for index in range(20)]


def test_a_system_without_memfd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    gc.collect()
    before = descriptors()
    ring = small_ring(1)
    assert descriptors() == before + 3  # the file, the mapping's own, and that of forks
    sample: Any = pickle.loads(sent(put(ring, 1)))
    assert lies_in(ring, sample["pixel_values"])
    equal(sample, result(1))
    del ring, sample
    gc.collect()
    assert descriptors() == before


@pytest.fixture
def switching() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_a_slot_that_another_takes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = small_ring(2)
    memory = ring._memory
    lock = memory.lock

    def late(at: int, wait: bool) -> bool:
        if at == 0 and not wait:
            memory.table[rings.HERE] = os.getppid()
        return lock(at, wait)

    monkeypatch.setattr(memory, "lock", late)
    sample = put(ring, 1)
    first = sample["pixel_values"].ctypes.data - whole(ring).ctypes.data - memory.first
    assert first == ring.slot_bytes  # the second slot's


def test_a_thread_between_the_look_and_the_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = small_ring(2)
    memory = ring._memory
    is_free = memory.is_free
    looks: list[int] = []
    samples: list[Sample] = []
    other = threading.Thread(target=lambda: samples.append(put(ring, 2)))

    def late(slot: int, lost_after: int | None) -> bool:
        found = is_free(slot, lost_after)
        looks.append(slot)
        if looks == [0, 0]:
            other.start()
            other.join(0.2)
        return found

    monkeypatch.setattr(memory, "is_free", late)
    samples.append(put(ring, 1))
    other.join(WAIT)
    assert not np.shares_memory(*(sample["pixel_values"] for sample in samples))
    assert ring.free == 0


def test_threads_take_different_slots(switching: None) -> None:
    ring = small_ring(8)
    kept: list[Any] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        held: list[tuple[Any, int]] = []
        for _ in range(60):
            index = rng.randrange(20)
            held.append((pickle.loads(sent(put(ring, index))), index))
            for sample, number in held:
                np.testing.assert_array_equal(sample["pixel_values"], RESULTS[number])
            if len(held) > 2:
                held.pop(rng.randrange(3))
        kept.extend(held)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4), timeout=WAIT))
    for sample, number in kept:
        np.testing.assert_array_equal(sample["pixel_values"], RESULTS[number])
    del sample
    kept.clear()
    gc.collect()
    assert ring.free == 8


# Processes

RING: Any = None


def _start(ring: Any) -> None:
    global RING
    RING = ring


def _put(index: int) -> Sample:
    return put(RING, index)


def _put_case(case: str) -> Sample:
    processor, images, call = CASES[case]
    sample: Sample = RING.put(processor, images, **call)
    return sample


def _cached(index: int, cache: dict[int, Any] = {}) -> Sample:  # noqa: B006
    """A worker that keeps what it has sent."""
    if index not in cache:
        cache[index] = put(RING, index)
    found: Sample = cache[index]
    return found


@pytest.fixture(params=METHODS)
def pool(request: pytest.FixtureRequest) -> Iterator[Any]:
    ring = SharedRing(8, 1 << 24)
    with mp.get_context(request.param).Pool(2, _start, (ring,)) as pool:
        yield ring, pool


def test_samples_from_workers(pool: Any) -> None:
    ring, workers = pool
    for case, (processor, images, call) in CASES.items():
        if case == "frames that are not counted":  # an iterator stays where it is
            continue
        got = workers.apply_async(_put_case, (case,)).get(WAIT)
        equal(got, processor(images, **call))
        assert lies_in(ring, next(iter(got.values()))) is (case not in ORDINARY)
        del got
    assert ring.missed == 0
    eventually(ring, 8)


def test_held_while_two_hundred_pass(pool: Any) -> None:
    ring, workers = pool
    held = [workers.apply_async(_put, (index,)).get(WAIT) for index in range(5)]
    eventually(ring, 3)
    through = 0
    for index, sample in enumerate(workers.imap(_put, [i % 20 for i in range(200)])):
        np.testing.assert_array_equal(sample["pixel_values"], RESULTS[index % 20])
        through += lies_in(ring, sample["pixel_values"])
        for number, kept in enumerate(held):
            np.testing.assert_array_equal(kept["pixel_values"], RESULTS[number])
    assert through + ring.missed == 200
    assert through > 0
    del sample, kept
    held.clear()
    gc.collect()
    eventually(ring, 8)


def test_a_worker_that_keeps_its_samples(pool: Any) -> None:
    ring, workers = pool
    for index in [0, 1, 0, 0, 1] * 4:
        equal(workers.apply_async(_cached, (index,)).get(WAIT), result(index))
    gc.collect()
    assert 4 <= ring.free <= 6  # two images in one worker or both


def _own(index: int) -> tuple[Any, list[str]]:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        message = sent(put(small_ring(), index))
    return message, [str(one.message) for one in said]


def test_a_ring_made_in_a_worker(pool: Any) -> None:
    """As a module's global is under `spawn`: nobody else has it."""
    _, workers = pool
    message, said = workers.apply_async(_own, (3,)).get(WAIT)
    equal(pickle.loads(message), result(3))
    assert len(said) == 1 and "made in a worker" in said[0]


@pytest.mark.parametrize("method", METHODS)
def test_many_processes_and_few_slots(method: str) -> None:
    """They race for each slot, and what one has is never another's."""
    ring = small_ring(3)
    with mp.get_context(method).Pool(4, _start, (ring,)) as workers:
        held: list[tuple[Any, int]] = []
        for index, sample in enumerate(workers.imap(_put, [i % 20 for i in range(400)])):
            held.append((sample, index % 20))
            for kept, number in held[:: 1 + len(held) // 2]:
                np.testing.assert_array_equal(kept["pixel_values"], RESULTS[number])
            if len(held) > 1:
                del held[0]
        assert ring.missed < 400
        del sample, kept
        held.clear()
        gc.collect()
        eventually(ring, 3)


def test_a_forked_child_frees_nothing_of_its_parents() -> None:
    ring = small_ring(2)
    sample: Any = pickle.loads(sent(put(ring, 1)))
    mine = put(ring, 2)
    pid = os.fork()
    if pid == 0:
        code = 1
        with contextlib.suppress(BaseException):
            del sample, mine
            gc.collect()
            # nothing is free, so this misses
            code = 0 if ring.free == 0 and not lies_in(ring, put(ring, 3)["pixel_values"]) else 2
        os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert (ring.free, ring.missed) == (0, 1)
    equal(sample, result(1))
    equal(mine, result(2))


def test_fork_while_a_thread_puts() -> None:
    """The child's lock between threads is not one that the parent's thread held at the fork."""
    ring = small_ring(4)
    done = threading.Event()

    def busy() -> None:
        while not done.is_set():
            put(ring, 1)

    threads = [threading.Thread(target=busy) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(25):
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    signal.alarm(20)
                    equal(put(ring, 2), result(2))
                    code = 0
                finally:
                    os._exit(code)
            assert os.waitpid(pid, 0)[1] == 0
    finally:
        done.set()
        for thread in threads:
            thread.join(WAIT)


# Workers that are killed


def _hold(ring: SharedRing, pipe: Any) -> None:
    sample = put(ring, 1)
    pipe.send("ready")
    time.sleep(WAIT)
    del sample


def _send(ring: SharedRing, pipe: Any, stay: float) -> None:
    pipe.send_bytes(ForkingPickler.dumps(put(ring, 1)))
    time.sleep(stay)


def _keep(ring: SharedRing, message: bytes, pipe: Any) -> None:
    sample = pickle.loads(message)
    pipe.send("ready")
    time.sleep(WAIT)
    del sample


def _started(method: str, target: Callable[..., None], *args: Any) -> tuple[Any, Any]:
    context = mp.get_context(method)
    here, there = context.Pipe()
    process = context.Process(target=target, args=[there if arg is None else arg for arg in args])
    process.start()
    there.close()
    assert here.poll(WAIT)
    return process, here


@pytest.mark.parametrize("method", METHODS)
def test_killed_with_a_slot(method: str) -> None:
    ring = small_ring(2)
    kept = pickle.loads(sent(put(ring, 5)))
    process, pipe = _started(method, _hold, ring, None)
    assert (pipe.recv(), ring.free) == ("ready", 0)
    assert not lies_in(ring, put(ring, 2)["pixel_values"])  # it lives
    process.kill()
    process.join(WAIT)
    sample = put(ring, 3)
    assert lies_in(ring, sample["pixel_values"])
    equal(sample, result(3))
    equal(kept, result(5))
    assert ring.missed == 1


@pytest.mark.parametrize("killed", [True, False])
def test_killed_with_a_sample_on_the_way(killed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = small_ring(1)
    process, pipe = _started("fork", _send, ring, None, WAIT if killed else 0)
    message = pipe.recv_bytes()
    if killed:
        assert ring.reclaim() == 0  # it lives
        process.kill()
    process.join(WAIT)
    # it may arrive yet
    assert not lies_in(ring, put(ring, 2)["pixel_values"])
    equal(pickle.loads(message), result(1))
    assert ring.free == 1
    # or it is lost: so it is said
    process, pipe = _started("fork", _send, ring, None, 0)
    message = pipe.recv_bytes()
    process.join(WAIT)
    assert (ring.free, ring.reclaim(), ring.free) == (0, 1, 1)
    with pytest.raises(RuntimeError, match="the process that sent it had ended"):
        pickle.loads(message)
    # or a minute has gone by
    process, pipe = _started("fork", _send, ring, None, 0)
    process.join(WAIT)
    monkeypatch.setattr(rings, "LOST_AFTER", 0)
    sample = put(ring, 3)
    assert lies_in(ring, sample["pixel_values"])
    newer = sent(sample)
    del sample
    with pytest.raises(RuntimeError, match="the process that sent it had ended"):
        pickle.loads(pipe.recv_bytes())  # though something is on its way in that slot
    equal(pickle.loads(newer), result(3))


def test_killed_with_a_sample_received() -> None:
    ring = small_ring(1)
    process, pipe = _started("fork", _keep, ring, sent(put(ring, 1)), None)
    assert (pipe.recv(), ring.free) == ("ready", 0)
    assert not lies_in(ring, put(ring, 2)["pixel_values"])
    process.kill()
    process.join(WAIT)
    assert lies_in(ring, put(ring, 2)["pixel_values"])


def test_killed_at_any_moment() -> None:
    """The others' slots go on, none is lost, and nobody waits for the dead."""
    ring = small_ring(4)
    context = mp.get_context("fork")
    kept = pickle.loads(sent(put(ring, 7)))
    rng = random.Random(0)
    for _ in range(12):
        here, there = context.Pipe(False)
        process = context.Process(target=_stream, args=(ring, there))
        process.start()
        there.close()
        assert here.poll(WAIT)
        end = time.monotonic() + rng.random() * 0.03
        with contextlib.suppress(EOFError, OSError):  # OSError: killed within a message
            while True:
                if time.monotonic() > end:
                    process.kill()
                    end = time.monotonic() + WAIT
                sample, index = here.recv()
                np.testing.assert_array_equal(sample["pixel_values"], RESULTS[index])
                del sample
        process.join(WAIT)
        assert process.exitcode == -signal.SIGKILL
        ring.reclaim()
        assert ring.free == 3
        equal(kept, result(7))


def _stream(ring: SharedRing, pipe: Any) -> None:
    for number in range(10**9):
        pipe.send((put(ring, number % 20), number % 20))


# What is left


LEFT = """
import multiprocessing as mp, sys
import test_ring as t

if __name__ == "__main__":
    ring = t.small_ring(4)
    context = mp.get_context("{method}")
    how = "{how}"
    if how == "killed":
        process, pipe = t._started("{method}", t._stream, ring, None)
        for _ in range(5):
            sample, _ = pipe.recv()
        process.kill()
        process.join()
        sys.exit(3)  # with a sample in its hands, and some on the way
    with context.Pool(2, t._start, (ring,)) as pool:
        for sample in pool.imap(t._put, range(20)):
            if how == "early":
                raise SystemExit(3)
    pool.join()
"""


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("how", "code"), [("to the end", 0), ("early", 3), ("killed", 3)])
def test_nothing_is_left(method: str, how: str, code: int, tmp_path: Path) -> None:
    """Not a file, and not a word of multiprocessing's about one."""
    script = tmp_path / "script.py"
    script.write_text(LEFT.format(method=method, how=how))
    before = set(Path("/dev/shm").iterdir())
    done = _run(script)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")
    assert not orphans(before)


def orphans(before: set[Path]) -> set[Path]:
    """New files that no process has: other programs of this machine make some as well."""
    new = set(Path("/dev/shm").iterdir()) - before
    if new:
        time.sleep(1)  # their makers map them first
        maps = ""
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                maps += (process / "maps").read_text()
        new = {path for path in new if path.exists() and str(path) not in maps}
    return new


def _run(script: Path) -> subprocess.CompletedProcess[str]:
    path = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
    )


# PyTorch's DataLoader


class Photos:
    """A map-style dataset."""

    def __init__(self, ring: Any, count: int, **call: Any) -> None:
        self.ring = ring
        self.count = count
        self.call = call

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        if index == 90:
            raise dr.ImageTooLargeError("images[0]: the ninetieth")
        if index == 70 and "killed" in self.call:
            os.kill(os.getpid(), signal.SIGKILL)
        if index % 10 == 9:  # text only
            return {"input_ids": np.arange(index), "index": index}
        call = {key: value for key, value in self.call.items() if key != "killed"}
        sample = self.ring.put(QWEN, image(index % 20), **call)
        sample["index"] = index
        return sample


@pytest.fixture
def torch_ring(torch: Any) -> Any:
    from dynres_rs.torch import SharedRing

    return lambda slots=8: SharedRing.for_processor(QWEN, slots)


def loader(torch: Any, dataset: Any, method: str | None = "fork", **options: Any) -> Any:
    if method is not None:
        options = {"num_workers": 2, "timeout": WAIT, **options}
    return torch.utils.data.DataLoader(
        dataset,
        multiprocessing_context=method,
        **{"batch_size": None, **options},
    )


def check(torch: Any, ring: Any, sample: Any, **call: Any) -> bool:
    """The ordinary call's bits in tensors; whether they lie in the ring."""
    index = sample["index"]
    if index % 10 == 9:
        assert set(sample) == {"input_ids", "index"}
        np.testing.assert_array_equal(sample["input_ids"], np.arange(index))
        return False
    want = QWEN(image(index % 20), return_tensors="pt", **call)
    assert list(sample) == [*want, "index"]
    for key, value in want.items():
        assert type(sample[key]) is torch.Tensor
        assert sample[key].dtype == value.dtype
        assert torch.equal(sample[key].cpu(), value)
    return lies_in(ring, sample["pixel_values"].view(torch.uint8).numpy())


#: Workers that are spawned import torch, which takes its time.
WAYS = [("fork", False), ("fork", True), ("spawn", True), ("forkserver", True)]


@pytest.mark.torch
@pytest.mark.parametrize(("method", "persistent"), WAYS)
def test_dataloader(torch: Any, torch_ring: Any, method: str, persistent: bool) -> None:
    ring = torch_ring()
    call = {"dtype": "bfloat16"} if persistent else {}
    given = Photos(ring, 20, **call)
    loaded = loader(torch, given, method, persistent_workers=persistent)
    for _ in range(2):
        inside = [check(torch, ring, sample, **call) for sample in ring.batches(loaded)]
        assert sum(inside) == 18
        eventually(ring, 8)
    assert ring.missed == 0


@pytest.mark.torch
@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 3, "collate_fn": list},
        {"batch_size": 3, "collate_fn": list, "in_order": False},
        {"pin_memory": True},
        {"prefetch_factor": 5},
    ],
    ids=str,
)
def test_options_of_the_loader(torch: Any, torch_ring: Any, options: dict[str, Any]) -> None:
    pinned = options.get("pin_memory", False)
    if pinned and not torch.cuda.is_available():
        pytest.skip("memory is pinned for a GPU, and there is none")
    batch_size, prefetch = options.get("batch_size", 1), options.get("prefetch_factor", 2)
    slots = batch_size * (2 * (prefetch + 1) + 2)  # as the documentation counts them
    ring = torch_ring(slots)
    count = 0
    for batch in loader(torch, Photos(ring, 40), **options):
        for sample in batch if isinstance(batch, list) else [batch]:
            inside = check(torch, ring, sample)
            assert inside is (sample["index"] % 10 != 9 and not pinned)
            count += 1
    del batch, sample
    assert (count, ring.missed) == (40, 0)
    eventually(ring, slots)


@pytest.mark.torch
def test_without_workers(torch: Any, torch_ring: Any) -> None:
    ring = torch_ring(2)
    for sample in loader(torch, Photos(ring, 20), None):
        assert check(torch, ring, sample) is (sample["index"] % 10 != 9)
    del sample
    assert (ring.free, ring.missed) == (2, 0)


@pytest.mark.torch
def test_an_iterable_dataset(torch: Any, torch_ring: Any) -> None:
    ring = torch_ring()
    photos = Photos(ring, 3)

    class Stream(torch.utils.data.IterableDataset):  # type: ignore[misc]
        def __iter__(self) -> Iterator[Any]:
            return map(photos.__getitem__, range(3))

    samples = list(ring.batches(loader(torch, Stream())))
    assert sorted(sample["index"] for sample in samples) == [0, 0, 1, 1, 2, 2]
    assert all(check(torch, ring, sample) for sample in samples)
    assert ring.free == 2


@pytest.mark.torch
def test_batches_held_while_two_hundred_pass(torch: Any, torch_ring: Any) -> None:
    ring = torch_ring(8)
    held: list[Any] = []
    for sample in loader(torch, Photos(ring, 20), persistent_workers=True):
        if len(held) < 4:
            held.append(sample)
    loaded = loader(torch, Photos(ring, 20), persistent_workers=True)
    missed = ring.missed
    seen = inside = 0
    while seen < 200:
        for sample in loaded:
            inside += check(torch, ring, sample)
            seen += 1
            for kept in held:
                assert check(torch, ring, kept)
    assert inside + ring.missed - missed == 180
    assert inside > 0
    views = [kept["pixel_values"][3:].t() for kept in held]
    del sample, kept
    held.clear()
    eventually(ring, 4)
    views.clear()
    eventually(ring, 8)


@pytest.mark.torch
@pytest.mark.parametrize(("method", "persistent"), WAYS)
def test_a_loop_left_early(torch: Any, torch_ring: Any, method: str, persistent: bool) -> None:
    ring = torch_ring()
    loaded = loader(torch, Photos(ring, 40), method, persistent_workers=persistent)
    for _ in range(4):
        for sample in ring.batches(loaded):
            check(torch, ring, sample)
            if sample["index"] == 5:
                break
    del sample
    inside = sum(check(torch, ring, sample) for sample in ring.batches(loaded))
    assert (inside, ring.missed) == (36, 0)
    eventually(ring, 8)


@pytest.mark.torch
def test_a_sample_that_fails(torch: Any, torch_ring: Any) -> None:
    ring = torch_ring()
    seen = 0
    with pytest.raises(dr.ImageTooLargeError, match="the ninetieth"):
        for sample in ring.batches(loader(torch, Photos(ring, 100), num_workers=1)):
            check(torch, ring, sample)
            seen += 1
    assert seen == 90
    del sample
    gc.collect()
    inside = sum(check(torch, ring, one) for one in ring.batches(loader(torch, Photos(ring, 40))))
    assert (inside, ring.missed) == (36, 0)
    eventually(ring, 8)


@pytest.mark.torch
def test_what_does_not_fit_goes_torchs_way(torch: Any, torch_ring: Any) -> None:
    ring = torch_ring(1)
    held = torch.utils.data.default_convert(ring.put(QWEN, image(0)))
    loaded = loader(torch, Photos(ring, 20))
    assert not any(check(torch, ring, sample) for sample in loaded)
    assert ring.missed == 18
    del held
    assert ring.free == 1


@pytest.mark.torch
def test_tensors_of_all_kinds(torch: Any, torch_ring: Any) -> None:
    """Those that are no plain tensors in the slot go as torch sends them."""
    ring = torch_ring(1)
    sample = ring.put(QWEN, image(3), dtype="bfloat16")
    pixels = sample["pixel_values"]
    others = {
        "parameter": torch.nn.Parameter(torch.ones(3)),
        "gradient": torch.ones(2, requires_grad=True),
        "complex": torch.ones(2, dtype=torch.complex64).conj(),
        "unsigned": torch.ones(3, dtype=torch.uint16),
        "bool": torch.tensor([True, False]),
        "scalar": torch.tensor(2.5, dtype=torch.float64),
        "empty": torch.zeros((0, 5)),
        "large": torch.arange(100_000),
        "array": np.arange(4),
        "rows": pixels[4:8],
        "across": pixels.t(),
        "half": pixels.view(torch.float16),
        "bits": pixels.view(torch.uint16),
    }
    sample.update(others)
    message = sent(sample)
    got = pickle.loads(message)
    for key, value in others.items():
        assert type(got[key]) is type(value)
        if key == "array":
            np.testing.assert_array_equal(got[key], value)
            continue
        assert (got[key].dtype, got[key].shape) == (value.dtype, value.shape)
        assert got[key].requires_grad == value.requires_grad
        kind = torch.int16 if value.element_size() == 2 else None
        same = [got[key], value]
        if kind is not None:
            same = [one.contiguous().view(kind) for one in same]
        assert torch.equal(*same), key
    inside = {
        key
        for key in ("pixel_values", "rows", "half", "bits", "across")
        if lies_in(ring, got[key].detach().view(torch.int16).numpy())
    }
    assert inside == {"pixel_values", "rows", "half", "bits"}
    del got, sample, pixels, others, value, same
    gc.collect()
    assert ring.free == 1


LEFT_BY_TORCH = """
import gc, os, sys, warnings
import test_ring as t, torch
from dynres_rs.torch import SharedRing
warnings.simplefilter("ignore")

def main():
    ring = SharedRing.for_processor(t.QWEN, 8)
    call = {{"killed": True}} if "{how}" == "killed" else {{}}
    loaded = t.loader(torch, t.Photos(ring, 80, **call), "{method}", timeout=0)
    for sample in ring.batches(loaded):
        assert t.check(torch, ring, sample) or sample["index"] % 10 == 9
        if "{how}" == "early" and sample["index"] == 5:
            sys.exit(3)

if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:  # torch's, about the worker that was killed at the 70th
        assert "{how}" == "killed" and "DataLoader worker" in str(error), error
        sys.exit(3)
"""


@pytest.mark.torch
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("how", "code"), [("to the end", 0), ("early", 3), ("killed", 3)])
def test_torch_leaves_nothing(torch: Any, method: str, how: str, code: int, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(LEFT_BY_TORCH.format(method=method, how=how))
    before = set(Path("/dev/shm").iterdir())
    done = _run(script)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")
    assert not orphans(before)


# Forks, and readers that are killed


def forked(act: Callable[[Any], None]) -> tuple[int, Any, Any]:
    """A forked child that acts when told to over a pipe; its pid, and pipes to it and from it."""
    to_child, to_parent = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            act((to_child[0], to_parent[1]))
            code = 0
        finally:
            os._exit(code)
    return pid, to_child[1], to_parent[0]


def test_a_forked_childs_array_does_not_change() -> None:
    processor = dr.Processor("qwen2-vl")
    ring = SharedRing.for_processor(processor, 1, dtype="uint8")
    sample = ring.put(processor, np.full((56, 56, 3), 7, np.uint8), dtype="uint8")

    def child(pipes: Any) -> None:
        read, write = pipes
        want = sample["pixel_values"].copy()
        os.write(write, b"1")
        os.read(read, 1)  # the parent has let go, and has tried to use the slot again
        assert np.array_equal(sample["pixel_values"], want)
        sample.clear()
        os.write(write, b"2")
        os.read(read, 1)

    pid, tell, hear = forked(child)
    assert os.read(hear, 1) == b"1"
    assert ring.free == 0
    sample = None  # type: ignore[assignment]
    gc.collect()
    assert ring.free == 0  # the child has it still
    for value in range(5):
        other = ring.put(processor, np.full((56, 56, 3), value, np.uint8), dtype="uint8")
        assert other._place is None
    assert ring.reclaim() == 0
    os.write(tell, b"1")
    assert os.read(hear, 1) in (b"2", b"")
    os.write(tell, b"1")
    assert os.waitpid(pid, 0)[1] == 0
    assert ring.free == 1


def test_a_forked_child_that_is_killed_holds_nothing() -> None:
    processor = dr.Processor("qwen2-vl")
    ring = SharedRing.for_processor(processor, 2, dtype="uint8")
    sample = ring.put(processor, np.zeros((56, 56, 3), np.uint8), dtype="uint8")

    def wait(pipes: Any) -> None:
        os.write(pipes[1], b"1")
        time.sleep(60)

    pid, _, hear = forked(wait)
    os.read(hear, 1)
    del sample
    gc.collect()
    assert ring.free == 1
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert ring.free == 2
    again = ring.put(processor, np.zeros((56, 56, 3), np.uint8), dtype="uint8")
    assert again._place is not None


def receive(ring: SharedRing, pipe: Any, count: int) -> None:
    for _ in range(count):
        pipe.recv()
    time.sleep(60)


def test_slots_on_their_way_to_a_killed_reader_come_back() -> None:
    processor = dr.Processor("qwen2-vl")
    ring = SharedRing.for_processor(processor, 3, dtype="uint8")
    context = mp.get_context("fork")
    theirs, ours = context.Pipe(duplex=False)
    reader = context.Process(target=receive, args=(ring, theirs, 1), daemon=True)
    reader.start()

    def send() -> None:
        ours.send(ring.put(processor, np.zeros((56, 56, 3), np.uint8), dtype="uint8"))

    send()
    end = time.monotonic() + 30
    while ring.free < 3 and time.monotonic() < end:  # received, and let go
        time.sleep(0.01)
    send()
    send()
    gc.collect()
    assert ring.free == 1
    assert ring.reclaim() == 0  # the reader lives
    reader.kill()
    reader.join()
    theirs.close()
    assert ring.free == 1
    assert ring.reclaim() == 2
    assert ring.free == 3
