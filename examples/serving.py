"""An HTTP server that answers images with tensors or token counts: FastAPI, a thread a core.

python examples/serving.py --port 8000
"""

import argparse
import asyncio
import itertools
import json
import math
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import dynres_rs as dr
import numpy as np
import uvicorn
from fastapi import FastAPI, Request, Response
from PIL import Image

T = TypeVar("T")

CORES = len(os.sched_getaffinity(0))  # those that this process may use, not the machine's
MOST_BYTES = 32 << 20  # of a request
MOST_WAITING = 64  # requests that wait for a thread; more are told to come back

#: A request is one thread's, and a call makes none. Images above 50 megapixels are refused by their
#: headers, before anything is decoded.
PROCESSOR = dr.Processor("qwen2-vl", max_pixels=1_003_520, max_image_pixels=50_000_000)
POOL = ThreadPoolExecutor(CORES, thread_name_prefix="images")
MINE = threading.local()
Image.init()  # here, and not in every thread of the first requests at once

app = FastAPI()
waiting = 0


def memory(key: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
    """This thread's own memory for an array, used again by its next request: fresh memory costs
    as much as the pixels. The reply is copied out of it, in the same thread."""
    dtype = np.dtype(dtype)
    count = math.prod(shape)
    if getattr(MINE, "bytes", None) is None or MINE.bytes.nbytes < count * dtype.itemsize:
        MINE.bytes = np.empty(count * dtype.itemsize, np.uint8)
    return MINE.bytes[: count * dtype.itemsize].view(dtype).reshape(shape)


def tensors(images: list[bytes]) -> tuple[dict[str, Any], bytes]:
    """uint8 patches, one copy in time: an eighth of the bytes that float32 has. The client folds
    its patch embedding (`dr.fold_patch_embedding`) and normalises on its device."""
    batch = PROCESSOR(images, dtype="uint8", temporal="compact", out=memory, errors="collect")
    pixels = batch["pixel_values"]
    head = {
        "shape": pixels.shape,
        "image_grid_thw": batch["image_grid_thw"].tolist(),
        "errors": [[index, str(error)] for index, error in batch["errors"]],
    }
    return head, pixels.tobytes()


def tokens(sizes: list[tuple[int, int]]) -> list[int]:
    """Of images of these (height, width), which nobody has to send."""
    return [int(count) for count in PROCESSOR.num_tokens(sizes)]


async def in_thread(request: Request, work: Callable[[], T]) -> T | Response:
    """What `work` returns, from a thread; a request whose client has gone leaves the queue."""
    global waiting
    if waiting >= MOST_WAITING:
        return Response("too many requests wait", 503, {"Retry-After": "1"})
    waiting += 1
    try:
        future = asyncio.wrap_future(POOL.submit(work))
        while not future.done():
            await asyncio.wait([future], timeout=0.1)
            if not future.done() and await request.is_disconnected():
                future.cancel()  # one that runs already runs to its end; others never start
                return Response(status_code=499)
        return future.result()
    except (OSError, TypeError, ValueError) as error:
        return Response(str(error), 400)
    finally:
        waiting -= 1


def split(body: bytes, lengths: str) -> list[bytes]:
    """The images of a request: one after the other, their lengths in a header."""
    ends = np.cumsum([0, *(int(length) for length in lengths.split(","))]).tolist()
    if ends[-1] != len(body) or sorted(ends) != ends:
        raise ValueError("X-Lengths: must be lengths that add up to the request's")
    return [body[start:end] for start, end in itertools.pairwise(ends)]


@app.post("/tensors")
async def post_tensors(request: Request) -> Response:
    """Encoded images in, `pixel_values` out; the header `X-Batch` describes them. A bad image does
    not spoil the others: it is listed in `errors`."""
    if int(request.headers.get("content-length", MOST_BYTES + 1)) > MOST_BYTES:
        return Response(f"at most {MOST_BYTES} bytes", 413)
    body = await request.body()
    lengths = request.headers.get("x-lengths", str(len(body)))
    answer = await in_thread(request, lambda: tensors(split(body, lengths)))
    if isinstance(answer, Response):
        return answer
    head, data = answer
    if not head["image_grid_thw"]:  # none of them was an image that it takes
        return Response(json.dumps(head["errors"]), 422, media_type="application/json")
    return Response(data, 200, {"X-Batch": json.dumps(head)}, "application/octet-stream")


@app.post("/tokens")
async def post_tokens(request: Request) -> Any:
    """JSON [[height, width], ...] in, token counts out: microseconds, so no thread."""
    try:
        return tokens([(int(height), int(width)) for height, width in await request.json()])
    except (TypeError, ValueError) as error:
        return Response(str(error), 400)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    uvicorn.run(app, host=arguments.host, port=arguments.port, log_level="warning")
