"""Memory that runs out: every call ends with a `MemoryError` or with the right result, and the next
call gives the right bits.

A small library, loaded before all others, refuses one allocation after the other: those of the
compiled core (`core`) or of the whole process (`all`), one of them (`once`) or that one and every
later one (`from then on`). Each case is a process of its own; what it had reached when it ended by
a signal is what failed.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import dynres_rs as dr
import pytest
from dynres_rs import _dynres_rs as native

#: Bytes of the smallest allocation that is refused. Python's own small objects come from pages.
LEAST = int(os.environ.get("DYNRES_EXHAUST_LEAST", "256"))
#: Allocations of a case that are refused in turn; of more, as many, evenly spread.
MOST = int(os.environ.get("DYNRES_EXHAUST_MOST", "60"))

SHIM = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static uintptr_t low, high;
static long count, first, last;
static size_t least;
static int on, everyone;

static int find(struct dl_phdr_info *info, size_t size, void *name) {
    (void)size;
    if (!info->dlpi_name || !strstr(info->dlpi_name, name)) return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_LOAD) continue;
        uintptr_t start = info->dlpi_addr + part->p_vaddr, end = start + part->p_memsz;
        if (!low || start < low) low = start;
        if (end > high) high = end;
    }
    return 1;
}

int refuse_from(long from, long to, size_t bytes, int all) {
    if (!high) dl_iterate_phdr(find, "_dynres_rs");
    count = 0, first = from, last = to, least = bytes, everyone = all;
    __atomic_store_n(&on, 1, __ATOMIC_SEQ_CST);
    return high != 0;
}

long refuse_none(void) {
    __atomic_store_n(&on, 0, __ATOMIC_SEQ_CST);
    return count;
}

static int refused(size_t size, void *caller) {
    if (!__atomic_load_n(&on, __ATOMIC_RELAXED) || size < least) return 0;
    if (!everyone && ((uintptr_t)caller < low || (uintptr_t)caller >= high)) return 0;
    long number = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
    if (number < first || number > last) return 0;
    errno = ENOMEM;
    return 1;
}

#define CALLER __builtin_return_address(0)
void *malloc(size_t size) { return refused(size, CALLER) ? 0 : __libc_malloc(size); }
void *calloc(size_t n, size_t size) {
    return refused(n * size, CALLER) ? 0 : __libc_calloc(n, size);
}
void *realloc(void *old, size_t size) {
    return refused(size, CALLER) ? 0 : __libc_realloc(old, size);
}
void *aligned_alloc(size_t align, size_t size) {
    return refused(size, CALLER) ? 0 : __libc_memalign(align, size);
}
int posix_memalign(void **out, size_t align, size_t size) {
    if (refused(size, CALLER)) return ENOMEM;
    void *made = __libc_memalign(align, size);
    if (!made) return ENOMEM;
    *out = made;
    return 0;
}
"""

#: Runs one case: `case all? persistent? start least most`, and prints where it is.
DRIVER = r"""
import copy, ctypes, hashlib, io, json, os, pickle, sys
import numpy as np
from PIL import Image
import dynres_rs as dr
from exhaustion_cases import CASES

case, everyone, persistent, start, least, most = json.loads(sys.argv[1])
shim = ctypes.CDLL(None)
arm, disarm = shim.refuse_from, shim.refuse_none
arm.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_size_t, ctypes.c_int]
disarm.restype = ctypes.c_long
NEVER = 2**62
call = CASES[case]

def digest(value):
    hasher = hashlib.sha256()
    def add(value):
        if isinstance(value, np.ndarray):
            hasher.update(f"{value.dtype}{value.shape}".encode())
            hasher.update(np.ascontiguousarray(value).tobytes())
        elif isinstance(value, dict):
            for key, item in value.items():
                hasher.update(str(key).encode())
                add(item)
        elif isinstance(value, list | tuple):
            hasher.update(str(len(value)).encode())
            for item in value:
                add(item)
        else:
            hasher.update(repr(value).encode())
    add(value)
    return hasher.hexdigest()

want = digest(call())
assert digest(call()) == want
assert arm(NEVER, NEVER, least, everyone), "the core was not found"
call()
total = disarm()
numbers = range(1, total + 1)
if total > most:
    numbers = sorted({1 + i * (total - 1) // (most - 1) for i in range(most)})
found = []

def attempt():
    # Of a function, since names of a module are in a dictionary, which grows. Python may have no
    # memory for the handler either: that is one more MemoryError, and its own.
    try:
        return call(), None
    except BaseException as raised:
        return None, raised

for number in numbers:
    if number < start:
        continue
    print("at", number, flush=True)
    arm(number, NEVER if persistent else number, least, everyone)
    try:
        try:
            got, error = attempt()
        finally:
            disarm()
    except MemoryError as raised:
        got, error = None, raised
    if error is not None:
        kind, text = type(error).__name__, str(error)
        if not isinstance(error, MemoryError):
            found.append(f"{number} of {total}: {kind}: {text[:200]}")
        error = None
    elif digest(got) != want:
        found.append(f"{number} of {total}: another result")
    got = None
    if digest(call()) != want:
        found.append(f"{number} of {total}: another result afterwards")
print("done", json.dumps([total, found]), flush=True)
"""

CASE_NAMES = [
    "array", "array of one", "strided", "batch", "threads", "bfloat16", "collect", "out", "nested",
    "pillow", "pillow of several blocks", "palette", "png", "jpeg", "jpeg of several scans",
    "jpeg that is turned", "jpeg by two threads", "opened jpeg", "headers", "video",
    "video frames", "internvl", "internvl of many tiles", "deepseek-vl2", "deepseek-vl hybrid",
    "scalar passes", "tall", "thin", "plans", "token boxes", "token kinds", "num_tokens",
    "num_tokens of tiles", "num_tokens of canvases", "fit pixels", "fit tiles", "fit canvases",
    "pack", "unpack float32", "unpack float16", "unpack uint8", "unpack tiles", "resize",
    "resize out", "patchify", "tile", "canvas", "grid", "sizes", "constructors", "configs",
    "copies", "frames", "multimodal", "facts",
]  # fmt: skip
VIDEOS = {row["family"] for rows in native.upstream().values() for row in rows if row["video"]}
CASE_NAMES += [f"family {name}" for name in dr.families()]
CASE_NAMES += [f"counts of {name}" for name in dr.families()]
CASE_NAMES += [f"videos of {name}" for name in sorted(VIDEOS)]


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs a C compiler, and glibc")
    folder = tmp_path_factory.mktemp("shim")
    source, library = folder / "refuse.c", folder / "refuse.so"
    source.write_text(SHIM)
    subprocess.run(
        [compiler, "-O1", "-fPIC", "-shared", "-o", library, source], check=True, timeout=120
    )
    return library


def sweep(shim: Path, case: str, everyone: bool, persistent: bool) -> tuple[int, list[str]]:
    """Refuses the allocations of a case in turn; how many there are, and what went wrong."""
    start, found = 1, []
    folder = str(Path(__file__).parent)
    environment = {**os.environ, "LD_PRELOAD": str(shim), "PYTHONPATH": folder}
    while True:
        ask = json.dumps([case, everyone, persistent, start, LEAST, MOST])
        done = subprocess.run(
            [sys.executable, "-c", DRIVER, ask],
            env=environment, capture_output=True, text=True, timeout=900,
        )  # fmt: skip
        lines = done.stdout.splitlines()
        if lines and lines[-1].startswith("done "):
            total, more = json.loads(lines[-1][5:])
            return total, found + more
        if not lines or len(found) > 20:
            found.append(f"exit {done.returncode}: {done.stderr[-600:]}")
            return 0, found
        number = int(lines[-1].split()[1])
        found.append(f"{number}: signal {-done.returncode}: {done.stderr.strip()[-200:]}")
        start = number + 1


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("persistent", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("everyone", [False, True], ids=["core", "all"])
@pytest.mark.parametrize("case", CASE_NAMES)
def test_every_allocation_that_fails(
    shim: Path, case: str, everyone: bool, persistent: bool
) -> None:
    _, found = sweep(shim, case, everyone, persistent)
    assert not found, "\n".join(found)


def test_one_allocation_of_each_kind_that_fails(shim: Path) -> None:
    """A part of the above that every run can afford."""
    for case in ("array", "num_tokens of tiles"):
        total, found = sweep(shim, case, False, True)
        assert total > 1 and not found, "\n".join(found)


def test_every_public_function_has_a_case() -> None:
    text = (Path(__file__).parent / "exhaustion_cases.py").read_text()
    none = {"ImageTooLargeError", "InternalError", "Plan", "View", "VideoMetadata", "Grid"}
    none |= {"Packing", "VideoProcessor", "__version__", "verify", "enable_zero_copy"}
    for name in set(dr.__all__) - none:
        assert f"dr.{name}(" in text, name
    from exhaustion_cases import CASES

    assert list(CASES) == CASE_NAMES
