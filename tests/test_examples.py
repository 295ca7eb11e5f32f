"""The scripts of `examples/`, run as they stand, each where its library is."""

import io
import os
import subprocess
import sys
import tarfile
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
