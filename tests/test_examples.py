"""The scripts of `examples/`, run as they stand, each where its library is."""

import contextlib
import http.client
import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest
from PIL import Image

EXAMPLES = Path(__file__).parent.parent / "examples"
SIZES = [(60, 90), (300, 200), (450, 700)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three JPEGs."""
    folder = tmp_path / "images"
    folder.mkdir()
    for index, (height, width) in enumerate(SIZES):
        pixels = np.random.default_rng(index).integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.jpg")
    return folder


def run(name: str, *words: str | Path, **env: str) -> list[str]:
    """The lines that an example prints."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *map(str, words)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, **env},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def shapes(rows: list[tuple[int, int]] = SIZES) -> list[tuple[int, int]]:
    """Of compact patches."""
    p = dr.Processor("qwen2-vl", max_pixels=1_003_520)
    return [(p.plan(*size).shape[0], 588) for size in rows]


def grids(rows: list[tuple[int, int]] = SIZES) -> list[list[int]]:
    p = dr.Processor("qwen2-vl", max_pixels=1_003_520)
    return [[1, *p.plan(*size).grid] for size in rows]


@pytest.mark.torch
def test_dataloader(folder: Path, torch: Any) -> None:
    first, second, third = (rows for rows, _ in shapes())
    assert run("dataloader.py", folder) == [
        f"({first + second}, 1176) torch.bfloat16 {grids()[:2]}",
        f"({third}, 1176) torch.bfloat16 {grids()[2:]}",
    ]


@pytest.mark.examples
def test_datasets(folder: Path, tmp_path: Path) -> None:
    lines = run("datasets_transform.py", folder, HF_HOME=str(tmp_path), HF_HUB_OFFLINE="1")
    want = zip(shapes(), grids(), strict=True)
    assert lines == [f"{shape} uint8 {[grid]}" for shape, grid in want]


@pytest.mark.examples
def test_webdataset(folder: Path, tmp_path: Path) -> None:
    shard = tmp_path / "shard.tar"
    with tarfile.open(shard, "w") as tar:
        files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
        for name, data in sorted({**files, "1bad.jpg": b"no image"}.items()):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    want = zip(range(3), shapes(), grids(), strict=True)
    lines = run("webdataset_map.py", shard, PYTHONWARNINGS="ignore")
    assert lines == [f"{key} {shape} uint8 {[grid]}" for key, shape, grid in want]


@pytest.mark.examples
def test_our_shards_are_webdatasets(folder: Path, tmp_path: Path) -> None:
    """`dynres run --format tar`, read by WebDataset's own decoder."""
    code = f"""
import sys, webdataset as wds
from dynres_rs.cli import main
sys.argv = ["dynres", "run", {str(folder)!r}, "-o", {str(tmp_path / "out")!r}, "--shard-size", "2",
            "--format", "tar", "--workers", "1"]
try:
    main()
except SystemExit as end:
    assert not end.code
shards = {str(tmp_path / "out")!r} + "/{{00000..00001}}.tar"
for sample in wds.WebDataset(shards, shardshuffle=False).decode():
    print(sample["json"]["image"], sample["pixel_values.npy"].shape, sample["__key__"])
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    p = dr.Processor("qwen2-vl")
    assert done.stdout.splitlines()[1:] == [
        f"{folder}/{index}.jpg {p.plan(*size).shape} {index:09}" for index, size in enumerate(SIZES)
    ]


@pytest.mark.ray
def test_ray(folder: Path, tmp_path: Path) -> None:
    (folder / "bad.jpg").write_bytes(b"no image")
    code = f"""
import runpy, sys, ray
ray.init(num_cpus=2, object_store_memory=150 << 20, include_dashboard=False,
         _node_ip_address="127.0.0.1", log_to_driver=False)
sys.argv = ["ray_data.py", {str(folder)!r}, {str(tmp_path / "out")!r}]
runpy.run_path({str(EXAMPLES / "ray_data.py")!r}, run_name="__main__")
ray.shutdown()
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"},
    )
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if ".jpg" in line] == [
        *(f"{index}.jpg {shape} " for index, shape in enumerate(shapes())),
        "bad.jpg (0, 588) OSError: 8 bytes: is not an image that Pillow can read",
    ]


@pytest.fixture
def server() -> Iterator[int]:
    """The port of `serving.py`, on the loopback, until the test has ended."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    words = [sys.executable, str(EXAMPLES / "serving.py"), "--port", str(port)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(600):
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.communicate(timeout=30)


def ask(port: int, path: str, body: bytes, **headers: str) -> tuple[int, Any, bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with contextlib.closing(
        http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    ) as connection:
        connection.request("POST", path, body, named)
        with connection.getresponse() as response:
            return response.status, response.headers, response.read()


@pytest.mark.examples
def test_serving(folder: Path, server: int) -> None:
    p = dr.Processor("qwen2-vl", max_pixels=1_003_520)
    files = [path.read_bytes() for path in sorted(folder.iterdir())]
    want = p(files, dtype="uint8", temporal="compact")
    files.insert(1, b"no image")
    lengths = ",".join(str(len(file)) for file in files)
    for _ in range(3):  # the memory of a thread is used again
        status, headers, data = ask(server, "/tensors", b"".join(files), X_Lengths=lengths)
        assert status == 200
        assert data == want["pixel_values"].tobytes()
        head = json.loads(headers["X-Batch"])
        assert head["shape"] == list(want["pixel_values"].shape)
        assert head["image_grid_thw"] == want["image_grid_thw"].tolist()
        ((index, reason),) = head["errors"]
        assert index == 1
        assert "is not an image" in reason


@pytest.mark.examples
def test_what_serving_refuses(folder: Path, server: int) -> None:
    bomb = io.BytesIO()
    Image.new("L", (20_000, 5_000)).save(bomb, "PNG")
    status, _, text = ask(server, "/tensors", bomb.getvalue())
    assert status == 422
    assert b"max_image_pixels" in text
    assert ask(server, "/tensors", b"no image")[0] == 422
    assert ask(server, "/tensors", b"no image", X_Lengths="3,4")[0] == 400
    assert ask(server, "/tensors", b"no image", X_Lengths="9,-1")[0] == 400
    assert ask(server, "/tensors", b"no image", X_Lengths="many")[0] == 400
    assert ask(server, "/tensors", b"", Content_Length="99999999999")[0] == 413


@pytest.mark.examples
def test_token_counts_of_serving(server: int) -> None:
    p = dr.Processor("qwen2-vl", max_pixels=1_003_520)
    status, _, text = ask(server, "/tokens", json.dumps(SIZES).encode())
    assert (status, json.loads(text)) == (200, p.num_tokens(SIZES).tolist())
    for body in (b"[[0, 5]]", b"[5]", b"nothing", b'{"a": 1}'):
        assert ask(server, "/tokens", body)[0] == 400


@pytest.mark.examples
def test_load_of_serving(server: int) -> None:
    lines = run("serving_load.py", "--port", str(server), "--requests", "32")
    assert [line.split("|")[1:3] for line in lines[2:]] == [
        [f" {name} ", f" {together} "] for name in ("1080p", "12 MP") for together in (1, 8, 32)
    ]
    assert all(float(line.split("|")[3]) > 0 for line in lines[2:])
