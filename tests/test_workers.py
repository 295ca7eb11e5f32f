"""Calls in worker processes and threads: the same bits, no deadlock, no threads but those asked
for.

Every wait has an end: a hang is a failure, not a stuck session.
"""

import hashlib
import multiprocessing as mp
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest
from dynres_rs import _dynres_rs as native
from numpy.typing import NDArray

METHODS = ["fork", "spawn", "forkserver"]
WAIT = 120
PROCESSOR = dr.Processor("qwen2-vl", max_pixels=40_000)
TILES = dr.Processor("internvl", image_size=56, max_num=6)

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
    # Python 3.12 and later warn about any fork of a process with threads: that is what is tested.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
    # Two workers are asked for on one core as well.
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
]


def image(index: int) -> NDArray[np.uint8]:
    """Test pixels by number: 60 to 139 rows and columns, cheap to make anywhere."""
    height, width = 60 + index * 7 % 80, 60 + index * 13 % 80
    count = np.arange(height * width * 3, dtype=np.uint32) * 2654435761 + index
    return (count >> 11).astype(np.uint8).reshape(height, width, 3)


def digest(batch: dict[str, Any]) -> str:
    hasher = hashlib.sha256()
    for key, value in batch.items():
        hasher.update(key.encode() + np.ascontiguousarray(value).tobytes())
    return hasher.hexdigest()


def digests(index: int, num_threads: int = 1) -> tuple[str, str]:
    """Of one image by both processors."""
    given = image(index)
    return (
        digest(PROCESSOR(given, num_threads=num_threads)),
        digest(TILES([given, given[::2]], num_threads=num_threads)),
    )


def tasks() -> int:
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def settled() -> int:
    """How many threads there are once those that were joined have left /proc, too."""
    counts = []
    for _ in range(20):
        counts.append(tasks())
        time.sleep(0.005)
    return min(counts)


def most_threads(work: Callable[[], object]) -> int:
    """The most threads that `work` had at any time, its caller counted."""
    done = threading.Event()
    counts = [0]

    def watch() -> None:
        while not done.is_set():
            counts.append(tasks())

    watcher = threading.Thread(target=watch)
    before = settled()  # the caller among them, the watcher not
    watcher.start()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    return max(counts) - 1 - (before - 1)


# One pool of two workers for each way to start them


def _collect(index: int) -> tuple[int, int, tuple[str, str]]:
    return index, os.getpid(), digests(index, num_threads=2)


def _use(processor: dr.Processor, index: int) -> str:
    return digest(processor(image(index)))


def _raise(kind: str) -> None:
    images: dict[str, Any] = {
        "type": [image(0), 3],
        "value": [image(0), np.zeros((5, 0, 3), np.uint8)],
        "large": np.broadcast_to(np.zeros(3, np.uint8), (20_000, 20_000, 3)),
        "file": ["/nowhere/image.png"],
        "bytes": [b"no image"],
    }
    PROCESSOR(images[kind])


def _peak(num_threads: int) -> tuple[int, bool]:
    big = np.zeros((1500, 2000, 3), np.uint8)
    p = dr.Processor("qwen2-vl", max_pixels=1_000_000)
    images = [big] * 24  # long enough to be seen on a busy machine
    return most_threads(lambda: p(images, num_threads=num_threads)), native.is_forked()


def _fill(name: str, index: int, slot: int) -> list[int]:
    memory = SharedMemory(name)
    try:
        plan = PROCESSOR.plan(*image(index).shape[:2])
        nbytes = 4 * int(np.prod(plan.shape))
        out = np.ndarray(plan.shape, np.float32, memory.buf[slot * SLOT :][:nbytes])
        batch = PROCESSOR(image(index), out=out)
        assert np.shares_memory(batch["pixel_values"], out)
        grid = batch["image_grid_thw"][0].tolist()
        del out, batch
        return grid  # type: ignore[no-any-return]
    finally:
        memory.close()


SLOT = 4 * 1176 * 256  # 40,000 pixels are at most 204 patches; a margin for thin images


@pytest.fixture(params=METHODS, scope="module")
def pool(request: pytest.FixtureRequest) -> Iterator[Any]:
    with mp.get_context(request.param).Pool(2) as pool:
        yield request.param, pool


def test_same_bits(pool: Any) -> None:
    _, workers = pool
    want = {index: digests(index) for index in range(40)}
    for _ in range(2):  # the workers persist
        results = workers.map_async(_collect, range(40), chunksize=1).get(WAIT)
        assert {index: got for index, _, got in results} == want
    assert os.getpid() not in {pid for _, pid, _ in results}


def test_processors_travel(pool: Any) -> None:
    _, workers = pool
    for p in (PROCESSOR, TILES, dr.Processor("deepseek-vl2", numerics="pillow-12.0")):
        assert workers.apply_async(_use, (p, 3)).get(WAIT) == _use(p, 3)


@pytest.mark.parametrize("kind", ["type", "value", "large", "file", "bytes"])
def test_errors_keep_class_and_text(pool: Any, kind: str) -> None:
    _, workers = pool
    with pytest.raises(Exception) as here:
        _raise(kind)
    with pytest.raises(Exception) as there:
        workers.apply_async(_raise, (kind,)).get(WAIT)
    assert (type(there.value), str(there.value)) == (type(here.value), str(here.value))
    assert str(here.value) != ""


def test_no_more_threads_than_asked(pool: Any) -> None:
    method, workers = pool
    for asked in (1, 2, 4):
        peak, forked = workers.apply_async(_peak, (asked,)).get(WAIT)
        assert forked is (method == "fork")
        assert peak == 1 if forked else 1 <= peak <= asked


def test_into_shared_memory(pool: Any) -> None:
    _, workers = pool
    memory = SharedMemory(create=True, size=8 * SLOT)
    try:
        jobs = [workers.apply_async(_fill, (memory.name, index, index)) for index in range(8)]
        for index, job in enumerate(jobs):
            grid = job.get(WAIT)
            want = PROCESSOR(image(index))
            assert grid == want["image_grid_thw"][0].tolist()
            values = want["pixel_values"]
            got = bytes(memory.buf[index * SLOT :][: values.nbytes])
            assert got == values.tobytes()
    finally:
        memory.close()
        memory.unlink()


# Fork


def _many(start: int, queue: Any) -> None:
    for index in range(start, 1000, 4):
        queue.put((index, digest(PROCESSOR(image(index % 50), num_threads=4))))


def test_a_thousand_images_through_four_forked_workers() -> None:
    context = mp.get_context("fork")
    queue = context.Queue()
    workers = [context.Process(target=_many, args=(start, queue)) for start in range(4)]
    for worker in workers:
        worker.start()
    try:
        got = dict(queue.get(timeout=WAIT) for _ in range(1000))
        for worker in workers:
            worker.join(WAIT)
        assert [worker.exitcode for worker in workers] == [0] * 4
    finally:
        for worker in workers:
            worker.kill()
    want = [digest(PROCESSOR(image(index))) for index in range(50)]
    assert got == {index: want[index % 50] for index in range(1000)}


def test_fork_while_threads_are_busy() -> None:
    """The parent's threads are in the middle of calls, with threads of their own, at each fork."""
    big = np.zeros((200, 300, 3), np.uint8)
    done = threading.Event()

    def busy() -> None:
        while not done.is_set():
            PROCESSOR([big, big], num_threads=2)

    parents = [threading.Thread(target=busy) for _ in range(2)]
    want = digests(5)
    for thread in parents:
        thread.start()
    try:
        for _ in range(25):
            pid = os.fork()
            if pid == 0:
                # No pytest in the child: it leaves with a code.
                code = 1
                try:
                    signal.alarm(20)
                    alone = most_threads(lambda: PROCESSOR([big, big], num_threads=4)) == 1
                    right = digests(5, num_threads=4) == want
                    code = 0 if alone and right and native.is_forked() else 2
                finally:
                    os._exit(code)
            assert os.waitpid(pid, 0)[1] == 0
    finally:
        done.set()
        for thread in parents:
            thread.join(WAIT)
    assert not native.is_forked()


# Threads


@pytest.mark.parametrize("asked", [1, 2, 3, 8])
def test_threads_are_those_asked_for_and_gone_after(asked: int) -> None:
    before = settled()
    peaks = [_peak(asked)[0] for _ in range(3)]
    assert max(peaks) <= asked
    assert max(peaks) > 1 or asked == 1
    assert settled() == before


def test_one_processor_in_many_threads() -> None:
    want = [digests(index) for index in range(24)]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(3):
            got = list(threads.map(digests, range(24), [1, 2] * 12, timeout=WAIT))
            assert got == want

        # options of a call are cached in the processor: a race must not mix them up
        def limited(index: int) -> str:
            return digest(PROCESSOR(image(3), max_pixels=3136 + 784 * (index % 70)))

        alone = [limited(index) for index in range(70)]
        assert list(threads.map(limited, range(280), timeout=WAIT)) == alone * 4


def run(code: str, *, interrupt: bool = False) -> subprocess.CompletedProcess[str]:
    """Runs a script; with `interrupt`, Ctrl-C comes 0.1 s after it says `ready`."""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        if interrupt:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.1)
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=WAIT)
    finally:
        process.kill()
    return subprocess.CompletedProcess(code, process.returncode, out, err)


# A shell's background job starts with SIGINT ignored, and so would its children.
INTERRUPTED = """
import signal, numpy as np, dynres_rs as dr
signal.signal(signal.SIGINT, signal.default_int_handler)
p = dr.Processor("qwen2-vl", max_pixels=40_000_000, max_image_pixels=10**9)
images = {images}
print("ready", flush=True)
try:
    while True:
        p(images, num_threads={threads}, dtype="uint8", temporal="compact")
except KeyboardInterrupt:
    print("answered")
"""
ONE = "np.zeros((6000, 9000, 3), np.uint8)"


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("images", [ONE, f"[{ONE}[:500]] * 40"], ids=["one large", "many"])
def test_ctrl_c_of_another_process(threads: int, images: str) -> None:
    """How soon it is answered, test_interrupt.py measures."""
    done = run(INTERRUPTED.format(images=images, threads=threads), interrupt=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "answered\n", "")


def test_exit_while_daemon_threads_are_in_a_call() -> None:
    code = """
import threading, time, numpy as np, dynres_rs as dr
p = dr.Processor("qwen2-vl", max_pixels=4_000_000)
image = np.zeros((3000, 4000, 3), np.uint8)
def busy():
    while True:
        p([image, image], num_threads=2)
for _ in range(3):
    threading.Thread(target=busy, daemon=True).start()
time.sleep(0.2)
"""
    for _ in range(12):  # a thread that looked for signals after the end met it in 1 of 30
        done = run(code)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_import_starts_no_thread() -> None:
    code = """
import os, numpy
before = len(os.listdir("/proc/self/task"))
import dynres_rs
assert len(os.listdir("/proc/self/task")) == before
"""
    assert run(code).returncode == 0


def test_no_thread_outlives_its_call() -> None:
    """Each is joined, and not only its work waited for; a few may still be leaving /proc."""
    given = image(0)
    before, left = settled(), 0
    for _ in range(300):
        PROCESSOR([given] * 4, num_threads=4)
        left += tasks() > before
    assert left <= 3


# PyTorch's DataLoader


class Samples:
    """A map-style dataset; `out` is a shared tensor of rows to write to."""

    def __init__(self, count: int, out: Any = None) -> None:
        self.count = count
        self.out = out

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index == 13 and self.out is None:
            raise dr.ImageTooLargeError("images[0]: the thirteenth")
        given = np.ascontiguousarray(image(index)[:56, :56])
        out = None if self.out is None else self.out[index]
        batch = PROCESSOR(given, return_tensors="pt", num_threads=2, out=out)
        if out is not None:
            del batch["pixel_values"]  # it is in the shared tensor already
        return {**batch, "index": index, "pid": os.getpid()}


def _keep(samples: list[Any]) -> list[Any]:
    return samples


def loader(torch: Any, dataset: Samples, method: str, **options: Any) -> Any:
    return torch.utils.data.DataLoader(
        dataset,
        batch_size=4,
        num_workers=2,
        collate_fn=_keep,
        multiprocessing_context=method,
        timeout=WAIT,
        **options,
    )


@pytest.mark.torch
@pytest.mark.parametrize("method", METHODS)
def test_dataloader(torch: Any, method: str) -> None:
    pinned = torch.cuda.is_available()
    loaded = loader(torch, Samples(12), method, persistent_workers=True, pin_memory=pinned)
    pids = set()
    for _ in range(2):
        samples = [sample for batch in loaded for sample in batch]
        assert [sample["index"] for sample in samples] == list(range(12))
        pids |= {sample["pid"] for sample in samples}
        for sample in samples:
            want = PROCESSOR(np.ascontiguousarray(image(sample["index"])[:56, :56]))
            for key, value in want.items():
                assert sample[key].is_pinned() is pinned
                np.testing.assert_array_equal(sample[key].numpy(), value)
    assert len(pids) == 2 and os.getpid() not in pids


@pytest.mark.torch
@pytest.mark.parametrize("method", METHODS)
def test_dataloader_into_a_shared_tensor(torch: Any, method: str) -> None:
    shape = PROCESSOR.plan(56, 56).shape
    out = torch.zeros((16, *shape)).share_memory_()
    for batch in loader(torch, Samples(16, out), method):
        for sample in batch:
            want = PROCESSOR(np.ascontiguousarray(image(sample["index"])[:56, :56]))
            np.testing.assert_array_equal(out[sample["index"]].numpy(), want["pixel_values"])


@pytest.mark.torch
def test_dataloader_reraises_our_class(torch: Any) -> None:
    with pytest.raises(dr.ImageTooLargeError, match="the thirteenth"):
        list(loader(torch, Samples(16), "fork"))
