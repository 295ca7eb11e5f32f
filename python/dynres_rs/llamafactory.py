"""LLaMA-Factory's own resize before the processor, with the same bits.

    import dynres_rs.llamafactory
    dynres_rs.llamafactory.patch()

LLaMA-Factory scales each image to `image_max_pixels` with Pillow, rounding sides down, and then
hands it to the model's processor, which resizes again. `patch()` replaces the first of the two;
`dynres_rs.transformers.enable()` replaces the second.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any, Final

from ._pil import resize

__all__ = ["patch", "preprocess_image", "preprocess_image_qwen2_vl", "unpatch"]

_MODULE: Final = "llamafactory.data.mm_plugin"
_METHOD: Final = "_preprocess_image"
_originals: list[tuple[Any, Any]] = []


def preprocess_image(
    image: Any, image_max_pixels: int, image_min_pixels: int, **kwargs: Any
) -> Any:
    """Scales an image into a budget of pixels, and makes it RGB.

    Args:
        image: a Pillow image of any mode. Other modes than RGB are resized by Pillow, before they
            are converted, as upstream does.
        image_max_pixels: most pixels.
        image_min_pixels: fewest pixels; sides are rounded down, so it may be missed by a little.
        **kwargs: ignored.

    Returns:
        a Pillow image of mode RGB; the same object where nothing was to be done.

    Raises:
        ValueError: a side would be 0.

    Matches `MMPluginMixin._preprocess_image` of LLaMA-Factory 0.9.5.
    """
    if image.width * image.height > image_max_pixels:
        image = _scale(image, image_max_pixels)
    if image.width * image.height < image_min_pixels:
        image = _scale(image, image_min_pixels)
    return image if image.mode == "RGB" else image.convert("RGB")


def preprocess_image_qwen2_vl(image: Any, **kwargs: Any) -> Any:
    """`preprocess_image`, and then sides of at least 28 pixels and a ratio of at most 200.

    Args:
        image: a Pillow image of any mode.
        **kwargs: of `preprocess_image`.

    Matches `Qwen2VLPlugin._preprocess_image` of LLaMA-Factory 0.9.5.
    """
    return _for_qwen(preprocess_image(image, **kwargs))


def _scale(image: Any, pixels: int) -> Any:
    share = math.sqrt(pixels / (image.width * image.height))
    return resize(image, (int(image.width * share), int(image.height * share)))


def _for_qwen(image: Any) -> Any:
    if min(image.size) < 28:
        image = resize(image, (max(image.width, 28), max(image.height, 28)))
    if image.width / image.height > 200:
        image = resize(image, (image.height * 180, image.height))
    if image.height / image.width > 200:
        image = resize(image, (image.width, image.width * 180))
    return image


def patch(module: Any = None) -> None:
    """Replaces `_preprocess_image` of `MMPluginMixin` and `Qwen2VLPlugin`.

    Args:
        module: what holds the classes; None is `llamafactory.data.mm_plugin`. Calling it twice
            changes nothing.

    Raises:
        ImportError: LLaMA-Factory is not installed, or its rules are others: both are run side by
            side on a few tiny images first.
    """
    if _originals:
        return
    if module is None:
        try:
            module = importlib.import_module(_MODULE)
        except ImportError as error:
            raise ImportError(
                f"dynres_rs.llamafactory.patch() needs llamafactory ({error})"
            ) from None
    base = getattr(module, "MMPluginMixin", None) or getattr(module, "BasePlugin", None)
    qwen = getattr(module, "Qwen2VLPlugin", None)
    if base is None or qwen is None or _METHOD not in vars(base) or _METHOD not in vars(qwen):
        raise ImportError(
            f"dynres_rs.llamafactory.patch() knows LLaMA-Factory 0.9.5, and {module.__name__} has"
            f" other classes"
        )

    def mixin(
        self: Any, image: Any, image_max_pixels: int, image_min_pixels: int, **kwargs: Any
    ) -> Any:
        return preprocess_image(image, image_max_pixels, image_min_pixels, **kwargs)

    def qwen2_vl(self: Any, image: Any, **kwargs: Any) -> Any:
        return _for_qwen(super(qwen, self)._preprocess_image(image, **kwargs))

    _compare(vars(base)[_METHOD], lambda image, **kw: mixin(None, image, **kw), base)
    _compare(vars(qwen)[_METHOD], lambda image, **kw: preprocess_image_qwen2_vl(image, **kw), qwen)
    for owner, method in ((base, mixin), (qwen, qwen2_vl)):
        _originals.append((owner, vars(owner)[_METHOD]))
        method.__name__ = method.__qualname__ = _METHOD
        setattr(owner, _METHOD, method)


def unpatch() -> None:
    """Puts LLaMA-Factory's own methods back."""
    while _originals:
        owner, original = _originals.pop()
        setattr(owner, _METHOD, original)


def _compare(theirs: Any, ours: Callable[..., Any], owner: Any) -> None:
    """Raises unless both do the same to a few tiny images."""
    from PIL import Image

    def outcome(method: Callable[..., Any], *args: Any, **limits: int) -> Any:
        try:
            image = method(*args, **limits)
        except Exception as error:
            return type(error)
        return image.mode, image.size, image.tobytes()

    square = Image.linear_gradient("L").resize((40, 40)).convert("RGB")
    instance = object.__new__(owner)
    for size in ((40, 40), (9, 31), (700, 3), (2, 450)):
        for mode in ("RGB", "RGBA", "L"):
            image = square.resize(size).convert(mode)
            for most, least in ((10**6, 0), (300, 0), (10**6, 3000), (200, 900)):
                limits = {"image_max_pixels": most, "image_min_pixels": least}
                if outcome(theirs, instance, image, **limits) != outcome(ours, image, **limits):
                    raise ImportError(
                        "dynres_rs.llamafactory.patch() knows the rules of LLaMA-Factory 0.9.5, and"
                        f" those of {owner.__name__} are others"
                    )
