"""Bad inputs, one a row: the exact class and the exact message of each."""

# ruff: noqa: E501 (a row of the table is a line)

import ctypes
import difflib
import io
import pickle
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest
from dynres_rs.hf import classes
from numpy.typing import NDArray
from PIL import Image

U8 = NDArray[np.uint8]
QWEN = {"image_processor_type": "Qwen2VLImageProcessor"}


def pixels(height: int = 50, width: int = 70, channels: int = 3) -> U8:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (height, width, channels), np.uint8)


def png(image: Image.Image | None = None) -> bytes:
    stream = io.BytesIO()
    (image or Image.fromarray(pixels())).save(stream, "PNG")
    return stream.getvalue()


def qwen(**options: Any) -> dr.Processor:
    return dr.Processor("qwen2-vl", **{"numerics": "pillow-13", "max_pixels": 20_000, **options})


def call(image: Any, **kwargs: Any) -> Any:
    return qwen()(image, **kwargs)


class Hostile:
    """Neither an array nor anything else; its repr must not show."""

    def __repr__(self) -> str:
        return "<Hostile object at 0x7f0000000000>"


class BytesPath:
    def __fspath__(self) -> bytes:
        return b"model"


class Lying(Hostile):
    @property
    def __array_interface__(self) -> dict[str, Any]:
        return {"shape": (50, 70, 3), "typestr": "|u1", "data": "nowhere", "version": 3}


class Raising:
    """Raises whatever it is asked; its text must not show."""

    def __raise(self, *_: object, **__: object) -> Any:
        raise RuntimeError("<Raising object at 0x7f0000000000>")

    __index__ = __array__ = __len__ = __iter__ = __getitem__ = __hash__ = __raise
    __array_interface__ = property(__raise)


class Unreadable(Image.Image):
    """A Pillow image of several blocks, whose strips cannot be had."""

    def crop(self, *_: Any) -> Any:
        raise ValueError("<Unreadable object at 0x7f0000000000>")

    def __arrow_c_array__(self, *_: Any) -> Any:
        raise ValueError("not one block")


def unreadable() -> Image.Image:
    image = Unreadable()
    made = Image.fromarray(pixels())
    image.im, image._mode, image._size = made.im, "RGB", made.size  # type: ignore[attr-defined]
    return image


OUT = (16, 1176)


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


def overlapping() -> Any:
    memory = np.zeros(2 * 16 * 1176 * 4, np.uint8)
    image = memory[: 50 * 70 * 3].reshape(50, 70, 3)
    return call([pixels(), image], out=memory.view(np.float32).reshape(32, 1176))


def resize_over(shift: int) -> Any:
    memory = np.zeros(40_000, np.uint8)
    image = memory[:10_500].reshape(50, 70, 3)
    out = memory[shift : shift + 1_200].reshape(20, 20, 3)
    return dr.resize(image, (20, 20), out=out)


Row = tuple[str, Callable[[], Any], type[BaseException], str]
TYPES = "image: must be an array, a Pillow image, bytes or a path, got "
CHANNELS = "image: must have 1, 3 or 4 channels on its first or last axis, got the shape "
NUMERICS = (
    "numerics: must be 'torchvision', 'pillow' (follows the installed Pillow; 'pil' is the same),"
    " or 'pillow-<version>' with a major up to 13 and, for 12, a minor: 'pillow-11',"
    " 'pillow-12.3', 'pillow-13'; got "
)
LIMIT = "max_image_pixels=178956970 pixels, got "
BIG = np.broadcast_to(np.uint8(0), (40_000, 40_000, 3))
NEAREST_FAMILIES = ", ".join(
    repr(name) for name in difflib.get_close_matches("qwen", dr.families(), n=3, cutoff=0.0)
)
VIDEO_CLASSES = ", ".join(classes(video=True))
NEAREST_CLASSES = ", ".join(
    difflib.get_close_matches("SamImageProcessor", classes(video=False), n=3, cutoff=0.0)
)
QWEN_SIZE = "size: must have the keys 'shortest_edge', 'longest_edge', got "

# fmt: off
# fmt: off
ROWS: list[Row] = [
    # images: types
    ("image None", lambda: call(None), TypeError, "images: must be an image or a list of images, got None"),
    ("image int", lambda: call(5), TypeError, TYPES + "int"),
    ("image dict", lambda: call({"a": 1}), TypeError, TYPES + "dict"),
    ("image numpy scalar", lambda: call(np.uint8(5)), TypeError, TYPES + "uint8"),
    ("image object", lambda: call(Hostile()), TypeError, TYPES + "Hostile"),
    ("image that lies", lambda: call(Lying()), TypeError, TYPES + "Lying"),
    ("image that raises", lambda: call(Raising()), TypeError, TYPES + "Raising"),
    ("image that raises in a batch", lambda: call([pixels(), Raising()]), TypeError, "images[1]: " + TYPES[7:] + "Raising"),
    ("image in deep nest", lambda: call([[[pixels()]]]), TypeError, "images[0]: " + TYPES[7:] + "list"),
    ("lists of numbers", lambda: call([[1, 2], [3, 4]]), TypeError, "images[0]: " + TYPES[7:] + "int"),
    ("mixed nest", lambda: call([pixels(), [pixels()]]), ValueError, "images: must be all images, or all lists of images, not both"),
    ("empty list", lambda: call([]), ValueError, "images: must hold at least one image, got an empty list"),
    ("empty samples", lambda: call([[], []]), ValueError, "images: must hold at least one image, got an empty list"),
    ("masked", lambda: call(np.ma.masked_array(pixels())), TypeError, "image: masked arrays are not accepted, since the mask would be lost"),
    ("bytearray", lambda: call(bytearray(30)), ValueError, "image: a buffer must have the shape (height, width, 3), got (30,); encoded images are passed as bytes"),
    # images: dtypes
    ("bool", lambda: call(pixels() > 9), TypeError, "image: must be uint8, got bool"),
    ("int64", lambda: call(pixels().astype(np.int64)), TypeError, "image: must be uint8, got int64"),
    ("int8", lambda: call(pixels().astype(np.int8)), TypeError, "image: must be uint8, got int8"),
    ("big-endian u2", lambda: call(pixels().astype(">u2")), TypeError, "image: must be uint8, got >u2"),
    ("big-endian f4", lambda: call(pixels().astype(">f4")), TypeError, "image: must be uint8, got >f4"),
    ("object", lambda: call(pixels().astype(object)), TypeError, "image: must be uint8, got object"),
    ("complex", lambda: call(pixels().astype(complex)), TypeError, "image: must be uint8, got complex128"),
    ("str array", lambda: call(np.array([["a"]])), TypeError, "image: must be uint8, got str32"),
    ("fractions", lambda: call(pixels() / 255), TypeError, "image: must be uint8, got float64 with values that are no integers in 0..255"),
    ("float 256", lambda: call(pixels() + np.float32(256)), TypeError, "image: must be uint8, got float32 with values that are no integers in 0..255"),
    ("float negative", lambda: call(-1.0 - pixels()), TypeError, "image: must be uint8, got float64 with values that are no integers in 0..255"),
    ("NaN", lambda: call(np.full((50, 70, 3), np.nan)), TypeError, "image: must be uint8, got float64 with values that are no integers in 0..255"),
    ("float with alpha", lambda: call(pixels(channels=4).astype(np.float32)), TypeError, "image: must be uint8 where it has an alpha channel, got float32"),
    ("float resized by torchvision", lambda: qwen(numerics="torchvision")(pixels().astype(np.float32)), TypeError, "image: must be uint8 where it is resized by numerics='torchvision', which keeps fractions of floating-point images; got float32"),
    ("float not normalised", lambda: call(pixels().astype(np.float32), do_normalize=False), TypeError, "image: must be uint8 unless do_rescale and do_normalize are on, got float32"),
    # images: shapes
    ("0-d", lambda: call(np.array(5, np.uint8)), ValueError, "image: must have 2 or 3 axes, got the shape ()"),
    ("1-d", lambda: call(np.zeros(30, np.uint8)), ValueError, "image: must have 2 or 3 axes, got the shape (30,)"),
    ("5-d", lambda: call(np.zeros((1, 1, 5, 5, 3), np.uint8)), ValueError, "image: must have 2 or 3 axes, got the shape (1, 1, 5, 5, 3)"),
    ("2 channels", lambda: call(pixels(channels=2)), ValueError, CHANNELS + "(50, 70, 2)"),
    ("5 channels", lambda: call(pixels(channels=5)), ValueError, CHANNELS + "(50, 70, 5)"),
    ("0 channels", lambda: call(pixels(channels=0)), ValueError, CHANNELS + "(50, 70, 0)"),
    ("height 0", lambda: call(np.zeros((0, 70, 3), np.uint8)), ValueError, "image: height and width must be at least 1, got (0, 70)"),
    ("width 0", lambda: call(np.zeros((50, 0, 3), np.uint8)), ValueError, "image: height and width must be at least 1, got (50, 0)"),
    ("grey of height 0", lambda: call(np.zeros((0, 70), np.uint8)), ValueError, "image: height and width must be at least 1, got (0, 70)"),
    ("Pillow width 0", lambda: call(Image.new("L", (0, 5))), ValueError, "image: height and width must be at least 1, got (5, 0)"),
    ("huge", lambda: call(BIG), dr.ImageTooLargeError, "image: more than " + LIMIT + "(40000, 40000)"),
    ("huge grey", lambda: call(BIG[:, :, 0]), dr.ImageTooLargeError, "image: more than " + LIMIT + "(40000, 40000)"),
    ("huge RGBA", lambda: call(np.broadcast_to(np.uint8(0), (40_000, 40_000, 4))), dr.ImageTooLargeError, "image: more than " + LIMIT + "(40000, 40000)"),
    ("own limit", lambda: qwen(max_image_pixels=3_499)(pixels()), dr.ImageTooLargeError, "image: more than max_image_pixels=3499 pixels, got (50, 70)"),
    ("own limit in a batch", lambda: qwen(max_image_pixels=3_499)([pixels(9, 9), pixels()]), dr.ImageTooLargeError, "images[1]: more than max_image_pixels=3499 pixels, got (50, 70)"),
    ("own limit of a file", lambda: qwen(max_image_pixels=3_499)(png()), dr.ImageTooLargeError, "image: more than max_image_pixels=3499 pixels, got (50, 70)"),
    ("ratio over 200", lambda: call(pixels(5, 1005)), ValueError, "image: absolute aspect ratio must be smaller than 200, got 201 for (5, 1005)"),
    ("ratio in a batch", lambda: call([[pixels()], [pixels(1005, 5)]]), ValueError, "images[1]: absolute aspect ratio must be smaller than 200, got 201 for (1005, 5)"),
    ("not resized, no multiple", lambda: call(pixels(), do_resize=False), ValueError, "image: height and width must be multiples of patch_size * merge_size (28, 28) when do_resize is off, got (50, 70)"),
    ("wrong layout", lambda: call(pixels(), input_data_format="channels_first"), ValueError, "image: must have 1, 3 or 4 channels with input_data_format='channels_first', got the shape (50, 70, 3)"),
    ("not converted", lambda: call(pixels(channels=4), do_convert_rgb=False), ValueError, "image: must have 3 channels where do_convert_rgb is off, got 4"),
    ("Pillow mode", lambda: call(Image.new("La", (70, 50))), ValueError, "image: Pillow cannot convert mode 'La' to RGB"),
    # files
    ("no image", lambda: call(b"no image"), OSError, "8 bytes: is not an image that Pillow can read"),
    ("no bytes", lambda: call(b""), OSError, "0 bytes: is not an image that Pillow can read"),
    ("no image in a batch", lambda: call([pixels(), b"no image"]), OSError, "images[1]: 8 bytes: is not an image that Pillow can read"),
    ("missing file", lambda: call("missing.png"), FileNotFoundError, "missing.png: No such file or directory"),
    ("missing Path", lambda: call(Path("missing.png")), FileNotFoundError, "missing.png: No such file or directory"),
    ("folder", lambda: call("/"), IsADirectoryError, "/: Is a directory"),
    ("NUL in a path", lambda: call("a\0b"), OSError, "a\\x00b: is no path"),
    ("URL", lambda: call("https://example.com/a.png"), ValueError, "image: URLs are not fetched; pass the bytes"),
    ("truncated Pillow image", lambda: call(Image.open(io.BytesIO(png()[:5000]))), OSError, "image: is truncated"),
    ("truncated bytes", lambda: call(png()[:5000]), OSError, "5000 bytes: is truncated"),
    ("strip that cannot be read", lambda: call(unreadable()), OSError, "image: its rows could not be read"),
    ("strip in a batch", lambda: call([pixels(), pixels(), unreadable()]), OSError, "images[2]: its rows could not be read"),
    ("strip in a nest, on threads", lambda: call([[pixels()], [pixels(), unreadable()]], num_threads=2), OSError, "images[2]: its rows could not be read"),
    ("strip after a bad image", lambda: call([b"no image", pixels(), unreadable()], errors="collect"), OSError, "images[2]: its rows could not be read"),
    # calls
    ("videos", lambda: dr.Processor("internvl")(videos=[pixels()]), ValueError, "family: must be one that takes videos; got 'internvl', and the nearest are 'internvl-video', 'qwen3-vl', 'qwen2-vl'"),
    ("return_tensors", lambda: call(pixels(), return_tensors="tf"), ValueError, "return_tensors: must be one of np, pt; got 'tf'"),
    ("return_tensors type", lambda: call(pixels(), return_tensors=1), TypeError, "return_tensors: must be a string, got int"),
    ("return_tensors array", lambda: call(pixels(), return_tensors=np.zeros(3)), TypeError, "return_tensors: must be a string, got ndarray"),
    ("temporal array", lambda: call(pixels(), temporal=np.zeros(3)), TypeError, "temporal: must be a string, got ndarray"),
    ("dtype", lambda: call(pixels(), dtype="float64"), ValueError, "dtype: must be one of float32, float16, bfloat16, uint8; got 'float64'"),
    ("numpy dtype", lambda: call(pixels(), dtype=np.int16), ValueError, "dtype: must be one of float32, float16, bfloat16, uint8; got 'int16'"),
    ("dtype type", lambda: call(pixels(), dtype=4), TypeError, "dtype: must be a string or a dtype, got int"),
    ("temporal", lambda: call(pixels(), temporal="both"), ValueError, "temporal: must be one of expand, compact; got 'both'"),
    ("errors", lambda: call(pixels(), errors="ignore"), ValueError, "errors: must be one of raise, collect; got 'ignore'"),
    ("num_threads", lambda: call(pixels(), num_threads=-1), ValueError, "num_threads: must be in 0..2**31, got -1"),
    ("num_threads float", lambda: call(pixels(), num_threads=1.0), TypeError, "num_threads: must be an integer, got float"),
    ("num_threads bool", lambda: call(pixels(), num_threads=True), TypeError, "num_threads: must be an integer, got bool"),
    ("num_threads array", lambda: call(pixels(), num_threads=np.zeros(2, int)), TypeError, "num_threads: must be an integer, got ndarray"),
    ("num_threads that raises", lambda: call(pixels(), num_threads=Raising()), TypeError, "num_threads: must be an integer, got Raising"),
    ("num_threads huge", lambda: call(pixels(), num_threads=2**70), ValueError, "num_threads: must be in 0..2**31, got 1180591620717411303424"),
    # out
    ("out type", lambda: call(pixels(), out=[1]), TypeError, "out: must be a numpy array, got list"),
    ("out shape", lambda: call(pixels(), out=np.zeros((17, 1176), np.float32)), ValueError, "out: must have the shape (16, 1176), got (17, 1176)"),
    ("out rank", lambda: call(pixels(), out=np.zeros(16 * 1176, np.float32)), ValueError, "out: must have the shape (16, 1176), got (18816,)"),
    ("out dtype", lambda: call(pixels(), out=np.zeros(OUT)), TypeError, "out: must have the dtype float32, got <f8"),
    ("out byte order", lambda: call(pixels(), out=np.zeros(OUT, ">f4")), TypeError, "out: must have the dtype float32, got >f4"),
    ("out bfloat16", lambda: call(pixels(), dtype="bfloat16", out=np.zeros(OUT, np.float16)), TypeError, "out: must have the dtype uint16 (the bits of bfloat16), got <f2"),
    ("out strides", lambda: call(pixels(), out=np.zeros((16, 2352), np.float32)[:, ::2]), ValueError, "out: must be C-contiguous"),
    ("out read-only", lambda: call(pixels(), out=read_only(np.zeros(OUT, np.float32))), ValueError, "out: must be writeable"),
    ("out unaligned", lambda: call(pixels(), out=np.frombuffer(bytearray(16 * 1176 * 4 + 1), np.uint8)[1:] .view(np.float32) .reshape(OUT)), ValueError, "out: must be aligned to its dtype"),
    ("out key", lambda: call(pixels(), out={"pixels": np.zeros(OUT)}), ValueError, "out['pixels']: is no key of the result; those are pixel_values, image_grid_thw"),
    ("out metadata", lambda: call(pixels(), out={"image_grid_thw": np.zeros((1, 3))}), TypeError, "out['image_grid_thw']: must have the dtype int64, got <f8"),
    ("out overlaps an image", overlapping, ValueError, "out: overlaps images[1] in memory"),
    ("resize out overlaps", lambda: resize_over(0), ValueError, "out: overlaps image in memory"),
    ("resize out overlaps at the end", lambda: resize_over(10_499), ValueError, "out: overlaps image in memory"),
    # options
    ("unknown option", lambda: call(pixels(), max_pixel=5), ValueError, "options: unknown key 'max_pixel'; the keys of 'qwen2-vl' are 'coords', 'do_convert_rgb', 'do_normalize', 'do_rescale', 'do_resize', 'image_mean', 'image_std', 'input_data_format', 'max_image_pixels', 'max_pixels', 'merge_size', 'min_pixels', 'patch_size', 'resample', 'rescale_factor', 'size', 'temporal_patch_size'"),
    ("numerics of a call", lambda: call(pixels(), numerics="pillow"), ValueError, "options: unknown key 'numerics'; the keys of 'qwen2-vl' are 'coords', 'do_convert_rgb', 'do_normalize', 'do_rescale', 'do_resize', 'image_mean', 'image_std', 'input_data_format', 'max_image_pixels', 'max_pixels', 'merge_size', 'min_pixels', 'patch_size', 'resample', 'rescale_factor', 'size', 'temporal_patch_size'"),
    ("std 0", lambda: qwen(image_std=[0.5, 0, 0.5]), ValueError, "image_std: must be three finite numbers above 0, got [0.5, 0.0, 0.5]"),
    ("std NaN", lambda: call(pixels(), image_std=[0.5, 0.5, float("nan")]), ValueError, "image_std: must be three finite numbers above 0, got [0.5, 0.5, NaN]"),
    ("std negative", lambda: qwen(image_std=-1), ValueError, "image_std: must be three finite numbers above 0, got [-1.0, -1.0, -1.0]"),
    ("mean infinite", lambda: qwen(image_mean=[0, 0, float("inf")]), ValueError, "image_mean: must be three finite numbers, got [0.0, 0.0, inf]"),
    ("mean of two", lambda: qwen(image_mean=[0.5, 0.5]), ValueError, "image_mean: must be three numbers, got 2"),
    ("mean of text", lambda: qwen(image_mean="0.5"), TypeError, "image_mean: must be a sequence, got str"),
    ("mean of lists", lambda: qwen(image_mean=[[1], [2], [3]]), TypeError, "image_mean: must be three numbers, got list"),
    ("rescale_factor", lambda: qwen(rescale_factor=float("nan")), ValueError, "rescale_factor: must be a finite number above 0, got NaN"),
    ("resample", lambda: qwen(resample=6), ValueError, "resample: must be one of 'nearest', 'lanczos', 'bilinear', 'bicubic', 'box', 'hamming', got 6"),
    ("resample name", lambda: qwen(resample="area"), ValueError, "resample: must be one of 'nearest', 'lanczos', 'bilinear', 'bicubic', 'box', 'hamming', got 'area'"),
    ("resample type", lambda: qwen(resample=[3]), TypeError, "resample: must be a filter's name or number, got list"),
    ("flag", lambda: qwen(do_resize=1), TypeError, "do_resize: must be True or False, got int"),
    ("size of one edge", lambda: dr.Processor("qwen2-vl", size={"shortest_edge": 5}), ValueError, QWEN_SIZE + "'shortest_edge'"),
    ("size of a square", lambda: qwen(size={"height": 5, "width": 5}), ValueError, QWEN_SIZE + "'height', 'width'"),
    ("size as a number", lambda: qwen(size=448), ValueError, QWEN_SIZE + "int"),
    ("size that is no square", lambda: dr.Processor("deepseek-vl", size=[3, 4]), ValueError, "size: must be a square, got (3, 4)"),
    ("size and its old name", lambda: dr.Processor("internvl-hf", size=448, image_size=336), ValueError, "options: 'size' and 'image_size' are the same option, and differ"),
    ("input_data_format", lambda: qwen(input_data_format="CHW"), ValueError, "input_data_format: must be 'channels_first' or 'channels_last', got 'CHW'"),
    ("device object", lambda: call(pixels(), device=Hostile()), TypeError, "options: device: must be 'cpu', got Hostile"),
    ("option that raises", lambda: call(pixels(), max_pixels=Raising()), TypeError, "max_pixels: a value of type Raising is not supported"),
    ("mean 0-d", lambda: qwen(image_mean=np.array(0.5)), TypeError, "image_mean: must be a sequence, got ndarray"),
    ("mean huge", lambda: call(pixels(), image_mean=BIG), TypeError, "image_mean: must be a sequence, got ndarray"),
    ("device", lambda: call(pixels(), device="cuda"), ValueError, "options: device: must be 'cpu' here, got 'cuda'"),
    ("patch_size 0", lambda: qwen(patch_size=0), ValueError, "patch_size: must be an integer in 1..2**31, got 0"),
    ("max_pixels 0", lambda: qwen(max_pixels=0), ValueError, "max_pixels: must be an integer of at least 1, got 0"),
    ("max_pixels text", lambda: qwen(max_pixels="9"), ValueError, 'max_pixels: must be an integer of at least 1, got "9"'),
    # names
    ("family", lambda: dr.Processor("qwen"), ValueError, "family: must be one that `dynres families` lists; got 'qwen', and the nearest are " + NEAREST_FAMILIES),
    ("family type", lambda: dr.Processor(None), TypeError, "family: must be a string, got NoneType"),  # type: ignore[arg-type]
    ("numerics", lambda: qwen(numerics="opencv"), ValueError, NUMERICS + "'opencv'"),
    ("numerics 12", lambda: qwen(numerics="pillow-12"), ValueError, NUMERICS + "'pillow-12'"),
    ("numerics 14", lambda: qwen(numerics="pillow-14"), ValueError, NUMERICS + "'pillow-14'"),
    ("numerics type", lambda: qwen(numerics=13), TypeError, "numerics: must be a string, got int"),
    # configs
    ("config type", lambda: dr.Processor.from_config([]), TypeError, "config: must be a dict, got list"),  # type: ignore[arg-type]
    ("config without class", lambda: dr.Processor.from_config({}), ValueError, "config: must have 'image_processor_type', or be a file of a known model"),
    ("config of a video", lambda: dr.Processor.from_config({"video_processor_type": "SamVideoProcessor"}), ValueError, "video_processor_type: must be one of " + VIDEO_CLASSES + "; got 'SamVideoProcessor'"),
    ("config of another class", lambda: dr.Processor.from_config({"image_processor_type": "SamImageProcessor"}), ValueError, "image_processor_type: must be a class that `dynres families` lists, or one with 'Fast' or 'Pil' at the end; got 'SamImageProcessor', and the nearest are " + NEAREST_CLASSES),
    ("config of arrays", lambda: dr.Processor.from_config({"image_processor_type": np.zeros(2)}), TypeError, "image_processor_type: must be a string, got ndarray"),
    ("config size array", lambda: dr.Processor.from_config({"image_processor_type": "GotOcr2ImageProcessor", "size": np.zeros(2)}), TypeError, "size: must be an integer, got ndarray"),
    ("pad2square", lambda: dr.Processor.from_config({"model_type": "internvl_chat", "ps_version": "v2", "pad2square": True}), ValueError, "pad2square: must be false; images padded to squares are not supported"),
    ("from_dict", lambda: dr.Processor.from_dict({}), ValueError, "data: must have 'family', as to_dict() writes it"),
    ("from_dict type", lambda: dr.Processor.from_dict(3), TypeError, "data: must be a dict, got int"),  # type: ignore[arg-type]
    ("from_pretrained", lambda: dr.Processor.from_pretrained("nobody/nothing"), FileNotFoundError, "path: 'nobody/nothing' is no folder, no json file, and no model in the local Hugging Face cache"),
    ("from_pretrained type", lambda: dr.Processor.from_pretrained(3), TypeError, "path: must be a string or os.PathLike, got int"),  # type: ignore[arg-type]
    ("from_pretrained long", lambda: dr.Processor.from_pretrained("a" * 300), FileNotFoundError, f"path: '{'a' * 160}...' is no folder, no json file, and no model in the local Hugging Face cache"),
    ("from_pretrained bytes", lambda: dr.Processor.from_pretrained(BytesPath()), TypeError, "path: must be a string or os.PathLike of str"),
    # plans
    ("plan 0", lambda: qwen().plan(0, 5), ValueError, "height: must be in 1..2**31, got 0"),
    ("plan negative", lambda: qwen().plan(5, -5), ValueError, "width: must be in 1..2**31, got -5"),
    ("plan float", lambda: qwen().plan(5.0, 5), TypeError, "height: must be an integer, got float"),  # type: ignore[arg-type]
    ("plan NaN", lambda: qwen().plan(5, float("nan")), TypeError, "width: must be an integer, got float"),  # type: ignore[arg-type]
    ("plan bool", lambda: qwen().plan(True, 5), TypeError, "height: must be an integer, got bool"),
    ("plan 2**70", lambda: qwen().plan(2**70, 5), ValueError, "height: must fit 64 bits, got one of 71 bits"),
    ("plan too large", lambda: qwen().plan(40_000, 40_000), dr.ImageTooLargeError, "image: more than " + LIMIT + "(40000, 40000)"),
    ("plan ratio", lambda: qwen().plan(1, 201), ValueError, "image: absolute aspect ratio must be smaller than 200, got 201 for (1, 201)"),
    ("plan of no images", lambda: qwen().plan(5, 5, num_images=0), ValueError, "num_images: must be in 1..2**31, got 0"),
    ("plan array", lambda: qwen().plan(np.zeros(2, int), 5), TypeError, "height: must be an integer, got ndarray"),  # type: ignore[arg-type]
    ("sizes that raise", lambda: qwen().num_tokens(Raising()), TypeError, "sizes: must be numbers in an array or in lists of one length, got Raising"),  # type: ignore[arg-type]
    ("sizes ragged", lambda: qwen().num_tokens([[1, 2], [3]]), TypeError, "sizes: must be numbers in an array or in lists of one length, got list"),
    ("boxes that raise", lambda: qwen().plan(50, 70).to_model(Raising()), TypeError, "boxes: must be numbers in an array or in lists of one length, got Raising"),  # type: ignore[arg-type]
    ("sizes 2**70", lambda: qwen().num_tokens([[2**70, 5]]), ValueError, "sizes: must be below 2**63"),
    ("sizes floats", lambda: qwen().num_tokens([[1.0, 2.0]]), TypeError, "sizes: must be integers, got float64"),
    ("sizes shape", lambda: qwen().num_tokens([1, 2]), ValueError, "sizes: must have the shape (n, 2), got (2,)"),
    # bare functions
    ("smart_resize 0", lambda: dr.smart_resize(0, 10), ValueError, "height: must be in 1..2**31, got 0"),
    ("smart_resize negative", lambda: dr.smart_resize(10, -1), ValueError, "width: must be in 1..2**31, got -1"),
    ("smart_resize float", lambda: dr.smart_resize(10.5, 10), TypeError, "height: must be an integer, got float"),  # type: ignore[arg-type]
    ("smart_resize ratio", lambda: dr.smart_resize(1, 201), ValueError, "image: absolute aspect ratio must be smaller than 200, got 201 for (1, 201)"),
    ("smart_resize budget", lambda: dr.smart_resize(9, 9, max_pixels=0), ValueError, "max_pixels: must be at least 1, got 0"),
    ("smart_resize_video", lambda: dr.smart_resize_video(1, 9, 9), ValueError, "num_frames: must be at least temporal_factor=2, got 1"),
    ("grid", lambda: dr.closest_aspect_grid(9, 9, max_tiles=0), ValueError, "max_tiles: must be in 1..2**31, got 0"),
    ("best_canvas none", lambda: dr.best_canvas(9, 9, []), ValueError, "candidates: must hold at least one (height, width), got none"),
    ("best_canvas type", lambda: dr.best_canvas(9, 9, 3), TypeError, "candidates: must be (height, width) pairs, got int"),  # type: ignore[arg-type]
    ("best_canvas that raises", lambda: dr.best_canvas(9, 9, Raising()), TypeError, "candidates: must be (height, width) pairs, got Raising"),  # type: ignore[arg-type]
    ("best_canvas of numbers", lambda: dr.best_canvas(9, 9, [1, 2]), TypeError, "candidates: must be (height, width), got int"),  # type: ignore[list-item]
    ("best_canvas side", lambda: dr.best_canvas(9, 9, [(1, 0)]), ValueError, "candidates: must be in 1..2**31, got 0"),
    ("resize Pillow", lambda: dr.resize(Image.new("RGB", (5, 5)), (3, 3)), TypeError, "image: must be an array, got Image"),
    ("resize 2-d", lambda: dr.resize(pixels()[:, :, 0], (3, 3)), ValueError, "image: must have the shape (H, W, 3) or (H, W, 4), got (50, 70)"),
    ("resize floats", lambda: dr.resize(pixels().astype(np.float32), (3, 3)), TypeError, "image: must be uint8, got <f4"),
    ("resize of nothing", lambda: dr.resize(pixels()[:0], (3, 3)), ValueError, "image: height and width must be at least 1, got (0, 70)"),
    ("resize to 0", lambda: dr.resize(pixels(), (0, 3)), ValueError, "size: height and width must be at least 1, got (0, 3)"),
    ("resize to -1", lambda: dr.resize(pixels(), (3, -1)), ValueError, "size: height and width must be at least 1, got (3, -1)"),
    ("resize to too much", lambda: dr.resize(pixels(), (40_000, 40_000)), dr.ImageTooLargeError, "size: more than " + LIMIT + "(40000, 40000)"),
    ("resize to 2**33", lambda: dr.resize(pixels(), (2**33, 3)), dr.ImageTooLargeError, "size: more than " + LIMIT + "(8589934592, 3)"),
    ("resize to floats", lambda: dr.resize(pixels(), (3.0, 3)), TypeError, "size: must be an integer, got float"),  # type: ignore[arg-type]
    ("resize to a number", lambda: dr.resize(pixels(), 3), TypeError, "size: must be (height, width), got int"),  # type: ignore[arg-type]
    ("resize to a dict", lambda: dr.resize(pixels(), {"height": 3, "width": 3}), TypeError, "size: must be (height, width), got dict"),  # type: ignore[arg-type]
    ("resize to what raises", lambda: dr.resize(pixels(), Raising()), TypeError, "size: must be (height, width), got Raising"),  # type: ignore[arg-type]
    ("resize of what raises", lambda: dr.resize(Raising(), (3, 3)), TypeError, TYPES + "Raising"),
    ("resize to three", lambda: dr.resize(pixels(), (3, 3, 3)), ValueError, "size: must be (height, width), got 3 numbers"),  # type: ignore[arg-type]
    ("resize by", lambda: dr.resize(pixels(), (3, 3), resample="area"), ValueError, 'resample: must be one of nearest, box, bilinear, hamming, bicubic, lanczos, got "area"'),
    ("resize by number", lambda: dr.resize(pixels(), (3, 3), resample=3), TypeError, "resample: must be a string, got int"),  # type: ignore[arg-type]
    ("resize out shape", lambda: dr.resize(pixels(), (3, 3), out=np.zeros((3, 3, 4), np.uint8)), ValueError, "out: must have the shape (3, 3, 3), got (3, 3, 4)"),
    ("patchify size", lambda: dr.patchify(pixels()), ValueError, "image: height and width must be multiples of patch_size * merge_size (28, 28) when do_resize is off, got (50, 70)"),
    ("patchify RGBA", lambda: dr.patchify(pixels(56, 56, 4)), ValueError, "image: must have the shape (H, W, 3), got (56, 56, 4)"),
    ("patchify mean alone", lambda: dr.patchify(pixels(56, 56), image_std=None), ValueError, "image_mean, image_std: must be given both, or both None"),
    ("tile size", lambda: dr.tile(pixels()), ValueError, "image: height and width must be multiples of tile_size 448, got (50, 70)"),
    ("tile of 0", lambda: dr.tile(pixels(), tile_size=0), ValueError, "tile_size: must be at least 1, got 0"),
    ("fold list", lambda: dr.fold_patch_embedding([1]), TypeError, "weight: must be a float array or tensor, got list"),
    ("fold integers", lambda: dr.fold_patch_embedding(pixels()), TypeError, "weight: must be a float array or tensor, got ndarray"),
    ("fold axes", lambda: dr.fold_patch_embedding(np.zeros((2, 2, 2))), ValueError, "weight: must have 2 or 5 axes, got the shape (2, 2, 2)"),
    ("fold columns", lambda: dr.fold_patch_embedding(np.zeros((2, 7))), ValueError, "weight: its second axis must be a multiple of in_channels * temporal_patch_size = 6, got the shape (2, 7)"),
]
# fmt: on


@pytest.mark.parametrize(
    ("do", "kind", "text"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_bad_input(
    do: Callable[[], Any],
    kind: type[BaseException],
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(Exception) as caught:
        do()
    error = caught.value
    assert (type(error), str(error)) == (kind, text)
    assert error.args == (text,), "takes one string"
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.args) == (kind, (text,))
    assert kind("text").args == ("text",)
    assert not re.search(r"0x[0-9a-fA-F]{6,}|object at|<class|panicked|unwrap", text)


def test_rows_are_distinct() -> None:
    names = [row[0] for row in ROWS]
    assert len(names) == len(set(names)) and len(names) > 120


def test_out_is_untouched_by_validation() -> None:
    out = np.full((32, 1176), 7, np.float32)
    for bad in (pixels(5, 1005), b"no image", pixels().astype(np.int64)):
        with pytest.raises((ValueError, TypeError, OSError)):
            qwen()([pixels(), bad], out=out)
    with pytest.raises(ValueError, match="must have the shape"):
        qwen()(pixels(), out=out)
    assert (out == 7).all()


@pytest.mark.slow
def test_memory_that_cannot_be_had() -> None:
    """The class is the built-in one, with the size; in a batch with the image's index."""
    code = """
import pickle, resource, numpy as np, dynres_rs as dr
limits = resource.getrlimit(resource.RLIMIT_AS)
def fails(do):
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, limits[1]))
    try:
        do()
    except Exception as error:
        caught = error
    resource.setrlimit(resource.RLIMIT_AS, limits)
    assert type(caught) is MemoryError, caught
    assert caught.args == (str(caught),) == pickle.loads(pickle.dumps(caught)).args
    print(caught)
black = np.broadcast_to(np.uint8(0), (12_000, 12_000, 4))
p = dr.Processor("qwen2-vl", min_pixels=10**8, max_pixels=10**8)
fails(lambda: p([black[:, :, :3]]))
held = np.ones(600_000_000, np.uint8)
fails(lambda: p([black[:9, :9], black]))
fails(lambda: dr.resize(black, (13_000, 13_000)))
del held
fails(lambda: dr.tile(black[:, :, :3], tile_size=12_000))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert re.fullmatch(
        r"pixel_values: cannot allocate \d+ bytes for float32 of the shape \(\d+, 1176\)", lines[0]
    )
    assert lines[1].startswith("images[1]: Unable to allocate"), lines[1]
    assert lines[2].startswith("size: cannot allocate 676000000 bytes for uint8 of"), lines[2]
    assert lines[3].startswith("pixel_values: cannot allocate 1728000000 bytes for float32")


def test_out_may_not_overlap_an_image() -> None:
    memory = np.zeros(16 * 1176 * 4, np.uint8)
    out = memory.view(np.float32).reshape(OUT)
    image = memory[5 : 5 + 50 * 70 * 3].reshape(50, 70, 3)
    for given in (image, image[::-1], image.transpose(2, 0, 1), image[:, :, 0]):
        with pytest.raises(ValueError, match=r"^out: overlaps images\[0\] in memory$"):
            qwen()(given, out=out[: qwen()(given)["pixel_values"].shape[0]])
    assert not memory.any()


def test_outs_may_not_overlap_each_other() -> None:
    p = dr.Processor("deepseek-vl-hybrid", size=64, high_res_size=64)
    memory = np.zeros((2, 3, 64, 64), np.float32)
    outs = {"pixel_values": memory[:1], "high_res_pixel_values": memory[:1]}
    with pytest.raises(ValueError, match=r"overlaps out\['pixel_values'\]"):
        p(pixels(), out=outs)
    outs["high_res_pixel_values"] = memory[1:]
    p(pixels(), out=outs)


def test_a_lazy_pillow_image_is_refused_before_it_is_decoded() -> None:
    opened = Image.open(io.BytesIO(png()))
    with pytest.raises(dr.ImageTooLargeError):
        qwen(max_image_pixels=10)(opened)


def test_pillows_own_bomb_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(dr.ImageTooLargeError, match="MAX_IMAGE_PIXELS"):
        qwen()(png())


def test_inputs_are_unchanged_and_released() -> None:
    import sys

    image = pixels()
    before, count = image.copy(), sys.getrefcount(image)
    for _ in range(5):
        qwen()([image])
        with pytest.raises(ValueError, match="multiples"):
            qwen()([image], do_resize=False)
    np.testing.assert_array_equal(image, before)
    assert sys.getrefcount(image) == count


def test_two_calls_may_not_write_to_one_out() -> None:
    image = pixels(1400, 1400)
    p = dr.Processor("qwen2-vl")
    want = p(image)["pixel_values"]
    out = np.empty_like(want)
    refused: list[str] = []

    def write() -> None:
        for _ in range(30):
            try:
                p(image, out=out)
            except ValueError as error:
                refused.append(str(error))

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(refused) == {"out: another call is writing to it"}
    np.testing.assert_array_equal(p(image, out=out)["pixel_values"], want)
    # Parts of one array are no one's but their calls'.
    both = np.empty((2, *want.shape), want.dtype)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda part: [p(image, out=part) for _ in range(5)], both))
    assert (both == want).all()


class ArrowArray(ctypes.Structure):
    _fields_ = [
        *[(name, ctypes.c_int64) for name in ("length", "nulls", "offset", "buffers", "children")],
        *[(name, ctypes.c_void_p) for name in ("buffer", "child", "dictionary", "release", "own")],
    ]


class Released(Image.Image):
    """A Pillow image whose Arrow export was released by somebody else."""

    def __arrow_c_array__(self, *_: Any) -> Any:
        schema, array = Image.Image.__arrow_c_array__(self)
        pointer = ctypes.pythonapi.PyCapsule_GetPointer
        pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        address = pointer(array, b"arrow_array")
        ctypes.CFUNCTYPE(None, ctypes.c_void_p)(ArrowArray.from_address(address).release)(address)
        assert ArrowArray.from_address(address).release is None
        return schema, array


@pytest.mark.skipif(not hasattr(Image.Image, "__arrow_c_array__"), reason="Pillow without Arrow")
def test_a_released_arrow_array_is_not_read() -> None:
    image, made = Released(), Image.fromarray(pixels())
    image.im, image._mode, image._size = made.im, "RGB", made.size  # type: ignore[attr-defined]
    want = call(made)["pixel_values"]
    for _ in range(20):
        np.testing.assert_array_equal(call(image)["pixel_values"], want)


class Unexportable(Image.Image):
    """What Python says where Pillow has no memory for its export."""

    def __arrow_c_array__(self, *_: Any) -> Any:
        raise SystemError("<method at 0x7f0000000000> returned NULL without setting an exception")


@pytest.mark.skipif(not hasattr(Image.Image, "__arrow_c_array__"), reason="Pillow without Arrow")
def test_an_export_without_memory_is_a_memory_error() -> None:
    image, made = Unexportable(), Image.fromarray(pixels())
    image.im, image._mode, image._size = made.im, "RGB", made.size  # type: ignore[attr-defined]
    with pytest.raises(MemoryError, match=r"^image: cannot allocate its Arrow export$"):
        call(image)
