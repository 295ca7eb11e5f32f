"""Numbers that no image has: refused, or answered at once, whatever they are.

A number alone must never decide how much memory a call takes. Each call that did so runs in a
process of its own with little memory, where an abort is seen as a signal.
"""

import json
import pickle
import re
import subprocess
import sys
import time
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest

LIMITED = """
import resource, sys
import numpy as np, dynres_rs as dr
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
p = dr.Processor("qwen2-vl")
frames = np.broadcast_to(np.uint8(7), (2**40, 28, 28, 3))
try:
    {call}
except Exception as error:
    print(type(error).__name__, error, sep=": ")
"""
EVERY_VIDEO = """
import resource
import dynres_rs as dr
from dynres_rs import _dynres_rs as native
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
made = [dr.VideoProcessor(family) for family in native.video_families()]
few = [p.plan(64, 64, num_frames=16) for p in made]
before, plans = peak(), []
for p in made:
    try:
        plans.append(p.plan(64, 64, num_frames=1 << 24))
        plans[-1].shape, plans[-1].shapes, plans[-1].nbytes()
    except ValueError:  # takes no so long video
        pass
print(len(plans), peak() - before)
"""
MOST = "must be at most 2**24, got"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits address space")
@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("p.num_tokens([(2**31 - 1, 100, 100)])", f"ValueError: num_frames: {MOST} 2147483647"),
        ("p.plan(100, 100, num_frames=2**31 - 1)", f"ValueError: num_frames: {MOST} 2147483647"),
        (
            "p.get_num_multimodal_tokens(video_sizes=[(2**31 - 1, 100, 100)])",
            f"ValueError: num_frames: {MOST} 2147483647",
        ),
        (
            "p(videos=frames, do_sample_frames=False)",
            f"ValueError: num_frames: {MOST} 1099511627776",
        ),
        (
            "p(videos=frames, do_sample_frames=True)",
            "ValueError: total_num_frames: must be in 1..2**31, got 1099511627776",
        ),
        (
            "p.video.sample_frames(2**31 - 1)",
            f"ValueError: total_num_frames: {MOST} 2147483647",
        ),
        (
            "dr.sample_indices(10, num_frames=2**40)",
            f"ValueError: num_frames: {MOST} 1099511627776",
        ),
        (
            "dr.Processor('qwen2-vl', patch_size=range(10**13))",
            "ValueError: patch_size: must be one value, got 10000000000000",
        ),
        (
            "dr.Processor('deepseek-vl2', candidate_resolutions=range(10**13))",
            "ValueError: candidate_resolutions: must be at most 1024 pairs, got 10000000000000",
        ),
    ],
)
def test_sizes_alone_take_no_memory(call: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED.format(call=call)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == said


def test_a_plan_does_not_grow_with_its_frames() -> None:
    processor = dr.Processor("qwen2-vl").video
    short, long = (processor.plan(56, 84, num_frames=frames) for frames in (4, 1 << 24))
    assert len(pickle.dumps(long)) <= len(pickle.dumps(short)) + 16
    assert long._runs == short._runs
    assert long.num_tokens == short.num_tokens // 2 << 23
    one = processor.plan(56, 84, num_frames=2).token_boxes()
    np.testing.assert_array_equal(short.token_boxes(), np.concatenate([one, one]))
    assert len(short.token_kinds()) == short.num_tokens


def test_no_plan_of_a_video_grows_with_its_frames() -> None:
    """Before grids of chunks were kept once, the plan of some took 100 MB, and 30 GB of another."""
    done = subprocess.run(
        [sys.executable, "-c", EVERY_VIDEO], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    planned, grown = map(int, done.stdout.split())
    assert planned > 25 and grown < 8 << 10, (planned, grown)


@pytest.mark.parametrize(
    ("family", "options", "text"),
    [
        (
            "aria",
            {
                "split_image": True,
                "max_image_size": 490,
                "split_resolutions": [[490 * 300, 490 * 300]],
            },
            "image: must be one that is cut into at most 8192 parts, got more",
        ),
        ("minicpm-v4.6", {"max_slice_nums": 4097}, "max_slice_nums: must be in 1..=4096, got 4097"),
    ],
)
def test_an_image_has_so_many_parts_at_most(
    family: str, options: dict[str, Any], text: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        dr.Processor(family, **options).plan(100, 100)


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("deit", {"width": 2**30}),
        ("clip", {"shortest_edge": 2**30}),
        ("bit", {"shortest_edge": 2**30}),
    ],
)
def test_a_side_that_is_cut_down_has_a_limit(family: str, options: dict[str, Any]) -> None:
    """Each sample of a resized side has weights, also where the crop shows none of them."""
    processor = dr.Processor(family, **options)
    image = np.zeros((40, 60, 3), np.uint8)
    for call in (
        lambda: processor(image),
        lambda: processor.plan(40, 60),
        lambda: processor.num_tokens([(40, 60)]),
    ):
        with pytest.raises(dr.ImageTooLargeError, match=r"resized image: .* pixels"):
            call()


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("max_image_pixels", "an integer of at least 1"),
        ("max_pixels", "an integer of at least 1"),
        ("min_pixels", "an integer of at least 1"),
        ("patch_size", "an integer in 1..2**31"),
        ("rescale_factor", "a finite number above 0"),
    ],
)
def test_integers_below_64_bits_are_refused(name: str, rule: str) -> None:
    with pytest.raises(ValueError) as caught:
        dr.Processor("qwen2-vl", **{name: -(2**64)})
    assert str(caught.value) == f"{name}: must be {rule}, got -1.8446744073709552e19"


def test_integers_above_64_bits() -> None:
    for name in ("max_image_pixels", "max_pixels", "min_pixels"):
        for huge in (2**63, 2**64, 10**400):
            p = dr.Processor("qwen2-vl", **{name: huge})
            assert p.to_dict()[name] == 2**63 - 1
    assert dr.Processor("qwen2-vl", rescale_factor=2**64).to_dict()["rescale_factor"] == 2.0**64
    with pytest.raises(ValueError, match="rescale_factor: must be a finite number above 0, got on"):
        dr.Processor("qwen2-vl", rescale_factor=10**400)
    with pytest.raises(ValueError, match=r"patch_size: must be an integer in 1\.\.2\*\*31, got 9"):
        dr.Processor("qwen2-vl", patch_size=2**63)


@pytest.mark.parametrize("key", ["max_pixels", "min_pixels"])
def test_a_config_of_wide_integers_survives(key: str) -> None:
    config = {"image_processor_type": "Qwen2VLImageProcessor", key: 2**64}
    p = dr.Processor.from_config(config)
    for other in (pickle.loads(pickle.dumps(p)), dr.Processor.from_dict(p.to_dict())):
        assert other == p and hash(other) == hash(p)
    assert dr.Processor.from_dict(json.loads(json.dumps(p.to_dict()))) == p


def test_too_many_canvases_are_refused_at_once() -> None:
    canvases = [(384 * (1 + number % 1000), 384) for number in range(200_000)]
    began = time.thread_time()
    with pytest.raises(ValueError, match="must be at most 1024 pairs, got 200000"):
        dr.Processor("deepseek-vl2", candidate_resolutions=canvases)
    p = dr.Processor("deepseek-vl2", candidate_resolutions=canvases[:1000])
    assert len(p.to_dict()["candidate_resolutions"]) == 1000
    assert time.thread_time() - began < 0.5
