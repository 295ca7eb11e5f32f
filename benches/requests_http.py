"""A whole HTTP request: a JPEG in, tensors out, no model. Transformers' processor beside ours.

python benches/requests_http.py [--requests 40]

Three servers of `examples/serving.py` on this machine: one as it is (uint8, one copy in time), one
with our float32 as transformers makes it, and one with transformers' default image processor after
`Image.open`. The two with float32 must answer the same bytes before anything is timed. Then single
requests take turns: medians of the client's clock, so that HTTP, copies and the reply count.
"""

import argparse
import asyncio
import contextlib
import io
import multiprocessing
import socket
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))
import serving_load

MAX_PIXELS = 1_003_520
SIZES = {"1080p": (1080, 1920), "12 MP": (3000, 4000)}
KINDS = ("transformers", "dynres_rs, float32", "dynres_rs, uint8")


def serve(kind: str, port: int) -> None:
    """Runs one of the servers until it is ended."""
    import serving
    import uvicorn

    def answer(batch: Any) -> tuple[dict[str, Any], bytes]:
        pixels, grid = batch["pixel_values"], batch["image_grid_thw"]
        head = {"shape": list(pixels.shape), "image_grid_thw": grid.tolist(), "errors": []}
        return head, memoryview(pixels.numpy() if hasattr(pixels, "numpy") else pixels).tobytes()

    def theirs(images: list[bytes]) -> tuple[dict[str, Any], bytes]:
        return answer(stock([Image.open(io.BytesIO(image)) for image in images]))

    def ours(images: list[bytes]) -> tuple[dict[str, Any], bytes]:
        return answer(serving.PROCESSOR(images, out=serving.memory))

    if kind == "transformers":
        import torch
        from PIL import Image
        from transformers import Qwen2VLImageProcessor

        torch.set_num_threads(1)  # a thread a core serves requests already
        stock = Qwen2VLImageProcessor(
            size={"shortest_edge": 3136, "longest_edge": MAX_PIXELS}, return_tensors="pt"
        )
        serving.tensors = theirs
    elif kind == "dynres_rs, float32":
        serving.tensors = ours
    uvicorn.run(serving.app, host=serving_load.HOST, port=port, log_level="error")


def answers(port: int) -> bool:
    """Whether something listens there."""
    with contextlib.suppress(OSError), socket.create_connection((serving_load.HOST, port)):
        return True
    return False


@contextlib.contextmanager
def server(kind: str) -> Iterator[int]:
    """A server in a process of its own; gives its port."""
    with socket.socket() as free:
        free.bind((serving_load.HOST, 0))
        port = free.getsockname()[1]
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(kind, port))
    process.start()
    try:
        while not answers(port):
            assert process.is_alive(), f"the server of {kind} has ended"
            time.sleep(0.2)
        yield port
    finally:
        process.terminate()
        process.join()


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="Time a whole HTTP request.")
    parser.add_argument("--requests", type=int, default=40, help="for each number of the table")
    count = parser.parse_args().requests
    import dynres_rs as dr

    print(f"dynres_rs with the {dr.simd()} backend")
    print("| image | " + " | ".join(f"{kind}, ms" for kind in KINDS) + " | ratio |")
    print("|---|--:|--:|--:|--:|")
    with contextlib.ExitStack() as stack:
        ports = {kind: stack.enter_context(server(kind)) for kind in KINDS}
        for label, size in SIZES.items():
            body = serving_load.photo(*size, 0)

            def ask(kind: str, body: bytes = body) -> bytes:
                status, _, data = asyncio.run(serving_load.post(ports[kind], "/tensors", body))
                assert status == 200, data
                return data

            for _ in range(3):
                assert ask(KINDS[0]) == ask(KINDS[1]), "not equal"
                ask(KINDS[2])
            seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
            for _ in range(count):
                for kind in KINDS:
                    start = time.perf_counter()
                    ask(kind)
                    seconds[kind].append(time.perf_counter() - start)
            middle = [1e3 * statistics.median(seconds[kind]) for kind in KINDS]
            ratio = f"{middle[0] / middle[1]:.2f}x, {middle[0] / middle[2]:.2f}x"
            print(f"| {label} | " + " | ".join(f"{ms:.1f}" for ms in middle) + f" | {ratio} |")


if __name__ == "__main__":
    main()
