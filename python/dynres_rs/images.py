"""Any accepted image, turned into something that the compiled core reads in place.

The core reads uint8 arrays of shape (H, W, 3) with any strides, and Pillow images of mode RGB or
RGBX. What already is one of those passes through untouched, channels-first, grey and sliced arrays
as views. Everything else is converted here, with the arithmetic of the upstream that the processor
reproduces (`Policy.convert`):

`"transformers"`
    transformers 5's `convert_to_rgb`: alpha (a band, or `info["transparency"]`) is composited on
    white, grey is repeated. Files are read as by its `load_image`: EXIF-transposed, then
    `convert("RGB")`, which drops alpha.
`"original"`
    InternVL's and DeepSeek-VL2's own code: `convert("RGB")`, alpha dropped, EXIF left alone.
`"checkerboard"`
    `Inkling2ImageProcessor`: alpha composited on a checkerboard, otherwise as transformers.
`"none"`
    `do_convert_rgb` off: three channels as they are, anything else is an error. Files as in
    `"transformers"`.

Floating-point arrays: upstream resizes them in floating point (torchvision), or through uint8
(Pillow) with scaling guesses. The one case that equals the uint8 path bit for bit is accepted:
every value an integer in 0..255. The processor allows it where its upstream gives the same numbers
(see `Ready.floating`), and it is a `TypeError` otherwise; so is every other dtype than uint8.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _dynres_rs as _native
from . import jpeg
from ._types import U8, ImageInput
from .files import check_openable, shown
from .nested import icon_size, inner_sizes, refused

if TYPE_CHECKING:
    from PIL import Image as PillowImage

__all__ = ["Policy", "Ready", "as_array", "is_batch_array", "prepare"]

CHANNELS = (1, 3, 4)


class Policy(NamedTuple):
    """How images become RGB: see the module."""

    convert: str
    """`"transformers"`, `"original"`, `"checkerboard"` or `"none"`."""
    torchvision: bool
    """Whether arrays with alpha are composited with torchvision's arithmetic, in float32."""
    layout: str | None
    """`"channels_first"`, `"channels_last"`, or None: inferred as upstream does."""
    max_pixels: int
    """The largest `height * width` that is decoded or converted."""
    decoding: jpeg.Decoding = jpeg.Decoding()
    """Who decodes JPEGs, and the most work of one."""
    crop_margin: bool = False
    """Whether the margins of light pixels are cut off."""
    page: tuple[int, int] | None = None
    """Height and width of the page that images are turned to, or None."""


class Ready(NamedTuple):
    """An image that the core can read."""

    pixels: Any
    """A uint8 array (H, W, 3), a loaded Pillow image of mode RGB or RGBX, or, where that was asked
    for, a JPEG file that the core decodes while it uses its rows."""
    height: int
    width: int
    floating: str | None
    """The dtype's name if the caller's array was floating point (and holds integers), else None."""


def prepare(image: ImageInput, policy: Policy, *, by_rows: bool = False) -> Ready:
    """Turns one image into one that the core can read, without a copy wherever it can be.

    Args:
        image: a numpy array (H, W), (H, W, 1), (H, W, 3), (H, W, 4) or with the channels first,
            uint8; a Pillow image of any mode; a torch tensor on the CPU; an object with
            `__array_interface__`, DLPack or the buffer protocol; encoded `bytes`; or a path.
        policy: how to convert.
        by_rows: whether a JPEG may stay undecoded until its rows are used. Then what is wrong with
            its pixels is found while the core runs.

    Raises:
        TypeError: a Python type, dtype or byte order that is not accepted.
        ValueError: a shape, layout or Pillow mode that is not accepted.
        ImageTooLargeError: more than `policy.max_pixels`.
        OSError: a file or bytes that Pillow cannot decode; the built-in class that Pillow raised.
    """
    if not policy.crop_margin and policy.page is None:
        return _as_rgb(image, policy, by_rows)
    ready = _as_rgb(image, policy, False)
    pixels = np.asarray(ready.pixels)[:, :, :3]
    if policy.crop_margin:
        rows, columns = _native.without_margins(pixels, policy.torchvision)
        pixels = pixels[slice(*rows), slice(*columns)]
    if policy.page is not None and _native.is_across(pixels.shape[:2], policy.page):
        pixels = np.rot90(pixels, 3)
    return Ready(pixels, pixels.shape[0], pixels.shape[1], ready.floating)


def _as_rgb(image: ImageInput, policy: Policy, by_rows: bool) -> Ready:
    """An image that the core can read, as it is."""
    if type(image) is np.ndarray:
        return _array(image, policy)
    # Another thread may be halfway through importing Pillow.
    kind = getattr(sys.modules.get("PIL.Image"), "Image", None)
    if kind is not None and isinstance(image, kind):
        return _pillow(image, policy, by_rows)
    if isinstance(image, str | os.PathLike | bytes):
        return _file(image, policy, by_rows)
    return _array(as_array(image), policy)


def is_batch_array(image: object) -> bool:
    """Whether this is an array or tensor of four axes: upstream takes it as a list of images."""
    if isinstance(image, np.ndarray) or _is_tensor(image):
        return bool(getattr(image, "ndim", 0) == 4)
    return False


# Arrays


def _is_tensor(image: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(image, torch.Tensor)


def as_array(image: Any) -> NDArray[Any]:
    """An ndarray over the memory of any object that offers it."""
    kind = type(image).__name__
    if isinstance(image, np.ma.MaskedArray):
        raise TypeError("image: masked arrays are not accepted, since the mask would be lost")
    if isinstance(image, np.ndarray):
        return np.asarray(image)
    if isinstance(image, list | tuple | dict | set | np.generic | int | float | complex | None):
        raise TypeError(f"image: must be an array, a Pillow image, bytes or a path, got {kind}")
    if _is_tensor(image):
        if image.device.type != "cpu":
            raise TypeError(f"image: the tensor must be on the CPU, got device '{image.device}'")
        try:
            return np.asarray(image.detach().numpy())
        except (TypeError, RuntimeError):
            raise TypeError(f"image: tensors of {image.dtype} are not accepted") from None
    try:
        if hasattr(image, "__array_interface__") or hasattr(image, "__array__"):
            return np.asarray(image)
        if hasattr(image, "__dlpack__"):
            return np.from_dlpack(image)
        view = memoryview(image)
    except MemoryError:
        raise
    except Exception:  # whatever an object raises when it is asked for its memory
        raise TypeError(
            f"image: must be an array, a Pillow image, bytes or a path, got {kind}"
        ) from None
    if view.ndim == 1:
        raise ValueError(
            f"image: a buffer must have the shape (height, width, 3), got {view.shape};"
            " encoded images are passed as bytes"
        )
    return np.asarray(view)


def _array(array: NDArray[Any], policy: Policy) -> Ready:
    floating = None
    if array.dtype != np.uint8:
        array, floating = _integers(array, policy), array.dtype.name
    shape = array.shape
    if len(shape) == 2:
        height, width = shape
        _check_size(height, width, policy.max_pixels)
        if policy.convert == "none":
            raise ValueError(_WITHOUT.format(1))
        return Ready(
            np.broadcast_to(array[:, :, None], (height, width, 3)), height, width, floating
        )
    if len(shape) != 3:
        raise ValueError(f"image: must have 2 or 3 axes, got the shape {shape}")
    if shape[2] == 3 and shape[0] > 4 and policy.layout is None:
        return Ready(array, shape[0], shape[1], floating)
    if _channels_first(shape, policy):
        array = array.transpose(1, 2, 0)
    height, width, channels = array.shape
    if channels == 3:
        return Ready(array, height, width, floating)
    _check_size(height, width, policy.max_pixels)
    if policy.convert == "none":
        raise ValueError(_WITHOUT.format(channels))
    if channels == 1:
        return Ready(np.broadcast_to(array, (height, width, 3)), height, width, floating)
    if floating is not None:
        raise TypeError(f"image: must be uint8 where it has an alpha channel, got {floating}")
    if policy.convert == "original":
        return Ready(array[:, :, :3], height, width, None)
    if policy.convert == "checkerboard":
        return Ready(_native.on_checkerboard(array), height, width, None)
    return Ready(_native.on_white(array, policy.torchvision), height, width, None)


_WITHOUT = "image: must have 3 channels where do_convert_rgb is off, got {}"


def _channels_first(shape: tuple[int, ...], policy: Policy) -> bool:
    """Upstream's `infer_channel_dimension_format`: the first axis wins if both could be the
    channels.

    The original InternVL and DeepSeek-VL2 code knows no channels-first images: there the last axis
    wins.
    """
    axis = {"channels_first": 0, "channels_last": 2}.get(policy.layout or "")
    if axis is not None:
        if shape[axis] not in CHANNELS:
            raise ValueError(
                f"image: must have 1, 3 or 4 channels with input_data_format='{policy.layout}',"
                f" got the shape {shape}"
            )
        return axis == 0
    first, last = shape[0] in CHANNELS, shape[2] in CHANNELS
    if not first and not last:
        raise ValueError(
            f"image: must have 1, 3 or 4 channels on its first or last axis, got the shape {shape}"
        )
    return first and not (last and policy.convert == "original")


def _integers(array: NDArray[Any], policy: Policy) -> U8:
    """A floating-point array of integers in 0..255 as uint8; `TypeError` for anything else."""
    dtype = array.dtype
    if dtype.kind != "f" or not dtype.isnative or dtype.itemsize > 8:
        shown = dtype.str if dtype.kind in "fiu" and not dtype.isnative else dtype.name[:40]
        raise TypeError(f"image: must be uint8, got {shown}")
    if array.ndim not in (2, 3):
        raise ValueError(f"image: must have 2 or 3 axes, got the shape {array.shape}")
    _check_size(1, array.size // 3 if array.ndim == 3 else array.size, policy.max_pixels)
    whole = _native.whole_bytes(array)
    if whole is None:
        raise TypeError(
            f"image: must be uint8, got {dtype.name} with values that are no integers in 0..255"
        )
    return whole


# Pillow


def _pillow(image: PillowImage.Image, policy: Policy, by_rows: bool = False) -> Ready:
    width, height = image.size
    mode = image.mode
    if mode not in ("RGB", "RGBX") or not width or not height:
        _check_size(height, width, policy.max_pixels)
    opaque = policy.convert == "original" or image.info.get("transparency") is None
    direct = mode == "RGB" if policy.convert == "none" else opaque and mode in ("RGB", "L")
    file = jpeg.pending(image) if height * width <= policy.max_pixels else None
    if file is not None:
        jpeg.check_work(file, policy.decoding.max_work, "image")
        if direct and jpeg.is_own(policy.decoding):
            fallback = (lambda: _guard("image", lambda: _loaded(image))) if by_rows else None
            pixels = jpeg.decode_pending(image, file, fallback)
            if pixels is not None:
                return Ready(pixels, height, width, None)
    _guard("image", lambda: _load(image, policy.max_pixels))
    if policy.convert == "none":
        if mode == "RGB":
            return Ready(image, height, width, None)
        array = np.asarray(image)
        if array.ndim != 3 or array.shape[2] != 3:
            raise ValueError(_WITHOUT.format(1 if array.ndim == 2 else array.shape[2]))
        return _array(array, policy._replace(layout="channels_last"))
    if opaque and mode in ("RGB", "RGBX"):
        return Ready(image, height, width, None)
    _check_size(height, width, policy.max_pixels)
    return Ready(_rgb(image, policy), height, width, None)


def _loaded(image: PillowImage.Image) -> PillowImage.Image:
    """The image decoded by Pillow, in mode RGB."""
    image.load()
    return image if image.mode == "RGB" else image.convert("RGB")


def _opened(file: BinaryIO, upright: bool) -> PillowImage.Image:
    """A JPEG opened and decoded by Pillow, in mode RGB."""
    from PIL import Image, ImageOps

    image: PillowImage.Image = Image.open(file)
    if upright:
        ImageOps.exif_transpose(image, in_place=True)
    return _loaded(image)


def _rgb(image: PillowImage.Image, policy: Policy) -> PillowImage.Image:
    """transformers' `convert_to_rgb`, or plain `convert("RGB")`."""
    from PIL import Image

    try:
        has_alpha = "A" in image.getbands() or image.info.get("transparency") is not None
        if policy.convert == "checkerboard":
            if not image.has_transparency_data:
                return image.convert("RGB")
            return Image.fromarray(_native.on_checkerboard(np.asarray(image.convert("RGBA"))))
        if policy.convert == "original" or not has_alpha:
            return image.convert("RGB")
        image = image.convert("RGBA")
        background = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(background, image).convert("RGB")
    except ValueError:
        raise ValueError(f"image: Pillow cannot convert mode '{image.mode}' to RGB") from None


def _file(source: str | os.PathLike[str] | bytes, policy: Policy, by_rows: bool = False) -> Ready:
    given: str | bytes
    if isinstance(source, bytes):
        name, given = f"{len(source)} bytes", source
    else:
        given = os.fspath(source)
        if isinstance(given, bytes):
            raise TypeError("image: a path must be str or os.PathLike of str")
        if given.startswith(("http://", "https://")):
            raise ValueError("image: URLs are not fetched; pass the bytes")
        check_openable(given)
        name = shown(given)

    def decode() -> Any:
        file = jpeg.read(given)
        if file is not None:
            return _jpeg(file, name, policy, by_rows)
        with io.BytesIO(given) if isinstance(given, bytes) else open(given, "rb") as stream:  # noqa: PTH123
            return _decoded(stream, policy)

    image = _guard(name, decode)
    if isinstance(image, np.ndarray):
        return Ready(image, image.shape[0], image.shape[1], None)
    if isinstance(image, _native.Jpeg):
        return Ready(image, *image.size, None)
    return Ready(image, image.height, image.width, None)


def _jpeg(file: jpeg.File, name: str, policy: Policy, by_rows: bool) -> Any:
    """The pixels of a JPEG, decoded by the core where it can, or what stands for them."""
    upright = policy.convert != "original"
    own = jpeg.is_own(policy.decoding)

    def fallback() -> Any:
        return _guard(name, lambda: _opened(io.BytesIO(file.data), upright))

    late = fallback if by_rows else None
    turn = file.turn(upright) if own else None
    if turn is not None and file.header is not None:
        _check_size(file.header.height, file.header.width, policy.max_pixels)
        jpeg.check_work(file, policy.decoding.max_work, name)
        pixels = jpeg.decode(file, turn, late)
        if pixels is not None:
            return pixels
        own = False

    def undecoded(opened: PillowImage.Image) -> Any:
        jpeg.check_work(file, policy.decoding.max_work, name)
        return jpeg.opened(opened, file, upright, late) if own else None

    return _decoded(io.BytesIO(file.data), policy, undecoded)


def _decoded(
    file: BinaryIO,
    policy: Policy,
    undecoded: Callable[[PillowImage.Image], Any] | None = None,
) -> Any:
    """A file's pixels as an array, or a loaded image of mode RGB that needs the file no more.

    `undecoded` may have its own pixels for an image that Pillow has opened.
    """
    from PIL import Image, ImageOps

    size = icon_size(file)
    if size is not None:
        _check_size(*size, policy.max_pixels)
    # Lazy: a size that is too large is refused before any pixel is decoded.
    opened = Image.open(file)
    try:
        why = refused(opened.format)
        if why is not None:
            raise _Refused(why)
        _check_size(opened.height, opened.width, policy.max_pixels)
        for size in inner_sizes(opened):
            _check_size(*size, policy.max_pixels)
        pixels = None if undecoded is None else undecoded(opened)
        if pixels is not None:
            opened.close()
            return pixels
        if policy.convert != "original":
            ImageOps.exif_transpose(opened, in_place=True)
        if opened.mode == "RGB":
            opened.load()
            keyed = opened.info.get("transparency") is not None
            if keyed and policy.convert == "transformers" and not policy.torchvision:
                return _rgb(opened, policy)
            return opened
        if not isinstance(opened.info.get("transparency"), int | tuple):
            # Pillow drops it either way, but with a warning about palettes with alpha.
            opened.info.pop("transparency", None)
        converted = opened.convert("RGB")
        # A transparent colour outlives Pillow's conversion, and transformers then composites;
        # torchvision's decoder drops it, as the original loaders do.
        if policy.convert == "transformers" and not policy.torchvision:
            return _rgb(converted, policy)
        return converted
    except BaseException:
        opened.close()
        raise


class _Refused(OSError):
    """Our own verdict on a file, in our own words."""


def _load(image: PillowImage.Image, limit: int) -> None:
    """Decodes an opened image, whatever format is inside its own."""
    for size in inner_sizes(image):
        _check_size(*size, limit)
    image.load()


def _guard(name: str, decode: Any) -> Any:
    """Runs a step of Pillow's decoding; what it raises comes out as `OSError` with our own text.

    Pillow's own text can hold an object's address (CVE-2026-22778), and decoders raise a dozen
    classes.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        return decode()
    except (_native.ImageTooLargeError, MemoryError, Warning):
        raise
    except _Refused as error:
        raise OSError(f"{name}: {error}") from None
    except Image.DecompressionBombError:
        raise _native.ImageTooLargeError(
            f"{name}: Pillow refuses to decode so many pixels (Image.MAX_IMAGE_PIXELS)"
        ) from None
    except UnidentifiedImageError:
        raise OSError(f"{name}: is not an image that Pillow can read") from None
    except OSError as error:
        if error.errno is not None:
            kind = _builtin(type(error))
            raise kind(f"{name}: {os.strerror(error.errno)}") from None
        why = "is truncated" if "truncated" in str(error) else "cannot be decoded"
        raise _builtin(type(error))(f"{name}: {why}") from None
    except Exception:
        raise OSError(f"{name}: cannot be decoded") from None


def _builtin(kind: type[OSError]) -> type[OSError]:
    """The nearest built-in class."""
    for parent in kind.__mro__:
        if parent.__module__ == "builtins" and issubclass(parent, OSError):
            return parent
    return OSError


def _check_size(height: int, width: int, limit: int) -> None:
    if height * width > limit:
        raise _native.ImageTooLargeError(
            f"image: more than max_image_pixels={limit} pixels, got {(height, width)}"
        )
    if height < 1 or width < 1:
        raise ValueError(f"image: height and width must be at least 1, got {(height, width)}")
