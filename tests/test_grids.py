"""Families of patches by rules of their own, beside transformers' own code.

`tests/test_families.py` has the recorded cases; here upstream runs on random ones.
"""

from __future__ import annotations

import importlib
import random
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest

pytestmark = pytest.mark.torch

#: Family, its module upstream, its class, and whether upstream has it on Pillow too.
CLASSES = [
    ("siglip2", "siglip2", "Siglip2ImageProcessor", True),
    ("gemma4", "gemma4", "Gemma4ImageProcessor", True),
    ("gemma4-unified", "gemma4_unified", "Gemma4UnifiedImageProcessor", False),
    ("kimi-k25", "kimi_k25", "Kimi_K25ImageProcessor", False),
    ("neomme", "neomme", "NeoMMEImageProcessor", False),
    ("muse-glimmer", "muse_glimmer", "MuseGlimmerImageProcessor", False),
    ("glm5-next", "glm5_next", "Glm5NextImageProcessor", True),
    ("glm-image", "glm_image", "GlmImageImageProcessor", True),
    ("lfm2-vl", "lfm2_vl", "Lfm2VlImageProcessor", False),
    ("inkling", "inkling", "InklingImageProcessor", False),
    ("inkling2", "inkling2", "Inkling2ImageProcessor", False),
    ("nemotron-h-omni", "nemotron_h_omni", "NemotronH_Omni_Reasoning_V3ImageProcessor", False),
    ("pix2struct", "pix2struct", "Pix2StructImageProcessor", True),
    ("kosmos2-5", "kosmos2_5", "Kosmos2_5ImageProcessor", True),
    ("molmo2", "molmo2", "Molmo2ImageProcessor", False),
]

#: Options beside the defaults, small enough to be quick: each is a processor of its own.
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "siglip2": [{"max_num_patches": 64}, {"patch_size": 14, "resample": 3}],
    "gemma4": [{"max_soft_tokens": 70, "do_normalize": True}],
    "gemma4-unified": [{"max_soft_tokens": 70, "pooling_kernel_size": 2}],
    "kimi-k25": [{"max_patches": 100}, {"size": {"max_height": 12, "max_width": 12}}],
    "neomme": [
        {"max_side": 100},
        {"size": {"min_pixels": 9000, "max_pixels": 20000}, "max_side": 300, "patch_size": 16},
    ],
    "muse-glimmer": [{"max_image_tokens": 20}],
    "glm5-next": [{"max_image_tokens": 40}, {"patch_expand_factor": 2, "min_image_tokens": 9}],
    "glm-image": [{"size": {"shortest_edge": 12544, "longest_edge": 90000}}],
    "lfm2-vl": [
        {"max_image_tokens": 64, "min_image_tokens": 16, "tile_size": 128, "max_tiles": 6},
        {"max_image_tokens": 64, "tile_size": 128, "return_row_col_info": True},
        {"max_image_tokens": 64, "tile_size": 128, "use_thumbnail": False, "min_tiles": 1},
    ],
    "inkling": [{"rescale_image_frac": 0.7}, {"rescale_image_frac": 3.0}],
    "inkling2": [{"size": {"height": 28, "width": 28}}],
    "nemotron-h-omni": [
        {"min_num_patches": 16, "max_num_patches": 200},
        {"min_num_patches": 8, "max_num_patches": 0, "max_model_len": 30},
    ],
    "molmo2": [
        {"max_crops": 3, "overlap_margins": [2, 3], "pooling_size": [3, 2], "resample": 3},
        {"max_crops": 6, "patch_size": 7, "size": {"height": 98, "width": 98}, "resample": 0},
    ],
    "pix2struct": [{"max_patches": 200}],
    "kosmos2-5": [{"max_patches": 200}, {"max_patches": 100, "do_normalize": False}],
}

CRASHED: dict[str, np.ndarray[Any, Any]] = {}

SWITCHES = [{}, {"do_normalize": False}, {"do_rescale": False, "do_normalize": False}]


def upstream(module: str, name: str, pillow: bool, options: dict[str, Any]) -> Any:
    file = f"image_processing_pil_{module}" if pillow else f"image_processing_{module}"
    found = importlib.import_module(f"transformers.models.{module}.{file}")
    return getattr(found, name + ("Pil" if pillow else ""))(**options)


def outcome(
    call: Callable[..., Any], images: Any, **arguments: Any
) -> dict[str, np.ndarray[Any, Any]] | None:
    """Arrays by key; None for an image that is refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = call(images, input_data_format="channels_last", **arguments)
        except (ValueError, ZeroDivisionError, RuntimeError) as error:
            # torch trips over its own assertion at a target of one pixel: no answer of upstream's.
            return CRASHED if "INTERNAL ASSERT" in str(error) else None
    return {key: np.asarray(value) for key, value in result.items()}


def compare(ours: Any, theirs: Any, where: str) -> None:
    if theirs is CRASHED:
        return
    assert (ours is None) == (theirs is None), f"{where}: refused by one alone"
    if ours is None:
        return
    assert set(ours) == set(theirs), where
    for key, want in theirs.items():
        found = ours[key]
        assert (found.shape, found.dtype) == (want.shape, want.dtype), f"{where}: {key}"
        assert found.tobytes() == want.tobytes(), f"{where}: {key}"


def sizes(rng: random.Random, most: int) -> tuple[int, int]:
    side = [round(most ** rng.random()) for _ in range(2)]
    if rng.random() < 0.3:
        side[1] = side[0]
    return side[0], side[1]


CASES = [
    pytest.param(*row[:3], pillow, id=f"{row[0]}-{'pillow' if pillow else 'torchvision'}")
    for row in CLASSES
    for pillow in ([False, True] if row[3] else [False])
]


@pytest.mark.parametrize(("family", "module", "name", "pillow"), CASES)
def test_random_images(
    one_thread: ModuleType, family: str, module: str, name: str, pillow: bool
) -> None:
    rng = random.Random(family)
    pixels = np.random.default_rng(len(family))
    for options in [{}, *OPTIONS[family]]:
        config = {**options, "image_processor_type": name}
        numerics = "pillow" if pillow else "torchvision"

        def ours(images: Any, config: Any = config, numerics: str = numerics, **call: Any) -> Any:
            # Options that are refused are so where they are given.
            return dr.Processor.from_config(config, numerics=numerics)(images, **call)

        theirs = upstream(module, name, pillow, options)
        for number in range(5 if options else 2):
            images = [
                pixels.integers(0, 256, (*sizes(rng, 400), 3), dtype=np.uint8)
                for _ in range(1 + number % 2)
            ]
            switches = rng.choice(SWITCHES)
            shapes = [image.shape[:2] for image in images]
            where = f"{family} {options} {switches} {shapes}"
            got = outcome(ours, images, **switches)
            want = outcome(theirs.preprocess, images, return_tensors="pt", **switches)
            compare(got, want, where)


#: Options with few patches, and the pixels that a side is a multiple of.
FEW = {
    "siglip2": ({"max_num_patches": 20}, 16),
    "gemma4": ({"max_soft_tokens": 70}, 48),
    "gemma4-unified": ({"max_soft_tokens": 70}, 48),
}


@pytest.mark.parametrize("family", FEW)
def test_images_beyond_the_limit_that_are_not_resized(one_thread: ModuleType, family: str) -> None:
    """Upstream fills up to the limit, cuts nothing off, and stacks what is equally long."""
    (module, name, both), (options, unit) = (
        next(row[1:] for row in CLASSES if row[0] == family), FEW[family]
    )  # fmt: skip
    pixels = np.random.default_rng(3)
    batches = [
        [(7, 9)],
        [(3, 2)],
        [(7, 9)] * 2,
        [(7, 12), (12, 7)],
        [(7, 9), (2, 3)],
        [(9, 8), (8, 8)],
    ]
    for pillow in (False, True) if both else (False,):
        config = {**options, "image_processor_type": name}
        ours = dr.Processor.from_config(config, numerics="pillow" if pillow else "torchvision")
        theirs = upstream(module, name, pillow, options)
        refused = 0
        for batch in batches:
            images = [
                pixels.integers(0, 256, (rows * unit * 2, columns * unit, 3), dtype=np.uint8)
                for rows, columns in batch
            ]
            got = outcome(ours, images, do_resize=False)
            want = outcome(theirs.preprocess, images, do_resize=False, return_tensors="pt")
            compare(got, want, f"{family} {batch}")
            refused += want is None
        assert refused == 2


def target(family: str, options: dict[str, Any]) -> Callable[[int, int], Any]:
    """Upstream's own arithmetic of sizes: what it resizes to, or pads to."""
    if family == "siglip2":
        from transformers.models.siglip2 import image_processing_siglip2 as siglip2

        return lambda h, w: siglip2.get_image_size_for_max_num_patches(
            h, w, options.get("patch_size", 16), options.get("max_num_patches", 256)
        )
    if family == "gemma4":
        from transformers.models.gemma4 import image_processing_gemma4 as gemma4

        most = 9 * options.get("max_soft_tokens", 280)
        return lambda h, w: gemma4.get_aspect_ratio_preserving_size(h, w, 16, most, 3)
    if family == "kimi-k25":
        from transformers.models.kimi_k25 import image_processing_kimi_k25 as kimi

        side = options.get("size", {"max_height": 512})["max_height"]
        most = options.get("max_patches", 16384)
        return lambda h, w: kimi.navit_resize(h, w, 14, 2, most, side)[1]
    if family == "neomme":
        from transformers.image_utils import SizeDict
        from transformers.models.neomme import image_processing_neomme as neomme

        area = SizeDict(**options["size"]) if "size" in options else None
        return lambda h, w: neomme.get_resize_output_size(h, w, options.get("max_side"), area)
    if family == "muse-glimmer":
        from transformers.models.muse_glimmer import image_processing_muse_glimmer as muse

        most = options.get("max_image_tokens", 4096)
        return lambda h, w: muse.smart_resize(h, w, 28, most)
    if family == "glm5-next":
        from transformers.models.glm5_next import image_processing_glm5_next as glm5

        least, most = options.get("min_image_tokens", 16), options.get("max_image_tokens", 8000)
        factor = 28 * options.get("patch_expand_factor", 1)
        return lambda h, w: glm5.smart_resize(2, h, w, 2, factor, least, most)
    if family == "glm-image":
        from transformers.models.glm_image import image_processing_glm_image as image

        area = options.get("size", {"shortest_edge": 3136, "longest_edge": 1003520})
        return lambda h, w: image.smart_resize(
            h, w, 28, area["shortest_edge"], area["longest_edge"]
        )
    from transformers.models.nemotron_h_omni import image_processing_nemotron_h_omni as nemotron

    least, most = options.get("min_num_patches", 1024), options.get("max_num_patches", 13312)
    if most == 0:
        most = max((options["max_model_len"] - 4) * 4, least)

    def grid(h: int, w: int) -> tuple[int, int]:
        rows, columns = nemotron.get_patch_grid_size(h, w, 16, 2, least, most)
        if not rows or not columns:
            raise ValueError("no patches")
        return rows * 16, columns * 16

    return grid


PADDED = {"kimi-k25", "glm5-next"}


@pytest.mark.parametrize(
    "family",
    [
        "siglip2",
        "gemma4",
        "kimi-k25",
        "neomme",
        "muse-glimmer",
        "glm5-next",
        "glm-image",
        "nemotron-h-omni",
    ],
)
def test_random_sizes(family: str) -> None:
    """Sizes alone, of which many are cheap: up to extreme ratios."""
    name = next(row[2] for row in CLASSES if row[0] == family)
    rng = random.Random(family)
    for options in [{}, *OPTIONS[family]]:
        processor = dr.Processor.from_config({**options, "image_processor_type": name})
        wanted = target(family, options)
        for _ in range(1500):
            height, width = sizes(rng, 9000)
            where = f"{family} {options} {height} x {width}"
            try:
                want = wanted(height, width)
            except (ValueError, ZeroDivisionError):
                with pytest.raises(ValueError):
                    processor.plan(height, width)
                continue
            plan = processor.plan(height, width)
            found = plan.views[-1].canvas if family in PADDED else plan.resized
            assert tuple(found) == tuple(want), where


def test_alpha_on_a_checkerboard() -> None:
    from PIL import Image

    pixels = np.random.default_rng(5).integers(0, 256, (37, 53, 4), dtype=np.uint8)
    ours = dr.Processor("inkling2", numerics="torchvision")
    theirs = upstream("inkling2", "Inkling2ImageProcessor", False, {})
    keyed = Image.fromarray(pixels[:, :, 0])
    keyed.info["transparency"] = 7
    for image in (pixels, Image.fromarray(pixels), Image.fromarray(pixels).convert("LA"), keyed):
        got, want = ours(image), theirs.preprocess([image], return_tensors="pt")
        compare(dict(got), {key: value.numpy() for key, value in want.items()}, str(type(image)))
