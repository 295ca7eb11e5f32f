"""The budget solver and packing: the answer meets the budget, and nothing larger does."""

import math
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest
from hypothesis import strategies as st
from property_counts import property_test

thin = st.tuples(st.integers(10, 60), st.integers(200, 2000))
side = st.integers(1, 3000)
one_size = st.one_of(
    thin, thin.map(lambda s: s[::-1]), st.tuples(side, side), st.tuples(side, side)
).filter(lambda s: max(s) <= 200 * min(s))
data_sets = st.lists(one_size, min_size=1, max_size=40)


def met(p: dr.Processor, sizes: Any, kind: str, tokens: int, q: float, num_images: int = 1) -> bool:
    counts = p.num_tokens(sizes, num_images=num_images)
    if kind == "total_tokens":
        return int(counts.sum()) <= tokens
    percent = 100 if kind == "tokens_per_image" else round(q * 100)
    needed = -(-percent * len(counts) // 100)
    return int((counts <= tokens).sum()) >= needed


def solve(
    p: dr.Processor, sizes: Any, kind: str, tokens: int, q: float, num_images: int = 1
) -> dr.Processor | None:
    argument: Any = (q, tokens) if kind == "quantile" else tokens
    try:
        return p.fit(sizes, num_images=num_images, **{kind: argument})
    except ValueError as error:
        assert "no setting of this processor meets" in str(error)
        return None


kinds = st.sampled_from(["tokens_per_image", "total_tokens", "quantile"])
quantiles = st.integers(1, 100).map(lambda percent: percent / 100)


@property_test(
    family=st.sampled_from(["qwen2-vl", "qwen3-vl"]),
    sizes=data_sets,
    kind=kinds,
    tokens=st.integers(1, 30_000),
    q=quantiles,
)
def test_max_pixels(family: str, sizes: Any, kind: str, tokens: int, q: float) -> None:
    p = dr.Processor(family, max_pixels=2_000_000)
    lowest = p.to_dict()["min_pixels"]
    found = solve(p, sizes, kind, tokens, q)

    def holds(max_pixels: int) -> bool:
        return met(dr.Processor(family, max_pixels=max_pixels), sizes, kind, tokens, q)

    top = lowest - 1 if found is None else found.to_dict()["max_pixels"]
    if found is not None:
        assert lowest <= top <= 2_000_000 and holds(top)
    # Nothing larger does: tokens change nowhere but where a side gains a cell.
    if top < 2_000_000:
        assert not holds(top + 1)
        for max_pixels in np.unique(np.geomspace(top + 1, 2_000_000, 60).astype(int)):
            assert not holds(int(max_pixels))


@property_test(
    sizes=data_sets,
    kind=kinds,
    tokens=st.integers(1, 30_000),
    q=quantiles,
    least=st.integers(1, 4),
    more=st.integers(0, 20),
    num_images=st.integers(1, 3),
)
def test_max_num(
    sizes: Any, kind: str, tokens: int, q: float, least: int, more: int, num_images: int
) -> None:
    def processor(max_num: int) -> dr.Processor:
        return dr.Processor("internvl", min_num=least, max_num=max_num, multi_image="divide")

    every = range(least, least + more + 1)
    found = solve(processor(every[-1]), sizes, kind, tokens, q, num_images)
    good = [n for n in every if met(processor(n), sizes, kind, tokens, q, num_images)]
    assert (found is None) == (not good)
    if found is not None:
        assert found.to_dict()["max_num"] == max(good)


@property_test(sizes=data_sets, kind=kinds, tokens=st.integers(300, 30_000), q=quantiles)
def test_canvases(sizes: Any, kind: str, tokens: int, q: float) -> None:
    p = dr.Processor("deepseek-vl2")
    found = solve(p, sizes, kind, tokens, q)
    every = p.to_dict()["candidate_resolutions"]
    answers = []
    for most in range(1, 10):
        fewer = [[w, h] for w, h in every if w * h <= most * 384 * 384]
        if met(dr.Processor("deepseek-vl2", candidate_resolutions=fewer), sizes, kind, tokens, q):
            answers.append(fewer)
    assert (found is None) == (not answers)
    if found is not None:
        assert found.to_dict()["candidate_resolutions"] == answers[-1]


def test_tokens_fall_where_an_image_is_no_longer_shrunk() -> None:
    """What makes bisection alone wrong: 15 x 2000 has more tokens shrunk than as it is."""
    counts = [
        int(dr.Processor("qwen2-vl", max_pixels=m).num_tokens([[15, 2000]])[0])
        for m in (55_663, 55_664)
    ]
    assert counts == [97, 71]
    p = dr.Processor("qwen2-vl", max_pixels=60_000)
    assert p.fit([[15, 2000]], tokens_per_image=80) is p
    low = dr.Processor("qwen2-vl", max_pixels=55_663).fit([[15, 2000]], tokens_per_image=80)
    top = low.to_dict()["max_pixels"]
    assert top < 55_663 and int(low.num_tokens([[15, 2000]])[0]) <= 80
    above = dr.Processor("qwen2-vl", max_pixels=top + 1)
    assert int(above.num_tokens([[15, 2000]])[0]) > 80


def test_fit_keeps_everything_else() -> None:
    p = dr.Processor("qwen2-vl", numerics="pillow-12.3", resample="bilinear")
    q = p.fit([[4000, 3000]], tokens_per_image=1000)
    assert q.numerics == p.numerics
    mine, its = p.to_dict(), q.to_dict()
    assert {key for key in mine if mine[key] != its[key]} == {"max_pixels"}
    assert p.fit([], total_tokens=0) is p


def test_fit_refuses() -> None:
    p = dr.Processor("qwen2-vl")
    sizes = [[100, 100]]
    with pytest.raises(ValueError, match="exactly one budget"):
        p.fit(sizes)
    with pytest.raises(ValueError, match="exactly one budget"):
        p.fit(sizes, tokens_per_image=1, total_tokens=1)
    with pytest.raises(ValueError, match="exactly one budget"):
        p.fit(sizes, quantile=0.5)
    with pytest.raises(ValueError, match="quantile: must be above 0"):
        p.fit(sizes, quantile=(1.5, 100))
    with pytest.raises(TypeError, match="total_tokens: must be an integer"):
        p.fit(sizes, total_tokens=1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"sizes\[1\]: absolute aspect ratio"):
        p.fit([[100, 100], [1, 1000]], total_tokens=10)
    with pytest.raises(ValueError, match="tokens_per_image: must be more"):
        p.fit(sizes, tokens_per_image=1)
    with pytest.raises(ValueError, match="tokens_per_image: must be more"):
        dr.Processor("deepseek-vl").fit(sizes, tokens_per_image=575)


def test_quantiles_are_decimal() -> None:
    """0.07 of 100 images is 7 of them, although 0.07 * 100 is a little more in floats."""
    sizes = [[200, 200]] * 7 + [[2000, 2000]] * 93
    p = dr.Processor("qwen2-vl")
    assert p.fit(sizes, quantile=(0.07, 60)) is p
    assert p.fit(sizes, tokens_per_image=60, quantile=0.07) is p
    assert p.fit(sizes, quantile=(0.08, 60)) != p


@property_test(lengths=st.lists(st.integers(0, 300), max_size=80), longest=st.integers(300, 900))
def test_packing(lengths: list[int], longest: int) -> None:
    packing = dr.pack(lengths, longest)
    members = sorted(int(i) for members in packing.bins for i in members)
    assert members == list(range(len(lengths)))
    for bin_members, offsets in zip(packing.bins, packing.cu_seqlens, strict=True):
        assert (np.diff(bin_members) > 0).all()
        assert offsets.dtype == np.int32 and offsets[0] == 0 and offsets[-1] <= longest
        assert np.diff(offsets).tolist() == [lengths[i] for i in bin_members]
    least = math.ceil(sum(lengths) / longest)
    assert len(packing.bins) <= max(1, 2 * least) or not lengths
    again = dr.pack(np.array(lengths, np.int32), longest)
    assert [a.tolist() for a in again.bins] == [b.tolist() for b in packing.bins]


def test_packing_refuses() -> None:
    with pytest.raises(ValueError, match=r"token_counts\[1\]: must be at most max_len=10, got 11"):
        dr.pack([1, 11], 10)
    with pytest.raises(ValueError, match=r"token_counts\[0\]: must not be negative"):
        dr.pack([-1], 10)
    with pytest.raises(TypeError, match="token_counts: must be integers"):
        dr.pack([1.5], 10)
    with pytest.raises(ValueError, match="max_len"):
        dr.pack([1], 0)
