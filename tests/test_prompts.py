"""What stands for images in prompts, against what upstream's processors said and say.

`golden/prompts.json` has the recorded texts and counts (`python tests/upstream_prompts.py` makes
it); the tests marked `torch` ask the processors themselves, of random sizes.
"""

from __future__ import annotations

import json
import random
from typing import Any

import dynres_rs as dr
import golden_cases as golden
import numpy as np
import pytest
import upstream_prompts as upstream
from dynres_rs import _dynres_rs as native

RECORDED = json.loads(upstream.FILE.read_text(encoding="utf-8"))
REMOTE = golden.load("remote_prompts.json")
SIZES = [tuple(size) for size in RECORDED["sizes"]]
FAMILIES = sorted(RECORDED["families"])

#: Tokens of a text that hold an embedding, where they are not the image token alone: those that
#: end rows. They are counted by `num_tokens`.
ENDS = {
    "pixtral": ("[IMG_BREAK]", "[IMG_END]"),
    "fuyu": ("|NEWLINE|",),
    "step3p7": ("<patch_newline>",),
}
#: The text of an embedding, where it is not the most frequent of the text.
EMBEDDED = {"mllama": "<|image|>"}
#: Families whose image token also stands before the image.
OPENED = ("neomme", "kosmos2-5")


def processor_of(family: str) -> dr.Processor:
    """As upstream's is made: the class's defaults and the options of its file."""
    recorded = upstream.RECORDED[family]
    config = {
        "image_processor_type": recorded.image_processor,
        "processor_class": recorded.processor,
        **recorded.config,
    }
    found = dr.Processor.from_config(config)
    assert found.family == family
    return found


def sized(family: str) -> dr.Processor:
    """A processor that plans from a size alone: margins are cut by their pixels."""
    cuts = "do_crop_margin" in dr.families()[family]
    return dr.Processor(family, do_crop_margin=False) if cuts else dr.Processor(family)


def embedded(family: str, pieces: list[Any]) -> int:
    """Positions of a recorded text that hold an embedding, or end a row."""
    counts: dict[str, int] = {}
    for piece in pieces:
        text, count = (piece, 1) if isinstance(piece, str) else piece
        counts[text] = counts.get(text, 0) + count
    token = EMBEDDED.get(family) or max(counts, key=lambda text: counts[text])
    return counts[token] + sum(counts.get(end, 0) for end in ENDS.get(family, ()))


def differences(family: str, size: tuple[int, int], text: str) -> str | None:
    ours = processor_of(family).plan(*size).placeholder()
    if ours == text:
        return None
    at = next((i for i, (a, b) in enumerate(zip(ours, text, strict=False)) if a != b), -1)
    there = f"{ours[at : at + 40]!r}, upstream {text[at : at + 40]!r}"
    return f"{family} {size}: {len(ours)} and {len(text)} characters, at {at}: {there}"


@pytest.mark.parametrize("family", FAMILIES)
def test_recorded_texts(family: str) -> None:
    rows = zip(SIZES, RECORDED["families"][family]["texts"], strict=True)
    lines = [differences(family, size, upstream.unpacked(text)) for size, text in rows if text]
    assert not any(lines), "\n".join(line for line in lines if line)


@pytest.mark.parametrize("family", FAMILIES)
def test_recorded_texts_hold_as_many_embeddings(family: str) -> None:
    processor = processor_of(family)
    for size, text in zip(SIZES, RECORDED["families"][family]["texts"], strict=True):
        if text:
            plan = processor.plan(*size)
            first = family in OPENED
            assert plan.num_tokens == embedded(family, text) - first + _rows(family, text), size
            assert processor.num_tokens([size]).tolist() == [plan.num_tokens]


def _rows(family: str, text: list[Any]) -> int:
    return sum(piece == "<row>" for piece in text) if family == "neomme" else 0


@pytest.mark.parametrize("family", [f for f in FAMILIES if "tokens" in RECORDED["families"][f]])
def test_recorded_counts(family: str) -> None:
    row = RECORDED["families"][family]
    sizes = [size for size, text in zip(SIZES, row["texts"], strict=True) if text]
    found = processor_of(family).get_num_multimodal_tokens(image_sizes=sizes)
    assert found.num_image_tokens == row["tokens"]
    assert found.num_image_patches == row["patches"]


def test_every_processor_of_a_family_is_recorded_or_has_a_reason() -> None:
    """A family whose images a text holds is recorded; the others are encoders, or have no class."""
    missing = {
        family
        for family in dr.families()
        if sized(family).plan(640, 640).num_prompt_tokens is not None
    } - set(FAMILIES)
    assert missing == WITHOUT_PROCESSOR


@pytest.mark.parametrize("family", REMOTE["families"])
def test_texts_of_code_that_models_bring_along(family: str) -> None:
    processor = dr.Processor(family)
    for size, pieces in zip(REMOTE["sizes"], REMOTE["families"][family], strict=True):
        text = upstream.unpacked(pieces)
        plan = processor.plan(*size)
        assert plan.placeholder(REMOTE["number"]) == text, size
        token = max(pieces, key=lambda piece: piece[1] if isinstance(piece, list) else 1)[0]
        ends = 2 if family == "ovis2.5" else 0
        assert plan.num_tokens == text.count(token) - ends, size


#: Families whose upstream is not transformers, or that have a processor of another family.
WITHOUT_PROCESSOR = {
    *REMOTE["families"],
    "internvl", "h2ovl", "llama-nemotron-vl", "llama-nemotron-nano-vl", "deepseek-vl2",
    "deepseek-ocr", "glmga", "glm-image",
}  # fmt: skip


def counts() -> list[dict[str, Any]]:
    known = set(native.upstream())
    return [row for row in golden.load("patch_counts.json")["cases"] if row["class"] in known]


def test_all_rows_of_counts_are_here() -> None:
    assert len(golden.load("patch_counts.json")["cases"]) == 29
    assert len(counts()) >= 28


@pytest.mark.parametrize("row", counts(), ids=lambda row: f"{row['class']}-{len(row['kwargs'])}")
def test_counts_of_patches(row: dict[str, Any]) -> None:
    processor = dr.Processor.from_config({"image_processor_type": row["class"]})
    sizes = golden.load("patch_counts.json")["sizes"]
    for (height, width), want in zip(sizes, row["counts"], strict=True):
        if isinstance(want, str):
            with pytest.raises(ValueError, match="aspect ratio"):
                processor.get_number_of_image_patches(height, width, row["kwargs"])
            continue
        got = processor.get_number_of_image_patches(height, width, row["kwargs"])
        assert got == (tuple(want) if isinstance(want, list) else want), (height, width)


def test_several_images_of_a_sample() -> None:
    """LLaVA-OneVision tiles an image alone; of several each has its square and a newline."""
    processor = dr.Processor("llava-onevision")
    assert processor.plan(480, 640, num_images=3).num_tokens == 730
    assert processor.num_tokens([(480, 640)], num_images=3).tolist() == [730]
    assert processor.plan(480, 640, num_images=3).placeholder() == "<image>" * 730


def test_numbers_and_other_tokens() -> None:
    plan = dr.Processor("minicpm-v4.6").plan(100, 100)
    assert plan.placeholder(3).startswith("<image_id>3</image_id><image><|image_pad|>")
    plan = dr.Processor("qwen2-vl").plan(56, 56)
    assert plan.placeholder(tokens={"<|image_pad|>": "X"}) == "XXXX"
    assert dr.Processor("clip").plan(56, 56).placeholder() == ""
    assert dr.Processor("clip").plan(56, 56).num_prompt_tokens is None
    with pytest.raises(ValueError, match="image: must be in"):
        plan.placeholder(-1)
    with pytest.raises(TypeError, match="tokens: must be a dict"):
        plan.placeholder(tokens=3)  # type: ignore[arg-type]


@pytest.mark.parametrize("family", sorted(dr.families()))
def test_every_token_has_a_box(family: str) -> None:
    processor = sized(family)
    for size in ((480, 640), (1700, 1275), (300, 900)):
        plan = processor.plan(*size)
        boxes, kinds = plan.token_boxes(), plan.token_kinds()
        assert len(boxes) == len(kinds) == plan.num_tokens
        assert (boxes >= 0).all() and (boxes[:, 2:] <= np.array(size[::-1])).all()
        assert (boxes[:, :2] <= boxes[:, 2:]).all()
        area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        assert ((area > 0) == (kinds == "image")).all()
        assert (kinds == "image").any()


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", sorted(upstream.RECORDED))
def test_texts_and_counts_of_upstream(family: str) -> None:
    processor = upstream.make(family)
    draw = random.Random(family)
    sizes = [(draw.randint(40, 1400), draw.randint(40, 1400)) for _ in range(6)]
    for size in sizes:
        text = upstream.said(family, processor, [upstream.image(size)])
        assert differences(family, size, text) is None
    numbers = upstream.counted(family, processor, sizes)
    if numbers is not None:
        found = processor_of(family).get_num_multimodal_tokens(image_sizes=sizes)
        assert [found.num_image_tokens, found.num_image_patches] == numbers


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
def test_upstream_of_several_images() -> None:
    processor = upstream.make("llava-onevision")
    images = [upstream.image((480, 640)), upstream.image((300, 500))]
    text = upstream.said("llava-onevision", processor, [images], 2)
    ours = dr.Processor("llava-onevision")
    assert text == "".join(
        ours.plan(*size, num_images=2).placeholder() for size in ((480, 640), (300, 500))
    )
