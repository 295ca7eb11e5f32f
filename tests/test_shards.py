"""`dynres run --shard-size`: every image exactly once, whatever happens."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

COUNT, SIZE = 23, 4
SETTING = ["--set", "max_pixels=20000"]


def command(*words: str | Path) -> list[str]:
    # A shell's background job starts with SIGINT ignored, and so would its children.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    code += "from dynres_rs.cli import main; main()"
    return [sys.executable, "-c", code, "run", *map(str, words), *SETTING]


def dynres(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images in a folder and one below it, with other files between them."""
    root = tmp_path_factory.mktemp("images")
    (root / "more").mkdir()
    rng = np.random.default_rng(0)
    for index in range(COUNT):
        pixels = rng.integers(0, 256, (40 + index, 90 - index, 3), np.uint8)
        place = root / "more" if index % 5 == 4 else root
        Image.fromarray(pixels).save(place / f"{index:03}.{'jpg' if index % 2 else 'PNG'}")
    (root / "notes.txt").write_text("no image")
    return root


def names(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*") if path.suffix in (".jpg", ".PNG"))


def tensors(path: Path) -> tuple[list[str], dict[str, Any]]:
    with safe_open(path, framework="numpy") as file:
        return (
            json.loads(file.metadata()["names"]),
            {key: file.get_tensor(key) for key in file.keys()},  # noqa: SIM118
        )


def contents(out: Path) -> dict[str, str]:
    """Every file of a run by its hash, names of partial files too."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(out.iterdir())}


@pytest.mark.parametrize("workers", [1, 2])
def test_shards(folder: Path, tmp_path: Path, workers: int) -> None:
    out = tmp_path / "out"
    done = dynres(folder, "--out", out, "--shard-size", SIZE, "--workers", workers)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{out}: 23 images in 6 shards, 0 of them from before\n"
    files = names(folder)
    p = dr.Processor("qwen2-vl", max_pixels=20000)
    for number in range(6):
        part = files[number * SIZE : (number + 1) * SIZE]
        found, arrays = tensors(out / f"{number:05}.safetensors")
        assert found == part
        want = p(part)
        assert arrays.keys() == want.keys()
        for key, value in want.items():
            np.testing.assert_array_equal(arrays[key], value)
        index = json.loads((out / f"{number:05}.json").read_bytes())
        assert [one["image"] for one in index["images"]] == part
        rows = [one["rows"]["pixel_values"] for one in index["images"]]
        assert rows == [grid[1] * grid[2] for grid in arrays["image_grid_thw"].tolist()]
    assert (out / "errors.jsonl").read_bytes() == b""
    assert len(list(out.iterdir())) == 6 + 6 + 2


def test_workers_change_nothing(folder: Path, tmp_path: Path) -> None:
    for workers in (1, 3):
        out = tmp_path / str(workers)
        assert dynres(folder, "-o", out, "--shard-size", 5, "--workers", workers).returncode == 0
    assert contents(tmp_path / "1") == contents(tmp_path / "3")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_webdataset(folder: Path, tmp_path: Path, dtype: str) -> None:
    out = tmp_path / "out"
    done = dynres(
        folder, "-o", out, "--shard-size", 10, "--format", "tar", "--dtype", dtype, "--workers", 1
    )
    assert done.returncode == 0
    p = dr.Processor("qwen2-vl", max_pixels=20000)
    samples: dict[str, dict[str, Any]] = {}
    for path in sorted(out.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, kind = member.name.partition(".")
                data = tar.extractfile(member).read()  # type: ignore[union-attr]
                value = json.loads(data) if kind == "json" else np.load(io.BytesIO(data))
                samples.setdefault(key, {})[kind] = value
    assert list(samples) == [f"{index:09}" for index in range(COUNT)]
    for (key, sample), name in zip(samples.items(), names(folder), strict=True):
        assert sample["json"]["image"] == name and sample["json"]["index"] == int(key)
        assert sample["json"].get("dtype") == (dtype if dtype == "bfloat16" else None)
        for field, value in p(name, dtype=dtype).items():
            np.testing.assert_array_equal(sample[f"{field}.npy"], value)


def broken(folder: Path, tmp_path: Path) -> Path:
    root = tmp_path / "broken"
    root.mkdir()
    for path in folder.glob("00*"):
        (root / path.name).symlink_to(path)
    (root / "000a.png").write_text("no image")
    (root / "003a.jpg").write_bytes((folder / "003.jpg").read_bytes()[:700])
    return root


@pytest.mark.parametrize("workers", [1, 2])
def test_failures_are_lines(folder: Path, tmp_path: Path, workers: int) -> None:
    root, out = broken(folder, tmp_path), tmp_path / "out"
    missing = str(tmp_path / "missing.png")
    words = (root, missing, "-o", out, "--shard-size", 2, "--workers", workers)
    want = [
        (1, str(root / "000a.png"), "is not an image that Pillow can read"),
        (5, str(root / "003a.jpg"), "is truncated"),
        (10, missing, "No such file or directory"),
    ]
    for from_before in (0, 6):
        done = dynres(*words)
        assert done.returncode == 1
        assert done.stderr.splitlines() == [
            *(f"dynres: {name}: {text}" for _, name, text in want),
            "dynres: 3 of 11 images failed",
        ]
        assert f"8 images in 6 shards, {from_before} of them from before" in done.stdout
    lines = [json.loads(line) for line in (out / "errors.jsonl").read_text().splitlines()]
    assert [(line["index"], line["image"], line["text"]) for line in lines] == want
    assert [line["error"] for line in lines] == ["OSError", "OSError", "FileNotFoundError"]
    found = [name for n in range(6) for name in tensors(out / f"{n:05}.safetensors")[0]]
    good = [*sorted(map(str, root.iterdir())), missing]
    assert found == [name for name in good if name not in {name for _, name, _ in want}]


def test_a_shard_without_a_good_image(tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_text("no image")
    for kind in ("safetensors", "tar"):
        out = tmp_path / kind
        done = dynres(bad, "-o", out, "--shard-size", 1, "--format", kind)
        assert done.returncode == 1
    assert tensors(tmp_path / "safetensors" / "00000.safetensors") == ([], {})
    with tarfile.open(tmp_path / "tar" / "00000.tar") as tar:
        assert tar.getnames() == []


# Kills


@pytest.mark.parametrize(("workers", "kind"), [(1, "safetensors"), (2, "tar"), (2, "safetensors")])
def test_killed_and_resumed(folder: Path, tmp_path: Path, workers: int, kind: str) -> None:
    """SIGKILL again and again, each time once another shard is there, then to the end."""
    out, whole = tmp_path / "out", tmp_path / "whole"
    words = ("--shard-size", "1", "--workers", str(workers), "--format", kind)
    assert dynres(folder, "-o", whole, *words).returncode == 0

    def shards() -> int:
        return len(list(out.glob("0*.json")))

    kills = 0
    while kills < 4:
        before = shards()
        process = subprocess.Popen(
            command(folder, "-o", out, *words),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        end = time.monotonic() + 60
        while shards() < before + 2 and process.poll() is None and time.monotonic() < end:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        if process.returncode != -signal.SIGKILL:
            break  # it was faster
        kills += 1
        # what has a name is whole, and workers do not outlive the main process
        for path in out.glob("0*"):
            assert contents(whole)[path.name] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert gone(process.pid)
    assert kills >= 2
    partial = out / ".00000.tar.1.part"
    partial.write_bytes(b"half")
    done = dynres(folder, "-o", out, *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert contents(out) == contents(whole)
    # and every image exactly once
    index = [json.loads(p.read_bytes()) for p in sorted(out.glob("0*.json"))]
    assert [one["image"] for shard in index for one in shard["images"]] == names(folder)


def gone(session: int) -> bool:
    """Whether all processes of a session have left within a while."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        alive = False
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            # state, ppid, pgrp, session; a zombie waits for its parent only
            alive |= int(fields[3]) == session and fields[0] != "Z"
        if not alive:
            return True
        time.sleep(0.05)
    return False


def test_a_worker_that_dies_is_said(folder: Path, tmp_path: Path) -> None:
    """And nothing hangs: the kernel takes a worker when memory runs out."""
    out = tmp_path / "out"
    process = subprocess.Popen(
        command(folder, "-o", out, "--shard-size", "1", "--workers", "2"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    killed = False
    end = time.monotonic() + 60
    while not killed and time.monotonic() < end and process.poll() is None:
        for pid in children.read_text().split():
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
            if b"spawn_main" in line:
                os.kill(int(pid), signal.SIGKILL)
                killed = True
    _, err = process.communicate(timeout=60)
    assert killed
    assert process.returncode == 2
    assert err == "dynres: a worker process died; the same command goes on from here\n"
    assert dynres(folder, "-o", out, "--shard-size", "1").returncode == 0


def test_ctrl_c_and_on(folder: Path, tmp_path: Path) -> None:
    # So many that the run is still at work when the signal comes, however slow this process is.
    many = tmp_path / "many"
    many.mkdir()
    image = Path(names(folder)[0])
    for index in range(1500):
        (many / f"{index:04}{image.suffix}").hardlink_to(image)
    out = tmp_path / "out"
    words = (many, "-o", out, "--shard-size", "1", "--workers", "2")
    process = subprocess.Popen(
        command(*words), stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    end = time.monotonic() + 60
    while not list(out.glob("0*.json")) and time.monotonic() < end:
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers, too
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (
        130,
        "dynres: interrupted; the same command goes on from here\n",
    )
    assert not list(out.glob(".*.part"))
    assert dynres(*words).returncode == 0


def test_another_run_is_refused(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert dynres(folder, "-o", out, "--shard-size", 20).returncode == 0
    before = contents(out)
    for words, key in [
        ((folder, "--shard-size", 21), "shard_size"),
        ((folder / "more", "--shard-size", 20), "images"),
        ((folder, "--shard-size", 20, "--dtype", "uint8"), "dtype"),
        ((folder, "--shard-size", 20, "--format", "tar"), "kind"),
        ((folder, "--shard-size", 20, "--model", "qwen3-vl"), "processor"),
    ]:
        done = dynres(*words, "-o", out)
        assert done.returncode == 2
        assert done.stderr == f"dynres: --out: '{out}' holds another run, with other {key}\n"
    assert contents(out) == before


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--shard-size", "2"], "--out: must be a folder with --shard-size"),
        (["--shard-size", "2", "-o", "x", "--format", "zip"], "--format: must be one of"),
        (["--shard-size", "2", "-o", "x", "--temporal", "no"], "--temporal: must be one of"),
        (["--shard-size", "2", "-o", "x", "--dtype", "int3"], "--out: dtype: must be one of"),
        (["--shard-size", "2", "-o", "/proc/none"], "--out: "),
    ],
)
def test_wrong_arguments(folder: Path, words: list[str], text: str) -> None:
    done = dynres(folder, *words)
    assert done.returncode == 2 and done.stderr.startswith(f"dynres: {text}")
    assert "Traceback" not in done.stderr


def test_an_empty_folder(tmp_path: Path) -> None:
    done = dynres(tmp_path, "-o", tmp_path / "out", "--shard-size", "2")
    assert (done.returncode, done.stderr) == (2, "dynres: no images in what was given\n")


def test_a_folder_without_shards(folder: Path) -> None:
    done = dynres(folder)
    assert done.returncode == 0
    assert [line.partition(": ")[0] for line in done.stdout.splitlines()] == names(folder)
