"""Bit-exact, fast image preprocessing for vision-language models of dynamic resolution.

    import dynres_rs as dr

    processor = dr.Processor("qwen2-vl", max_pixels=1_003_520)
    batch = processor(images)  # pixel_values, image_grid_thw: upstream's own bits

Sizes are (height, width) in pixels, images are (H, W, 3) uint8. Importing this imports neither
torch nor transformers, nor Pillow's codecs, and starts no thread.
"""

from __future__ import annotations

from ._dynres_rs import (
    ImageTooLargeError,
    InternalError,
    Plan,
    View,
    __version__,
    families,
    simd,
)
from .functional import (
    Grid,
    best_canvas,
    closest_aspect_grid,
    fold_patch_embedding,
    patchify,
    resize,
    smart_resize,
    smart_resize_video,
    tile,
)
from .headers import image_size
from .memory import keep_memory
from .planning import Packing, pack
from .processor import Processor
from .unpacking import unpack
from .verify import verify
from .video import VideoMetadata, VideoProcessor
from .video.sampling import format_timestamps, sample_indices, timestamps
from .zero_copy import enable_zero_copy

__all__ = [
    "Grid",
    "ImageTooLargeError",
    "InternalError",
    "Packing",
    "Plan",
    "Processor",
    "VideoMetadata",
    "VideoProcessor",
    "View",
    "__version__",
    "best_canvas",
    "closest_aspect_grid",
    "enable_zero_copy",
    "families",
    "fold_patch_embedding",
    "format_timestamps",
    "image_size",
    "keep_memory",
    "pack",
    "patchify",
    "resize",
    "sample_indices",
    "simd",
    "smart_resize",
    "smart_resize_video",
    "tile",
    "timestamps",
    "unpack",
    "verify",
]
