"""The competitors: each a function from the same pixels to its answer.

A competitor that is not installed is left out. Upstream rules without a library of their own
(InternVL, DeepSeek-VL2) are restated here as the plain Pillow and numpy steps that they are.
"""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True)
class Peer:
    """A competitor in one case."""

    name: str
    run: Callable[[], Any]
    #: What its answer is where it is not meant to be the case's: other numbers, another type.
    other: str | None = None
    #: Whose numbers it is meant to give: the oracle that its answer is compared with.
    numbers: str = "pillow"
    #: How it was set up where that is not as it comes: what its own manual says is fastest on one
    #: thread, with the same input and output.
    setting: str = ""


def version(package: str) -> str | None:
    """The installed version of a package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def normalise(tiles: list[Image.Image], mean: Any, std: Any) -> np.ndarray:
    """ToTensor and Normalize in numpy, in the same order of operations."""
    mean32, std32 = (np.asarray(v, np.float32).reshape(3, 1, 1) for v in (mean, std))
    out = np.empty((len(tiles), 3, tiles[0].height, tiles[0].width), np.float32)
    for target, tile in zip(out, tiles, strict=True):
        scaled = np.asarray(tile).transpose(2, 0, 1).astype(np.float32) / np.float32(255)
        np.divide(scaled - mean32, std32, out=target)
    return out


def internvl(image: Image.Image, tile: int = 448, most: int = 12) -> np.ndarray:
    """InternVL's own steps: the closest grid, one resize, crops, a thumbnail, normalise."""
    ratios = sorted(
        {(c, r) for c in range(1, most + 1) for r in range(1, most + 1) if c * r <= most},
        key=lambda ratio: ratio[0] * ratio[1],
    )
    aspect, area = image.width / image.height, image.width * image.height
    best, difference = (1, 1), math.inf
    for columns, rows in ratios:
        off = abs(aspect - columns / rows)
        if off < difference or (off == difference and area > 0.5 * tile * tile * columns * rows):
            best, difference = (columns, rows), off
    columns, rows = best
    large = image.resize((tile * columns, tile * rows))
    tiles = [
        large.crop((x * tile, y * tile, (x + 1) * tile, (y + 1) * tile))
        for y in range(rows)
        for x in range(columns)
    ]
    if len(tiles) > 1:
        tiles.append(image.resize((tile, tile)))
    return normalise(tiles, *IMAGENET)


def deepseek_vl2(image: Image.Image, candidates: list[tuple[int, int]]) -> np.ndarray:
    """DeepSeek-VL2's own steps: the best canvas, two paddings, crops, normalise."""
    side = candidates[0][0]
    best, most, least = candidates[0], -1, math.inf
    for width, height in candidates:
        scale = min(width / image.width, height / image.height)
        kept = int(image.width * scale) * int(image.height * scale)
        kept = min(kept, image.width * image.height)
        wasted = width * height - kept
        if kept > most or (kept == most and wasted < least):
            best, most, least = (width, height), kept, wasted
    colour = (127, 127, 127)
    local = ImageOps.pad(image, best, color=colour)
    tiles = [ImageOps.pad(image, (side, side), color=colour)]
    for y in range(0, best[1], side):
        tiles += [local.crop((x, y, x + side, y + side)) for x in range(0, best[0], side)]
    return normalise(tiles, *HALF)


def kimi_vl(image: Image.Image, patch: int = 14, most: int = 4096) -> np.ndarray:
    """Kimi-VL's own steps: into a number of patches, black up to whole tokens, in raster."""
    patches = (image.width // patch) * (image.height // patch)
    if patches > most:
        scale = math.sqrt(most / patches)
        size = (int(image.width * scale), int(image.height * scale))
        image = image.resize(size, Image.Resampling.BICUBIC)
    width, height = (-(-side // (2 * patch)) * 2 * patch for side in image.size)
    page = Image.new("RGB", (width, height))
    page.paste(image)
    values = normalise([page], *HALF)[0]
    grid = values.reshape(3, height // patch, patch, width // patch, patch)
    return np.ascontiguousarray(grid.transpose(1, 3, 0, 2, 4)).reshape(-1, 3, patch, patch)


def resizers(image: Image.Image, size: tuple[int, int]) -> list[Peer]:
    """Libraries that resize an RGB image of bytes to `size` (width, height), bicubic."""
    array = np.asarray(image)
    peers = [
        Peer(
            f"Pillow {version('pillow')}",
            lambda: image.resize(size, Image.Resampling.BICUBIC),
        )
    ]
    if version("cykooz-resizer"):
        from cykooz_resizer import (  # type: ignore[import-not-found]
            FilterType,
            ImageData,
            PixelType,
            ResizeAlg,
            ResizeOptions,
            Resizer,
        )

        resizer = Resizer()
        options = ResizeOptions(ResizeAlg.convolution(FilterType.catmull_rom))
        source = ImageData(image.width, image.height, PixelType.U8x3, array.tobytes())

        def cykooz() -> np.ndarray:
            target = ImageData(size[0], size[1], PixelType.U8x3)
            resizer.resize(source, target, options)
            return np.frombuffer(target.get_buffer(), np.uint8).reshape(size[1], size[0], 3)

        name = f"cykooz-resizer {version('cykooz-resizer')}"
        peers.append(Peer(name, cykooz, setting="one Resizer kept, the source converted before"))
    if version("opencv-python-headless") or version("opencv-python"):
        import cv2  # type: ignore[import-not-found]

        cv2.setNumThreads(1)
        peers.append(
            Peer(
                f"OpenCV {cv2.__version__} INTER_CUBIC",
                lambda: cv2.resize(array, size, interpolation=cv2.INTER_CUBIC),
                setting="setNumThreads(1)",
            )
        )
    if version("torchvision"):
        import torch  # type: ignore[import-not-found]
        from torchvision.transforms.v2 import functional as F  # type: ignore[import-not-found]

        torch.set_num_threads(1)
        tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
        mode = F.InterpolationMode.BICUBIC
        peers.append(
            Peer(
                f"torchvision {version('torchvision')}",
                lambda: (
                    F.resize(tensor, [size[1], size[0]], mode, antialias=True)
                    .permute(1, 2, 0)
                    .numpy()
                ),
                numbers="torchvision",
                setting="set_num_threads(1), a channels-last tensor",
            )
        )
    return peers


def qwen_processors(image: Image.Image, max_pixels: int) -> list[Peer]:
    """Libraries that turn an image into Qwen2-VL's patches."""
    size = {"shortest_edge": 3136, "longest_edge": max_pixels}
    peers = []
    if version("transformers"):
        if version("torchvision"):
            import torch
            from transformers.models.qwen2_vl.image_processing_qwen2_vl import (
                Qwen2VLImageProcessor,
            )

            torch.set_num_threads(1)
            fast = Qwen2VLImageProcessor(size=size)
            name = f"transformers {version('transformers')}, its default (torchvision)"
            peers.append(
                Peer(
                    name,
                    lambda: fast(image, return_tensors="pt")["pixel_values"].numpy(),
                    numbers="torchvision",
                    setting="set_num_threads(1)",
                )
            )
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import (
            Qwen2VLImageProcessorPil,
        )

        pil = Qwen2VLImageProcessorPil(size=size)
        name = f"transformers {version('transformers')}, PIL backend"
        peers.append(Peer(name, lambda: pil(image, return_tensors="np")["pixel_values"]))
    if version("hf-processors-rs"):
        from hf_processors_rs import AutoImageProcessor  # type: ignore[import-not-found]

        config = {
            "image_processor_type": "Qwen2VLImageProcessor",
            "min_pixels": 3136,
            "max_pixels": max_pixels,
            "size": size,
            "patch_size": 14,
            "merge_size": 2,
            "temporal_patch_size": 2,
            "do_resize": True,
            "do_rescale": True,
            "do_normalize": True,
            "do_convert_rgb": True,
            "resample": 3,
            "rescale_factor": 1 / 255,
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711],
        }
        for backend in ("torchvision", "pil"):
            rival = AutoImageProcessor.from_dict(config, backend=backend)
            name = f"hf-processors-rs {version('hf-processors-rs')} {backend}"
            peers.append(
                Peer(
                    name,
                    lambda rival=rival: rival(image, return_tensors="np", num_threads=1)[
                        "pixel_values"
                    ],
                    numbers="torchvision" if backend == "torchvision" else "pillow",
                    setting="num_threads=1",
                )
            )
    return peers
