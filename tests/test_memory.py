"""Memory of outputs: used again once nothing refers to it, and never before."""

import ctypes
import gc
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest
from dynres_rs import memory
from dynres_rs._dynres_rs import Block, Kept
from hypothesis import strategies as st
from numpy.typing import NDArray
from property_counts import property_test
from strategies import noise, same

MIB = 1 << 20
LIMIT = 12 * MIB
LINE = 64
PATCHES = dr.Processor("qwen2-vl", max_pixels=40_000)
TILES = dr.Processor("internvl", image_size=56, max_num=4)
VIDEOS = dr.VideoProcessor("qwen2-vl", do_sample_frames=False, max_pixels=40_000)


@pytest.fixture(autouse=True)
def outputs(monkeypatch: pytest.MonkeyPatch) -> Kept:
    """Outputs of 1 KiB and more are kept: small images do for these tests."""
    kept = Kept(LIMIT, 1024)
    monkeypatch.setattr(memory, "OUTPUTS", kept)
    return kept


@cache
def image(index: int) -> NDArray[np.uint8]:
    return noise(index, 70 + 11 * (index % 5), 60 + 17 * (index % 7))


def patches(index: int, **how: Any) -> NDArray[Any]:
    return PATCHES(image(index), **how)["pixel_values"]  # type: ignore[no-any-return]


CALLS: list[Callable[[int], NDArray[Any]]] = [
    patches,
    lambda index: patches(index, dtype="bfloat16"),
    lambda index: patches(index, dtype="uint8", temporal="compact"),
    lambda index: TILES(image(index), dtype="float16")["pixel_values"],
    lambda index: VIDEOS([image(index)] * 4)["pixel_values_videos"],
    lambda index: dr.resize(image(index), (90, 40 + index)),
    lambda index: dr.patchify(image(index)[:56, :56]),
    lambda index: dr.tile(image(index)[:56, :56], tile_size=28),
]


@cache
def wanted(call: int, index: int) -> NDArray[Any]:
    """The result in memory of its own."""
    kept, memory.OUTPUTS = memory.OUTPUTS, Kept(0)  # type: ignore[misc]
    try:
        result = CALLS[call](index)
    finally:
        memory.OUTPUTS = kept  # type: ignore[misc]
    assert result.size and not isinstance(result.base, Block)
    return result.copy()


def address(array: Any) -> int:
    return int(array.__array_interface__["data"][0])


def check(held: Any, call: int, index: int) -> None:
    same(np.asarray(held), wanted(call, index), f"call {call} of image {index}")


# What holds on to a result: each is equal to it as an array.
HOLDS: dict[str, Callable[[NDArray[Any]], Any]] = {
    "array": lambda array: array,
    "view": lambda array: array[...],
    "slice of a slice": lambda array: array.reshape(-1)[2:][:-2],
    "transposed": lambda array: array.T[::-1],
    "other dtype": lambda array: array.view(np.uint8),
    "memoryview": memoryview,
    "part of a memoryview": lambda array: memoryview(array)[1:],
    "array of a memoryview": lambda array: np.frombuffer(memoryview(array), array.dtype),
    "buffer of a pickle": pickle.PickleBuffer,
    "ctypes": lambda array: (ctypes.c_char * array.nbytes).from_buffer(array.reshape(-1).data),
    "dlpack": np.from_dlpack,
    "iterator": lambda array: array.flat,
    "row": lambda array: next(iter(array)),
    "subclass": lambda array: array.view(np.recarray),
    "element of a list": lambda array: [{"x": [array[1]]}],
}


def bytes_of(held: Any) -> bytes:
    if isinstance(held, list):
        held = held[0]["x"][0]
    return np.asarray(held).tobytes()


@pytest.mark.parametrize("kind", HOLDS)
def test_whatever_holds_a_result_keeps_its_memory(kind: str, outputs: Kept) -> None:
    result = patches(1)
    place = address(result)
    held = HOLDS[kind](result)
    before = bytes_of(held)
    del result
    others = [patches(index) for index in (1, 2, 3)]
    assert place not in map(address, others)
    assert bytes_of(held) == before
    for index, other in zip((1, 2, 3), others, strict=True):
        check(other, 0, index)
    del others, other, held
    # Free again, all four.
    assert place in {address(each) for each in [patches(1) for _ in range(4)]}


def test_pickles_are_apart() -> None:
    result = patches(1)
    place = address(result)
    copies = [pickle.loads(pickle.dumps(result, protocol)) for protocol in (2, 4, 5)]
    del result
    again = patches(2)
    assert address(again) == place
    for copy in copies:
        check(copy, 0, 1)


@pytest.mark.torch
def test_tensors_keep_their_memory(torch: Any) -> None:
    made: list[Callable[[], Any]] = [
        lambda: torch.from_numpy(patches(1)),
        lambda: PATCHES(image(1), return_tensors="pt")["pixel_values"],
        lambda: PATCHES(image(1), return_tensors="pt", dtype="bfloat16")["pixel_values"],
        lambda: torch.from_numpy(patches(1))[3:].view(-1)[5:].detach(),
        lambda: torch.from_numpy(patches(1)).numpy()[::2],
        lambda: torch.utils.dlpack.from_dlpack(torch.from_numpy(patches(1))),
        lambda: torch.from_numpy(patches(1)).untyped_storage(),
    ]

    def content(held: Any) -> list[Any]:
        return held.tolist()  # type: ignore[no-any-return]

    for make in made:
        held = make()
        place = held.data_ptr() if hasattr(held, "data_ptr") else address(held)
        before = content(held)
        others = [patches(index) for index in (1, 2, 3)]
        for other in others:
            assert not address(other) <= place < address(other) + other.nbytes
        assert content(held) == before
        del held, others, other
        again = [patches(1) for _ in range(4)]
        assert any(address(each) <= place < address(each) + each.nbytes for each in again)
        del again


def test_two_in_a_row_take_turns(outputs: Kept) -> None:
    places, x = [], None
    for index in [1] * 6:
        x = patches(index)
        places.append(address(x))
    assert len(set(places)) == 2 and places[0] == places[2] == places[4]
    assert x is not None and outputs.nbytes == 2 * x.nbytes


@pytest.mark.parametrize("call", range(len(CALLS)))
def test_arrays_are_ordinary(call: int) -> None:
    places = set()
    for _ in range(2):
        result = CALLS[call](3)
        want = wanted(call, 3)
        check(result, call, 3)
        assert result.flags.c_contiguous and result.flags.writeable and result.flags.aligned
        assert address(result) % LINE == 0
        assert type(result) is np.ndarray and result.dtype is want.dtype
        result[...] = 1
        places.add(address(result))
        del result
    assert len(places) == 1


def test_outputs_begin_at_a_cache_line_as_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert dr.keep_memory(128 * MIB) == 128 * MIB
    large, small = noise(1, 1204, 1400), noise(2, 224, 224)
    p = dr.Processor("qwen2-vl", max_pixels=2_000_000)
    out = np.zeros(p.plan(1204, 1400).shape, np.float32)
    p(large, out=out)
    places = set()
    for _ in range(3):
        result = p(large)["pixel_values"]
        assert result.nbytes >= 4 * MIB
        assert address(result) % LINE == 0
        same(result, out)
        places.add(address(result))
        del result
    assert len(places) == 1
    assert memory.OUTPUTS.nbytes == out.nbytes
    assert p(small)["pixel_values"].flags.owndata
    dr.keep_memory(128 * MIB)
    assert memory.OUTPUTS.nbytes == 0


# The class. `src/kept.rs` has tests of which block is taken and which one goes.


def test_the_limit_holds() -> None:
    kept = Kept(10_000, 100)
    held = []
    generator = random.Random(1)
    for _ in range(2000):
        size = generator.choice([50, 100, 900, 1800, 4000, 7000, 10_000, 10_001, 30_000])
        array = kept.empty((size,), "uint8")
        assert array.shape == (size,) and array.dtype == np.uint8
        assert kept.nbytes <= kept.limit
        assert array.flags.owndata is not (100 <= size <= 10_000)
        array[...] = len(held) % 251
        held.append(array)
        if len(held) > 8:
            held.pop(generator.randrange(len(held)))
        starts = sorted((address(each), each.nbytes) for each in held)
        for (start, nbytes), (after, _) in pairwise(starts):
            assert start + nbytes <= after


def test_a_block_is_free_when_its_last_user_is_gone_in_any_order() -> None:
    for seed in range(200):
        generator = random.Random(seed)
        kept = Kept(10_000, 0)
        array = kept.empty((50, 20), "float32")
        place = address(array)
        users: list[Any] = [array, array[3:], memoryview(array), array.T, array.base]
        users += [memoryview(array.base), array.view(np.uint8).reshape(-1)[7:]]
        del array
        generator.shuffle(users)
        while users:
            assert address(kept.empty((50, 20), "float32")) != place
            users.pop()
        both = [kept.empty((50, 20), "float32") for _ in range(2)]
        assert place in map(address, both)


def test_a_cycle_gives_its_memory_back_when_it_is_collected() -> None:
    kept = Kept(10_000, 0)
    array = kept.empty((1000,), "uint8")
    place = address(array)
    cycle: list[Any] = [array]
    cycle.append(cycle)
    del array, cycle
    gc.collect()
    assert address(kept.empty((1000,), "uint8")) == place


def test_arrays_outlive_what_kept_them() -> None:
    kept = Kept(10_000, 0)
    array = kept.empty((5000,), "uint8")
    array[...] = 7
    kept.keep(0)
    assert kept.nbytes == 0 and kept.limit == 0
    assert kept.empty((5000,), "uint8").flags.owndata
    kept.keep(20_000)
    others = [kept.empty((5000,), "uint8") for _ in range(4)]
    for other in others:
        other[...] = 1
    del kept, others, other
    gc.collect()
    assert (array == 7).all()


def test_memory_of_the_systems_own_pages() -> None:
    """From 4 MiB on: written to its ends, and given back."""
    kept = Kept(64 * MIB, 0)
    for size in (4 * MIB - 1, 4 * MIB, 4 * MIB + 4097):
        array = kept.empty((size,), "uint8")
        array[...] = 3
        assert address(array) % LINE == 0 and int(array.sum(dtype=np.int64)) == 3 * size
    del array
    kept.forget()
    assert kept.nbytes == 0


def test_release_by_another_thread(outputs: Kept) -> None:
    for _ in range(20):
        held = [patches(1)]
        place = address(held[0])
        thread = threading.Thread(target=held.clear)
        thread.start()
        thread.join()
        assert address(patches(1)) == place


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_no_memory_at_all() -> None:
    """What is kept makes way, and where that is not enough the error says for what."""
    program = """
import resource
from dynres_rs._dynres_rs import Kept
kept = Kept(1 << 40, 0)
held = kept.empty((8 << 20,), "uint8")
free = kept.empty((300 << 20,), "uint8")
del free
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2)
large = kept.empty((350 << 20,), "uint8")
assert large.nbytes == 350 << 20 and kept.nbytes == 0
for shape, dtype, size in [((350 << 20,), "uint8", 350 << 20), ((1 << 45,), "float32", 1 << 47)]:
    try:
        kept.empty(shape, dtype, "x")
    except MemoryError as error:
        assert type(error) is MemoryError
        text = f"x: cannot allocate {size} bytes for {dtype} of the shape {shape}"
        assert str(error) == text, str(error)
    else:
        raise AssertionError
held[...] = 1
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_exit_with_memory_in_every_state() -> None:
    """At exit some blocks are free, some in use, some in a cycle, and threads give theirs back."""
    program = """
import threading, time
from dynres_rs import memory
kept = memory.OUTPUTS
free = kept.empty((5 << 20,), "uint8")
del free
held = kept.empty((5 << 20,), "uint8")
cycle = [kept.empty((5 << 20,), "uint8")]
cycle.append(cycle)
def work():
    while True:
        kept.empty((4 << 20,), "uint8")[...] = 1
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.05)
"""
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


# The setting


def test_keep_memory(outputs: Kept) -> None:
    x = patches(1)
    assert outputs.nbytes == x.nbytes
    assert dr.keep_memory(np.int64(MIB)) == LIMIT  # type: ignore[arg-type]
    assert dr.keep_memory(0) == MIB
    assert outputs.nbytes == 0
    y = patches(2)
    assert y.flags.owndata and outputs.nbytes == 0
    assert dr.keep_memory(2**63 - 1) == 0
    assert dr.keep_memory(LIMIT) == 2**63 - 1
    check(x, 0, 1)
    check(y, 0, 2)


@pytest.mark.parametrize(
    "limit, kind, message",
    [
        ("1", TypeError, "limit: must be an integer, got str"),
        (1.0, TypeError, "limit: must be an integer, got float"),
        (None, TypeError, "limit: must be an integer, got NoneType"),
        (True, TypeError, "limit: must be an integer, got bool"),
        (-1, ValueError, "limit: must be at least 0, got -1"),
        (2**63, ValueError, "limit: must fit 64 bits, got one of 64 bits"),
    ],
)
def test_keep_memory_refuses(
    limit: Any, kind: type[Exception], message: str, outputs: Kept
) -> None:
    x = patches(1)
    with pytest.raises(kind) as caught:
        dr.keep_memory(limit)
    assert str(caught.value) == message
    assert outputs.limit == LIMIT
    assert outputs.nbytes == x.nbytes


def test_an_array_of_just_the_limit_is_kept(outputs: Kept) -> None:
    nbytes = wanted(0, 1).nbytes
    for limit, same_place in ((nbytes, True), (nbytes - 1, False)):
        dr.keep_memory(limit)
        first = patches(1)
        assert (outputs.nbytes == nbytes) is same_place
        del first


# Whole calls


def failing_frames() -> Iterator[NDArray[np.uint8]]:
    yield image(1)
    yield image(1)
    raise OSError("no more frames")


def test_a_failed_call_gives_its_memory_back(outputs: Kept) -> None:
    metadata = {"total_num_frames": 4}
    place = address(VIDEOS([image(1)] * 4)["pixel_values_videos"])
    for _ in range(3):
        with pytest.raises(OSError, match="no more frames"):
            VIDEOS(failing_frames(), video_metadata=metadata)
        assert address(VIDEOS([image(1)] * 4)["pixel_values_videos"]) == place
    assert outputs.nbytes == wanted(4, 1).nbytes
    # Of two the first comes out, and the failure of the second refers to no memory.
    both = VIDEOS(
        [[image(1)] * 4, failing_frames()], video_metadata=[None, metadata], errors="collect"
    )
    check(both["pixel_values_videos"], 4, 1)
    place = address(both["pixel_values_videos"])
    failures = both["errors"]
    assert [index for index, _ in failures] == [1]
    del both
    assert address(VIDEOS([[image(1)] * 4] * 2)["pixel_values_videos"]) == place


def test_collect() -> None:
    bad = np.zeros((5, 0, 3), np.uint8)
    given: list[Any] = [image(1), bad, image(2), "/nowhere/image.png", image(3)]
    want = np.concatenate([wanted(0, index) for index in (1, 2, 3)])
    held = []
    for _ in range(4):
        batch = PATCHES(given, errors="collect")
        assert [index for index, _ in batch["errors"]] == [1, 3]
        held.append(batch["pixel_values"])
        for each in held:
            same(each, want)
        del held[:-2]


def test_results_do_not_depend_on_what_was_in_the_memory(outputs: Kept) -> None:
    for call in range(len(CALLS)):
        for byte in (0, 0xA5, 0xFF):
            dirty = [CALLS[call](2) for _ in range(2)]
            for each in dirty:
                each.view(np.uint8)[...] = byte
            del dirty, each
            check(CALLS[call](2), call, 2)


def test_threads(outputs: Kept) -> None:
    for call in range(len(CALLS)):
        for index in range(5):
            wanted(call, index)

    def work(seed: int) -> int:
        generator, held, kept = random.Random(seed), [], 0
        for _ in range(150):
            call, index = generator.randrange(len(CALLS)), generator.randrange(5)
            result = CALLS[call](index)
            kept += not result.flags.owndata
            held.append((generator.choice([result, result[...], memoryview(result)]), call, index))
            del result
            if len(held) > generator.randrange(6):
                check(*held.pop(generator.randrange(len(held))))
        for each in held:
            check(*each)
        return kept

    with ThreadPoolExecutor(8) as pool:
        kept = list(pool.map(work, range(8)))
    assert min(kept) > 0
    assert outputs.nbytes <= LIMIT


def _status(work: Callable[[], bool]) -> int:
    """How a forked child ends that does this; no pytest in it."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.alarm(20)
            code = 0 if work() else 2
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_fork(outputs: Kept) -> None:
    held = [(patches(index), 0, index) for index in (1, 2)]
    free = patches(3)
    for index in range(5):
        wanted(0, index)
    del free

    def child() -> bool:
        own = [(patches(index), 0, index) for index in (3, 4, 1, 2, 3)]
        for each in held + own:
            check(*each)
        held.clear()
        for index in range(5):
            check(patches(index), 0, index)
        for each in own:
            check(*each)
        return dr.keep_memory(0) == LIMIT

    for _ in range(3):
        assert _status(child) == 0
        held.append((patches(4), 0, 4))
        for each in held:
            check(*each)

    # While threads of the parent take blocks and give them back.
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            outputs.empty((3000,), "uint8")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            assert _status(child) == 0
    finally:
        done.set()
        for thread in threads:
            thread.join()


operations = st.one_of(
    st.tuples(
        st.just("call"),
        st.integers(0, len(CALLS) - 1),
        st.integers(0, 4),
        st.sampled_from(["array", "view", "memoryview", "dlpack"]),
    ),
    st.tuples(st.just("drop"), st.integers(0, 20)),
    st.tuples(st.just("write"), st.integers(0, 20)),
    st.tuples(st.just("limit"), st.sampled_from([0, 50_000, MIB, 6 * MIB, LIMIT])),
)


@property_test(steps=st.lists(operations, max_size=40))
def test_no_call_changes_a_result_that_is_held(steps: list[tuple[Any, ...]]) -> None:
    kept, memory.OUTPUTS = memory.OUTPUTS, Kept(LIMIT, 1024)  # type: ignore[misc]
    try:
        held: list[tuple[Any, NDArray[Any]]] = []
        for step, *how in steps:
            if step == "call":
                call, index, kind = how
                result = CALLS[call](index)
                check(result, call, index)
                held.append((HOLDS[kind](result), result.copy()))
                del result
            elif step == "drop" and held:
                del held[how[0] % len(held)]
            elif step == "write" and held:
                array, want = held[how[0] % len(held)]
                if not memoryview(array).readonly:
                    np.asarray(array).view(np.uint8)[...] = how[0]
                    want.view(np.uint8)[...] = how[0]
                del array, want
            elif step == "limit":
                dr.keep_memory(how[0])
            assert memory.OUTPUTS.nbytes <= memory.OUTPUTS.limit
            for array, want in held:
                same(array, want)
            array = want = None  # type: ignore[assignment]
    finally:
        memory.OUTPUTS = kept  # type: ignore[misc]
