"""The other half on the GPU (the extra `torch`): normalising there, and what surrounds a batch.

    batch = processor(images, dtype="uint8", temporal="compact", return_tensors="pt")
    attach(model, processor)  # once; then the model takes such batches

A sample of uint8, compact patches is an eighth of the float32 one to copy between processes and to
the device. `Normalize` makes the float path's own bits of it by looking them up, which no device
and no compiler rounds differently.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch  # type: ignore[import-not-found, unused-ignore]
from torch import Tensor, nn  # type: ignore[import-not-found, unused-ignore]
from torch.nn import functional  # type: ignore[import-not-found, unused-ignore]

from . import _dynres_rs as _native
from . import ring
from ._dynres_rs import Plan
from ._types import Batch, Temporal
from .files import shown
from .functional import fold_patch_embedding
from .processor import Processor

__all__ = [
    "Attached",
    "Normalize",
    "SharedRing",
    "attach",
    "collate",
    "dummy_image",
    "expand_placeholders",
]

PIXELS: Final = ("pixel_values", "pixel_values_videos")
DOORS: Final = ("get_image_features", "get_video_features", "extract_feature")
IGNORED: Final = -100
PADDED: Final = {"input_ids": 0, "attention_mask": 0, "labels": IGNORED}


class Normalize(nn.Module):  # type: ignore[misc, unused-ignore]
    """uint8 patches or tiles to the bits that `processor` gives with a float dtype.

    Args:
        processor: the one that made the uint8 values.
        key: of the batch that is normalised; DeepSeek-VL-hybrid's `"high_res_pixel_values"` has
            mean and standard deviation of its own.
        dtype: `torch.float32`, `torch.float16` or `torch.bfloat16`; each as `processor(...,
            dtype=)` rounds it.
        temporal: `"expand"` repeats compact patches over time, as upstream has them; `"compact"`
            keeps the shape that is given.

    Raises:
        TypeError: no processor.
        ValueError: another dtype; or patches are to be expanded that a family does not have.

    The module has one buffer, (3, 256), outside the state dict. `.to(dtype)` changes the dtype of
    the results; down from float32 they are still rounded once, as they should be.
    """

    table: Tensor

    def __init__(
        self,
        processor: Processor,
        *,
        key: str = "pixel_values",
        dtype: torch.dtype = torch.float32,
        temporal: Temporal = "compact",
    ) -> None:
        super().__init__()
        if not isinstance(processor, Processor):
            raise TypeError(f"processor: must be a Processor, got {type(processor).__name__}")
        if dtype not in (torch.float32, torch.float16, torch.bfloat16):
            raise ValueError(f"dtype: must be float32, float16 or bfloat16, got {dtype}")
        if temporal not in ("expand", "compact"):
            raise ValueError(
                f"temporal: must be one of expand, compact; got '{shown(temporal, 40)}'"
            )
        spec = processor._base.spec
        self.times = spec.temporal_patch_size if temporal == "expand" else 1
        if temporal == "expand" and self.times == 1:
            raise ValueError(f"temporal: family '{processor.family}' has no patches over time")
        self.width = 3 * spec.patch_size**2
        values = torch.from_numpy(_table(processor, key)).to(dtype)
        self.register_buffer("table", values, persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalises.

        Args:
            pixels: uint8 (N, C * T * p * p) patches, channels first within a patch, or tiles
                (..., 3, H, W), on the device of this module.

        Returns:
            the same shape in the dtype of this module; (N, C * temporal_patch_size * p * p) for
            patches where they are expanded.

        Raises:
            TypeError: pixels that are not uint8.
            ValueError: a shape without an axis of channels.
        """
        values = _look_up(self.table, pixels)
        if self.times > 1 and pixels.ndim == 2 and pixels.shape[1] == self.width:
            return _repeat(values, self.times)
        return values

    def extra_repr(self) -> str:
        return f"dtype={self.table.dtype}" + (f", times={self.times}" if self.times > 1 else "")


def _table(processor: Processor, key: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    """(3, 256): what each byte becomes in each channel, from the compiled core."""
    table = processor._base.spec.table(key)
    if table is None and processor.family in _native.video_families():
        table = processor.video._base.spec.table(key)
    if table is None:
        raise ValueError(f"key: family '{processor.family}' has no '{shown(key, 40)}'")
    return np.frombuffer(table, np.float32).reshape(3, 256)


def _look_up(table: Tensor, pixels: Tensor) -> Tensor:
    """`table[channel, pixel]` for patches or tiles, in their shape."""
    if pixels.dtype != torch.uint8:
        raise TypeError(f"pixels: must be uint8, got {pixels.dtype}")
    shape = pixels.shape
    if pixels.ndim == 2 and shape[1] % 3 == 0:
        rows = pixels.view(shape[0], 3, shape[1] // 3)
    elif pixels.ndim >= 3 and shape[-3] == 3:
        rows = pixels.flatten(-2)
    else:
        raise ValueError(
            "pixels: must be patches (N, C * T * p * p) or tiles (..., 3, H, W), got the shape"
            f" {tuple(shape)}"
        )
    first = torch.arange(0, 768, 256, dtype=torch.int32, device=pixels.device)
    index = rows.to(torch.int32) + first[:, None]
    return table.view(-1).index_select(0, index.view(-1)).view(shape)


def _repeat(patches: Tensor, times: int) -> Tensor:
    """Compact patches (N, C * p * p) as upstream has them: (N, C * times * p * p)."""
    count, width = patches.shape
    one = patches.view(count, 3, 1, width // 3)
    return one.expand(-1, -1, times, -1).reshape(count, times * width)


# Models


class _Convert:
    """Pixels of any kind to what a patch embedding takes."""

    def __init__(self, table: Tensor, projection: Any) -> None:
        self.table = table
        self.projection = projection
        self.moved: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def __call__(self, pixels: Any) -> Any:
        if not isinstance(pixels, Tensor) or pixels.dtype != torch.uint8:
            return pixels
        place = (pixels.device, self.projection.weight.dtype)
        if place not in self.moved:
            self.moved[place] = self.table.to(*place)
        return _look_up(self.moved[place], pixels)

    def arguments(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of a call, pixels among them converted."""
        names = list(inspect.signature(function).parameters)[: len(args)]
        pairs = zip(names, args, strict=False)
        new = tuple(self(value) if name in PIXELS else value for name, value in pairs)
        return (
            (*new, *args[len(names) :]),
            {name: self(value) if name in PIXELS else value for name, value in kwargs.items()},
        )


class _Method:
    """A method that gets its pixels converted. An object, so that deepcopy binds it anew."""

    def __init__(self, method: Callable[..., Any], convert: _Convert) -> None:
        self.method = method
        self.convert = convert
        functools.update_wrapper(self, method)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = self.convert.arguments(self.method, args, kwargs)
        return self.method(*args, **kwargs)


class _Folded:
    """The forward of a patch embedding over time, its weight summed where patches are compact."""

    def __init__(self, forward: Callable[[Tensor], Tensor], projection: nn.Conv3d) -> None:
        self.forward = forward
        self.projection = projection

    def __call__(self, pixels: Tensor) -> Tensor:
        if not _is_compact(pixels, self.projection):
            return self.forward(pixels)
        weight = fold_patch_embedding(self.projection.weight).flatten(1)
        return functional.linear(pixels.to(weight.dtype), weight, self.projection.bias)


def _is_compact(pixels: Tensor, projection: nn.Conv3d) -> bool:
    times, height, width = projection.kernel_size
    return bool(times > 1 and pixels.ndim == 2 and pixels.shape[1] == 3 * height * width)


def _before_forward(
    convert: _Convert, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return convert.arguments(module.forward, args, kwargs)


def _before_embedding(
    convert: _Convert, repeat: bool, module: nn.Module, args: tuple[Any, ...]
) -> tuple[Any, ...]:
    pixels, *rest = args
    pixels = convert(pixels)
    if repeat and _is_compact(pixels, convert.projection):
        pixels = _repeat(pixels, convert.projection.kernel_size[0])
    return (pixels, *rest)


class Attached:
    """What `attach` did to a model; `remove()` undoes it."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def remove(self) -> None:
        """Gives the model back as it was."""
        while self._undo:
            self._undo.pop()()


def attach(model: nn.Module, processor: Processor, *, fold: bool = False) -> Attached:
    """Lets a model take batches of `dtype="uint8"` and of `temporal="compact"`.

    Wherever the model takes `pixel_values` or `pixel_values_videos`, uint8 becomes the float bits
    in the dtype of its patch embedding; before a patch embedding over time (the `Conv3d` of
    Qwen2-VL, 2.5, 3 and their kin), compact patches become whole ones. Other inputs pass
    untouched, and the model's outputs are the same bits as with upstream's batches.

    Args:
        model: any module with a patch embedding inside, such as transformers' Qwen2-VL to Qwen3-VL
            and InternVL, or the original InternVL chat model.
        processor: the one that makes the batches.
        fold: compact patches meet the embedding's weight summed over time
            (`fold_patch_embedding`), in place of being repeated: half the arithmetic of that layer,
            for other roundings of its sums. Gradients reach the weight either way. Not where the
            weight is sharded (ZeRO-3, FSDP).

    Returns:
        a handle that undoes it.

    Raises:
        TypeError: no module, or no processor.
        ValueError: no patch embedding found in the model.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: must be a torch.nn.Module, got {type(model).__name__}")
    table = Normalize(processor).table
    embeddings = [
        (module, child)
        for module in model.modules()
        for child in module.children()
        if _is_projection(child)
    ]
    if not embeddings:
        raise ValueError(
            "model: has no patch embedding, a Conv2d or Conv3d over 3 channels whose stride is its"
            " kernel"
        )
    done = Attached()
    convert = _Convert(table, embeddings[0][1])
    for module in model.modules():
        if _takes_pixels(module.forward):
            hook = functools.partial(_before_forward, convert)
            handle = module.register_forward_pre_hook(hook, with_kwargs=True)
            done._undo.append(handle.remove)
        for door in DOORS:
            method = getattr(module, door, None)
            if method is not None and _takes_pixels(method):
                setattr(module, door, _Method(method, convert))
                done._undo.append(functools.partial(delattr, module, door))
    for module, projection in embeddings:
        if isinstance(projection, nn.Conv3d):
            convert = _Convert(table, projection)
            hook = functools.partial(_before_embedding, convert, not fold)
            done._undo.append(module.register_forward_pre_hook(hook).remove)
            if fold:
                module.forward = _Folded(module.forward, projection)
                done._undo.append(functools.partial(delattr, module, "forward"))
    return done


def _is_projection(module: nn.Module) -> bool:
    return (
        isinstance(module, nn.Conv2d | nn.Conv3d)
        and module.in_channels == 3
        and module.kernel_size == module.stride
    )


def _takes_pixels(function: Callable[..., Any]) -> bool:
    return any(name in PIXELS for name in inspect.signature(function).parameters)


# Tokens and batches


def expand_placeholders(
    input_ids: Any, plans: Sequence[Plan | int], token_id: int, *aligned: Any
) -> Any:
    """Repeats each image's placeholder as often as the image has tokens.

    Args:
        input_ids: one sequence of ids, with one `token_id` an image: a list, a numpy array or a
            tensor of one axis.
        plans: the images' plans (`Processor.plan`), or their numbers of tokens, in the order of
            the placeholders.
        token_id: of the placeholder, such as that of `<|image_pad|>` or `<IMG_CONTEXT>`.
        *aligned: more sequences of the same length, such as labels or an attention mask, to be
            repeated alike.

    Returns:
        the longer sequence, of the type that was given; a tuple of all sequences where `aligned`
        ones were given.

    Raises:
        ValueError: another number of placeholders than of plans, or lengths that differ.
    """
    ids = np.asarray(input_ids)
    if ids.ndim != 1:
        raise ValueError(f"input_ids: must have one axis, got the shape {ids.shape}")
    here = np.flatnonzero(ids == token_id)
    counts = [plan.num_tokens if isinstance(plan, Plan) else int(plan) for plan in plans]
    if len(here) != len(counts):
        raise ValueError(
            f"plans: must be one for each placeholder, got {len(counts)} for {len(here)}"
        )
    repeats = np.ones(len(ids), np.int64)
    repeats[here] = counts
    longer: list[Any] = []
    for sequence in (input_ids, *aligned):
        if len(sequence) != len(ids):
            raise ValueError(f"aligned: must have the length {len(ids)}, got {len(sequence)}")
        if isinstance(sequence, Tensor):
            times = torch.from_numpy(repeats).to(sequence.device)
            longer.append(sequence.repeat_interleave(times))
        elif isinstance(sequence, np.ndarray):
            longer.append(np.repeat(sequence, repeats))
        else:
            longer.append([x for x, n in zip(sequence, repeats, strict=True) for _ in range(n)])
    return tuple(longer) if aligned else longer[0]


def collate(
    samples: Sequence[Mapping[str, Any]],
    *,
    pad_token_id: int = 0,
    padding_side: str = "right",
    dummy: Mapping[str, Any] | None = None,
) -> Batch:
    """One batch of samples with any number of images of any size: a `collate_fn`.

    `input_ids`, `attention_mask` and `labels` are padded to the longest (a mask is made where
    there is none), other arrays and tensors are concatenated, and anything else becomes a list.

    Args:
        samples: dicts; a text-only one simply has no pixels.
        pad_token_id: for `input_ids`; labels are padded with -100, masks with 0.
        padding_side: `"right"` or `"left"`.
        dummy: what `dummy_image` returned with a `token_id`: goes to the end of the first sample
            if none has pixels, so that the vision tower runs on every rank.

    Returns:
        tensors by key. numpy's uint16 is taken for bfloat16, as the processor writes it.

    Raises:
        ValueError: no samples, or an unknown `padding_side`.
    """
    if padding_side not in ("right", "left"):
        raise ValueError(
            f"padding_side: must be one of right, left; got '{shown(padding_side, 40)}'"
        )
    rows = [dict(sample) for sample in samples]
    if not rows:
        raise ValueError("samples: must hold at least one, got none")
    for row in rows:
        if "input_ids" in row:
            row.setdefault("attention_mask", np.ones(len(row["input_ids"]), np.int64))
    if dummy is not None and not any(key in row for row in rows for key in PIXELS):
        first = rows[0]
        for key, value in dummy.items():
            if key not in PADDED or key in first:
                first[key] = torch.cat(
                    [_tensor(x) for x in (first.get(key), value) if x is not None]
                )
    batch: Batch = {}
    for key in dict.fromkeys(key for row in rows for key in row):
        values = [row[key] for row in rows if key in row]
        if key in PADDED:
            fill = pad_token_id if key == "input_ids" else PADDED[key]
            batch[key] = nn.utils.rnn.pad_sequence(
                [_tensor(value) for value in values], True, fill, padding_side
            )
        elif all(isinstance(value, np.ndarray | Tensor) for value in values):
            batch[key] = torch.cat([_tensor(value) for value in values])
        else:
            batch[key] = values
    return batch


def _tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    array = np.asarray(value)
    if array.dtype == np.uint16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def dummy_image(processor: Processor, *, token_id: int | None = None, **call: Any) -> Batch:
    """The smallest sample with an image, for batches that have none.

    Where the vision tower is sharded (ZeRO-3, FSDP), a rank whose batch is text only would leave
    the others waiting.

    Args:
        processor: as of the other samples.
        token_id: of the placeholder; adds `input_ids` with as many as the image has tokens,
            `attention_mask` of 0 and `labels` of -100, so that nothing depends on them.
        **call: `dtype` and `temporal`, as of the other samples.

    Returns:
        tensors by key, of a black image.
    """
    side, how = _smallest(processor)
    call.update(how)
    image = np.zeros((side, side, 3), np.uint8)
    batch = processor(image, return_tensors="pt", **call)
    if token_id is not None:
        call.pop("dtype", None), call.pop("temporal", None)
        count = processor.plan(side, side, **_planned(processor, call)).num_tokens
        batch["input_ids"] = torch.full((count,), token_id)
        batch["attention_mask"] = torch.zeros(count, dtype=torch.int64)
        batch["labels"] = torch.full((count,), IGNORED)
    return batch


def _planned(processor: Processor, call: dict[str, Any]) -> dict[str, Any]:
    """Options of a plan for a call with an image of one colour, which has no margins."""
    return {**call, "do_crop_margin": False} if processor.policy.crop_margin else call


def _smallest(processor: Processor) -> tuple[int, dict[str, Any]]:
    """Side of a small square image, and options of its call, that make a sample with tokens."""

    def plan(side: int, **how: Any) -> Plan | None:
        try:
            found = processor.plan(side, side, **_planned(processor, how))
        except ValueError:
            return None
        return found if found.num_tokens else None

    # A grid of patches without tiles can be as small as one token.
    if (usual := plan(224)) is not None and not usual.num_tiles:
        for side in range(1, 225):
            if plan(side, do_resize=False) is not None:
                return side, {"do_resize": False}
    for side in (28, 56, 112, 224, 448, 896):
        if plan(side) is not None:
            return side, {}
    raise ValueError("processor: makes no sample of a small square image")


# From the workers


class SharedRing(ring.SharedRing):
    """`dynres_rs.ring.SharedRing` with tensors: a `DataLoader`'s samples without a copy.

        ring = SharedRing.for_processor(processor, slots=12, dtype="uint8", temporal="compact")

        class Photos(Dataset):
            def __getitem__(self, index):
                return ring.put(processor, self.paths[index], dtype="uint8", temporal="compact")

        for batch in ring.batches(DataLoader(Photos(), batch_size=None, num_workers=4)):
            model(**batch)

    With `spawn` and `forkserver` the dataset must have the ring as an attribute. What arrives is a
    dict of tensors on the CPU that are the caller's, to keep and to write to; their slot is free
    once the last of them, and of their views, is gone. bfloat16 is torch's own. A `collate_fn` that
    runs in the workers must keep samples whole, as `list` does; `pin_memory=True` copies out of
    the slot and frees it.
    """

    tensors = "pt"

    def _as_array(self, value: Any) -> tuple[np.ndarray[Any, Any], str] | None:
        if type(value) is not Tensor:
            return None
        if value.device.type != "cpu" or value.layout != torch.strided or value.requires_grad:
            return None
        if value.dtype == torch.bfloat16:
            return value.view(torch.int16).numpy(), "bfloat16"
        if value.dtype not in _PLAIN or value.is_conj() or value.is_neg():
            return None
        array = value.numpy()
        return array, array.dtype.str

    def _from_array(self, array: np.ndarray[Any, Any], kind: str) -> Any:
        tensor = torch.from_numpy(array)
        return tensor.view(torch.bfloat16) if kind == "bfloat16" else tensor


_PLAIN: Final = (
    *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.float16, torch.float32, torch.float64),
    # since torch 2.3
    *(getattr(torch, name) for name in ("uint16", "uint32", "uint64") if hasattr(torch, name)),
)
