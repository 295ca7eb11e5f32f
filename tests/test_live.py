"""Every class of the table beside upstream's own code, live: random images, videos and calls.

The table is the compiled module's. Configurations are the class's default and all that were
recorded of it (`golden/configs.json`); the calls are random. `DYNRES_LIVE_CALLS` is how many of
them each class has on each backend: `DYNRES_LIVE_CALLS=300 pytest -m torch tests/test_live.py
-k Idefics3` looks long at one class.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

import dynres_rs as dr
import golden_cases
import numpy as np
import pytest
from dynres_rs import _dynres_rs as native
from PIL import Image

pytestmark = pytest.mark.usefixtures("upstream_warnings_allowed")

#: Calls of each class on each backend.
CALLS: Final = int(os.environ.get("DYNRES_LIVE_CALLS", "3"))
#: Largest side of an image is 2 ** this.
LARGEST: Final = 9.0
#: What any class may be asked in a call.
SWITCHES: Final[list[dict[str, Any]]] = [
    *[{}] * 6,
    {"do_normalize": False},
    {"do_rescale": False},
    {"do_rescale": False, "do_normalize": False},
    {"do_resize": False},
    {"resample": 2},
    {"resample": 3},
]
#: What a class may be asked besides.
ASKED: Final[dict[str, list[dict[str, Any]]]] = {
    "Idefics3ImageProcessor": [
        {"return_row_col_info": True},
        {"do_pad": False},
        {"do_image_splitting": False, "return_row_col_info": True},
        {"do_image_splitting": False, "do_pad": False},
    ],
    "SmolVLMImageProcessor": [
        {"return_row_col_info": True},
        {"do_pad": False},
        {"do_image_splitting": False, "return_row_col_info": True},
        {"do_image_splitting": False, "do_pad": False},
    ],
    "Idefics2ImageProcessor": [{"do_pad": False}, {"do_image_splitting": True, "do_pad": False}],
    "PixtralImageProcessor": [{"do_pad": False}],
    "LlavaNextImageProcessor": [{"do_pad": False}],
    "LlavaOnevisionImageProcessor": [{"do_pad": False}],
    "PI0ImageProcessor": [{"do_pad": False}],
    "GraniteDoclingImageProcessor": [{"fine_route": True}, {"max_patches": 4}],
    "DonutImageProcessor": [
        {"do_align_long_axis": True},
        {"do_thumbnail": False},
        {"do_align_long_axis": True, "size": {"height": 120, "width": 200}},
        {"size": {"height": 200, "width": 120}},
        {"do_pad": False},
        {"do_resize": False, "size": {"height": 100, "width": 90}},
    ],
    "NougatImageProcessor": [
        {"do_align_long_axis": True},
        {"do_crop_margin": False},
        {"do_thumbnail": False},
        {"do_pad": False},
        {"do_resize": False, "size": {"height": 100, "width": 90}},
        {"do_resize": False, "size": {"height": 40, "width": 30}, "do_crop_margin": False},
        {"do_align_long_axis": True, "size": {"height": 120, "width": 200}},
        {"size": {"height": 200, "width": 120}},
    ],
    "Phi4MultimodalImageProcessor": [
        {"dynamic_hd": 4},
        {"dynamic_hd": 9, "size": {"height": 112, "width": 112}},
        {"size": {"height": 100, "width": 100}, "patch_size": 12},
    ],
}
#: Options of a call of any class of videos.
VIDEO_SWITCHES: Final[tuple[dict[str, Any], ...]] = (
    {"do_normalize": False},
    {"do_rescale": False},
    {"do_rescale": False, "do_normalize": False},
    {"do_resize": False},
    {"do_resize": False, "do_rescale": False, "do_normalize": False},
    {"resample": 2},
    {"resample": 3},
)
#: Classes whose samples are lists of images.
NESTED: Final = frozenset(
    {
        "Idefics2ImageProcessor",
        "Idefics3ImageProcessor",
        "SmolVLMImageProcessor",
        "MllamaImageProcessor",
        "GraniteDoclingImageProcessor",
        "LlavaOnevisionImageProcessor",
    }
)
#: Classes that take a Pillow image of one or three rows for one with its channels first, which is
#: no image here: see docs/exactness.md.
ROWS_AS_CHANNELS: Final = frozenset({"Emu3ImageProcessor", "VideoLlavaImageProcessor"})
#: Configurations without which a class of videos fails, upstream or here.
VIDEO_CONFIGS: Final[dict[str, dict[str, Any]]] = {
    "Ernie4_5_VLMoeVideoProcessor": {"draw_on_frames": False},
    "NemotronH_Omni_Reasoning_V3VideoProcessor": {
        "norm_mean": [0.48, 0.46, 0.41],
        "norm_std": [0.27, 0.26, 0.28],
        "video_target_num_patches": 60,
    },
}


def rows(*, video: bool, backend: str) -> list[str]:
    table = native.upstream().items()
    return [
        name
        for name, found in table
        if found[0]["video"] is video and found[0]["backends"] in ("both", backend)
    ]


def configs(name: str) -> list[dict[str, Any]]:
    """The default, and every recorded configuration of a class."""
    recorded = golden_cases.load("configs.json")["configs"].values()
    own = [dict(config) for config in recorded if config.get("image_processor_type") == name]
    for config in own:
        del config["image_processor_type"]
    return [{}, *own]


def differences(ours: Any, theirs: Any, where: str) -> list[str]:
    """What differs between a value of ours and upstream's: arrays and tensors, or lists of them."""
    if type(theirs).__module__.partition(".")[0] == "torch":
        if str(theirs.dtype) == "torch.bfloat16":
            theirs = theirs.view(__import__("torch").int16).numpy().view(np.uint16)
        else:
            theirs = theirs.numpy()
    if isinstance(theirs, list | tuple) and not isinstance(ours, np.ndarray):
        if not isinstance(ours, list) or len(ours) != len(theirs):
            return [f"{where}: {type(ours).__name__}, upstream a list of {len(theirs)}"]
        pairs = zip(ours, theirs, strict=True)
        return [
            line for i, (a, b) in enumerate(pairs) for line in differences(a, b, f"{where}[{i}]")
        ]
    if isinstance(theirs, np.ndarray):
        if not isinstance(ours, np.ndarray):
            return [f"{where}: {type(ours).__name__}, upstream an array"]
        if (ours.dtype, ours.shape) != (theirs.dtype, theirs.shape):
            kinds = f"{ours.dtype} {ours.shape}, upstream {theirs.dtype} {theirs.shape}"
            return [f"{where}: {kinds}"]
        if ours.tobytes() == np.ascontiguousarray(theirs).tobytes():
            return []
        wrong = np.argwhere(ours != theirs)
        first = tuple(wrong[0].tolist())
        pair = f"{ours[first]!r} for {theirs[first]!r}"
        return [f"{where}: {len(wrong)} of {ours.size} values, first {pair} at {first}"]
    return [] if ours == theirs else [f"{where}: {ours!r}, upstream {theirs!r}"]


def outcome(call: Callable[..., Any], given: Any, **how: Any) -> dict[str, Any] | Exception:
    try:
        return dict(call(given, **how))
    except Exception as error:  # upstream raises whatever its arithmetic trips over
        return error


def made(config: dict[str, Any], numerics: str) -> Callable[..., Any]:
    """Ours; options that are refused are so where they are given, which upstream does in a call."""
    try:
        return dr.Processor.from_config(config, numerics=numerics)
    except ValueError as error:
        refusal = error

    def refuse(*_: Any, **__: Any) -> Any:
        raise refusal

    return refuse


#: Refusals where upstream answers with nonsense: see docs/exactness.md.
REFUSED: Final = (
    "leaves no frame",
    "every image is resized to a canvas",
    "turns other axes",
    "crop: height and width must be at least 1",
)


def compared(ours: Any, theirs: Any, where: str) -> list[str]:
    if isinstance(ours, dr.ImageTooLargeError):
        return []  # a limit of ours alone
    if isinstance(ours, ValueError) and any(words in str(ours) for words in REFUSED):
        return []
    if isinstance(theirs, TypeError) and "should be a float tensor" in str(theirs):
        return []  # DINOv3, without rescaling
    if isinstance(theirs, UnboundLocalError | KeyError):
        return []  # upstream trips over itself
    if isinstance(theirs, Exception) and isinstance(ours, ValueError | TypeError):
        return []
    if isinstance(theirs, Exception) or isinstance(ours, Exception):
        said = [
            repr(side)[:200] if isinstance(side, Exception) else "works" for side in (ours, theirs)
        ]
        return [f"{where}: {said[0]}, upstream {said[1]}"]
    keys = set(ours) ^ set(theirs)
    lines = [f"{where}: keys {sorted(ours)}, upstream {sorted(theirs)}"] if keys else []
    for key in sorted(set(ours) & set(theirs)):
        lines += differences(ours[key], theirs[key], f"{where}: {key}")
    return lines


def side(rng: random.Random) -> int:
    return int(2 ** rng.uniform(0 if rng.random() < 0.4 else 5, LARGEST))


def picture(rng: random.Random, height: int, width: int) -> Image.Image:
    """Noise, some of it on a light page, so that margins have something to cut."""
    noise = np.random.default_rng(rng.getrandbits(32))
    pixels = noise.integers(0, 256, (height, width, 3), dtype=np.uint8)
    if rng.random() < 0.3 and min(height, width) > 4:
        page = noise.integers(235, 256, (height, width, 3), dtype=np.uint8)
        inner = np.s_[height // 4 : -height // 4, width // 3 :]
        page[inner] = pixels[inner]
        pixels = page
    return Image.fromarray(pixels)


def images_lines(name: str, backend: str, upstream: Callable[..., Any]) -> list[str]:
    rng = random.Random(f"{name} {backend} {os.environ.get('DYNRES_LIVE_SEED', '')}")
    numerics = "pillow" if backend == "pillow" else "torchvision"
    known = configs(name)
    pairs: dict[int, tuple[Any, Any]] = {}
    lines: list[str] = []
    for _ in range(CALLS):
        number = rng.randrange(len(known))
        if number not in pairs:
            config = {**known[number], "image_processor_type": name}
            pairs[number] = (made(config, numerics), upstream(**known[number]))
        own, theirs = pairs[number]
        sizes = [(side(rng), side(rng)) for _ in range(rng.choice([1, 1, 1, 2, 3]))]
        if rng.random() < 0.2:
            sizes = [sizes[0]] * len(sizes)
        if name in ROWS_AS_CHANNELS:
            sizes = [(height + (height in (1, 3)), width) for height, width in sizes]
        pictures: Any = [picture(rng, *size) for size in sizes]
        if len(sizes) == 1 and rng.random() < 0.7:
            pictures = pictures[0]
        elif name in NESTED and rng.random() < 0.6:
            pictures = [pictures[:1], pictures[1:]] if len(sizes) > 1 else [pictures]
        call = dict(rng.choice(SWITCHES))
        if name in ASKED and rng.random() < 0.6:
            call.update(rng.choice(ASKED[name]))
        got = outcome(own, pictures, **call)
        want = outcome(theirs, pictures, return_tensors="pt", **call)
        unequal = isinstance(want, ValueError) and "Unable to convert output" in str(want)
        if unequal and not isinstance(got, Exception):
            want = outcome(theirs, pictures, **call)  # which are a list here
        lines += compared(got, want, f"{name} {backend} #{number} {sizes} {call}")
    return lines


@pytest.mark.torch
@pytest.mark.parametrize("name", rows(video=False, backend="pillow"))
def test_random_calls_on_pillow(
    transformers: ModuleType, one_thread: ModuleType, name: str
) -> None:
    upstream = getattr(transformers, name if name in ONLY_PILLOW else f"{name}Pil")
    lines = images_lines(name, "pillow", upstream)
    assert not lines, "\n".join(lines)


#: Classes that upstream has on Pillow alone, under their plain names.
ONLY_PILLOW: Final = frozenset(
    name for name, found in native.upstream().items() if found[0]["backends"] == "pillow"
)


@pytest.mark.torch
@pytest.mark.parametrize("name", rows(video=False, backend="torchvision"))
def test_random_calls_on_torchvision(
    transformers: ModuleType, one_thread: ModuleType, name: str
) -> None:
    lines = images_lines(name, "torchvision", getattr(transformers, name))
    assert not lines, "\n".join(lines)


def known_of(video: np.ndarray[Any, Any], fps: float) -> dict[str, Any]:
    frames, height, width, _ = video.shape
    return {
        "total_num_frames": frames,
        "fps": fps,
        "duration": frames / fps,
        "height": height,
        "width": width,
    }


@pytest.mark.torch
@pytest.mark.parametrize("name", rows(video=True, backend="torchvision"))
def test_random_videos(transformers: ModuleType, one_thread: ModuleType, name: str) -> None:
    from transformers.video_utils import VideoMetadata

    rng = random.Random(f"{name} {os.environ.get('DYNRES_LIVE_SEED', '')}")
    config = VIDEO_CONFIGS.get(name, {})
    own = dr.VideoProcessor.from_config({**config, "video_processor_type": name})
    theirs = getattr(transformers, name)(**config)
    lines: list[str] = []
    stacks = "stack_frames" in own.options
    for _ in range(4 * CALLS if stacks else CALLS):
        count = rng.choice([1, 1, 2])
        same = rng.random() < 0.5
        size = (rng.randint(1, 19), side(rng) % 200 + 1, side(rng) % 200 + 1)
        videos, known = [], []
        for _ in range(count):
            if not same:
                size = (rng.randint(1, 19), side(rng) % 200 + 1, side(rng) % 200 + 1)
            noise = np.random.default_rng(rng.getrandbits(32))
            videos.append(noise.integers(0, 256, (*size, 3), dtype=np.uint8))
            known.append(known_of(videos[-1], rng.choice([1.0, 5.0, 24.0, 29.97])))
        call: dict[str, Any] = {"do_sample_frames": rng.random() < 0.4}
        if rng.random() < 0.5:
            call.update(rng.choice(VIDEO_SWITCHES))
        # Where the first one's rows are taken for channels, upstream drops columns of the others.
        low = [video.shape[1] in (1, 3) for video in videos]
        if rng.random() < 0.5 or (low[0] and not all(low)):
            call["input_data_format"] = "channels_last"
        if stacks and rng.random() < 0.8:
            call |= {"stack_frames": rng.randint(2, 6), "slice_mode": rng.random() < 0.7}
            call |= {"downsample_mode": rng.choice(["4x", "16x"])}
            call |= {"scale_resolution": rng.choice([112, 448])}
            if rng.random() < 0.5:
                call["max_num_frames"] = rng.randint(1, 5)
        metadata = [VideoMetadata(**one) for one in known]
        got = outcome(own, videos, video_metadata=known, **call)
        want = outcome(
            theirs,
            [video.copy() for video in videos],
            video_metadata=metadata,
            return_tensors="pt",
            return_metadata=False,  # on by default in one class; here it is an argument of a call
            **call,
        )
        if isinstance(want, Exception) and not isinstance(want, ValueError):
            continue  # upstream trips over one frame, or over sampling that nothing was said of
        if "frames between seconds" in str(got):
            continue  # upstream shows nothing of such a video, which is refused here
        shapes = [video.shape for video in videos]
        lines += compared(got, want, f"{name} {shapes} {call}")
    assert not lines, "\n".join(lines)
