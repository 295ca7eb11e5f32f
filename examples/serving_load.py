"""Load for `serving.py` on this machine: latencies at 1, 8 and 32 requests at a time.

python examples/serving_load.py --port 8000 --requests 200
"""

import argparse
import asyncio
import io
import json
import time

import numpy as np
from PIL import Image

HOST = "127.0.0.1"


def photo(height: int, width: int, seed: int) -> bytes:
    """A JPEG with as much in it as a photograph has: smooth, with grain."""
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 256, (height // 24, width // 24, 3), np.uint8))
    smooth = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)).astype(np.int16)
    grain = random.integers(-6, 7, (height, width, 1), np.int16)
    pixels = np.clip(smooth + grain, 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=90)
    return stream.getvalue()


async def post(port: int, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, body) of one request on a connection of its own."""
    reader, writer = await asyncio.open_connection(HOST, port)
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    data = await reader.readexactly(int(headers["content-length"]))
    writer.close()
    return int(first.split()[1]), headers, data


async def load(port: int, bodies: list[bytes], requests: int, together: int) -> list[float]:
    """Seconds of each request, `together` of them under way at any time."""
    left = iter(range(requests))
    seconds: list[float] = []

    async def client() -> None:
        for number in left:
            start = time.perf_counter()
            status, headers, data = await post(port, "/tensors", bodies[number % len(bodies)])
            seconds.append(time.perf_counter() - start)
            assert status == 200, data
            rows, columns = json.loads(headers["x-batch"])["shape"]
            assert len(data) == rows * columns

    await asyncio.gather(*[client() for _ in range(together)])
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--requests", type=int, default=200, help="for each line of the table")
    arguments = parser.parse_args()
    print("| image | at a time | p50 ms | p99 ms | requests a second |\n|---|--:|--:|--:|--:|")
    for name, height, width in (("1080p", 1080, 1920), ("12 MP", 3000, 4000)):
        bodies = [photo(height, width, seed) for seed in range(4)]
        asyncio.run(load(arguments.port, bodies, 8, 4))  # every thread has its memory
        for together in (1, 8, 32):
            start = time.perf_counter()
            seconds = asyncio.run(load(arguments.port, bodies, arguments.requests, together))
            rate = len(seconds) / (time.perf_counter() - start)
            p50, p99 = np.percentile(np.array(seconds) * 1e3, [50, 99])
            print(f"| {name} | {together} | {p50:.0f} | {p99:.0f} | {rate:.0f} |", flush=True)


if __name__ == "__main__":
    main()
