"""Calls whose images are not filled up, and what is returned beside their pixels."""

from __future__ import annotations

from typing import Any

import dynres_rs as dr
import numpy as np
import pytest
from strategies import noise

#: Family, the options that make it small, and whether it has a mask of what is filled up.
FAMILIES: list[tuple[str, dict[str, Any], bool]] = [
    ("pixtral", {"longest_edge": 96}, False),
    ("llava-next", {}, False),
    ("idefics2", {"longest_edge": 90, "shortest_edge": 60}, True),
    ("idefics3", {"longest_edge": 112, "tile_size": 56}, True),
    ("smolvlm", {"longest_edge": 112, "tile_size": 56}, True),
    ("pi0", {}, False),
]


@pytest.mark.parametrize(("family", "options", "masked"), FAMILIES, ids=[f[0] for f in FAMILIES])
def test_images_that_are_alike_need_no_padding(
    family: str, options: dict[str, Any], masked: bool
) -> None:
    p = dr.Processor(family, **options)
    images = [[noise(1, 80, 60)], [noise(2, 80, 60)]]
    filled, bare = p(images), p(images, do_pad=False)
    assert ("pixel_attention_mask" in filled) is masked
    assert "pixel_attention_mask" not in bare
    if family == "pi0":  # its page is wider than what the image is scaled to
        height, width = bare["pixel_values"].shape[2:]
        assert np.array_equal(filled["pixel_values"][:, :, :height, :width], bare["pixel_values"])
        return
    assert np.array_equal(filled["pixel_values"], bare["pixel_values"])


@pytest.mark.parametrize(("family", "options", "masked"), FAMILIES, ids=[f[0] for f in FAMILIES])
def test_images_that_differ_do(family: str, options: dict[str, Any], masked: bool) -> None:
    p = dr.Processor(family, **options, do_pad=False)
    with pytest.raises(ValueError, match=r"pixel_values"):
        p([[noise(1, 600, 590)], [noise(2, 30, 90)]])
    assert len(dr.Processor(family, **options)([[noise(1, 600, 590)], [noise(2, 30, 90)]]))


def test_quarters_that_differ_do() -> None:
    p = dr.Processor("idefics2", do_image_splitting=True, do_pad=False)
    with pytest.raises(ValueError, match=r"pixel_values"):
        p(noise(3, 13, 383))


@pytest.mark.parametrize("family", ["idefics3", "smolvlm"])
def test_rows_and_columns_of_tiles(family: str) -> None:
    p = dr.Processor(family, longest_edge=112, tile_size=56, return_row_col_info=True)
    batch = p([[noise(1, 40, 112)], [noise(2, 112, 112), noise(3, 50, 112)]])
    assert (batch["rows"], batch["cols"]) == ([[1], [2, 1]], [[2], [2, 2]])
    whole = p(noise(1, 40, 112), do_image_splitting=False)
    assert (whole["rows"], whole["cols"]) == ([[0]], [[0]])
    assert "rows" not in p(noise(1, 40, 112), return_row_col_info=False)


def test_a_flag_by_which_tiles_are_routed() -> None:
    p = dr.Processor("granite-docling", image_size=64)
    assert "tile_fine_mask" not in p(noise(1, 60, 60))
    mask = p([[noise(1, 60, 60)], [noise(2, 60, 90)]], fine_route=True)["tile_fine_mask"]
    assert (mask.dtype, mask.tolist()) == (np.bool_, [True, True])
