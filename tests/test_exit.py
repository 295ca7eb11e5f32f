"""A process ends cleanly, whatever its daemon threads are at: see `exits`."""

import subprocess
import sys

import pytest
from exits import KINDS, settings, unclean

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts signals")


@pytest.mark.parametrize("kind", KINDS)
def test_exit_in_the_middle_of_calls(kind: str) -> None:
    """Before calls were counted, 9 of 20 ends in `pillow of several blocks` were aborts."""
    bad = unclean(6, 2, settings((kind,)))
    assert not bad, "\n".join(bad)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_two_thousand_exits() -> None:
    bad = unclean(2000, 2, settings())
    assert not bad, "\n".join(bad)


def run(code: str) -> tuple[int, str, str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


START = """
import atexit, os, threading, time, numpy as np
def late():
    batch = p(image)
    print("late", batch["pixel_values"].shape, dr.pack([3, 4, 5], 8).bins)
atexit.register(late)
import dynres_rs as dr
p, image = dr.Processor("qwen2-vl"), np.zeros((900, 900, 3), np.uint8)
"""


def test_the_thread_that_ends_the_process_goes_on() -> None:
    """Handlers that were registered before ours run after it, and may still call."""
    code = (
        START
        + """
def busy():
    while True:
        p(image, num_threads=2)
threading.Thread(target=busy, daemon=True).start()
time.sleep(0.1)
"""
    )
    returned, out, err = run(code)
    assert (returned, err) == (0, "")
    assert out == "late (4096, 1176) [array([1, 2]), array([0])]\n" or out.startswith("late (")


def test_threads_that_are_joined_finish_their_calls() -> None:
    code = (
        START
        + """
def some():
    for _ in range(5):
        p(image)
    print("done", flush=True)
threading.Thread(target=some).start()
"""
    )
    returned, out, err = run(code)
    assert (returned, err) == (0, "") and out.splitlines()[0] == "done"


def test_a_forked_child_does_not_wait_for_the_parents_calls() -> None:
    code = (
        START
        + """
import sys
def busy():
    while True:
        p([image] * 20)
for _ in range(3):
    threading.Thread(target=busy, daemon=True).start()
time.sleep(0.1)
pid = os.fork()
began = time.monotonic()
if pid == 0:
    p(image)
    sys.exit(0)
_, status = os.waitpid(pid, 0)
assert status == 0 and time.monotonic() - began < 4.5, (status, time.monotonic() - began)
"""
    )
    returned, _, err = run(code)
    assert (returned, err) == (0, "")
