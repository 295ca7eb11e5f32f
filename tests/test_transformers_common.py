"""transformers' own tests of image and video processors, with ours in the place of each class.

Its source distribution has `tests/test_image_processing_common.py` and
`tests/test_video_processing_common.py`. `DYNRES_TRANSFORMERS_TESTS` names the folder that they are
in; without it pip fetches the distribution of the installed release. Whatever passes with
transformers' class must pass with ours.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
import tarfile
import types
import unittest
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from dynres_rs import hf
from PIL import Image
from test_live import VIDEO_CONFIGS
from test_transformers import unlike
from test_transformers_classes import SMALL, classes_of

pytestmark = [
    pytest.mark.torch,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # transformers' own
]

#: Settings of a class's videos: not sampled where no rate is known, and small.
VIDEO_SETTINGS: dict[str, dict[str, Any]] = {
    **{name: dict(config) for name, config in VIDEO_CONFIGS.items()},
    "Molmo2VideoProcessor": {"size": {"height": 56, "width": 56}},
    "PeVideoVideoProcessor": {"do_resize": True, "size": {"height": 30, "width": 30}},
}
VIDEO_SETTINGS["NemotronH_Omni_Reasoning_V3VideoProcessor"]["video_maintain_aspect_ratio"] = False
#: The key of pixels, where a class names another.
PIXELS = {"Sam2VideoVideoProcessor": "pixel_values_videos"}
FILES = {False: "test_image_processing_common.py", True: "test_video_processing_common.py"}


@pytest.fixture(scope="module")
def folder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, transformers: Any
) -> Path:
    if importlib.util.find_spec("parameterized") is None:
        pytest.fail("transformers' own tests need parameterized: install it", pytrace=False)
    request.config.addinivalue_line("markers", "torch_compile_test: transformers' own mark")
    named = os.environ.get("DYNRES_TRANSFORMERS_TESTS")
    if named:
        return Path(named)
    where = tmp_path_factory.mktemp("transformers")
    wanted = f"transformers=={transformers.__version__}"
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
    subprocess.run(
        [*pip, wanted],
        cwd=where, check=True,
    )  # fmt: skip
    (archive,) = where.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(where, filter="data")
    return next(where.glob("transformers-*/tests"))


@pytest.fixture(scope="module")
def adapter(transformers: Any) -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = importlib.import_module("dynres_rs.transformers")
    found.enable()
    yield found
    found.disable()


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture with soft and sharp parts, in the place of those that the tests fetch."""
    rows, columns = np.mgrid[0:480, 0:640]
    soft = np.stack([rows / 2, columns / 3, 128 + 100 * np.sin((rows + columns) / 40)], axis=-1)
    pixels = np.where((rows // 60 + columns // 80)[..., None] % 3 == 0, 255 - soft, soft)
    path = tmp_path_factory.mktemp("picture") / "picture.png"
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def common(folder: Path, video: bool, photograph: Path) -> Any:
    """transformers' module of tests. A picture of our own stands for those of the hub."""
    name = FILES[video].removesuffix(".py")
    if name not in sys.modules:
        stub = types.ModuleType("fetch_hub_objects_for_ci")
        stub.url_to_local_path = lambda _: str(photograph)  # type: ignore[attr-defined]
        sys.modules.setdefault(stub.__name__, stub)
        spec = importlib.util.spec_from_file_location(name, folder / FILES[video])
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


class Seeded:
    """The same random images for both classes: some tests compare within a tolerance."""

    def setUp(self) -> None:
        np.random.seed(5)
        super().setUp()  # type: ignore[misc]


def image_case(tests: Any, classes: dict[str, Any], settings: dict[str, Any]) -> Any:
    class Tester(tests.ImageProcessingTester):  # type: ignore[misc]
        def __init__(self, parent: Any) -> None:
            super().__init__(parent, batch_size=2, min_resolution=40, max_resolution=80, **settings)

        def _get_image_processing_classes(self) -> Any:
            return classes

    class Case(Seeded, tests.ImageProcessingTestMixin, unittest.TestCase):  # type: ignore[misc]
        image_processor_tester_class = Tester

    return Case


def video_case(tests: Any, classes: dict[str, Any], settings: dict[str, Any]) -> Any:
    class Tester:
        batch_size, num_frames, num_channels = 2, 4, 3

        def prepare_video_inputs(
            self, equal_resolution: bool = False, return_tensors: str = "pil"
        ) -> Any:
            return tests.prepare_video_inputs(
                batch_size=self.batch_size, num_frames=self.num_frames,
                num_channels=self.num_channels, min_resolution=40, max_resolution=80,
                equal_resolution=equal_resolution, return_tensors=return_tensors,
            )  # fmt: skip

        def expected_output_video_shape(self, videos: Any) -> list[int]:
            return []  # what a class of its own test knows: see `assert_expected_videos_shape`

    class Case(Seeded, tests.VideoProcessingTestMixin, unittest.TestCase):  # type: ignore[misc]
        fast_video_processing_class = classes["torchvision"]
        video_processor_dict = settings
        input_name = PIXELS.get(
            classes["torchvision"].__name__, classes["torchvision"].model_input_names[0]
        )
        found: ClassVar[list[tuple[str, Any]]] = []

        def setUp(self) -> None:
            super().setUp()
            self.video_processor_tester = Tester()  # some tests leave theirs changed

        def assert_expected_videos_shape(self, encoded_videos: Any, *_: Any) -> None:
            """Upstream's tests know shapes; here both classes must have given the same bytes."""
            self.found.append((self._testMethodName, encoded_videos))

    return Case


def passed(case: Any) -> set[str]:
    """The names of the tests of a case that pass."""
    result = unittest.TestResult()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
    bad = [*result.failures, *result.errors, *result.skipped]
    names = {getattr(test, "test_case", test)._testMethodName for test, _ in bad}
    return set(unittest.defaultTestLoader.getTestCaseNames(case)) - names


@pytest.mark.parametrize("name", [*hf.classes(video=False), *hf.classes(video=True)])
def test_what_passes_with_stock_passes_with_ours(
    adapter: Any, one_thread: Any, folder: Path, photograph: Path, name: str
) -> None:
    video = name in hf.classes(video=True)
    tests = common(folder, video, photograph)
    ours = {cls._dynres_upstream.__name__: cls for cls in classes_of(adapter, name).values()}
    backends = {"torchvision" if cls._dynres_torchvision else "pil": cls for cls in ours.values()}
    theirs = {key: cls._dynres_upstream for key, cls in backends.items()}
    settings = SMALL.get(name, {})
    if video:
        settings = {"do_sample_frames": False, **VIDEO_SETTINGS.get(name, {})}
    make = video_case if video else image_case
    of_stock, of_ours = (make(tests, each, dict(settings)) for each in (theirs, backends))
    adapter.disable()
    try:
        stock = passed(of_stock)
    finally:
        adapter.enable()
    assert len(stock) >= (11 if video else 14), stock
    lost = stock - passed(of_ours)
    assert not lost
    if video:
        calls, results = of_stock.found, of_ours.found
        calls, results = (
            [(test, value) for test, value in found if test in stock] for found in (calls, results)
        )
        assert len(calls) == 8
        assert [test for test, _ in calls] == [test for test, _ in results]
        for (test, want), (_, got) in zip(calls, results, strict=True):
            assert unlike(want, got) is None, test
