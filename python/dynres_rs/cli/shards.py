"""`dynres run --shard-size`: many images to many files, in processes, resumable after any kill.

    OUT/dynres.json         what this run is; another run is refused the directory
    OUT/00000.safetensors   or .tar, a WebDataset: the images of one shard, in order
    OUT/00000.json          written after it: the shard is done; its images and its failures
    OUT/errors.jsonl        at the end: a line for each image that failed

A shard is a run of `shard_size` images in the order of the list, whoever works on it and whenever.
Each file is written under another name, flushed to the disk and renamed, so that a name that
exists is a file that is whole. A killed run is gone on with by saying it again: shards that are
done are kept, the others are made anew.

A worker asks for its next shard over a pipe of its own, whose other end only the main process
has: when that dies the worker reads the end of the pipe and leaves.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import multiprocessing
import os
import re
import shutil
import signal
import tarfile
import tempfile
from collections.abc import Generator, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np

from dynres_rs import Processor, __version__
from dynres_rs._types import DType, Temporal

from .common import why
from .save import safetensors_header

__all__ = ["KINDS", "Job", "failures", "find_images", "make_shards", "start"]

KINDS: Final = ("safetensors", "tar")
#: Names that `_whole` gives to what it has not finished.
_PART: Final = re.compile(
    r"\.(?:dynres\.json|errors\.jsonl|\d{5,}\.(?:json|safetensors|tar))\.\d+\.part"
)
#: Names of what a run makes.
_MADE: Final = re.compile(r"errors\.jsonl|\d{5,}\.(?:json|safetensors|tar)")
SUFFIXES: Final = frozenset(
    {".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".mpo", ".png", ".ppm"}
    | {".tif", ".tiff", ".webp"}
)


class Job(NamedTuple):
    """What is done to every image."""

    processor: Processor
    dtype: DType | None
    temporal: Temporal
    kind: str
    out: Path


def find_images(paths: Sequence[str]) -> list[str]:
    """Files as they are given, and the images below each folder in the order of their names."""
    found: list[str] = []
    for path in paths:
        if Path(path).is_dir():
            below = (p for p in Path(path).rglob("*") if p.suffix.lower() in SUFFIXES)
            found += sorted(str(p) for p in below if p.is_file())
        else:
            found.append(path)
    return found


def start(job: Job, images: Sequence[str], shard_size: int) -> list[int]:
    """Makes the folder a run's own, and says which shards are still to be made.

    Raises:
        ValueError: the folder holds another run.
        OSError: the folder cannot be written.
    """
    this = {
        "images": len(images),
        "images_sha256": hashlib.sha256(
            "\0".join(images).encode("utf-8", "surrogateescape")
        ).hexdigest(),
        "shard_size": shard_size,
        "kind": job.kind,
        "dtype": job.dtype,
        "temporal": job.temporal,
        "processor": job.processor.to_dict(),
    }
    job.out.mkdir(parents=True, exist_ok=True)
    card = job.out / "dynres.json"
    if card.exists():
        try:
            there = json.loads(card.read_bytes())
        except (ValueError, RecursionError):
            there = None
        if not isinstance(there, dict):
            raise ValueError(f"'{job.out}' has a dynres.json that no run has written")
        there.pop("dynres_rs", None)
        for key, value in this.items():
            if there.get(key) != value:
                raise ValueError(f"'{job.out}' holds another run, with other {key}")
    else:
        if taken := sorted(path.name for path in job.out.iterdir() if _MADE.fullmatch(path.name)):
            raise ValueError(
                f"'{job.out}' has '{taken[0]}', which no run has made and this one would overwrite"
            )
        with _whole(card) as file:
            file.write(json.dumps({"dynres_rs": __version__, **this}, indent=1).encode())
    _sweep(job.out)
    count = -(-len(images) // shard_size)
    return [number for number in range(count) if not _index(job, number).exists()]


def make_shards(
    job: Job, images: Sequence[str], shard_size: int, missing: Sequence[int], workers: int
) -> Generator[int, None, None]:
    """Makes the missing shards, and yields how many images each that is done has.

    Raises:
        OSError: a shard cannot be written; ChildProcessError: a worker died.
    """
    parts = [(n, images[n * shard_size : (n + 1) * shard_size], shard_size) for n in missing]
    if workers <= 1:
        for part in parts:
            _make(job, *part)
            yield len(part[1])
        return
    # Spawned: nothing of this process's threads and locks goes along, nor the pipes of others.
    context = multiprocessing.get_context("spawn")
    pipes: list[Connection] = []
    processes = []
    try:
        with _no_ctrl_c():
            for _ in range(min(workers, len(parts))):
                ours, theirs = context.Pipe()
                process = context.Process(target=_work, args=(job, theirs), daemon=True)
                process.start()
                theirs.close()
                pipes.append(ours)
                processes.append(process)
        waiting = list(reversed(parts))
        idle: list[Any] = list(pipes)
        while True:
            for pipe in idle:
                if waiting:
                    pipe.send(waiting.pop())
                else:
                    pipes.remove(pipe)
                    pipe.close()
            if not pipes:
                return
            idle = list(wait(pipes))
            for pipe in idle:
                result = pipe.recv()
                if isinstance(result, Exception):
                    raise result
                yield result
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise ChildProcessError("a worker process died") from None
    finally:
        for process in processes:
            process.terminate()
            process.join()
        for pipe in pipes:
            pipe.close()
        _sweep(job.out)


@contextlib.contextmanager
def _no_ctrl_c() -> Iterator[None]:
    """Ignores Ctrl-C; processes started meanwhile always will: the main one tells them."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _sweep(out: Path) -> None:
    """Removes what was being written when a process of such a run was killed, and nothing else."""
    for part in out.glob(".*.part"):
        if _PART.fullmatch(part.name) and part.is_file():
            part.unlink(missing_ok=True)


def failures(job: Job, count: int) -> list[dict[str, Any]]:
    """Writes `errors.jsonl` from all shards' own lists, and returns its lines."""
    lines: list[dict[str, Any]] = []
    for number in range(count):
        lines += json.loads(_index(job, number).read_bytes())["errors"]
    with _whole(job.out / "errors.jsonl") as file:
        for line in lines:
            file.write(json.dumps(line).encode() + b"\n")
    return lines


def _work(job: Job, pipe: Connection) -> None:
    """A worker process: shards come in, numbers of images or an exception go out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for systems where that is not inherited
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            part = pipe.recv()
            try:
                _make(job, *part)
            except Exception as error:
                pipe.send(error)
                return
            pipe.send(len(part[1]))


def _make(job: Job, number: int, images: Sequence[str], shard_size: int) -> None:
    """One shard, and after it its index."""
    done: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []

    def batches() -> Iterator[dict[str, Any]]:
        for index, name in enumerate(images, number * shard_size):
            try:
                batch = job.processor(name, dtype=job.dtype, temporal=job.temporal)
            except (OSError, ValueError, TypeError, MemoryError) as error:
                said = {"error": type(error).__name__, "text": why(error, name)}
                errors.append({"index": index, "image": name, **said})
                continue
            done.append({"index": index, "image": name})
            yield batch

    target = job.out / f"{number:05}.{job.kind}"
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(_whole(target))
        if job.kind == "tar":
            _tar(file, batches(), done, bfloat16=job.dtype == "bfloat16")
        else:
            _safetensors(file, batches(), done, bfloat16=job.dtype == "bfloat16", near=job.out)
    with _whole(_index(job, number)) as file:
        file.write(json.dumps({"shard": target.name, "images": done, "errors": errors}).encode())


def _index(job: Job, number: int) -> Path:
    return job.out / f"{number:05}.json"


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """A file that has its name only once it is on the disk."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        if os.name == "posix":
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    finally:
        partial.unlink(missing_ok=True)


def _safetensors(
    file: BinaryIO,
    batches: Iterator[dict[str, Any]],
    done: list[dict[str, Any]],
    bfloat16: bool,
    near: Path,
) -> None:
    """All images' rows one after the other, by way of a nameless file for each key: one image is in
    memory at a time, and the header comes first in the format but is known last."""
    spools: dict[str, BinaryIO] = {}
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {}
    with contextlib.ExitStack() as stack:
        for batch in batches:
            done[-1]["rows"] = {key: len(array) for key, array in batch.items()}
            for key, array in batch.items():
                kind = "bfloat16" if bfloat16 and array.dtype == np.uint16 else array.dtype.name
                before = tensors.get(key, (kind, (0, *array.shape[1:])))
                if before[1][1:] != array.shape[1:]:
                    raise ValueError(f"'{key}' differs in shape between images: use --format tar")
                tensors[key] = (kind, (before[1][0] + len(array), *array.shape[1:]))
                if key not in spools:
                    spools[key] = stack.enter_context(tempfile.TemporaryFile(dir=near))
                spools[key].write(np.ascontiguousarray(array).data)
        order, header = safetensors_header(tensors, [one["image"] for one in done])
        file.write(header)
        for key in order:
            spools[key].seek(0)
            shutil.copyfileobj(spools[key], file, 1 << 20)


def _tar(
    file: BinaryIO,
    batches: Iterator[dict[str, Any]],
    done: list[dict[str, Any]],
    bfloat16: bool,
) -> None:
    """A WebDataset: for each image a `.npy` for each key, and a `.json` that names it."""
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:

        def add(name: str, data: bytes) -> None:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))

        for batch in batches:
            sample = f"{done[-1]['index']:09}"
            for key, array in batch.items():
                stream = io.BytesIO()
                np.save(stream, array, allow_pickle=False)
                add(f"{sample}.{key}.npy", stream.getvalue())
            kinds = {"dtype": "bfloat16"} if bfloat16 else {}
            add(f"{sample}.json", json.dumps({**done[-1], **kinds}).encode())
