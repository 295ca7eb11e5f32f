"""vLLM's plugin without vLLM: how it is found, and what it does to transformers."""

import sys
import tomllib
import warnings
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("ignore"),  # transformers' own
]

GROUP = "vllm.general_plugins"


@pytest.fixture
def plugin() -> Iterator[Any]:
    """The package, disabled before and after."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import dynres_rs.transformers as adapter
        import dynres_rs.vllm as plugin
    adapter.disable()
    yield plugin
    plugin.disable()
    assert not adapter.is_enabled()


def counts(plugin: Any) -> dict[str, tuple[str, int]]:
    return {status.name: (status.state, status.ran) for status in plugin.status()}


def test_the_entry_point(plugin: Any) -> None:
    """What vLLM does in every process: load each entry point of the group, and call it."""
    file = Path(__file__).parent.parent / "pyproject.toml"
    installed = [(e.name, e.value) for e in entry_points(group=GROUP) if e.name == "dynres"]
    if file.exists():
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        ((name, value),) = project["entry-points"][GROUP].items()
        assert name == "dynres"
        assert set(installed) <= {(name, value)}
    else:  # outside a checkout there is nothing but what is installed
        ((name, value),) = installed
    assert EntryPoint(name, value, GROUP).load()() is None
    states = {state for state, _ in counts(plugin).values()}
    assert states == {"waiting", "patched"}


@pytest.mark.parametrize(
    ("name", "ours"), [("Qwen2VLImageProcessor", True), ("DetrImageProcessor", False)]
)
def test_transformers_is_replaced_when_a_class_of_ours_is_asked_for(
    plugin: Any, tmp_path: Path, name: str, ours: bool
) -> None:
    import dynres_rs.transformers as adapter
    from transformers import AutoImageProcessor

    (tmp_path / "preprocessor_config.json").write_text(f'{{"image_processor_type": "{name}"}}')
    before = counts(plugin)["image processors of transformers"][1]
    plugin.enable()
    for _ in range(2):
        made = AutoImageProcessor.from_pretrained(tmp_path)
        assert isinstance(made, adapter.ExactImages) is ours
    made, rest = AutoImageProcessor.from_pretrained(
        tmp_path, return_unused_kwargs=True, unknown_to_it=1
    )
    assert isinstance(made, adapter.ExactImages) is ours
    assert rest == {"unknown_to_it": 1}
    assert adapter.is_enabled() is ours
    assert counts(plugin)["image processors of transformers"] == (
        "patched",
        before + 3 * ours,
    )
    plugin.disable()
    assert not adapter.is_enabled()
    assert not isinstance(AutoImageProcessor.from_pretrained(tmp_path), adapter.ExactImages)


def test_it_stays_disabled_when_someone_disables_it(plugin: Any, tmp_path: Path) -> None:
    import dynres_rs.transformers as adapter
    from transformers import AutoImageProcessor

    text = '{"image_processor_type": "Qwen2VLImageProcessor"}'
    (tmp_path / "preprocessor_config.json").write_text(text)
    plugin.enable()
    AutoImageProcessor.from_pretrained(tmp_path)
    adapter.disable()
    assert not isinstance(AutoImageProcessor.from_pretrained(tmp_path), adapter.ExactImages)


def test_without_dynres_rs_transformers(
    plugin: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An installed transformers that the package cannot work with leaves vLLM as it is."""
    from dynres_rs.vllm import _auto
    from transformers import AutoImageProcessor

    text = '{"image_processor_type": "Qwen2VLImageProcessor"}'
    (tmp_path / "preprocessor_config.json").write_text(text)
    plugin.enable()
    monkeypatch.setattr(_auto, "_failed", False)
    monkeypatch.setitem(sys.modules, "dynres_rs.transformers", None)
    for _ in range(2):
        made = AutoImageProcessor.from_pretrained(tmp_path)
        assert type(made).__module__.startswith("transformers.")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
