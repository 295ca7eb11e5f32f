"""Every recorded case of every video class of upstream: bit for bit."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import dynres_rs as dr
import golden_cases
import numpy as np
import pytest
from dynres_rs import _dynres_rs as native
from PIL import Image
from reference import video as reference
from test_families import differences

EXPECTED = {"video_families.json": 102, "video_sampled.json": 99, "sampling.json": 168}
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


#: What units of a video that are shown on canvases are called with.
STACKED = {"video_processor_type": "MiniCPMV4_6VideoProcessor", "scale_resolution": 112}


def times(total: int, fps: float, **more: Any) -> dict[str, Any]:
    return {"total_num_frames": total, "fps": fps, "duration": total / fps, **more}


@pytest.mark.parametrize("seed", range(60))
def test_frames_between_seconds_by_the_plain_rule(seed: int) -> None:
    """Which are taken, on which canvas each lies and where, and how many tokens that makes."""
    rng = random.Random(seed)
    stack, most = rng.randint(2, 7), rng.choice([1, 2, 5, 128])
    fps, seconds = rng.choice([1.0, 2.5, 24.0, 29.97]), rng.choice([0.4, 3.0, 11.0, 140.0])
    duration = seconds * rng.uniform(0.9, 1.0)
    total = int(seconds * fps) + 1
    size = (rng.randint(14, 90), rng.randint(14, 90))
    options = {"stack_frames": stack, "max_num_frames": most}
    processor = dr.VideoProcessor.from_config(STACKED, **options)
    found = processor.sample_frames(total, fps, duration=duration).tolist()
    between = reference.between(duration, stack, most)
    main = dr.VideoProcessor.from_config(STACKED, max_num_frames=most)
    seconds_alone = main.sample_frames(total, fps, duration=duration).tolist()
    assert found == seconds_alone + [min(int(time * fps), total - 1) for time in between]
    shown = reference.units(len(found), between)
    sizes = [reference.canvas(size, len(unit)) for unit in shown]
    plans = processor.plans(*size, num_frames=len(found), duration=duration)
    assert [plan.source for plan in plans] == sizes
    tokens = [main.plan(*sides, num_frames=1).num_tokens for sides in sizes]
    assert [plan.num_tokens for plan in plans] == tokens
    counted = processor.num_tokens([(len(found), *size)] * 2, duration=[duration, duration])
    assert counted.tolist() == [sum(tokens)] * 2


def test_units_are_frames_and_canvases() -> None:
    """The pixels of each unit: a call equals one of the same canvases as images of their own."""
    options = {"stack_frames": 4, "max_num_frames": 3}
    processor = dr.VideoProcessor.from_config(STACKED, **options)
    video = np.random.default_rng(1).integers(1, 256, (31, 30, 44, 3), dtype=np.uint8)
    known = times(31, 8.0)
    batch = processor(video, video_metadata=known, do_sample_frames=True, return_metadata=True)
    (metadata,) = batch.pop("video_metadata")
    indices = metadata.frames_indices
    assert indices[:3] == [0, 14, 29] and len(indices) == 3 + 3 * 3
    units = reference.units(len(indices), reference.between(31 / 8.0, 4, 3))
    pictures = [reference.stacked(video[[indices[n] for n in unit]]) for unit in units]
    plain = dr.VideoProcessor.from_config(STACKED)
    alone = [plain(picture[None], do_sample_frames=False) for picture in pictures]
    assert batch["num_frames_per_video"] == [len(units)] == [6]
    for key, axis in {
        "pixel_values_videos": 3,
        "target_sizes_videos": 0,
        "grids_videos": 0,
    }.items():
        whole = np.concatenate([one[key] for one in alone], axis=axis)
        assert batch[key].tobytes() == whole.tobytes(), key
    plan, taken, frames, plans = processor.take(video, video_metadata=known, do_sample_frames=True)
    assert plan == plans[0] and taken.frames_indices == indices
    assert [frame.tobytes() for frame in frames] == [picture.tobytes() for picture in pictures]
    assert [each.source for each in plans] == [picture.shape[:2] for picture in pictures]


@pytest.mark.parametrize("kind", ["list", "pictures", "iterator", "length", "sampled", "out"])
def test_units_of_any_kind_of_video(kind: str) -> None:
    """Streams show their frames in another order than units need them."""
    processor = dr.VideoProcessor.from_config(STACKED, stack_frames=3, max_num_frames=4)
    video = np.random.default_rng(2).integers(0, 256, (70, 30, 44, 3), dtype=np.uint8)
    known, how = times(70, 10.0), {"do_sample_frames": True, "num_threads": 2}
    want = processor([video, video[:20]], video_metadata=[known, times(20, 10.0)], **how)
    indices = processor.sample_frames(70, 10.0, duration=7.0)
    assert sorted(indices) != indices.tolist()
    given: Any = {
        "list": list(video),
        "pictures": [Image.fromarray(frame) for frame in video],
        "iterator": iter(video),
        "sampled": (frame for frame in video[indices]),
    }.get(kind, video)
    if kind == "sampled":
        known, how = {**known, "frames_indices": indices.tolist()}, {"do_sample_frames": False}
        want = processor(video, video_metadata=times(70, 10.0), do_sample_frames=True)
        given = [given]
    else:
        given, known = [given, video[:20]], [known, times(20, 10.0)]
    if kind == "out":
        how["out"] = np.full_like(want["pixel_values_videos"], 9)
    got = processor(given, video_metadata=known, **how)
    assert got.keys() == want.keys()
    for key, value in want.items():
        np.testing.assert_array_equal(got[key], value, err_msg=key)
    if kind == "out":
        assert np.shares_memory(got["pixel_values_videos"], how["out"])


def test_stacked_videos_that_are_refused() -> None:
    processor = dr.VideoProcessor.from_config(STACKED, stack_frames=3)
    video = np.zeros((6, 30, 44, 3), np.uint8)
    with pytest.raises(ValueError, match=r"^stack_frames: .*plans\(\)"):
        processor.plan(30, 44, num_frames=6)
    with pytest.raises(ValueError, match=r"^duration: must be known"):
        processor(video, do_sample_frames=False)
    with pytest.raises(ValueError, match=r"^duration: must be known"):
        processor.plans(30, 44, num_frames=6)
    with pytest.raises(ValueError, match=r"^duration: must be one a video, 2, got 1"):
        processor.num_tokens([(6, 30, 44)] * 2, duration=[3.0])
    # Two of each of three seconds lie between them: no main frame is left.
    with pytest.raises(ValueError, match=r"^num_frames: must be above the 6 frames between"):
        processor(video, video_metadata={"duration": 3.0}, do_sample_frames=False)
    with pytest.raises(ValueError, match=r"^video: which frames are shown depends on the number"):
        processor(iter(video), video_metadata={"duration": 1.0}, do_sample_frames=False)
    with pytest.raises(ValueError, match=r"^stack_frames: .*2\*\*24"):
        many = dr.VideoProcessor("minicpm-v4.6", stack_frames=2**31 - 1)
        many.sample_frames(30, 1.0, duration=30.0)
    batch = processor(
        [video, video[:, :9]],
        video_metadata=[{}, {"duration": 1.0}],
        do_sample_frames=False,
        errors="collect",
    )
    assert batch["num_frames_per_video"] == [5] and [index for index, _ in batch["errors"]] == [0]


def test_frames_of_a_wide_video_are_stacked_in_a_column() -> None:
    plans = dr.VideoProcessor("minicpm-ocr", stack_frames=4).plans(
        100, 400, num_frames=8, duration=2.0
    )
    assert [plan.source for plan in plans] == [(100, 400), (312, 400)] * 2


def test_a_stacked_video_on_the_command_line() -> None:
    pytest.importorskip("rich")
    pytest.importorskip("typer")
    from dynres_rs.cli.video import describe_video
    from dynres_rs.draw.videos import contact_sheet

    processor = dr.VideoProcessor.from_config(STACKED, stack_frames=3, do_sample_frames=True)
    video = np.zeros((20, 30, 44, 3), np.uint8)
    taken = processor.take(video, video_metadata=times(20, 10.0))
    said = describe_video(taken)
    assert "6 taken as 4 frames and canvases, 30x44" in said
    assert said.endswith(f"{processor.num_tokens([(6, 30, 44)], duration=2.0)[0]} tokens")
    with pytest.raises(ValueError, match=r"^stack_frames: must be 1 for a contact sheet"):
        contact_sheet(taken)


def test_the_mask_of_frames_that_nothing_fills() -> None:
    """SmolVLM's class marks the area of a video in them, too."""
    processor = dr.VideoProcessor("smolvlm", max_image_size={"longest_edge": 32})
    noise = np.random.default_rng(9)
    one, three = (
        noise.integers(1, 256, s, dtype=np.uint8) for s in ((1, 20, 40, 3), (3, 40, 20, 3))
    )
    batch = processor([one, three])
    assert batch["pixel_attention_mask"].shape == (2, 3, 32, 32)
    assert batch["pixel_attention_mask"].all()
    assert not batch["pixel_values"][0, 1:].any()


@pytest.mark.parametrize(
    ("family", "tokens"),
    [
        ("llava-onevision", 4 * 14 * 14 + 1),  # a newline ends the video
        ("llava-next-video", 4 * 8 * 8),
        ("internvl-video", 4 * 256),
        ("video-llava", 4 * (16 * 16 + 1)),  # the encoder's class is one of them
        ("perception-lm", 4 * 16 * 16),
        ("smolvlm", 4 * 13 * 13),
    ],
)
def test_tokens_of_videos_that_models_pool(family: str, tokens: int) -> None:
    plan = dr.VideoProcessor(family).plan(200, 300, num_frames=4)
    assert plan.num_tokens == tokens
    boxes, kinds = plan.token_boxes(), plan.token_kinds()
    assert boxes.shape == (tokens, 4)
    assert np.count_nonzero(kinds == "newline") == (family == "llava-onevision")
    seen = boxes[kinds == "image"]
    assert ((seen[:, 2:] - seen[:, :2]) > 0).all()
    text = plan.placeholder(video_metadata={"total_num_frames": 4, "fps": 2.0, "duration": 2.0})
    words = ("<video>", "<IMG_CONTEXT>", "<|video|>", "<image>")
    assert sum(map(text.count, words)) == tokens


def test_sizes_that_are_asked_for() -> None:
    """SAM 2's class says them of a video that is not resized, too."""
    processor = dr.VideoProcessor("sam2-video", size={"height": 64, "width": 64})
    video = np.zeros((2, 20, 30, 3), np.uint8)
    for do_resize in (True, False):
        batch = processor(video, do_resize=do_resize)
        assert batch["reshaped_input_sizes"].tolist() == [[64, 64]]
        assert batch["original_sizes"].tolist() == [[20, 30]]
