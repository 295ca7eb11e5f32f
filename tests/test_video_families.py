"""Every recorded case of every video class of upstream: bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dynres_rs as dr
import golden_cases
import numpy as np
import pytest
from dynres_rs import _dynres_rs as native
from test_families import differences

EXPECTED = {"video_families.json": 102, "video_sampled.json": 90, "sampling.json": 168}
#: Keys of `metadata` that a recorded call had.
KNOWN = ("total_num_frames", "fps", "duration", "height", "width")


def recorded(spec: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    frames = [{**spec, "seed": spec["seed"] + k} for k in range(spec["frames"])]
    return np.stack([golden_cases.make(frame) for frame in frames])


def configs() -> dict[str, Any]:
    cases = golden_cases.load("video_families.json")["cases"]
    return {case["model_type"]: case["config"] for case in cases if case.get("config")}


CONFIGS = configs()


def cases(file: str) -> list[Any]:
    found = []
    for number, case in enumerate(golden_cases.load(file)["cases"]):
        found.append(pytest.param(case, id=f"{number}-{case['class']}"))
    return found


def test_no_case_is_lost() -> None:
    for file, count in EXPECTED.items():
        assert len(golden_cases.load(file)["cases"]) == count, file


def test_every_recorded_class_is_here() -> None:
    known = {name for name, rows in native.upstream().items() if rows[0]["video"]}
    assert known >= {
        case["class"] for file in EXPECTED for case in golden_cases.load(file)["cases"]
    }


@pytest.mark.parametrize("case", cases("video_families.json"))
def test_recorded_family(case: Mapping[str, Any]) -> None:
    outputs, config = case["outputs"], CONFIGS[case["model_type"]]
    if "error" in outputs:
        # ERNIE's default draws text, Nemotron's has no mean: neither is made here, nor upstream.
        known = {"video_processor_type": case["class"]}
        with pytest.raises(ValueError):
            dr.VideoProcessor.from_config(known)(recorded(case["video"]), do_sample_frames=False)
        return
    processor = dr.VideoProcessor.from_config(config)
    batch = processor(recorded(case["video"]), do_sample_frames=False)
    assert not differences(batch, outputs)


@pytest.mark.parametrize("case", cases("video_families.json"))
def test_recorded_family_by_its_defaults(case: Mapping[str, Any]) -> None:
    if "error" in case["outputs"]:
        pytest.skip("upstream's default fails")
    processor = dr.VideoProcessor.from_config({"video_processor_type": case["class"]})
    batch = processor(recorded(case["video"]), do_sample_frames=False)
    assert not differences(batch, case["outputs"])


@pytest.mark.parametrize("case", cases("video_sampled.json"))
def test_recorded_sampled_video(case: Mapping[str, Any]) -> None:
    config = golden_cases.load("video_sampled.json")["configs"][case["config"]]
    video = case["video"]
    known = {
        "total_num_frames": video["frames"],
        "fps": video["fps"],
        "duration": video["frames"] / video["fps"],
        "height": video["height"],
        "width": video["width"],
    }
    batch = dr.VideoProcessor.from_config(config)(
        recorded(video),
        video_metadata=[known],
        do_sample_frames=True,
        return_metadata=True,
        **case["kwargs"],
    )
    (metadata,) = batch.pop("video_metadata")
    assert metadata.frames_indices == case["frames_indices"]
    assert not differences(batch, case["outputs"])


@pytest.mark.parametrize("case", cases("sampling.json"))
def test_recorded_sampling(case: Mapping[str, Any]) -> None:
    config: dict[str, Any] = {"video_processor_type": case["class"]}
    if case["class"].startswith("Ernie"):
        config["draw_on_frames"] = False
    processor = dr.VideoProcessor.from_config(config)
    total, fps = case["total_num_frames"], case["fps"]

    def taken() -> list[int]:
        return processor.sample_frames(total, fps, duration=total / fps, **case["kwargs"]).tolist()

    if "error" in case:
        with pytest.raises(ValueError, match=r"^num_frames: "):
            taken()
        return
    got, want = taken(), case["indices"]
    if isinstance(want, dict):
        ends = {"n": len(got), "first": got[:8], "last": got[-8:], "sum": sum(got)}
        assert ends == want
    else:
        assert got == want


def test_times_are_not_drawn_on_frames() -> None:
    processor = dr.VideoProcessor.from_config(
        {"video_processor_type": "Ernie4_5_VLMoeVideoProcessor"}
    )
    frames = np.zeros((3, 60, 80, 3), np.uint8)
    with pytest.raises(ValueError, match=r"^draw_on_frames: must be False"):
        processor(frames, do_sample_frames=False)
    # What they would say changes no size.
    assert processor.plan(60, 80, num_frames=3).grid == processor.plan(60, 80, num_frames=4).grid


def test_a_token_sees_two_frames_that_lie_apart() -> None:
    processor = dr.VideoProcessor("ernie4.5-vl-moe")
    plan = processor.plan(240, 135, num_frames=15)
    assert plan.grid == (48, 26) and plan.shape == (16 * 48 * 26, 588)
    assert plan.num_tokens == 8 * 24 * 13 == len(plan.token_boxes())
    frames = np.random.default_rng(1).integers(0, 256, (5, 60, 80, 3), np.uint8)
    odd = processor(frames)["pixel_values_videos"]
    even = processor(np.concatenate([frames, frames[-1:]]))["pixel_values_videos"]
    assert odd.tobytes() == even.tobytes()
    streamed = processor(iter(frames), do_sample_frames=False)["pixel_values_videos"]
    assert streamed.tobytes() == odd.tobytes()


def test_frames_of_a_token_lie_on_the_axis_of_channels() -> None:
    processor = dr.VideoProcessor("nemotron-h-omni", video_target_num_patches=64)
    frames = np.random.default_rng(2).integers(0, 256, (5, 90, 70, 3), np.uint8)
    batch = processor([frames, frames[:, ::-1]])
    rows, columns = processor.plan(90, 70, num_frames=5).grid
    assert (rows, columns) == (1, 1)
    pixels = batch["pixel_values_videos"]
    height, width = processor.plan(90, 70, num_frames=5).resized
    assert pixels.shape == (2, 3, 6, height, width)
    assert batch["num_frames"].tolist() == [5, 5]
    alone = [processor(frames[i : i + 1])["pixel_values_videos"][0, 0, :3] for i in range(5)]
    assert np.array_equal(pixels[0].reshape(6, 3, height, width), np.stack([*alone, alone[-1]]))
    with pytest.raises(ValueError, match="pixel_values_videos"):
        processor([frames, frames[:2]])


def test_videos_of_unequal_length_are_filled_up() -> None:
    """PE's class pads to the longest, and has a mask of frames where they differ."""
    processor = dr.VideoProcessor("pe-video")
    noise = np.random.default_rng(3)
    one, other = (noise.integers(0, 256, (n, 20, 30, 3), dtype=np.uint8) for n in (2, 5))
    batch = processor([one, other, one])
    assert sorted(batch) == ["padding_mask_videos", "pixel_values_videos"]
    mask, pixels = batch["padding_mask_videos"], batch["pixel_values_videos"]
    assert mask.dtype == bool
    assert mask.tolist() == [[True] * 2 + [False] * 3, [True] * 5, [True] * 2 + [False] * 3]
    assert pixels.shape == (3, 5, 3, 20, 30)
    assert (
        pixels[mask].tobytes() == np.concatenate([one, other, one]).transpose(0, 3, 1, 2).tobytes()
    )
    assert not pixels[~mask].any()
    assert list(processor([one, one])) == ["pixel_values_videos"]
    with pytest.raises(ValueError, match="pixel_values_videos"):
        processor([one, other[:, :10]])
