"""Upstream's processor and this one side by side, on your own images.

    report = dynres_rs.verify("photos/", "path/to/model")
    print(report)
    assert report.equal

Both get the same decoded picture, so what is compared is the preprocessing and not the decoders.
Files are then loaded in the ways that people load them: opened with Pillow, by path, and as bytes.
An opened image must give the same bits, and a path the bits that upstream gives for the path; where
path and bytes give another result than the opened image, the row says so, and a program that
changes from one to the other changes its tensors.
Upstream is transformers' image processor, never the one that `dynres_rs.transformers.enable()`
put in its place. For the models whose preprocessing is their authors' own code (InternVL's
`config.json`, DeepSeek-VL2) it is that code's sequence of calls to Pillow and numpy, spelled out
here.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .images import prepare
from .numerics import resolve
from .processor import Processor

__all__ = ["Report", "Row", "image_files", "verify"]

#: Families whose upstream is no transformers class.

Arrays = Mapping[str, NDArray[Any]]
Upstream = Callable[[Any], Arrays]


@dataclass(frozen=True)
class Row:
    """One image."""

    name: str
    """Its path, or its place in the call."""
    size: tuple[int, int] | None
    """(height, width), None if it could not be read."""
    equal: bool
    """The same bits, dtypes, shapes and number of tokens, or the same class of error."""
    differing: int = 0
    """How many values differ."""
    largest: float = 0.0
    """The largest difference of two values; infinite where shapes or dtypes differ."""
    upstream_seconds: float = math.nan
    seconds: float = math.nan
    upstream_tokens: int | None = None
    """None where upstream's image processor does not say."""
    tokens: int | None = None
    error: str | None = None
    """What went wrong, on either side or on both."""
    loading: str | None = None
    """How path and bytes differ from the opened image, here and upstream: transformers turns files
    as their EXIF orientation says and drops alpha, and does neither to images that are opened."""

    def __str__(self) -> str:
        where = f"{self.name}: " + (f"{self.size[0]}x{self.size[1]} " if self.size else "")
        if self.error is not None:
            return where + self.error
        if self.equal:
            verdict = "equal"
        elif self.differing or math.isinf(self.largest):
            verdict = f"DIFFERS in {self.differing} values, by at most {self.largest:g}"
        else:
            verdict = "DIFFERS in tokens"
        upstream = "-" if self.upstream_tokens is None else self.upstream_tokens
        ratio = self.upstream_seconds / self.seconds
        by_path = "" if self.loading is None else f"; {self.loading}"
        return (
            f"{where}{verdict}; upstream {self.upstream_seconds * 1e3:.2f} ms, here"
            f" {self.seconds * 1e3:.2f} ms ({ratio:.1f}x); tokens {upstream} and {self.tokens}"
            f"{by_path}"
        )


@dataclass(frozen=True)
class Report:
    """All images. Printing it gives a line each and a sum."""

    upstream: str
    """What was compared with."""
    numerics: str
    rows: list[Row] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether there was an image, and every one is equal."""
        return bool(self.rows) and all(row.equal for row in self.rows)

    @property
    def largest(self) -> float:
        """The largest difference of all."""
        return max((row.largest for row in self.rows), default=0.0)

    def _timed(self) -> list[Row]:
        return [row for row in self.rows if not math.isnan(row.seconds)]

    @property
    def upstream_seconds(self) -> float:
        """Of all images together."""
        return sum(row.upstream_seconds for row in self._timed())

    @property
    def seconds(self) -> float:
        """Of all images together."""
        return sum(row.seconds for row in self._timed())

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it: the sums, and a dict for each image."""
        rows = [
            {key: None if _odd(value) else value for key, value in asdict(row).items()}
            for row in self.rows
        ]
        return {
            "equal": self.equal,
            "largest": None if _odd(self.largest) else self.largest,
            "upstream": self.upstream,
            "numerics": self.numerics,
            "upstream_seconds": self.upstream_seconds,
            "seconds": self.seconds,
            "images": rows,
        }

    def summary(self) -> str:
        """The sum, on one line."""
        count = len(self.rows)
        good = sum(row.equal for row in self.rows)
        head = f"{good} of {count} images equal to {self.upstream}, numerics {self.numerics}"
        if good != count and self.largest:
            head += f", largest difference {self.largest:g}"
        if other := sum(row.loading is not None for row in self.rows):
            head += f"; {other} load otherwise by path or as bytes than opened"
        rows = self._timed()
        if not rows:
            return head
        known = [row for row in rows if row.upstream_tokens is not None]
        tokens = sum(row.tokens or 0 for row in rows)
        theirs = str(sum(row.upstream_tokens or 0 for row in known)) if known else "-"
        return (
            f"{head}; upstream {self.upstream_seconds * 1e3:.1f} ms, here"
            f" {self.seconds * 1e3:.1f} ms ({self.upstream_seconds / self.seconds:.1f}x, one"
            f" thread); tokens {theirs} and {tokens}"
        )

    def __str__(self) -> str:
        return "\n".join([*map(str, self.rows), self.summary()])


def verify(
    images: Any,
    model: str | os.PathLike[str],
    *,
    numerics: str | None = None,
    repeats: int = 3,
    progress: Callable[[Row], None] | None = None,
    **overrides: Any,
) -> Report:
    """Runs upstream and this library on the same images, and compares.

    Args:
        images: a path, a folder (its image files, in order), a Pillow image or array, or a list of
            these. Each is a call of its own.
        model: a model's folder, a json file, or a hub id in the local Hugging Face cache.
        numerics: `"torchvision"` or `"pillow"`, by which upstream's backend is chosen as well; None
            is torchvision's where torchvision is installed and the model has it.
        repeats: how often each side runs; the fastest run counts.
        progress: called with each image's row as it is done.
        **overrides: options that go over the file, for both, in upstream's names.

    Returns:
        a `Report`: a row an image, and whether all are equal.

    Raises:
        ImportError: transformers is not installed, or torchvision is asked for and is not.
        FileNotFoundError: no such model.
        ValueError: numerics that are not those of an installed library, or what
            `Processor.from_pretrained` raises.
    """
    if repeats < 1:
        raise ValueError(f"repeats: must be at least 1, got {repeats}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # upstream's own deprecations
        ours, upstream, name, count = _sides(model, numerics, overrides)
        by_path = upstream if ours.family not in STEPS else None
        rows = []
        with _one_thread():
            for label, image in _named(images):
                row = _row(label, image, ours, upstream, count, repeats)
                if isinstance(image, str) and row.error is None:
                    row = _loaded(row, image, ours, by_path)
                rows.append(row)
                if progress is not None:
                    progress(row)
    return Report(name, ours.numerics, rows)


def image_files(path: str | os.PathLike[str]) -> list[str]:
    """The path itself, or a folder's image files, deepest last, in order."""
    root = Path(path)
    if not root.is_dir():
        return [os.fspath(path)]
    from PIL import Image

    known = Image.registered_extensions()
    return [
        str(file)
        for file in sorted(root.rglob("*"))
        if file.suffix.lower() in known and file.is_file()
    ]


def _odd(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


# The two sides


def _sides(
    model: str | os.PathLike[str], numerics: str | None, overrides: Mapping[str, Any]
) -> tuple[Processor, Upstream, str, Callable[[Arrays, int], int | None]]:
    ours = Processor.from_pretrained(model, numerics=numerics, **overrides)
    installed = resolve("pillow")
    if ours.family in STEPS:
        if ours.numerics != installed:
            raise ValueError(
                f"numerics: must be those of the installed Pillow, '{installed}', to compare with"
                f" it; got '{ours.numerics}'"
            )
        return ours, _original(ours), "the original code's calls to Pillow", _given_tokens
    hub, torchvision = _transformers()
    if numerics is None and not torchvision and ours.numerics == "torchvision":
        ours = Processor.from_pretrained(model, numerics="pillow", **overrides)
    backend = "torchvision" if ours.numerics == "torchvision" else "pil"
    if backend == "pil" and ours.numerics != installed:
        raise ValueError(
            f"numerics: must be 'torchvision', or those of the installed Pillow, '{installed}', to"
            f" compare with it; got '{ours.numerics}'"
        )
    if backend == "torchvision" and not torchvision:
        raise ImportError("numerics='torchvision' is compared with torchvision: install it")
    theirs = _upstream_processor(hub, model, backend, overrides)
    name = f"transformers {hub.__version__}'s {type(theirs).__name__}"
    return ours, lambda image: _arrays(theirs(image)), name, _counter(theirs, ours)


def _transformers() -> tuple[Any, bool]:
    try:
        hub = importlib.import_module("transformers")
        utils = importlib.import_module("transformers.utils")
        importlib.import_module("transformers.image_processing_backends")
    except ImportError:
        raise ImportError(
            "verify compares with transformers 5: pip install 'dynres_rs[transformers]'"
        ) from None
    return hub, bool(utils.is_torchvision_available())


def _upstream_processor(
    hub: Any, model: str | os.PathLike[str], backend: str, overrides: Mapping[str, Any]
) -> Any:
    options = {"local_files_only": True, **overrides}
    made = hub.AutoImageProcessor.from_pretrained(os.fspath(model), backend=backend, **options)
    own = getattr(type(made), "_dynres_upstream", None)
    return made if own is None else own.from_pretrained(os.fspath(model), **options)


def _arrays(result: Any) -> dict[str, NDArray[Any]]:
    """One image's features as arrays; a list of equal shapes is stacked, as tensors would be."""
    return {
        key: np.stack([np.asarray(item) for item in value])
        if isinstance(value, list)
        else np.asarray(value)
        for key, value in result.items()
    }


def _counter(theirs: Any, ours: Processor) -> Callable[[Arrays, int], int | None]:
    """Tokens, from upstream's own output."""
    merge = getattr(theirs, "merge_size", None)

    def count(arrays: Arrays, per_tile: int) -> int | None:
        if "image_grid_thw" in arrays and merge:
            return int(arrays["image_grid_thw"].prod()) // int(merge) ** 2
        if "num_patches" in arrays:
            return int(arrays["num_patches"].sum()) * per_tile
        return None

    return count


def _given_tokens(arrays: Arrays, per_tile: int) -> int | None:
    return int(arrays["num_image_tokens"].sum())


def _original(ours: Processor) -> Upstream:
    options = ours.to_dict()
    steps = STEPS[ours.family]
    return lambda image: steps(image, options)


def _internvl(image: Any, options: Mapping[str, Any]) -> Arrays:
    """`load_image` of InternVL's README."""
    from .internvl import _grids, find_closest_aspect_ratio

    image = image.convert("RGB")
    side = options["image_size"]
    width, height = image.size
    columns, rows = 1, 1
    if options["crop_to_patches"]:
        grids = _grids(options["min_num"], options["max_num"])
        columns, rows = find_closest_aspect_ratio(width / height, grids, width, height, side)
    tiles = _cut(image.resize((side * columns, side * rows)), side)
    if options["use_thumbnail"] and len(tiles) != 1:
        tiles.append(image.resize((side, side)))
    per_tile = int((side // options["patch_size"]) ** 2 * options["downsample_ratio"] ** 2)
    return {
        "pixel_values": np.stack([_normalised(tile, options) for tile in tiles]),
        "num_image_tokens": np.array([per_tile * len(tiles)]),
    }


def _deepseek_vl2(image: Any, options: Mapping[str, Any]) -> Arrays:
    """`tokenize_with_images` of DeepSeek-VL2, the image part."""
    from PIL import ImageOps

    from .deepseek_vl2 import image_tokens, select_best_resolution

    image = image.convert("RGB")
    candidates = options["candidate_resolutions"]
    side = candidates[0][0]
    width, height = select_best_resolution(image.size, candidates)
    color = tuple(int(x * 255) for x in options["image_mean"])
    tiles = [ImageOps.pad(image, (side, side), color=color)]
    tiles += _cut(ImageOps.pad(image, (width, height), color=color), side)
    columns, rows = width // side, height // side
    ratio = int(options["downsample_ratio"])
    tokens = image_tokens(columns, rows, side, options["patch_size"], ratio)
    return {
        "pixel_values": np.stack([_normalised(tile, options) for tile in tiles]),
        "images_spatial_crop": np.array([[columns, rows]]),
        "num_image_tokens": np.array([tokens]),
    }


def _cut(image: Any, side: int) -> list[Any]:
    return [
        image.crop((x, y, x + side, y + side))
        for y in range(0, image.height, side)
        for x in range(0, image.width, side)
    ]


def _normalised(tile: Any, options: Mapping[str, Any]) -> NDArray[np.float32]:
    """torchvision's ToTensor and Normalize."""
    values = (np.asarray(tile).astype(np.float64) / 255).astype(np.float32)
    if options["do_normalize"]:
        mean = np.array(options["image_mean"], np.float32)
        std = np.array(options["image_std"], np.float32)
        values = (values - mean) / std
    return values.transpose(2, 0, 1)


# One image


def _named(images: Any) -> Iterator[tuple[str, Any]]:
    """Each image with its name; those of paths are opened one at a time."""
    items: Iterable[Any] = images if isinstance(images, list | tuple) else [images]
    for index, item in enumerate(items):
        if isinstance(item, str | os.PathLike):
            for name in image_files(item):
                yield name, name
        else:
            yield f"images[{index}]", item


def _opened(item: Any) -> Any:
    if not isinstance(item, str):
        return item
    from PIL import Image

    with Image.open(item) as image:
        image.load()
        return image.copy()


def _row(
    name: str,
    item: Any,
    ours: Processor,
    upstream: Upstream,
    count: Callable[[Arrays, int], int | None],
    repeats: int,
) -> Row:
    try:
        image = _opened(item)
    except Exception as unread:  # a decoder may raise anything
        return Row(name, None, False, error=f"cannot be read ({type(unread).__name__})")
    size = _size(image)
    theirs, upstream_seconds, upstream_error = _run(lambda: upstream(image), repeats)
    mine, seconds, our_error = _run(lambda: ours(image), repeats)
    if theirs is None or mine is None:
        both = theirs is None and mine is None
        same = both and type(upstream_error) is type(our_error)
        told = [
            f"{who} refuses it ({type(e).__name__}: {str(e)[:200]})"
            for who, e in (("upstream", upstream_error), ("dynres_rs", our_error))
            if e is not None
        ]
        return Row(name, size, same, error="; ".join(told))
    if ours.policy.crop_margin:
        plan = ours._plan_ready(prepare(image, ours.policy))
    else:
        plan = ours.plan(*size)
    per_tile = plan.num_tokens // plan.num_tiles if plan.num_tiles else 0
    counts = count(theirs, per_tile), plan.num_tokens
    differing, largest = _compare(theirs, mine)
    equal = not differing and not largest and counts[0] in (None, counts[1])
    return Row(name, size, equal, differing, largest, upstream_seconds, seconds, *counts)


def _loaded(row: Row, path: str, ours: Processor, upstream: Upstream | None) -> Row:
    """The row with what comes of the other ways to load its file."""
    from PIL import Image

    def opened(call: Callable[[Any], Arrays]) -> Arrays:
        with Image.open(path) as image:
            return call(image)

    with Image.open(path) as image:
        image.load()
        decoded = image.copy()
    want, by_path = ours(decoded), ours(path)
    wrong = []
    checks: list[tuple[str, Callable[[], Arrays], Arrays]] = [
        ("opened and not decoded", lambda: opened(ours), want),
        ("as bytes", lambda: ours(Path(path).read_bytes()), by_path),
    ]
    if upstream is not None:
        checks.append(("by path", lambda: upstream(path), by_path))
    for way, call, other in checks:
        got, _, error = _run(call, 1)
        differing, largest = (0, math.inf) if got is None else _compare(got, other)
        if error is not None:
            wrong.append(f"{way}: {type(error).__name__}: {str(error)[:200]}")
        elif differing or largest:
            wrong.append(f"{way}: DIFFERS in {differing} values, by at most {largest:g}")
    loading = None
    if _compare(want, by_path) != (0, 0.0):
        sizes = [
            ready.pixels for ready in (prepare(decoded, ours.policy), prepare(path, ours.policy))
        ]
        here, there = (f"{size[0]}x{size[1]}" for size in map(_size, sizes))
        what = f"{there} pixels, {here} opened" if here != there else "other pixels than opened"
        loading = f"by path and as bytes: {what}, as upstream"
    return replace(
        row, equal=row.equal and not wrong, error="; ".join(wrong) or None, loading=loading
    )


def _size(image: Any) -> tuple[int, int]:
    if hasattr(image, "getbands"):
        return image.height, image.width
    shape = tuple(int(side) for side in np.shape(image))
    channels_first = len(shape) == 3 and shape[0] in (1, 3, 4)
    return (shape[1], shape[2]) if channels_first else (shape[0], shape[1])


def _run(call: Callable[[], Arrays], repeats: int) -> tuple[Arrays | None, float, Exception | None]:
    """The result, the fastest run's time, or the error."""
    best = math.inf
    result: Arrays = {}
    try:
        for _ in range(repeats):
            start = time.perf_counter()
            result = call()
            best = min(best, time.perf_counter() - start)
    except Exception as error:  # whatever upstream raises is what is compared
        return None, math.nan, error
    return result, best, None


def _compare(theirs: Arrays, ours: Arrays) -> tuple[int, float]:
    """(how many values differ, the largest difference); a key that upstream lacks is none."""
    differing, largest = 0, 0.0
    for key, want in theirs.items():
        if key not in ours:
            if key == "num_image_tokens":
                continue
            return differing + want.size, math.inf
        got = np.asarray(ours[key])
        if got.shape != want.shape or got.dtype != want.dtype:
            return differing + want.size, math.inf
        bits = f"u{want.dtype.itemsize}"
        pair = [np.ascontiguousarray(side) for side in (want, got)]
        wrong = pair[0].view(bits) != pair[1].view(bits)
        if wrong.any():
            differing += int(wrong.sum())
            gap = np.abs(pair[0][wrong].astype(np.float64) - pair[1][wrong].astype(np.float64))
            largest = max(largest, float(gap.max()))
    return differing, largest


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """torch on one thread, as this library is unless it is asked."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


#: The originals' own steps, by family.
STEPS: Final[dict[str, Callable[[Any, Mapping[str, Any]], Arrays]]] = {
    "internvl": _internvl,
    "deepseek-vl2": _deepseek_vl2,
}
