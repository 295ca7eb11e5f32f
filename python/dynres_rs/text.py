"""Token ids of a text with images in it, as the copies of DeepSeek's processors assemble them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from . import cutting
from .cutting import Norm
from .deepseek_vl2 import image_tokens
from .patching import Aside, Upstream

__all__ = ["Tokens", "deepseek_norm", "deepseek_settings", "deepseek_small", "deepseek_views"]


class Tokens:
    """Ids, a mask that is true where a token stands for an image, and what each image became."""

    def __init__(self, processor: Any, conversation: str, images: Sequence[Any]) -> None:
        self.processor = processor
        self.texts = conversation.split(processor.image_token)
        if len(self.texts) != len(images) + 1:
            raise Aside("another number of images than of image tokens")
        self.ids: list[int] = []
        self.mask: list[bool] = []
        self.crops: list[list[int]] = []
        self.counts: list[int] = []

    def add_images(self, crops: list[list[int]]) -> None:
        """The texts before each image, and DeepSeek-VL2's tokens for its [columns, rows]."""
        it = self.processor
        self.add(
            crops,
            lambda columns, rows: image_tokens(
                columns, rows, it.image_size, it.patch_size, it.downsample_ratio
            ),
        )

    def add(self, crops: list[list[int]], count_of: Callable[[int, int], int]) -> None:
        """The texts before each image, and as many tokens for it as `count_of(columns, rows)`."""
        it = self.processor
        self.crops = crops
        for text, (columns, rows) in zip(self.texts[:-1], crops, strict=True):
            words = it.encode(text, bos=False, eos=False)
            count = count_of(columns, rows)
            self.counts.append(count)
            self.ids += words
            self.ids += [it.image_token_id] * count
            self.mask += [False] * len(words)
            self.mask += [True] * count

    def close(self, bos: bool, eos: bool, limit: int = -1) -> None:
        """The last text and the tokens around it all.

        `limit` is SGLang's longest input; where it is exceeded, SGLang keeps room for the last
        text, the end and 1,024 tokens more, by a slice whose end may be negative.
        """
        it = self.processor
        words = it.encode(self.texts[-1], bos=False, eos=False)
        if -1 < limit < len(words) + len(self.ids) - 1:
            rest = limit - len(words) - 1 - 1024
            del self.ids[rest:]
            del self.mask[rest:]
        self.ids += words
        self.mask += [False] * len(words)
        if bos:
            self.ids.insert(0, it.bos_id)
            self.mask.insert(0, False)
        if eos:
            self.ids.append(it.eos_id)
            self.mask.append(False)


def deepseek_views(
    self: Any, tokens: Tokens, images: Sequence[Any], cropping: bool, dtype: str
) -> Any:
    """The views of all images as one tensor, and the tokens up to the last image.

    Args:
        self: a copy's `DeepseekVLV2Processor`.
        tokens: of the text; the images' are added.
        images: RGB images of Pillow.
        cropping: whether to cut tiles.
        dtype: of the views, as in `cutting.squares`.

    Returns:
        (views, 3, S, S) tensor, the padded image first for each.
    """
    cutting.rgb_only(images)
    if not images:
        raise Aside("no images")
    side = self.image_size
    canvases = self.candidate_resolutions if cropping else ((side, side),)
    if canvases[0][0] != side:
        raise Aside("an image size that is not the first canvas's width")
    views, crops = cutting.views(images, canvases, deepseek_norm(self), dtype)
    tokens.add_images(crops)
    return views


def deepseek_norm(self: Any) -> Norm:
    """How a copy's `image_transform` makes floats of bytes."""
    transform = self.image_transform
    if not transform.normalize:
        raise Aside("views that are not normalised")
    return Norm(tuple(transform.mean), tuple(transform.std))


def deepseek_settings(_: Upstream, self: Any, *args: Any, **kwargs: Any) -> Any:
    """What the numbers of a copy depend on."""
    transform = self.image_transform
    return (
        type(self),
        tuple(map(tuple, getattr(self, "candidate_resolutions", ()))),
        (self.image_size, getattr(self, "base_size", None)),
        (self.patch_size, self.downsample_ratio, getattr(self, "strategy", None)),
        (tuple(transform.mean), tuple(transform.std), transform.normalize),
    )


def deepseek_small(
    _: Upstream, self: Any, *args: Any, **kwargs: Any
) -> tuple[Sequence[Any], dict[str, Any]]:
    """Two small images in a text."""
    text = f"a{self.image_token}b{self.image_token}"
    return (self, text, [cutting.small_image(), cutting.small_image(40, 60)]), {}
