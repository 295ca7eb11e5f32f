"""vLLM's own copies of models' preprocessing, one row each.

The rules that choose a grid or a canvas are called where they are, in vLLM's module, so a release
that changes one is followed. What is restated here is only the order of the steps around them. A
new model of these kinds is one row.
"""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

from .. import cutting
from .._pil import resize
from ..cutting import Cut, Norm
from ..patching import Aside, Row, Upstream
from ..text import Tokens, deepseek_norm, deepseek_settings, deepseek_small, deepseek_views
from ._auto import wanted_dtype

__all__ = ["ROWS"]

_PATH: Final = "vllm.transformers_utils.processors."
_BARE: Final = Norm(None, None)


@functools.lru_cache(maxsize=128)
def _ratios(
    function: Callable[..., list[tuple[int, int]]], least: int, most: int, prior: Any = ...
) -> list[tuple[int, int]]:
    """The grids that a copy considers; its function takes milliseconds for many tiles."""
    if prior is ...:
        return function(least, most)
    return function(least, most, prior_aspect_ratio=prior)


def _closest(
    module: Any, image: Any, ratios: Sequence[tuple[int, int]], side: int
) -> tuple[int, int]:
    width, height = image.size
    grid: tuple[int, int] = module.find_closest_aspect_ratio(
        width / height, ratios, width=width, height=height, image_size=side
    )
    return grid


def _limits(
    self: Any, least: int | None, most: int | None, dynamic: bool | None
) -> tuple[int, int]:
    """Fewest and most tiles, the thumbnail not counted."""
    limits: tuple[int, int] = self.resolve_min_max_num(
        min_dynamic_patch=least,
        max_dynamic_patch=most,
        dynamic_image_size=dynamic,
        use_thumbnail=False,
    )
    return limits


def _internvl(
    upstream: Upstream,
    self: Any,
    images: list[Any],
    min_dynamic_patch: int | None = None,
    max_dynamic_patch: int | None = None,
    dynamic_image_size: bool | None = None,
) -> list[Any]:
    module: Any = upstream.module
    cutting.rgb_only(images)
    least, most = _limits(self, min_dynamic_patch, max_dynamic_patch, dynamic_image_size)
    ratios = _ratios(module.get_internvl_target_ratios, least, most)
    side = self.image_size
    cuts = [
        cutting.cut(image, _closest(module, image, ratios, side), self.use_thumbnail)
        for image in images
    ]
    norm = Norm(module.IMAGENET_MEAN, module.IMAGENET_STD)
    return cutting.squares(cuts, side, norm, wanted_dtype())


def _h2ovl(
    upstream: Upstream,
    self: Any,
    images: list[Any],
    min_dynamic_patch: int | None = None,
    max_dynamic_patch: int | None = None,
    dynamic_image_size: bool | None = None,
) -> list[Any]:
    module: Any = upstream.module
    cutting.rgb_only(images)
    least, most = _limits(self, min_dynamic_patch, max_dynamic_patch, dynamic_image_size)
    side = self.image_size
    ratios = functools.partial(_ratios, module.get_h2ovl_target_ratios)
    if self.use_msac and len(images) == 1:
        # Two scales: a finer grid with no side in common first, then the usual one, then the whole.
        (image,) = images
        usual = _closest(module, image, ratios(1, most, None), side)
        finer = _closest(module, image, ratios(3, most, usual), side)
        grids = tuple(grid for grid in (finer, usual) if grid != (1, 1))
        cuts = [Cut(image, (*grids, (1, 1)))]
    else:
        cuts = [
            cutting.cut(
                image, _closest(module, image, ratios(least, most, None), side), self.use_thumbnail
            )
            for image in images
        ]
    shared = importlib.import_module(_PATH + "internvl")
    norm = Norm(shared.IMAGENET_MEAN, shared.IMAGENET_STD)
    return cutting.squares(cuts, side, norm, wanted_dtype())


def _nemotron(norm_of: Callable[[Any, Any], tuple[Norm, str]]) -> Callable[..., list[Any]]:
    def run(
        upstream: Upstream,
        self: Any,
        images: list[Any],
        min_dynamic_patch: int | None = None,
        max_dynamic_patch: int | None = None,
        dynamic_image_size: bool | None = None,
    ) -> list[Any]:
        module: Any = upstream.module
        cutting.rgb_only(images)
        least, most = _limits(self, min_dynamic_patch, max_dynamic_patch, dynamic_image_size)
        ratios = _ratios(module.get_nemotron_vl_target_ratios, least, most)
        side = self.image_size
        cuts = [
            cutting.cut(image, _closest(module, image, ratios, side), self.use_thumbnail)
            for image in images
        ]
        norm, dtype = norm_of(module, self)
        return cutting.squares(cuts, side, norm, dtype)

    return run


def _embed_norm(module: Any, self: Any) -> tuple[Norm, str]:
    """Bytes where the model normalises on its device."""
    if not self.normalize_on_cpu:
        return _BARE, "uint8"
    return Norm(module.SIGLIP_MEAN, module.SIGLIP_STD), wanted_dtype()


def _tile_settings(_: Upstream, self: Any, *args: Any, **kwargs: Any) -> Any:
    more = (getattr(self, "use_msac", None), getattr(self, "normalize_on_cpu", None))
    return self.image_size, self.use_thumbnail, *more, wanted_dtype()


def _tile_small(_: Upstream, self: Any, *args: Any, **kwargs: Any) -> Any:
    return (self, [cutting.small_image()]), {"min_dynamic_patch": 1, "max_dynamic_patch": 3}


def _call_images(
    upstream: Upstream,
    self: Any,
    images: Any,
    *,
    min_dynamic_patch: int | None = None,
    max_dynamic_patch: int | None = None,
    dynamic_image_size: bool | None = None,
    return_tensors: Any = None,
    **kwargs: Any,
) -> Any:
    """The call around `_images_to_pixel_values_lst`, without its copy of all tiles."""
    module: Any = upstream.module
    tiles = self._images_to_pixel_values_lst(
        images if isinstance(images, list) else [images],
        min_dynamic_patch=min_dynamic_patch,
        max_dynamic_patch=max_dynamic_patch,
        dynamic_image_size=dynamic_image_size,
    )
    data = {
        "pixel_values_flat": cutting.joined(tiles),
        "image_num_patches": module.torch.tensor([len(each) for each in tiles]),
    }
    return module.BatchFeature(data, tensor_type=return_tensors)


def _call_settings(_: Upstream, self: Any, *args: Any, **kwargs: Any) -> Any:
    return type(self), self.image_size, wanted_dtype()


def _call_images_small(_: Upstream, self: Any, *args: Any, **kwargs: Any) -> Any:
    named = {"min_dynamic_patch": 1, "max_dynamic_patch": 2, "return_tensors": "pt"}
    return (self, [cutting.small_image(), cutting.small_image(40, 60)]), named


def _internvl_video(upstream: Upstream, self: Any, videos: list[Any]) -> list[Any]:
    module: Any = upstream.module
    for video in videos:
        if getattr(video, "dtype", None) != "uint8" or video.ndim != 4 or video.shape[-1] != 3:
            raise Aside("a video that is not (frames, height, width, 3) uint8")
    norm = Norm(module.IMAGENET_MEAN, module.IMAGENET_STD)
    frames = [Cut(frame, ((1, 1),)) for video in videos for frame in video]
    tiles = cutting.squares(frames, self.image_size, norm, wanted_dtype())
    whole = cutting.joined(tiles)
    return list(whole.split([len(video) for video in videos]))


def _video_small(_: Upstream, self: Any, *args: Any, **kwargs: Any) -> Any:
    return (self, [_small_video(), _small_video()[:1]]), {}


def _small_video() -> Any:
    import numpy as np

    return np.stack([np.asarray(cutting.small_image()), np.asarray(cutting.small_image())[::-1]])


def _call_videos(
    upstream: Upstream, self: Any, videos: Any, *, return_tensors: Any = None, **kwargs: Any
) -> Any:
    module: Any = upstream.module
    frames = self._videos_to_pixel_values_lst(videos if isinstance(videos, list) else [videos])
    data = {
        "pixel_values_flat_video": cutting.joined(frames),
        "video_num_patches": module.torch.tensor([len(each) for each in frames]),
    }
    return module.BatchFeature(data, tensor_type=return_tensors)


def _call_videos_small(_: Upstream, self: Any, *args: Any, **kwargs: Any) -> Any:
    return (self, [_small_video()]), {"return_tensors": "pt"}


def _deepseek_vl2(
    upstream: Upstream,
    self: Any,
    conversation: str,
    images: list[Any],
    bos: bool = True,
    eos: bool = True,
    cropping: bool = True,
) -> tuple[list[int], list[Any], list[bool], list[list[int]], list[int]]:
    tokens = Tokens(self, conversation, images)
    views = deepseek_views(self, tokens, images, cropping, wanted_dtype())
    tokens.close(bos, eos)
    return tokens.ids, list(views), tokens.mask, tokens.crops, tokens.counts


def _deepseek_vl2_call(
    upstream: Upstream,
    self: Any,
    prompt: str,
    images: list[Any],
    inference_mode: bool = True,
    **kwargs: Any,
) -> Any:
    """The call around `tokenize_with_images`, without its copy of all views."""
    module: Any = upstream.module
    torch = module.torch
    if prompt is None or images is None:
        raise Aside("no prompt, or no images")
    tokens = Tokens(self, prompt, images)
    views = deepseek_views(self, tokens, images, len(images) <= 2, wanted_dtype())
    tokens.close(True, True)
    ids = torch.tensor(tokens.ids, dtype=torch.int64)
    mask = torch.tensor(tokens.mask, dtype=torch.bool)
    ids[ids < 0] = self.pad_id
    if inference_mode:  # the end token goes again
        ids, mask = ids[:-1], mask[:-1]
    data = {
        "input_ids": ids.unsqueeze(0),
        "pixel_values": views,
        "images_seq_mask": mask,
        "images_spatial_crop": torch.tensor(tokens.crops, dtype=torch.long),
        "num_image_tokens": tokens.counts,
    }
    return module.BatchFeature(data=data, tensor_type="pt")


def _deepseek_settings(upstream: Upstream, *args: Any, **kwargs: Any) -> Any:
    return deepseek_settings(upstream, *args, **kwargs), wanted_dtype()


def _deepseek_ocr(
    upstream: Upstream,
    self: Any,
    conversation: str,
    images: list[Any],
    bos: bool = True,
    eos: bool = True,
    cropping: bool = True,
) -> tuple[Any, ...]:
    module: Any = upstream.module
    torch = module.torch
    tokens = Tokens(self, conversation, images)
    cutting.rgb_only(images)
    if not images:
        raise Aside("no images")
    if not eos:
        raise Aside("a text without its end token")
    side, base = self.image_size, self.base_size
    norm, dtype = deepseek_norm(self), wanted_dtype()
    color = [int(value * 255) for value in self.image_transform.mean]
    wholes, crops, cuts, grids = [], [], [], []
    for image in images:
        grid = (1, 1)
        if cropping and max(image.size) > side:
            ratios = _ratios(module.calculate_aspect_ratios, module.MIN_CROPS, self.max_crops)
            width, height = image.size
            grid = module.find_closest_aspect_ratio(width / height, ratios, width, height, side)
        if grid != (1, 1):
            cuts.append(Cut(image, (grid,)))
        grids.append(list(grid))
        shown = image if cropping else resize(image, (side, side))
        wholes.append(cutting.padded(shown, base, color, norm, dtype))
    tokens.add(grids, lambda columns, rows: _ocr_tokens(self, columns, rows))
    tokens.close(bos, eos)
    if cuts:
        crops = cutting.joined(cutting.squares(cuts, side, norm, dtype))
    else:
        crops = torch.zeros((0, 3, side, side))
    # The end token goes again; no id of a text is below zero but by a tokenizer without padding.
    ids = torch.tensor(tokens.ids[:-1], dtype=torch.int64)
    if min(tokens.ids) < 0:
        raise Aside("token ids below zero")
    return (
        ids.unsqueeze(0),
        cutting.joined(wholes),
        crops,
        torch.tensor(tokens.mask[:-1], dtype=torch.bool),
        torch.tensor(grids, dtype=torch.long),
        tokens.counts,
        [image.size for image in images],
    )


def _ocr_tokens(self: Any, columns: int, rows: int) -> int:
    """Tokens of the whole, a separator, and those of the tiles: a newline a row in the first
    release, none in the second."""
    newline = 1 if self.strategy == "v1" else 0
    local, whole = (
        math.ceil((size // self.patch_size) / self.downsample_ratio)
        for size in (self.image_size, self.base_size)
    )
    count: int = whole * (whole + newline) + 1
    if columns > 1 or rows > 1:
        count += rows * local * (columns * local + newline)
    return count


def _ocr_small(_: Upstream, self: Any, *args: Any, **kwargs: Any) -> Any:
    text = f"a{self.image_token}b{self.image_token}"
    images = [cutting.small_image(self.image_size + 20, 60), cutting.small_image(40, 60)]
    return (self, text, images), {}


def _kimi_resize(upstream: Upstream, image: Any, new_width: int, new_height: int) -> Any:
    cutting.rgb_only([image])
    import numpy as np

    return np.asarray(resize(image, (new_width, new_height)))


def _kimi_small(*_: Any, **__: Any) -> Any:
    return (cutting.small_image(), 61, 39), {}


def _kimi(
    upstream: Upstream,
    self: Any,
    medias: Any,
    return_tensors: Any = None,
    do_rescale: bool = True,
    do_normalize: bool = True,
) -> Any:
    module: Any = upstream.module
    torch = module.torch
    if not isinstance(medias, list) or not medias or do_rescale is not do_normalize:
        raise Aside("a call without media, or with one of its two steps")
    config = self.media_proc_cfg
    limits: list[int] = []
    frames: list[Any] = []
    resizes: list[tuple[tuple[int, int], tuple[int, int]]] = []
    grids: list[list[int]] = []
    for item in map(module._ensure_media_type, medias):
        each = item["video_chunk"] if item["type"] == "video_chunk" else [item["image"]]
        cutting.rgb_only(each)
        found = self.get_resize_config(item)
        size = found["new_height"], found["new_width"]
        canvas = size[0] + found["pad_height"], size[1] + found["pad_width"]
        grids.append([len(each), *(side // config["patch_size"] for side in canvas)])
        frames += each
        limits += [_kimi_limit(config, item["type"], len(each))] * len(each)
        resizes += [(size, canvas)] * len(each)
    dtype = wanted_dtype() if do_normalize else "uint8"
    processors = [
        cutting.limited_processor(
            config["patch_size"],
            config["merge_kernel_size"],
            limit,
            config["patch_limit_on_one_side"],
            Norm(tuple(config["image_mean"]), tuple(config["image_std"]))
            if do_normalize
            else _BARE,
        )
        for limit in limits
    ]
    pixels = cutting.padded_patches(frames, resizes, processors, config["patch_size"], dtype)
    data = {"pixel_values": pixels, "grid_thws": torch.tensor(grids, dtype=torch.int64)}
    return module.BatchFeature(data=data, tensor_type=return_tensors)


def _kimi_limit(config: Any, kind: str, frames: int) -> int:
    """The most patches of a frame, for the first guess; the copy's own rule has the last word."""
    limit = config["in_patch_limit"]
    if kind == "video_chunk":
        limit = config["in_patch_limit_each_frame"] or limit
        if (total := config["in_patch_limit_video"]) is not None:
            limit = min(round(total / frames), limit)
    return int(limit)


def _kimi_settings(
    _: Upstream,
    self: Any,
    medias: Any,
    return_tensors: Any = None,
    do_rescale: bool = True,
    do_normalize: bool = True,
) -> Any:
    return repr(sorted(self.media_proc_cfg.items())), do_rescale, do_normalize, wanted_dtype()


def _kimi_images(
    _: Upstream,
    self: Any,
    medias: Any,
    return_tensors: Any = None,
    do_rescale: bool = True,
    do_normalize: bool = True,
) -> Any:
    medias = [
        {"type": "image", "image": cutting.small_image()},
        {"type": "video_chunk", "video_chunk": [cutting.small_image(40, 60)] * 2},
    ]
    steps = {"do_rescale": do_rescale, "do_normalize": do_normalize}
    return (self, medias), {"return_tensors": "pt", **steps}


def _minimax(upstream: Upstream, self: Any, images: list[Any], **options: Any) -> Any:
    module: Any = upstream.module
    torch = module.torch
    if not options["do_resize"] or bool(options["do_rescale"]) != bool(options["do_normalize"]):
        raise Aside("a call without one of its steps")
    if str(options["resample"]).rpartition(".")[2].lower() not in ("3", "bicubic"):
        raise Aside("another filter than bicubic")
    for image in images:
        if image.dtype != torch.uint8 or image.ndim != 3 or len(image) != 3 or not image.is_cpu:
            raise Aside("an image that is not (3, height, width) uint8 on the CPU")
    dtype = wanted_dtype() if options["do_rescale"] else "uint8"
    patches, grid = cutting.patches(
        [image.permute(1, 2, 0).numpy() for image in images],
        lambda height, width: module.smart_resize(
            height,
            width,
            factor=options["patch_size"] * options["merge_size"],
            max_pixels=options["max_pixels"],
            max_long_side_pixel=options["max_long_side_pixel"],
            min_short_side_pixel=self.min_short_side_pixel,
            max_total_pixels=self.max_total_pixels,
        ),
        cutting.patch_processor(
            options["max_pixels"],
            options["patch_size"],
            options["merge_size"],
            options["temporal_patch_size"],
            tuple(options["image_mean"]),
            tuple(options["image_std"]),
            options["rescale_factor"],
        ),
        dtype,
    )
    data = {"pixel_values": patches, "image_grid_thw": torch.tensor(grid, dtype=torch.long)}
    return module.BatchFeature(data=data, tensor_type=options["return_tensors"])


def _minimax_settings(_: Upstream, self: Any, images: Any, **options: Any) -> Any:
    numbers = ("image_mean", "image_std")
    names = ("do_rescale", "do_normalize", "rescale_factor", "max_pixels", "max_long_side_pixel")
    sizes = ("patch_size", "merge_size", "temporal_patch_size")
    return (
        *(tuple(options[name]) for name in numbers),
        *(options[name] for name in (*names, *sizes)),
        wanted_dtype(),
    )


def _minimax_small(upstream: Upstream, self: Any, images: Any, **options: Any) -> Any:
    import numpy as np

    tensor = upstream.module.torch.from_numpy
    images = [cutting.small_image(), cutting.small_image(40, 60)]
    return (self, [tensor(np.array(each)).permute(2, 0, 1) for each in images]), options


_TILES: Final = (
    "self, images, min_dynamic_patch=None, max_dynamic_patch=None, dynamic_image_size=None"
)
_TEXT: Final = "self, conversation, images, bos=True, eos=True, cropping=True"


def _tiles(name: str, module: str, owner: str, run: Callable[..., list[Any]]) -> Row:
    attribute = owner + "._images_to_pixel_values_lst"
    return Row(name, _PATH + module, attribute, _TILES, run, _tile_settings, _tile_small)


ROWS: Final = (
    _tiles("InternVLChat images", "internvl", "InternVLChatImageProcessor", _internvl),
    _tiles("H2OVL images", "h2ovl", "H2OVLImageProcessor", _h2ovl),
    _tiles(
        "Nemotron Nano VL images",
        "nemotron_vl",
        "LlamaNemotronNanoVLImageProcessor",
        _nemotron(lambda *_: (_BARE, wanted_dtype())),
    ),
    _tiles(
        "Nemotron VL Embed images",
        "nemotron_vl",
        "LlamaNemotronVLEmbedImageProcessor",
        _nemotron(_embed_norm),
    ),
    Row(
        "InternVLChat calls",
        _PATH + "internvl",
        "InternVLChatImageProcessor.__call__",
        "self, images, *, min_dynamic_patch=None, max_dynamic_patch=None, dynamic_image_size=None,"
        " return_tensors=None, **kwargs",
        _call_images,
        _call_settings,
        _call_images_small,
    ),
    Row(
        "InternVLChat videos",
        _PATH + "internvl",
        "InternVLChatVideoProcessor._videos_to_pixel_values_lst",
        "self, videos",
        _internvl_video,
        _call_settings,
        _video_small,
    ),
    Row(
        "InternVLChat calls with videos",
        _PATH + "internvl",
        "InternVLChatVideoProcessor.__call__",
        "self, videos, *, return_tensors=None, **kwargs",
        _call_videos,
        _call_settings,
        _call_videos_small,
    ),
    Row(
        "DeepSeek-VL2",
        _PATH + "deepseek_vl2",
        "DeepseekVLV2Processor.tokenize_with_images",
        _TEXT,
        _deepseek_vl2,
        _deepseek_settings,
        deepseek_small,
    ),
    Row(
        "DeepSeek-VL2 calls",
        _PATH + "deepseek_vl2",
        "DeepseekVLV2Processor.process_one",
        "self, prompt, images, inference_mode=True, **kwargs",
        _deepseek_vl2_call,
        _deepseek_settings,
        deepseek_small,
    ),
    Row(
        "DeepSeek-OCR",
        _PATH + "deepseek_ocr",
        "DeepseekOCRProcessor.tokenize_with_images",
        _TEXT,
        _deepseek_ocr,
        _deepseek_settings,
        _ocr_small,
    ),
    Row(
        "MiniMax-M3",
        _PATH + "minimax_m3",
        "MiniMaxM3VLImageProcessor._preprocess",
        "self, images, do_resize, size, resample, do_rescale, rescale_factor, do_normalize,"
        " image_mean, image_std, patch_size, temporal_patch_size, merge_size, max_pixels,"
        " max_long_side_pixel, disable_grouping, return_tensors, **kwargs",
        _minimax,
        _minimax_settings,
        _minimax_small,
    ),
    Row(
        "Kimi-K2.5",
        _PATH + "kimi_k25_vision_fused",
        "KimiK25FusedVisionProcessor.preprocess",
        "self, medias, return_tensors=None, do_rescale=True, do_normalize=True",
        _kimi,
        _kimi_settings,
        _kimi_images,
    ),
    Row(
        "Kimi-K2.5 resizes",
        _PATH + "kimi_k25_vision_fused",
        "KimiK25FusedVisionProcessor.resize_image",
        "image, new_width, new_height",
        _kimi_resize,
        None,
        _kimi_small,
    ),
)
