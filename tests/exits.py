"""Ends processes while daemon threads are in calls, and counts the ends that are not clean.

    python tests/exits.py --count 2000 --jobs 2

Each process starts its threads in one of the settings below, lets them come into their calls, and
returns from its main module. A clean end has the exit code 0 and says nothing.
"""

import argparse
import itertools
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

CODE = """
import io, threading, time, sys, numpy as np, dynres_rs as dr
from PIL import Image
kind, threads, wait = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
p = dr.Processor("qwen2-vl", max_pixels=4_000_000)
small, large = np.full((900, 1200, 3), 7, np.uint8), np.full((2500, 3000, 3), 7, np.uint8)
if kind == "array":
    call = lambda: p([large, large], num_threads=2)
elif kind == "pillow":
    image = Image.new("RGB", (1200, 900))
    call = lambda: p(image)
elif kind == "pillow of several blocks":
    image = Image.new("RGB", (3000, 2500))
    call = lambda: p(image)
elif kind == "jpeg":
    stream = io.BytesIO()
    Image.fromarray(small).save(stream, "JPEG")
    data = stream.getvalue()
    call = lambda: p(data)
elif kind == "large jpeg":
    noise = np.random.default_rng(1).integers(0, 256, (250, 300, 3), np.uint8)
    sources = []
    for turned in ({}, {"progressive": True}):
        stream = io.BytesIO()
        Image.fromarray(noise).resize((3000, 2500)).save(stream, "JPEG", **turned)
        sources.append(stream.getvalue())
    opened = lambda: Image.open(io.BytesIO(sources[0]))
    call = lambda: p([*sources, opened()], num_threads=2)
elif kind == "jpeg alone":
    from dynres_rs import _dynres_rs as native
    noise = np.random.default_rng(1).integers(0, 256, (250, 300, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).resize((1200, 900)).save(stream, "JPEG")
    data = stream.getvalue()
    def call():
        native.jpeg_decode(data, np.empty((900, 1200, 3), np.uint8))
        native.jpeg_verdict(data)
elif kind == "floats and chains":
    noise = np.random.default_rng(1).integers(0, 256, (900, 1200, 3), np.uint8)
    names = ("dinov3-vit", "deepseek-vl-hybrid", "kosmos2-5", "idefics3")
    others = [dr.Processor(name) for name in names]
    call = lambda: [other([noise, noise[::2]], num_threads=2) for other in others]
elif kind == "video":
    frames = np.full((8, 300, 400, 3), 7, np.uint8)
    call = lambda: p(videos=frames)
elif kind == "numbers":
    plan, sizes = p.plan(1500, 2000), np.full((40_000, 2), 700)
    values = p(large[:700, :900])["pixel_values"]
    part = p.plan(700, 900)
    def call():
        plan.token_boxes(); plan.to_dict(); p.num_tokens(sizes); dr.unpack(values, part)
        p.fit(sizes, tokens_per_image=200); dr.pack(sizes[:, 0], 2048)
began = threading.Barrier(threads + 1)
def busy():
    began.wait()
    while True:
        call()
for _ in range(threads):
    threading.Thread(target=busy, daemon=True).start()
began.wait()
time.sleep(wait)
"""

KINDS = (
    "array", "pillow", "pillow of several blocks", "jpeg", "large jpeg", "jpeg alone",
    "floats and chains", "video", "numbers",
)  # fmt: skip
THREADS = (1, 4, 8)


def settings(
    kinds: tuple[str, ...] = KINDS, threads: tuple[int, ...] = THREADS
) -> Iterator[list[str]]:
    """Arguments of one process after the other, each setting in turn, at ever other moments."""
    moments = itertools.cycle(range(37))
    for setting in itertools.cycle(itertools.product(kinds, threads)):
        yield [setting[0], str(setting[1]), str(0.02 + 0.005 * next(moments))]


def end(arguments: list[str]) -> str | None:
    """One process; None where its end is clean, else what it was."""
    command = [sys.executable, "-c", CODE, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        return f"{arguments}: no end within 300 s"
    if (done.returncode, done.stdout, done.stderr) == (0, "", ""):
        return None
    return f"{arguments}: exit {done.returncode}: {(done.stdout + done.stderr)[-400:]}"


def unclean(count: int, jobs: int, all_settings: Iterator[list[str]]) -> list[str]:
    """The ends that were not clean of so many processes."""
    with ThreadPoolExecutor(jobs) as pool:
        ends = pool.map(end, itertools.islice(all_settings, count))
        return [found for found in ends if found is not None]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="processes in all")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once")
    parser.add_argument("--kind", choices=KINDS, nargs="*", default=KINDS)
    parser.add_argument("--threads", type=int, nargs="*", default=THREADS)
    given = parser.parse_args()
    bad = unclean(given.count, given.jobs, settings(tuple(given.kind), tuple(given.threads)))
    print(f"{len(bad)} of {given.count} ends were not clean", *bad[:20], sep="\n")
    sys.exit(bool(bad))
