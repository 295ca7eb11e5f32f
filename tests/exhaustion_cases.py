"""Calls of every public function, each with the same result every time: see `test_exhaustion`."""

import copy
import functools
import io
import pickle
import tempfile
from collections.abc import Callable
from typing import Any

import dynres_rs as dr
import numpy as np
from dynres_rs import _dynres_rs as native
from PIL import Image
from strategies import sized

#: Families of videos.
VIDEOS = sorted(
    {row["family"] for rows in native.upstream().values() for row in rows if row["video"]}
)


def noise(*shape: int) -> Any:
    return np.random.default_rng(7).integers(0, 256, shape, np.uint8)


def encoded(kind: str, image: Any = None, **save: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(SMALL if image is None else image).save(stream, kind, **save)
    return stream.getvalue()


SMALL, TALL, THIN = noise(200, 300, 3), noise(1500, 40, 3), noise(20, 3000, 3)
FRAMES = noise(6, 90, 120, 3)
TINY, LONG, CLIP = noise(60, 90, 3), noise(40, 190, 3), noise(8, 60, 80, 3)
BLOCKS = Image.fromarray(np.resize(SMALL, (2300, 2000, 3)))
PALETTE = Image.fromarray(SMALL).quantize(16)
JPEG, PNG = encoded("JPEG"), encoded("PNG")
PROGRESSIVE = encoded("JPEG", progressive=True)
TURNED = encoded("JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0")
LARGE = encoded("JPEG", np.resize(SMALL, (520, 530, 3)))
FILE = tempfile.NamedTemporaryFile(suffix=".jpg")  # noqa: SIM115
FILE.write(JPEG)
FILE.flush()
PICTURE = Image.fromarray(SMALL)
SIZES = np.random.default_rng(8).integers(30, 3000, (5000, 2))
LENGTHS = np.random.default_rng(9).integers(1, 900, 5000)
QWEN = dr.Processor("qwen2-vl", max_pixels=100_000)
TILES = dr.Processor("internvl", image_size=56)
MANY = dr.Processor("internvl", image_size=28, max_num=400)
CANVASES = dr.Processor("deepseek-vl2")
HYBRID = dr.Processor("deepseek-vl-hybrid", image_size=48, high_res_image_size=112)
PLAN = QWEN.plan(1080, 1920)
VIDEO = QWEN.video.plan(900, 1200, num_frames=20)
OUT = np.empty(QWEN.plan(200, 300).shape, np.float32)
BATCHES = {
    "float32": QWEN(SMALL)["pixel_values"],
    "float16": QWEN(SMALL, dtype="float16")["pixel_values"],
    "uint8": QWEN(SMALL, dtype="uint8")["pixel_values"],
}
SMALL_PLAN = QWEN.plan(200, 300)
TILE_BATCH, TILE_PLAN = TILES(SMALL)["pixel_values"], TILES.plan(200, 300)
CONFIG = {"image_processor_type": "Qwen2VLImageProcessor", "max_pixels": 100_000}
READY = np.resize(SMALL, (168, 280, 3))


def unpacked(element: str) -> Any:
    return dr.unpack(BATCHES[element], SMALL_PLAN)


def copies() -> Any:
    p = dr.Processor("deepseek-vl2")
    others = [copy.deepcopy(p), pickle.loads(pickle.dumps(p)), dr.Processor.from_dict(p.to_dict())]
    assert all(hash(other) == hash(p) for other in others)
    plan = p.plan(500, 700)
    return [repr(others), pickle.loads(pickle.dumps(plan)) == plan, repr(plan), plan.to_dict()]


def plans() -> Any:
    made = [p.plan(700, 900) for p in (QWEN, TILES, MANY, CANVASES, HYBRID)]
    points = [(1.0, 2.0), (30.0, 40.0)]
    return [
        [plan.to_dict(), plan.to_model(points), plan.to_image(points), plan.to_view(points, 0)]
        for plan in made
    ]


@functools.cache
def processor(family: str) -> dr.Processor:
    return dr.Processor(family)


@functools.cache
def video_processor(family: str) -> dr.VideoProcessor:
    return dr.VideoProcessor(family)


def collected() -> Any:
    """An image for which there was no memory is left out and named."""
    batch = QWEN([SMALL, TALL], errors="collect")
    for _, error in batch["errors"]:
        raise error
    return batch


def or_refused(call: Callable[[], Any]) -> Any:
    """What some families refuse is their answer."""
    try:
        return call()
    except ValueError as error:
        return str(error)


def of_family(family: str) -> Any:
    """A photograph, a long image, and two in one call."""
    p = processor(family)
    both = or_refused(lambda: p([TINY, LONG], num_threads=2))
    return [p(TINY), both]


def counts_of_family(family: str) -> Any:
    p = sized(processor(family))
    plan = p.plan(700, 1100)
    return [
        plan.to_dict(), plan.shapes, plan.metadata, plan.nbytes(),
        or_refused(plan.token_boxes), or_refused(plan.token_kinds),
        or_refused(lambda: p.num_tokens(SIZES[:200])),
        or_refused(lambda: p.fit(SIZES[:50], tokens_per_image=300).to_dict()),
    ]  # fmt: skip


def of_videos(family: str) -> Any:
    p = video_processor(family)
    plan = or_refused(lambda: p.plan(90, 120, num_frames=8).to_dict())
    return [plan, or_refused(lambda: p(CLIP, do_sample_frames=False))]


def formats() -> Any:
    return [dr.image_size(FILE.name), QWEN.plan(FILE.name).to_dict()]


CASES: dict[str, Callable[[], Any]] = {
    "array": lambda: QWEN(SMALL),
    "array of one": lambda: QWEN([SMALL]),
    "strided": lambda: QWEN(SMALL[::-1, ::2]),
    "batch": lambda: QWEN([noise(60 + 3 * i, 90, 3) for i in range(40)]),
    "threads": lambda: QWEN([SMALL, TALL], num_threads=3),
    "bfloat16": lambda: QWEN(SMALL, dtype="bfloat16", temporal="compact"),
    "collect": collected,
    "out": lambda: QWEN(SMALL, out=OUT),
    "nested": lambda: CANVASES([[SMALL], [SMALL, SMALL[::2]]]),
    "pillow": lambda: QWEN(PICTURE),
    "pillow of several blocks": lambda: QWEN(BLOCKS),
    "palette": lambda: QWEN(PALETTE),
    "png": lambda: QWEN(PNG),
    "jpeg": lambda: QWEN(JPEG),
    "jpeg of several scans": lambda: QWEN(PROGRESSIVE),
    "jpeg that is turned": lambda: QWEN(TURNED),
    "jpeg by two threads": lambda: QWEN(LARGE, num_threads=2),
    "opened jpeg": lambda: QWEN(Image.open(io.BytesIO(JPEG))),
    "headers": formats,
    "video": lambda: QWEN(videos=FRAMES),
    "video frames": lambda: QWEN.video(iter(FRAMES), return_metadata=False),
    "internvl": lambda: TILES(SMALL),
    "internvl of many tiles": lambda: MANY(SMALL),
    "deepseek-vl2": lambda: CANVASES(SMALL),
    "deepseek-vl hybrid": lambda: HYBRID(SMALL),
    "scalar passes": lambda: [QWEN(TALL, resample=name) for name in ("bilinear", "lanczos")],
    "tall": lambda: dr.resize(TALL, (20, 30), "lanczos", "pillow-13"),
    "thin": lambda: dr.resize(THIN, (30, 9), "lanczos", "torchvision"),
    "plans": plans,
    "token boxes": lambda: [PLAN.token_boxes(), VIDEO.token_boxes()],
    "token kinds": lambda: CANVASES.plan(900, 900).token_kinds(),
    "num_tokens": lambda: QWEN.num_tokens(SIZES),
    "num_tokens of tiles": lambda: MANY.num_tokens(SIZES[:500]),
    "num_tokens of canvases": lambda: CANVASES.num_tokens(SIZES[:500], num_images=2),
    "fit pixels": lambda: QWEN.fit(SIZES[:2000], tokens_per_image=60).to_dict(),
    "fit tiles": lambda: TILES.fit(SIZES[:500], total_tokens=3000).to_dict(),
    "fit canvases": lambda: CANVASES.fit(SIZES[:500], quantile=(0.9, 700)).to_dict(),
    "pack": lambda: dr.pack(LENGTHS, 2048),
    "unpack float32": lambda: unpacked("float32"),
    "unpack float16": lambda: unpacked("float16"),
    "unpack uint8": lambda: unpacked("uint8"),
    "unpack tiles": lambda: dr.unpack(TILE_BATCH, TILE_PLAN),
    "resize": lambda: dr.resize(SMALL, (77, 99)),
    "resize out": lambda: dr.resize(SMALL, (77, 99), out=np.empty((77, 99, 3), np.uint8)),
    "patchify": lambda: dr.patchify(READY),
    "tile": lambda: dr.tile(READY, tile_size=56),
    "canvas": lambda: dr.best_canvas(600, 800, [(384 * r, 384) for r in range(1, 65)]),
    "grid": lambda: dr.closest_aspect_grid(600, 800, max_tiles=300),
    "sizes": lambda: [dr.smart_resize(600, 800), dr.smart_resize_video(8, 600, 800)],
    "constructors": lambda: [repr(dr.Processor(name)) for name in dr.families()],
    "configs": lambda: dr.Processor.from_config(CONFIG, video={"fps": 2.0}).to_dict(),
    "copies": copies,
    "frames": lambda: [
        dr.sample_indices(3000, 25.0, fps=2.0),
        dr.format_timestamps(dr.timestamps(range(0, 900, 5), 25.0)),
    ],
    "multimodal": lambda: repr(
        QWEN.get_num_multimodal_tokens(image_sizes=[(600, 800)] * 30, video_sizes=[(8, 600, 800)])
    ),
    "facts": lambda: [
        dr.simd(),
        dr.keep_memory(1 << 27),
        dr.fold_patch_embedding(np.ones((64, 1176), np.float32)),
    ],
}
CASES |= {f"family {name}": functools.partial(of_family, name) for name in dr.families()}
CASES |= {f"counts of {name}": functools.partial(counts_of_family, name) for name in dr.families()}
CASES |= {f"videos of {name}": functools.partial(of_videos, name) for name in VIDEOS}
