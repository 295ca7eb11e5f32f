"""DeepSeek-VL2's own image functions, with the same bits.

    from dynres_rs.deepseek_vl2 import select_best_resolution, tokenize_with_images

or, for code that calls the package itself:

    dynres_rs.deepseek_vl2.patch()

`tokenize_with_images` has the signature of the method of `DeepseekVLV2Processor` and takes that
object as its first argument. Sizes here are (width, height), as in the original. torch is imported
where the original returns tensors.
"""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .functional import best_canvas
from .processor import Processor

__all__ = [
    "BatchOutput",
    "batchify",
    "image_tokens",
    "patch",
    "preprocess_images",
    "select_best_resolution",
    "tokenize_with_images",
    "unpatch",
]

_MODULE: Final = "deepseek_vl2.models.processing_deepseek_vl_v2"
_ALWAYS: Final = 2**31 - 1
_originals: list[tuple[Any, str, Any]] = []


def select_best_resolution(
    image_size: tuple[int, int], candidate_resolutions: Iterable[Sequence[int]]
) -> tuple[int, int]:
    """The canvas that keeps most of the image's pixels, and of those the one that wastes least.

    Args:
        image_size: (width, height) in pixels, as `image.size` of Pillow.
        candidate_resolutions: (width, height) pairs in pixels; of equal ones the first wins.

    Returns:
        (width, height), one of the candidates.

    Raises:
        TypeError: an argument that is no integer.
        ValueError: a side below 1, or no candidates.

    Matches the function of the same name.
    """
    width, height = image_size
    candidates = [(tall, wide) for wide, tall in candidate_resolutions]
    tall, wide = best_canvas(height, width, candidates)
    return wide, tall


def image_tokens(
    columns: int, rows: int, image_size: int = 384, patch_size: int = 14, downsample_ratio: int = 2
) -> int:
    """How many tokens an image of `columns` x `rows` tiles becomes: the global view with a newline
    a row, the separator, the tiles with a newline a row.

    Matches what `tokenize_with_images` appends for each image.
    """
    side = math.ceil((image_size // patch_size) / downsample_ratio)
    return side * (side + 1) + 1 + (rows * side) * (columns * side + 1)


def preprocess_images(
    images: Sequence[Any],
    cropping: bool = True,
    *,
    candidate_resolutions: Sequence[Sequence[int]],
    image_mean: Sequence[float] = (0.5, 0.5, 0.5),
    image_std: Sequence[float] = (0.5, 0.5, 0.5),
    normalize: bool = True,
) -> tuple[NDArray[np.float32], list[list[int]], list[int]]:
    """The views of some images, as numpy arrays.

    Args:
        images: Pillow images of mode RGB.
        cropping: whether to cut tiles; the original does in conversations of at most two images.
        candidate_resolutions: (width, height) pairs in pixels; the side of a tile is the first's
            width.
        image_mean, image_std: of each channel. Padding has the mean's colour, rounded down.
        normalize: whether to normalise.

    Returns:
        (views, 3, S, S) float32, the global view first for each image; [columns, rows] of each;
        and how many views each has.

    Raises:
        ValueError: an image that is not RGB.
    """
    for index, image in enumerate(images):
        if image.mode != "RGB":
            raise ValueError(f"images[{index}]: must be RGB, got {image.mode}: convert('RGB')")
    pairs = tuple(tuple(int(side) for side in pair) for pair in candidate_resolutions)
    if not cropping:  # the one canvas is a tile
        pairs = ((pairs[0][0], pairs[0][0]),)
    processor = _processor(pairs, tuple(image_mean), tuple(image_std), normalize)
    batch = processor(list(images))
    crops: list[list[int]] = batch["images_spatial_crop"].tolist()
    return batch["pixel_values"], crops, [1 + columns * rows for columns, rows in crops]


@functools.lru_cache(maxsize=32)
def _processor(
    candidates: tuple[tuple[int, ...], ...],
    mean: tuple[float, ...],
    std: tuple[float, ...],
    normalize: bool,
) -> Processor:
    return Processor(
        "deepseek-vl2",
        numerics="pillow",
        candidate_resolutions=candidates,
        image_mean=mean,
        image_std=std,
        do_normalize=normalize,
        max_images_tiled=_ALWAYS,  # the caller says when to cut
    )


def tokenize_with_images(
    self: Any,
    conversation: str,
    images: Sequence[Any],
    bos: bool = True,
    eos: bool = True,
    cropping: bool = True,
) -> tuple[list[int], list[Any], list[bool], list[list[int]], list[int]]:
    """The tokens of a text with images in it, and the images' views.

    Args:
        self: a `DeepseekVLV2Processor`, or anything with its `image_token`, `image_token_id`,
            `encode`, `bos_id`, `eos_id`, `candidate_resolutions`, `image_size`, `patch_size`,
            `downsample_ratio` and `image_transform` (`mean`, `std`, `normalize`).
        conversation: the text, with `image_token` where an image stands.
        images: Pillow images of mode RGB, one for each `image_token`.
        bos: whether the text begins with the token for it.
        eos: whether it ends with the token for it.
        cropping: whether to cut tiles; the original passes `len(pil_images) <= 2`.

    Returns:
        token ids; (3, S, S) float32 tensors, the global view first for each image; images_seq_mask,
        true where a token stands for an image; images_spatial_crop, [columns, rows] of each image;
        and num_image_tokens.

    Raises:
        AssertionError: not as many images as there are `image_token`s.
        ValueError: an image that is not RGB.

    Matches `DeepseekVLV2Processor.tokenize_with_images`.
    """
    texts = conversation.split(self.image_token)
    if len(texts) != len(images) + 1:
        raise AssertionError(
            f"images: must be one for each {self.image_token!r}, {len(texts) - 1}, got"
            f" {len(images)}"
        )
    views: list[Any] = []
    crops: list[list[int]] = []
    if len(images):
        arrays, crops, _ = preprocess_images(
            images,
            cropping,
            candidate_resolutions=self.candidate_resolutions,
            image_mean=self.image_transform.mean,
            image_std=self.image_transform.std,
            normalize=self.image_transform.normalize,
        )
        views = list(_torch().from_numpy(arrays))
    counts = [
        image_tokens(columns, rows, self.image_size, self.patch_size, self.downsample_ratio)
        for columns, rows in crops
    ]
    tokens: list[int] = [self.bos_id] if bos else []
    mask = [False] * len(tokens)
    for index, text in enumerate(texts):
        words = list(self.encode(text, bos=False, eos=False))
        here = counts[index] if index < len(counts) else 0
        tokens += words + [self.image_token_id] * here
        mask += [False] * len(words) + [True] * here
    if eos:
        tokens.append(self.eos_id)
        mask.append(False)
    return tokens, views, mask, crops, counts


class BatchOutput:
    """Samples of different lengths as one batch: the fields are attributes, and items as well."""

    sft_format: list[str]
    input_ids: Any
    labels: Any
    images: Any
    attention_mask: Any
    images_seq_mask: Any
    images_spatial_crop: Any
    seq_lens: list[int]

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def keys(self) -> Any:
        """The names of the fields."""
        return self.__dict__.keys()

    def __getitem__(self, name: str) -> Any:
        return self.__dict__[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.__dict__[name] = value

    def to(self, device: Any, dtype: Any = None) -> BatchOutput:
        """Moves the tensors, and the images to `dtype` as well (None is bfloat16)."""
        for name in (
            "input_ids",
            "labels",
            "attention_mask",
            "images_seq_mask",
            "images_spatial_crop",
        ):
            self[name] = self[name].to(device)
        self.images = self.images.to(device=device, dtype=dtype or _torch().bfloat16)
        return self


def batchify(
    sample_list: Sequence[Mapping[str, Any]],
    padding: str = "left",
    *,
    pad_id: int,
    ignore_id: int = -100,
) -> BatchOutput:
    """Samples of different lengths and numbers of images as one batch.

    Args:
        sample_list: what `process_one` returns, or mappings with its fields: `input_ids`,
            `target_ids` and `images_seq_mask` (N,), `images` (views, 3, S, S),
            `images_spatial_crop` (images, 2), `sft_format`.
        padding: `"left"` or `"right"`, of the text. Views and crops are padded with zeros at the
            end.
        pad_id: the tokenizer's padding token.
        ignore_id: the label of what is not learned.

    Returns:
        `input_ids`, `labels`, `attention_mask`, `images_seq_mask` (samples, longest), `images`
        (samples, most views, 3, S, S), `images_spatial_crop` (samples, most images, 2), `seq_lens`
        and `sft_format`.

    Matches `DeepseekVLV2Processor.batchify`, whose `tokenizer.pad` makes int64 of the image mask
    where a sample is padded on the left.
    """
    torch = _torch()
    left = padding == "left"
    lengths = [len(sample["input_ids"]) for sample in sample_list]
    longest = max(lengths)

    def row(values: Any, fill: Any, dtype: Any) -> Any:
        missing = torch.full((longest - len(values),), fill, dtype=dtype)
        parts = (missing, values.to(dtype)) if left else (values.to(dtype), missing)
        return torch.cat(parts)

    def text(name: str, fill: Any, dtype: Any) -> Any:
        return torch.stack([row(sample[name], fill, dtype) for sample in sample_list])

    def most(name: str) -> Any:
        return torch.nn.utils.rnn.pad_sequence(
            [sample[name] for sample in sample_list], batch_first=True
        )

    input_ids = text("input_ids", pad_id, torch.int64)
    labels = text("target_ids", ignore_id, torch.int64)
    padded = left and min(lengths) < longest
    mask = text("images_seq_mask", 0, torch.int64 if padded else torch.bool)
    if left:
        attention = _text_mask(torch, lengths, longest)
        labels[labels == pad_id] = ignore_id
        mask[mask == pad_id] = 0
    else:
        attention = input_ids != pad_id
    return BatchOutput(
        sft_format=[sample["sft_format"] for sample in sample_list],
        input_ids=input_ids,
        labels=labels,
        images=most("images"),
        attention_mask=attention,
        images_seq_mask=mask,
        images_spatial_crop=most("images_spatial_crop"),
        seq_lens=lengths,
    )


def _text_mask(torch: Any, lengths: Sequence[int], longest: int) -> Any:
    """(samples, longest) bool: true on the last `lengths[i]` places of row i."""
    places = torch.arange(longest)
    return places >= longest - torch.tensor(lengths).unsqueeze(1)


def patch(module: Any = None) -> None:
    """Replaces the installed package's `select_best_resolution` and
    `DeepseekVLV2Processor.tokenize_with_images`.

    Args:
        module: what holds them; None is `deepseek_vl2.models.processing_deepseek_vl_v2`. Calling
            it twice changes nothing.

    Raises:
        ImportError: the package is not installed, or has no such functions.
    """
    if _originals:
        return
    if module is None:
        try:
            module = importlib.import_module(_MODULE)
        except ImportError as error:
            raise ImportError(
                f"dynres_rs.deepseek_vl2.patch() needs deepseek_vl2 ({error})"
            ) from None
    owner = getattr(module, "DeepseekVLV2Processor", None)
    if owner is None or not hasattr(module, "select_best_resolution"):
        raise ImportError(
            "dynres_rs.deepseek_vl2.patch() knows deepseek-ai/DeepSeek-VL2 at ef9f91e, and"
            f" {module.__name__} has other names"
        )
    replacements: list[tuple[Any, str, Any]] = [
        (module, "select_best_resolution", select_best_resolution),
        (owner, "tokenize_with_images", tokenize_with_images),
    ]
    for place, name, ours in replacements:
        _originals.append((place, name, vars(place)[name]))
        setattr(place, name, ours)


def unpatch() -> None:
    """Puts the package's own functions back."""
    while _originals:
        place, name, original = _originals.pop()
        setattr(place, name, original)


def _torch() -> Any:
    try:
        return importlib.import_module("torch")
    except ImportError:
        raise ImportError("dynres_rs.deepseek_vl2 returns tensors here, and needs torch") from None
