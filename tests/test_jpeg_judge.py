"""A part of the judge's work (`jpeg_judge`): files of every encoder here, and damaged ones.

`DYNRES_JPEGS` and `DYNRES_JPEG_DAMAGED` are how many; `python tests/jpeg_judge.py --help` has the
whole campaign.
"""

import os
import random
from collections import Counter

import jpeg_corpus
import jpeg_judge
import pytest
from dynres_rs import jpeg
from jpeg_judge import EQUAL, LEFT, Judged

FILES = int(os.environ.get("DYNRES_JPEGS", "240"))
DAMAGED = int(os.environ.get("DYNRES_JPEG_DAMAGED", "2000"))


@pytest.mark.parametrize("encoder", jpeg_corpus.installed())
def test_files_have_pillows_pixels(encoder: str) -> None:
    verdicts = Counter[str]()
    refused = 0
    for number in range(FILES // len(jpeg_corpus.installed())):
        data = jpeg_corpus.make(number, encoder).data
        answer = jpeg_judge.theirs(data)
        verdict = jpeg_judge.judge(Judged(f"{number} {encoder}", data, answer))
        assert verdict in (EQUAL, LEFT), f"{encoder} {number}: {verdict}"
        assert jpeg_judge.judge_header(data) is None, f"{encoder} {number}"
        verdicts[verdict] += 1
        refused += answer is None
    # What is left to Pillow: four channels, stored RGB, arithmetic coding, absurd factors.
    assert verdicts[EQUAL] > 0.6 * verdicts.total(), verdicts
    assert refused < 0.3 * verdicts.total()


def test_damaged_files_have_pillows_verdict() -> None:
    seeds = jpeg_judge.seeds(60)
    verdicts = Counter[str]()
    for number in range(DAMAGED):
        verdict = jpeg_judge.judge_damaged(jpeg_judge.damaged(seeds, number))
        assert verdict in (EQUAL, LEFT), f"damaged {number}: {verdict}"
        verdicts[verdict] += 1
    # Damage to what nobody reads, and to coefficients, leaves files that are well-formed.
    assert verdicts[EQUAL] > 0.03 * DAMAGED, verdicts
    assert verdicts[LEFT] > 0.3 * DAMAGED, verdicts


def test_the_judge_sees_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    data = jpeg_corpus.make(0, "pillow").data
    answer = jpeg_judge.theirs(data)
    assert jpeg_judge.judge(Judged("0 pillow", data, answer)) == EQUAL
    assert jpeg_judge.judge(Judged("0 pillow", data, None)).startswith("other pixels")
    monkeypatch.setattr(jpeg_judge, "theirs", lambda data: "another")
    assert jpeg_judge.judge_damaged(data).startswith("accepted, with other pixels")
    header = jpeg.header(data)
    assert header is not None
    monkeypatch.setattr(jpeg, "header", lambda data: header._replace(height=header.height + 1))
    assert jpeg_judge.judge_header(data) == "another size or format than Pillow's"


def test_damage_is_damage() -> None:
    seeds = jpeg_judge.seeds(20)
    changed = sum(jpeg_judge.damaged(seeds, number) not in seeds for number in range(300))
    assert changed > 270
    kinds = {jpeg_judge.odd_segment(random.Random(number))[:2] for number in range(300)}
    assert len(kinds) > 12
