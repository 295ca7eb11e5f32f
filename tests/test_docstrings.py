"""Every public function says what it takes, returns and raises: shapes, dtypes, units, errors."""

import inspect
import re
from typing import Any

import dynres_rs as dr
import dynres_rs.draw
import pytest
from dynres_rs import internvl, qwen_vl_utils, ring

#: Names that take nothing, return nothing or raise nothing that could be said.
PLAIN = {"enable_zero_copy", "patch", "unpatch"}


def public() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for module in (dr, dynres_rs.draw, qwen_vl_utils, internvl, ring):
        prefix = module.__name__.removeprefix("dynres_rs").lstrip(".")
        for name in module.__all__:
            value = getattr(module, name)
            full = f"{prefix}.{name}".lstrip(".")
            if isinstance(value, type):
                found[full] = value
                for member, item in vars(value).items():
                    if not member.startswith("_") or member == "__call__":
                        found[f"{full}.{member}"] = item
            elif callable(value):
                found[full] = value
    return found


PUBLIC = dict(sorted(public().items()))


def said(name: str) -> str:
    item = PUBLIC[name]
    if isinstance(item, classmethod | staticmethod):
        item = item.__func__
    text = inspect.getdoc(item)
    return " ".join((text or "").split())


def is_field(name: str) -> bool:
    """A field of a dataclass or named tuple, whose docstring Python does not keep."""
    owner, _, member = name.rpartition(".")
    holder = PUBLIC.get(owner)
    names = getattr(holder, "_fields", ()) or getattr(holder, "__dataclass_fields__", ())
    return member in names


def parameters(name: str) -> list[str]:
    item = PUBLIC[name]
    if isinstance(item, classmethod | staticmethod):
        item = item.__func__
    try:
        found = inspect.signature(item).parameters
    except (TypeError, ValueError):
        return []
    return [key for key in found if key not in ("self", "cls") and not key.startswith("_")]


def is_function(name: str) -> bool:
    item = PUBLIC[name]
    if isinstance(item, classmethod | staticmethod):
        return True
    return not isinstance(item, type) and callable(item)


def test_the_ones_without_are_there() -> None:
    for name in ("Plan", "View", "Plan.to_model", "View.source", "families", "simd", "draw.draw"):
        assert name in PUBLIC


@pytest.mark.parametrize("name", [name for name in PUBLIC if not is_field(name)])
def test_it_has_a_docstring(name: str) -> None:
    text = said(name)
    assert len(text.split()) >= 3, text
    assert "alias for field number" not in text.lower()


@pytest.mark.parametrize("name", [name for name in PUBLIC if is_function(name)])
def test_arguments_are_said(name: str) -> None:
    """Each by its name, under Args or in a sentence."""
    text = said(name)
    missing = [p for p in parameters(name) if not re.search(rf"\b{re.escape(p)}\b", text)]
    assert not missing, text
    if len(parameters(name)) > 1 and name.rsplit(".", maxsplit=1)[-1] not in PLAIN:
        assert "Args:" in text, text


@pytest.mark.parametrize("name", [n for n in PUBLIC if is_function(n) and "." not in n])
def test_results_and_errors_are_said(name: str) -> None:
    text = said(name)
    if name in PLAIN:
        return
    assert re.search(r"Returns:|-> |Whether|The ", text), text
    if parameters(name):
        assert "Raises:" in text, text


#: Functions of pixels, sizes and coordinates, and what their docstrings must hold.
EXACT = {
    "Processor.__call__": (r"\(H, W, 3\)", "uint8", "float32", "Raises:"),
    "VideoProcessor.__call__": (r"\(T, H, W, 3\)", "float32", "int64", "Raises:"),
    "Processor.plan": ("in pixels", "Raises:"),
    "Processor.num_tokens": (r"\(n, 2\)", r"\(n,\) int64", "Raises:"),
    "resize": (r"\(H, W, 3\)", "uint8", "Raises:"),
    "patchify": (r"\(H, W, 3\)", "uint8", "Returns:", "Raises:"),
    "tile": (r"\(H, W, 3\)", "uint8", "Returns:", "Raises:"),
    "unpack": (r"\(H, W, 3\)", "uint8", "float32", "Raises:"),
    "pack": (r"\(n,\)", "int32", "Raises:"),
    "fold_patch_embedding": (r"\(D, C, T, p, p\)", "Raises:"),
    "smart_resize": (r"\(height, width\)", "pixels", "Raises:"),
    "smart_resize_video": (r"\(height, width\)", "pixels", "Raises:"),
    "closest_aspect_grid": ("pixels", "Raises:"),
    "best_canvas": (r"\(height, width\)", "Raises:"),
    "sample_indices": (r"\(n,\) int64", "seconds", "Raises:"),
    "timestamps": ("seconds", "frames a second", "Raises:"),
    "Plan.to_model": (r"\(n, 4\)", "float64", "pixels", "Raises:"),
    "Plan.to_image": (r"\(n, 4\)", "float64", "pixels", "Raises:"),
    "Plan.to_view": (r"\(n, 2\)", "float64", "pixels", "Raises:"),
    "Plan.token_boxes": (r"\(num_tokens, 4\)`? float64", "pixels", "Raises:"),
    "Plan.token_kinds": (r"\(num_tokens,\)", "Raises:"),
    "Plan.nbytes": ("float32", "Raises:"),
    "View.source": (r"\(top, left, height, width\)", "pixels"),
    "View.resized": (r"\(height, width\)", "pixels"),
    "families": ("Returns:", "Raises:"),
    "simd": ("Returns:", "avx512"),
    "draw.draw": (r"\(n, 4\)", "pixels", "Returns:", "Raises:"),
    "draw.compare": ("pixels", "Returns:", "Raises:"),
    "draw.parse_boxes": ("Returns:", "Raises:"),
}


@pytest.mark.parametrize("name", list(EXACT))
def test_shapes_dtypes_units_and_errors(name: str) -> None:
    text = said(name)
    for pattern in EXACT[name]:
        assert re.search(pattern, text), (pattern, text)
