"""`dynres_rs.ray` on a real Ray of this machine, with two workers."""

import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest
from PIL import Image

pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]

COUNT = 24
BAD = {3: b"no image\0", 7: b"", 20: None}


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """On the loopback, within bounds, and gone after the tests."""
    try:
        import ray
        import ray.data
    except ImportError as error:
        pytest.fail(f"Ray cannot be imported ({error}): pip install 'dynres_rs[ray]'", False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
        ray.init(
            num_cpus=2,
            object_store_memory=150 << 20,
            include_dashboard=False,
            _node_ip_address="127.0.0.1",
            logging_level=logging.ERROR,
            log_to_driver=False,
        )
        try:
            yield ray
        finally:
            ray.shutdown()


def pixels(index: int) -> Any:
    rng = np.random.default_rng(index)
    return rng.integers(0, 256, (40 + index, 90 - index, 3), np.uint8)


def encoded(index: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels(index)).save(stream, "PNG")
    return stream.getvalue()


def check(rows: list[dict[str, Any]], p: dr.Processor, bad: dict[int, str], **call: Any) -> None:
    """All rows, in order, each with what a plain call gives."""
    assert [row["number"] for row in rows] == list(range(COUNT))
    for index, row in enumerate(rows):
        assert row["error"] == bad.get(index, "")
        want = p([pixels(index) if index not in bad else b""], errors="collect", **call)
        assert len(want.pop("errors")) == (index in bad)
        for key, value in want.items():
            assert row[key].dtype == value.dtype
            np.testing.assert_array_equal(row[key], value)
        assert row.keys() == want.keys() | {"number", "error"}


@pytest.mark.parametrize("family", ["qwen2-vl", "internvl", "deepseek-vl2"])
def test_bytes(ray: Any, family: str) -> None:
    from dynres_rs.ray import preprocess

    options = {"qwen2-vl": {"max_pixels": 20_000}, "internvl": {"image_size": 56, "max_num": 4}}
    p = dr.Processor(family, **options.get(family, {}))
    items = [{"number": i, "image": BAD.get(i, encoded(i))} for i in range(COUNT)]
    dataset = ray.data.from_items(items, override_num_blocks=6)
    made = preprocess(dataset, p, batch_size=3, dtype="uint8", temporal="compact", concurrency=2)
    why = {
        3: "OSError: 9 bytes: is not an image that Pillow can read",
        7: "OSError: 0 bytes: is not an image that Pillow can read",
        20: "TypeError: must be an array, a Pillow image, bytes or a path, got NoneType",
    }
    check(made.take_all(), p, why, dtype="uint8", temporal="compact")


def test_paths_through_a_writer(ray: Any, tmp_path: Path) -> None:
    from dynres_rs.ray import preprocess

    p = dr.Processor("qwen2-vl", max_pixels=20_000)
    names = [str(tmp_path / f"{i}.png") for i in range(COUNT)]
    for index, name in enumerate(names):
        if index != 5:
            Path(name).write_bytes(encoded(index))
    items = [{"number": i, "image": name} for i, name in enumerate(names)]
    made = preprocess(ray.data.from_items(items, override_num_blocks=4), p, dtype="bfloat16")
    made.write_parquet(str(tmp_path / "out"))
    rows = ray.data.read_parquet(str(tmp_path / "out")).take_all()
    why = {5: f"FileNotFoundError: {names[5]}: No such file or directory"}
    check(sorted(rows, key=lambda row: row["number"]), p, why, dtype="bfloat16")


@pytest.mark.parametrize("alike", [False, True])
def test_arrays(ray: Any, alike: bool) -> None:
    """Of any sizes, and of one size, which Ray stacks."""
    from dynres_rs.ray import preprocess

    p = dr.Processor("qwen2-vl", max_pixels=20_000)
    images = [pixels(0 if alike else i) for i in range(8)]
    dataset = ray.data.from_items([{"it": image} for image in images])
    rows = preprocess(dataset, p, column="it", keep_column=True, error_column="why").take_all()
    assert len(rows) == 8
    for image, row in zip(images, rows, strict=True):
        assert row["why"] == ""
        np.testing.assert_array_equal(row["it"], image)
        for key, value in p(image).items():
            np.testing.assert_array_equal(row[key], value)


def test_order_is_kept_when_the_first_blocks_are_slow(ray: Any) -> None:
    from dynres_rs.ray import preprocess

    def slow(row: dict[str, Any]) -> dict[str, Any]:
        import time

        time.sleep(0.4 if row["number"] < 4 else 0)
        return row

    p = dr.Processor("qwen2-vl", max_pixels=20_000)
    items = [{"number": i, "image": encoded(i)} for i in range(COUNT)]
    made = preprocess(ray.data.from_items(items, override_num_blocks=12).map(slow), p)
    check(made.take_all(), p, {})


def test_refused_before_any_work(ray: Any) -> None:
    from dynres_rs.ray import preprocess

    dataset = ray.data.from_items([{"image": b""}])
    p = dr.Processor("qwen2-vl")
    with pytest.raises(TypeError, match="processor: must be a Processor, got str"):
        preprocess(dataset, "qwen2-vl")
    with pytest.raises(ValueError, match="dtype: must be one of"):
        preprocess(dataset, p, dtype="int8")
    with pytest.raises(ValueError, match="temporal: must be one of"):
        preprocess(dataset, p, temporal="both")
