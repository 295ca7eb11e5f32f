"""What stands for videos in prompts, against what upstream's processors said and say.

`golden/video_prompts.json` has the recorded texts and counts (`python tests/upstream_videos.py`
makes it); the test marked `torch` asks the processors themselves, of random videos.
"""

from __future__ import annotations

import importlib.util
import json
import random
import time
from dataclasses import replace
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest
import upstream_prompts
import upstream_videos as upstream
from dynres_rs import _dynres_rs as native
from hypothesis import given
from hypothesis import strategies as st

RECORDED = json.loads(upstream.FILE.read_text(encoding="utf-8"))
#: Names of families, some with what is special about their options behind a comma.
FAMILIES = sorted(RECORDED["families"])
#: Whose upstream has no text for a video: encoders, and InstructBLIP, whose processor puts the same
#: tokens before every prompt.
WITHOUT_TEXT = {
    "instructblipvideo", "sam2-video", "timesformer", "videomae", "videomt", "vivit", "vjepa2",
    "pe-video",
}  # fmt: skip


def classes() -> dict[str, str]:
    """Video classes by family."""
    rows = native.upstream().items()
    return {row["family"]: name for name, each in rows for row in each if row["video"]}


def processor_of(family: str) -> dr.VideoProcessor:
    """As upstream's is made: the class's defaults and the options of its file."""
    name = classes()[family.partition(",")[0]]
    own = upstream.VIDEOS[family].video_config
    return dr.VideoProcessor.from_config({"video_processor_type": name, **own})


def text_of(family: str, case: dict[str, Any], frames: int) -> str:
    plan = processor_of(family).plan(
        *case["size"],
        num_frames=frames,
        do_sample_frames=case.get("sampled", False),
        **case.get("options", {}),
    )
    return plan.placeholder(video_metadata=upstream.metadata_of(case) or {})


def test_every_family_is_recorded() -> None:
    assert set(classes()) == {name.partition(",")[0] for name in FAMILIES} | WITHOUT_TEXT
    assert set(FAMILIES) == set(upstream.VIDEOS)
    for family in WITHOUT_TEXT:
        plan = dr.VideoProcessor(family).plan(64, 96, num_frames=2)
        assert plan.placeholder() == "" and plan.num_prompt_tokens is None


@pytest.mark.parametrize("family", FAMILIES)
def test_recorded_texts(family: str) -> None:
    row = RECORDED["families"][family]
    compared = 0
    for case, text, frames in zip(RECORDED["cases"], row["texts"], row["frames"], strict=True):
        if text is not None:
            assert text_of(family, case, frames) == upstream_prompts.unpacked(text), case
            compared += 1
    assert compared >= 7


@pytest.mark.parametrize("family", [f for f in FAMILIES if "tokens" in RECORDED["families"][f]])
def test_recorded_counts(family: str) -> None:
    video = processor_of(family)
    plans = [video.plan(h, w, num_frames=frames) for frames, h, w in RECORDED["sizes"]]
    found = [plan.num_prompt_tokens for plan in plans]
    assert found == RECORDED["families"][family]["tokens"]


#: Families whose presets are the classes' defaults; Qwen3-VL's are a released checkpoint's.
COUNTED = sorted(
    family
    for family, row in RECORDED["families"].items()
    if "tokens" in row and family in dr.families() and family != "qwen3-vl"
)


@pytest.mark.parametrize("family", COUNTED)
def test_counts_of_a_processor(family: str) -> None:
    found = dr.Processor(family).get_num_multimodal_tokens(video_sizes=RECORDED["sizes"])
    assert found.num_video_tokens == RECORDED["families"][family]["tokens"]


def test_tokens_that_a_text_has() -> None:
    """Kimi pools chunks of frames, HY-V4 ends each row of a frame."""
    kimi = dr.VideoProcessor("kimi-k25").plan(120, 160, num_frames=5)
    assert kimi.num_tokens == 2 * 5 * 6 == len(kimi.token_boxes())
    text = kimi.placeholder(video_metadata={"frames_indices": range(5)})
    assert text.count("<|kimi_k25_video_placeholder|>") == kimi.num_prompt_tokens == 60
    lines = dr.VideoProcessor("hy-v4-vl").plan(120, 160, num_frames=5)
    assert lines.num_tokens == 5 * 3 * (5 + 1) == lines.num_prompt_tokens
    assert lines.token_kinds().tolist().count("newline") == 15


def test_metadata_of_a_call() -> None:
    """What a call returns is what a text is made of."""
    video = np.zeros((40, 64, 96, 3), np.uint8)
    for family in ("qwen3-vl", "muse-glimmer", "gemma4", "molmo2"):
        processor = dr.VideoProcessor(family)
        known = {"fps": 12.0, "total_num_frames": 40}
        batch = processor(video, video_metadata=known, return_metadata=True)
        (metadata,) = batch["video_metadata"]
        plan = processor.plan(64, 96, num_frames=len(metadata.frames_indices))
        text = plan.placeholder(video_metadata=batch["video_metadata"])
        assert text == plan.placeholder(video_metadata=known)
        assert text == plan.placeholder(video_metadata=metadata)


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", ["minicpm-v4.6", "minicpm-ocr"])
def test_texts_of_frames_between_seconds(family: str) -> None:
    """One id, and the rest of each plan's text."""
    options = {"stack_frames": 4}
    made = replace(upstream.VIDEOS[family], video_config=options)
    case = {
        "frames": 60,
        "size": (180, 320),
        "metadata": {"fps": 24.0, "duration": 2.5},
        "sampled": True,
    }
    text, frames = upstream.said(family, upstream_prompts.build(made), case)
    processor = dr.VideoProcessor(family, do_sample_frames=True, **options)
    plans = processor.plans(180, 320, num_frames=frames, duration=2.5)
    assert len(plans) > 3
    end = "</image_id>"
    parts = [plan.placeholder().partition(end)[2] for plan in plans]
    assert text == f"<image_id>0{end}" + "".join(parts)


def test_times_must_be_known() -> None:
    plan = dr.VideoProcessor("qwen3-vl").plan(64, 96, num_frames=4)
    with pytest.raises(ValueError, match=r"^video_metadata: must be given .*got None$"):
        plan.placeholder()
    with pytest.raises(ValueError, match=r"^video_metadata: must have frames_indices, or total"):
        plan.placeholder(video_metadata={"fps": 30.0})
    with pytest.raises(ValueError, match=r"^video_metadata: must be of the plan's 4 frames, .* 3$"):
        plan.placeholder(video_metadata={"fps": 30.0, "frames_indices": [0, 1, 2]})
    with pytest.raises(ValueError, match=r"^video_metadata: must be of the plan's 4 frames, "):
        plan.placeholder(video_metadata={"fps": 30.0, "total_num_frames": 300})
    with pytest.raises(TypeError, match=r"^video_metadata: must be a dict"):
        plan.placeholder(video_metadata=3)
    with pytest.raises(ValueError, match=r"^video_metadata: must have one entry"):
        plan.placeholder(video_metadata=[{}, {}])
    with pytest.raises(ValueError, match=r"^fps: must be above 0"):
        plan.placeholder(video_metadata={"fps": 0, "frames_indices": [0, 1, 2, 3]})
    with pytest.raises(TypeError, match=r"^duration: must be a number"):
        plan.placeholder(video_metadata={"duration": "long"})
    with pytest.raises(ValueError, match=r"^video_metadata: .*within 2\*\*53 seconds, got inf$"):
        plan.placeholder(video_metadata={"fps": 1e-320, "frames_indices": [0, 1, 2, 3]})
    with pytest.raises(ValueError, match=r"^video_metadata: .*below 2\*\*53 seconds"):
        plan.placeholder(video_metadata={"duration": 1e17, "frames_indices": [0, 1, 2, 3]})
    with pytest.raises(ValueError, match=r"^video_metadata: must be None for the plan of an image"):
        dr.Processor("qwen3-vl").plan(64, 96).placeholder(video_metadata={})


def test_texts_without_times_need_nothing() -> None:
    for family in ("qwen2-vl", "internvl-video", "minicpm-v4.6", "minimax-m3-vl"):
        plan = dr.VideoProcessor(family).plan(64, 96, num_frames=3)
        assert plan.placeholder() == plan.placeholder(video_metadata={})
    plan = dr.VideoProcessor("nemotron-h-omni", video_target_num_patches=64).plan(
        64, 96, num_frames=3
    )
    assert plan.placeholder().startswith("Frame 1 and frame 2: <img><image>")
    assert "\nFrame 3: <img>" in plan.placeholder()


def test_texts_that_follow_from_more_than_sizes() -> None:
    plan = dr.VideoProcessor("video-llama-3").plan(64, 96, num_frames=3)
    known = {"frames_indices": [0, 1, 2]}
    with pytest.raises(ValueError, match=r"^use_token_compression: must be False for a text"):
        plan.placeholder(video_metadata=known)
    whole = dr.VideoProcessor("video-llama-3", use_token_compression=False)
    text = whole.plan(64, 96, num_frames=3).placeholder(video_metadata=known)
    assert text.startswith("Time 0.0s:<|video_pad|>") and ",Time 2.0s:" in text
    molmo = dr.VideoProcessor("molmo2", max_fps=4.0).plan(64, 96, num_frames=3)
    assert "<frame_end> 0.5 <frame_start>" in molmo.placeholder(video_metadata=known)
    stamped = dr.VideoProcessor("embedding-gemma2", add_timestamps=True, do_sample_frames=False)
    plan = stamped.plan(64, 96, num_frames=3)
    with pytest.raises(ValueError, match=r"^video_metadata: must have fps"):
        plan.placeholder(video_metadata=known)
    assert " 00:02 <|image>" in plan.placeholder(video_metadata={**known, "fps": 0.8})
    few = dr.VideoProcessor("smolvlm", image_seq_len=2).plan(64, 96, num_frames=1)
    assert few.placeholder(video_metadata={"frames_indices": [0]}).count("<image>") == 2


def test_other_tokens_and_numbers() -> None:
    plan = dr.VideoProcessor("minicpm-v4.6").plan(64, 96, num_frames=1)
    assert plan.placeholder(2).startswith("<image_id>2</image_id><image><|video_pad|>")
    plan = dr.VideoProcessor("qwen2-vl").plan(128, 128, num_frames=2)
    assert set(plan.placeholder(tokens={"<|video_pad|>": "X"})) == {"X"}


@pytest.mark.parametrize("number", [int(number) for number in RECORDED["words"]])
def test_numbers_of_frames_in_words(number: int) -> None:
    plan = dr.VideoProcessor("smolvlm", image_seq_len=1).plan(64, 96, num_frames=number)
    text = plan.placeholder(video_metadata={"fps": 1.0, "frames_indices": range(number)})
    assert f" of {RECORDED['words'][str(number)]} frames " in text


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (0.9, "0:00:00"),
        (3599.0, "0:59:59"),
        (86_400, "1 day, 0:00:00"),
        (200_000.75, "2 days, 7:33:20"),
    ],
)
def test_durations_in_words(duration: float, text: str) -> None:
    plan = dr.VideoProcessor("smolvlm", image_seq_len=1).plan(64, 96, num_frames=1)
    known = {"duration": duration, "frames_indices": [0]}
    assert f" from a {text} [H:MM:SS]" in plan.placeholder(video_metadata=known)


RATES = st.one_of(
    st.sampled_from([1.0, 2.0, 20.0, 23.976, 24.0, 29.97, 40.0, 59.94, 60.0, 80.0]),
    st.floats(0.01, 1000.0),
)
FRAMES = st.lists(st.integers(-(10**6), 10**9), min_size=1, max_size=7)


def taken(family: str, frames: list[int], fps: float) -> str:
    options = {"do_sample_frames": False}
    plan = dr.VideoProcessor(family, **options).plan(64, 96, num_frames=len(frames))
    return plan.placeholder(video_metadata={"fps": fps, "frames_indices": frames})


@given(FRAMES, RATES)
def test_times_are_written_as_python_writes_them(frames: list[int], fps: float) -> None:
    times = [frame / fps for frame in frames]
    tokens = dr.VideoProcessor("gemma4").plan(64, 96, num_frames=1).num_tokens
    clocks = [f"{int(each // 60):02d}:{int(each % 60):02d}" for each in times]
    parts = [f"{clock} <|image>{'<|video|>' * tokens}<image|>" for clock in clocks]
    assert taken("gemma4", frames, fps) == " ".join(parts)
    cosmos = taken("cosmos3-edge", frames, fps).split("<|vision_end|>")[:-1]
    assert [part.partition("<|")[0] for part in cosmos] == [
        f"<{each:.1f} seconds>" for each in times
    ]
    chunks = times[::4]
    days = [
        time.strftime("%H:%M:%S", time.gmtime(each)) + f".{int(each % 1 * 1000):03d}"
        for each in chunks
    ]
    kimi = taken("kimi-k25", frames, fps).split("<|media_end|>")[:-1]
    assert [part.partition("<|")[0] for part in kimi] == days


@given(FRAMES, RATES)
def test_times_in_a_tensor_are_float32(frames: list[int], fps: float) -> None:
    plan = dr.VideoProcessor("muse-glimmer", do_sample_frames=True).plan(
        64, 96, num_frames=len(frames)
    )
    text = plan.placeholder(video_metadata={"fps": fps, "frames_indices": frames})
    times = [float(np.float32(frame) / np.float32(fps)) for frame in frames[::2]]
    inner = text.removeprefix("<|vid_start|>").split("<|vid_frame_separator|>")
    assert [part.partition("<|")[0] for part in inner] == [f"Time: {each:.1f}s" for each in times]


def drawn(draw: random.Random) -> dict[str, Any]:
    frames = draw.randint(2, 11)
    sampled = draw.random() < 0.5
    known: dict[str, Any] = {"fps": draw.choice([7.5, 20.0, 23.976, 29.97, 60.0])}
    if sampled:
        frames *= 5
        known["duration"] = frames / known["fps"]
    else:
        known["frames_indices"] = sorted(draw.sample(range(5000), frames))
    size = (draw.randint(60, 200), draw.randint(60, 200))
    return {"frames": frames, "size": size, "metadata": known, "sampled": sampled}


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", FAMILIES)
def test_texts_of_upstream(family: str) -> None:
    if family == "smolvlm" and importlib.util.find_spec("num2words") is None:
        pytest.skip("needs num2words")
    processor = upstream_prompts.build(upstream.VIDEOS[family])
    draw = random.Random(family)
    compared = 0
    for _ in range(4):
        case = drawn(draw)
        options = {} if processor.video_processor.fps else {"fps": 2.0}
        case["options"] = options if case["sampled"] else {}
        try:
            text, frames = upstream.said(family, processor, case)
        except (TypeError, ValueError):
            assert case["sampled"]  # a rule that needs more than it was told
            continue
        assert text_of(family, case, frames) == text, case
        compared += 1
    assert compared
