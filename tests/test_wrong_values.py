"""Every argument of every public function gets what it should not: errors are those of the
contract, their texts short, printable and without an address, and each takes one string."""

import math
import pickle
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest
from dynres_rs import _dynres_rs as native
from dynres_rs import qwen_vl_utils
from dynres_rs.draw import compare, draw, parse_boxes
from dynres_rs.headers import image_size

ALLOWED = (TypeError, ValueError, MemoryError, OSError, ImportError)
LONGEST = 1500


class Rude:
    """An object that raises when it is to be shown."""

    def __repr__(self) -> str:
        raise KeyError("repr")

    __str__ = __repr__


def deep(levels: int) -> Any:
    made: Any = 1
    for _ in range(levels):
        made = [made]
    return made


HOSTILE: dict[str, Any] = {
    "None": None,
    "true": True,
    "-1": -1,
    "0": 0,
    "7": 7,
    "0.0": 0.0,
    "-0.5": -0.5,
    "nan": math.nan,
    "inf": math.inf,
    "2**63": 2**63,
    "-2**64": -(2**64),
    "10**400": 10**400,
    "10**5000": 10**5000,
    "empty text": "",
    "surrogate": "\ud800",
    "nul": "a\0b",
    "escape": "\x1b[31mred\x1b]0;title\x07\r\n",
    "long": "x" * 2_400_000,
    "URL": "https://example.org/a.png",
    "bytes": b"\xff\xd8\xff\xe0 no",
    "long bytes": b"\xff" * 2_400_000,
    "object": object(),
    "rude": Rude(),
    "type": dict,
    "function": len,
    "set": {1},
    "list": [],
    "dict": {},
    "None in a list": [None],
    "object in a list": [object()],
    "text in a list": ["\ud800"],
    "object as a key": {object(): object()},
    "text as a key": {"\ud800": 1},
    "long key": {"k" * 2_400_000: 1},
    "number as a key": {10**5000: 1},
    "deep list": deep(100_000),
    "deep dict": {"size": deep(100_000), "a": 1},
    "pair": (0, 0),
    "pair of floats": (0.5, math.nan),
    "pair of long": (10**400, 1),
    "three": [math.inf, math.nan, 10**400],
    "complex": 1j,
    "no array": np.array(object()),
    "objects": np.array([object(), object()]),
    "text array": np.array(["x" * 100_000]),
    "nan array": np.full((2, 4), np.nan),
    "empty array": np.empty((0, 0, 3), np.uint8),
    "dates": np.array(["2020-01-01"], "datetime64[D]"),
    "path": Path("/nowhere/\x1b[2J"),
    "generator": (x for x in ()),
}

IMAGE = np.zeros((56, 56, 3), np.uint8)
QWEN = dr.Processor("qwen2-vl")
VL2 = dr.Processor("deepseek-vl2")
CHAT = dr.Processor("internvl")
HF = dr.Processor("internvl-hf")
VIDEO = dr.VideoProcessor("qwen2-vl")
STACKED = dr.VideoProcessor("minicpm-v4.6", stack_frames=3)
PLAN = QWEN.plan(56, 56)
CLIP = np.zeros((4, 56, 56, 3), np.uint8)
OPTIONS: dict[str, Any] = dict.fromkeys(
    (
        *("min_pixels", "max_pixels", "size", "patch_size", "merge_size", "temporal_patch_size"),
        *("do_resize", "do_rescale", "do_normalize", "rescale_factor", "image_mean", "image_std"),
        *("resample", "input_data_format", "max_image_pixels", "do_convert_rgb", "device"),
    )
)
TILES = {
    **dict.fromkeys(("min_num", "max_num", "image_size", "use_thumbnail", "patch_size")),
    **dict.fromkeys(("size", "crop_to_patches", "downsample_ratio", "multi_image")),
}
CANVASES = dict.fromkeys(("candidate_resolutions", "patch_size", "downsample_ratio"))
SAMPLING = {
    **dict.fromkeys(("fps", "num_frames", "min_frames", "max_frames", "sampling")),
    **dict.fromkeys(("video_start", "video_end", "budget", "total_pixels", "size")),
    **dict.fromkeys(("max_video_tokens", "cap_pixels_per_frame", "do_sample_frames")),
}
CONFIG = {"image_processor_type": "Qwen2VLImageProcessor"}

#: name -> (function, arguments of which each is replaced in turn)
CALLS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "Processor": (dr.Processor, {"family": "qwen2-vl", "numerics": None, "video": None, **OPTIONS}),
    "Processor internvl": (lambda **k: dr.Processor("internvl", **k), TILES),
    "Processor deepseek": (lambda **k: dr.Processor("deepseek-vl2", **k), CANVASES),
    "from_config": (
        dr.Processor.from_config,
        {"config": CONFIG, "numerics": None, "video": None, "max_pixels": None, "image_mean": None},
    ),
    "from_config keys": (
        lambda **k: dr.Processor.from_config({**CONFIG, **k}),
        {"processor_class": None, "image_processor": None, "video_processor_type": None, **OPTIONS},
    ),
    "from_config types": (
        dr.Processor.from_config,
        {"image_processor_type": None, "config": {"image_processor_type": None}},
    ),
    "from_config chat": (
        lambda **k: dr.Processor.from_config({"model_type": "internvl_chat", **k}),
        {
            **dict.fromkeys(("force_image_size", "vision_config", "min_dynamic_patch")),
            **dict.fromkeys(("max_dynamic_patch", "ps_version", "pad2square")),
        },
    ),
    "from_pretrained": (
        dr.Processor.from_pretrained,
        {"path": "/nowhere", "revision": None, "numerics": None, "video": None},
    ),
    "from_pretrained id": (
        lambda **k: dr.Processor.from_pretrained("org/model", **k),
        {"revision": None, "video": None},
    ),
    "from_dict": (dr.Processor.from_dict, {"data": QWEN.to_dict()}),
    "call": (
        lambda **k: QWEN(**k),
        {
            "images": IMAGE,
            "return_tensors": None,
            "dtype": None,
            "temporal": "expand",
            "out": None,
            "num_threads": 1,
            "errors": "raise",
            **OPTIONS,
        },
    ),
    "call videos": (
        lambda **k: QWEN(**k),
        {"videos": CLIP, "video_metadata": None, "videos_kwargs": {}, "out": None},
    ),
    "call two": (lambda **k: QWEN([IMAGE, k["other"]]), {"other": IMAGE}),
    "call collect": (lambda **k: QWEN([k["a"], IMAGE], errors="collect"), {"a": IMAGE}),
    "plan": (
        lambda **k: QWEN.plan(**k),
        {"height": 56, "width": 56, "num_images": 1, "max_pixels": None, "size": None},
    ),
    "num_tokens": (lambda **k: QWEN.num_tokens(**k), {"sizes": [(56, 56)], "num_images": 1}),
    "fit": (
        lambda **k: QWEN.fit(**{"sizes": [(560, 560)], "tokens_per_image": 100, **k}),
        {"sizes": [(560, 560)], "tokens_per_image": 100, "num_images": 1, "quantile": None},
    ),
    "fit total": (
        lambda **k: CHAT.fit([(560, 560)], **k),
        {"total_tokens": 300},
    ),
    "fit quantile": (
        lambda **k: VL2.fit([(560, 560)], **k),
        {"quantile": (0.5, 1000)},
    ),
    "get_number_of_image_patches": (
        lambda **k: QWEN.get_number_of_image_patches(**k),
        {"height": 56, "width": 56, "images_kwargs": None},
    ),
    "get_number_of_image_patches keys": (
        lambda **k: QWEN.get_number_of_image_patches(56, 56, k),
        dict.fromkeys(("min_pixels", "max_pixels", "patch_size", "merge_size")),
    ),
    "get_number_of_image_patches tiles": (
        lambda **k: HF.get_number_of_image_patches(56, 56, k),
        dict.fromkeys(("min_patches", "max_patches", "patch_size", "crop_to_patches")),
    ),
    "get_num_multimodal_tokens": (
        lambda **k: QWEN.get_num_multimodal_tokens(**k),
        {
            "image_sizes": [(56, 56)],
            "video_sizes": [(4, 56, 56)],
            "images_kwargs": {},
            "videos_kwargs": {},
            "merge_size": None,
            "size": None,
        },
    ),
    "VideoProcessor": (dr.VideoProcessor, {"family": "qwen2-vl", "numerics": None, **OPTIONS}),
    "VideoProcessor sampling": (lambda **k: dr.VideoProcessor("qwen3-vl", **k), SAMPLING),
    "VideoProcessor.from_config": (
        dr.VideoProcessor.from_config,
        {"config": {"video_processor_type": "Qwen2VLVideoProcessor"}, "fps": None},
    ),
    "VideoProcessor.from_pretrained": (
        dr.VideoProcessor.from_pretrained,
        {"path": "/nowhere", "revision": None},
    ),
    "VideoProcessor.from_dict": (dr.VideoProcessor.from_dict, {"data": VIDEO.to_dict()}),
    "video call": (
        lambda **k: VIDEO(**k),
        {
            "videos": CLIP,
            "video_metadata": None,
            "return_tensors": None,
            "dtype": None,
            "out": None,
            "num_threads": 1,
            "errors": "raise",
            **SAMPLING,
        },
    ),
    "video metadata": (
        lambda **k: VIDEO(CLIP, video_metadata=k, do_sample_frames=True, fps=2),
        {"total_num_frames": None, "fps": 24, "frames_indices": None, "duration": None},
    ),
    "video frames": (lambda **k: VIDEO([IMAGE, k["frame"]]), {"frame": IMAGE}),
    "video plan": (
        lambda **k: VIDEO.plan(**k),
        {"height": 56, "width": 56, "num_frames": 4},
    ),
    "video num_tokens": (
        lambda **k: STACKED.num_tokens(**k),
        {"sizes": [(4, 56, 56)], "duration": 1.0},
    ),
    "video plans": (
        lambda **k: STACKED.plans(**k),
        {"height": 56, "width": 56, "num_frames": 4, "duration": 1.0},
    ),
    "video take": (lambda **k: VIDEO.take(**k), {"video": CLIP, "video_metadata": None}),
    "video sample_frames": (
        lambda **k: VIDEO.sample_frames(**k),
        {"total_num_frames": 9, "video_fps": 24.0, "fps": 2, "min_frames": None},
    ),
    "sample_indices arange": (
        lambda **k: dr.sample_indices(**k),
        {
            "total_num_frames": 99,
            "video_fps": 24.0,
            "rule": "arange",
            "num_frames": None,
            "fps": 2.0,
            "min_frames": 4,
            "max_frames": None,
            "temporal_patch_size": 2,
        },
    ),
    "sample_indices linspace": (
        lambda **k: dr.sample_indices(rule="linspace", **k),
        {"total_num_frames": 99, "video_fps": 24.0, "num_frames": 8, "min_frames": 4},
    ),
    "sample_indices qwen-vl-utils": (
        lambda **k: dr.sample_indices(rule="qwen-vl-utils", **k),
        {
            "total_num_frames": 99,
            "video_fps": 24.0,
            "fps": 2.0,
            "video_start": 0.1,
            "video_end": 3.0,
            "max_frames": None,
        },
    ),
    "timestamps": (
        dr.timestamps,
        {"frames_indices": [0, 1], "video_fps": 24.0, "temporal_patch_size": 2},
    ),
    "format_timestamps": (dr.format_timestamps, {"times": [0.5]}),
    "VideoMetadata": (
        lambda **k: (
            dr.VideoMetadata(
                **{"fps": 24.0, "total_num_frames": 4, "frames_indices": [0, 1], **k}
            ).second_per_grid_t
        ),
        {"fps": 24.0, "total_num_frames": 4, "temporal_patch_size": 2},
    ),
    "smart_resize": (
        dr.smart_resize,
        {"height": 56, "width": 56, "factor": 28, "min_pixels": 3136, "max_pixels": 1003520},
    ),
    "smart_resize_video": (
        dr.smart_resize_video,
        {
            "num_frames": 4,
            "height": 56,
            "width": 56,
            "temporal_factor": 2,
            "factor": 32,
            "min_pixels": 131072,
            "max_pixels": 786432,
        },
    ),
    "closest_aspect_grid": (
        dr.closest_aspect_grid,
        {"height": 56, "width": 56, "tile_size": 448, "min_tiles": 1, "max_tiles": 12},
    ),
    "best_canvas": (
        dr.best_canvas,
        {"height": 56, "width": 56, "candidates": [(384, 384), (384, 768)]},
    ),
    "resize": (
        dr.resize,
        {
            "image": IMAGE,
            "size": (28, 28),
            "resample": "bicubic",
            "numerics": "pillow",
            "out": None,
            "num_threads": 1,
        },
    ),
    "patchify": (
        dr.patchify,
        {
            "image": IMAGE,
            "patch_size": 14,
            "merge_size": 2,
            "temporal_patch_size": 2,
            "image_mean": 0.5,
            "image_std": 0.5,
            "rescale_factor": 1 / 255,
            "numerics": "pillow",
            "dtype": None,
        },
    ),
    "tile": (
        dr.tile,
        {
            "image": IMAGE,
            "tile_size": 28,
            "image_mean": 0.5,
            "image_std": 0.5,
            "rescale_factor": 1 / 255,
            "numerics": "pillow",
            "dtype": None,
        },
    ),
    "fold_patch_embedding": (
        dr.fold_patch_embedding,
        {"weight": np.zeros((2, 24), np.float32), "temporal_patch_size": 2, "in_channels": 3},
    ),
    "unpack": (
        lambda **k: dr.unpack(**k),
        {"pixel_values": QWEN(IMAGE)["pixel_values"], "plan": PLAN, "key": "pixel_values"},
    ),
    "pack": (dr.pack, {"token_counts": [1, 2], "max_len": 4}),
    "keep_memory": (dr.keep_memory, {"limit": 1 << 20}),
    "Plan.to_model": (PLAN.to_model, {"boxes": [[0, 0, 1, 1]], "coords": None}),
    "Plan.to_image": (PLAN.to_image, {"boxes": [[0, 0, 1, 1]], "coords": None}),
    "Plan.to_view": (PLAN.to_view, {"points": [[0, 0]], "view": 0}),
    "Plan.nbytes": (PLAN.nbytes, {"dtype": None, "temporal": "expand"}),
    "draw": (
        draw,
        {"plan": PLAN, "image": IMAGE, "width": 600, "boxes": None, "labels": None, "tokens": True},
    ),
    "compare": (compare, {"plans": [PLAN, PLAN], "image": IMAGE, "width": 600, "tokens": True}),
    "parse_boxes": (parse_boxes, {"text": "1,2,3,4"}),
    "image_size": (image_size, {"path": "/nowhere"}),
    "limit_fetching": (
        qwen_vl_utils.limit_fetching,
        {"allowed_hosts": None, "allowed_folders": None, "max_bytes": None, "timeout": None},
    ),
}


def used(p: Any) -> None:
    """What takes options that may still contradict each other, or an image."""
    if isinstance(p, dr.VideoProcessor):
        p.plan(56, 56, num_frames=4)
        p(CLIP[:, ::3, ::3], do_sample_frames=False, max_image_pixels=2_000_000)
        return
    p.plan(700, 40).to_dict()
    p.num_tokens([(56, 90)])
    p(np.zeros((20, 30, 3), np.uint8), max_image_pixels=2_000_000)


def by_schema(
    table: dict[str, dict[str, Any]], make: Callable[..., Any], what: str
) -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """Of families with the same options the first, with all that no family before it has."""
    calls: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {}
    seen: set[tuple[str, ...]] = set()
    known: set[str] = set()
    for family, options in table.items():
        if tuple(options) in seen:
            continue
        seen.add(tuple(options))
        own = {name: None for name in options if name not in known} or dict.fromkeys(options)
        known |= set(options)
        calls[f"{what} {family}"] = (lambda f=family, **k: used(make(f, **k)), own)
    return calls


CALLS |= by_schema(dr.families(), dr.Processor, "options of")
CALLS |= by_schema(native.video_families(), dr.VideoProcessor, "videos of")


def complaint(error: BaseException) -> str | None:
    """What is wrong with an error, or None."""
    kind, text = type(error), str(error)
    if kind.__module__ not in ("builtins", "dynres_rs", "dynres_rs._dynres_rs"):
        return f"class {kind.__module__}.{kind.__qualname__}"
    if not isinstance(error, ALLOWED) or isinstance(error, UnicodeError | dr.InternalError):
        return f"class {kind.__qualname__}"
    if len(text) > LONGEST:
        return f"{len(text)} characters"
    if re.search(r"0x[0-9a-f]{6}", text):
        return "an address"
    if re.search(r"<[\w.]+ object|<class|<function|<built-in", text):
        return "an object's repr"
    if any(not c.isprintable() and c != "\n" for c in text):
        return "characters that are not printable"
    again = pickle.loads(pickle.dumps(error))
    if (type(again), str(again)) != (kind, text):
        return "it does not pickle"
    return None


@pytest.mark.parametrize("name", list(CALLS))
def test_errors_keep_the_contract(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    function, usual = CALLS[name]
    wrong = []
    for argument in usual:
        for label, value in HOSTILE.items():
            given = {**usual, argument: value}
            if name == "VideoMetadata" and argument == "frames_indices":
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    function(**given)
                except BaseException as error:
                    found = complaint(error)
                    if found is not None:
                        text = str(error)[:150]
                        wrong.append(
                            f"{argument}={label}: {found} ({type(error).__name__}: {text!r})"
                        )
    assert not wrong, "\n".join(wrong)
    qwen_vl_utils.limit_fetching()
    dr.keep_memory(1 << 28)
