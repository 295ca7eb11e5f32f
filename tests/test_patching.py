"""The mechanism that stands in for servers' own copies, on a server made up here."""

import importlib
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from dynres_rs.patching import MOST_SETTINGS, Aside, Patches, Row, Upstream, equal

SERVER = '''
class Preprocessor:
    def __init__(self, factor=2):
        self.factor = factor

    def run(self, values, offset=0):
        """The docstring."""
        if not values:
            raise KeyError("no values")
        return [self.factor * value + offset for value in values]

    def deep(self, value):
        return half(value)

    @staticmethod
    def double(value):
        return 2 * value

    @classmethod
    def make(cls, factor):
        return cls(factor)


def half(value):
    return value / 2
'''
NAME = "dynres_made_up_server"


def run(upstream: Upstream, self: Any, values: list[int], offset: int = 0) -> list[int]:
    if len(values) in (0, 3):
        raise Aside(f"{len(values)} values")
    if len(values) == 4:
        raise RuntimeError(f"broken at {values[0]}")
    return [self.factor * value + offset for value in values[::-1]][::-1]


def small(_: Upstream, self: Any, values: list[int], offset: int = 0) -> Any:
    return (self, [1, 2]), {"offset": offset}


def settings(_: Upstream, self: Any, values: list[int], offset: int = 0) -> Any:
    return self.factor


ROW = Row(
    "runs", NAME, "Preprocessor.run", "self, values, offset=0", run, settings=settings, small=small
)


@pytest.fixture(autouse=True)
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / f"{NAME}.py").write_text(SERVER, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    finders = list(sys.meta_path)
    yield
    sys.modules.pop(NAME, None)
    assert sys.meta_path == finders, "a finder was left behind"


@pytest.fixture
def use() -> Iterator[Callable[..., tuple[Patches, ModuleType]]]:
    """Enables rows, imports the server, and takes it back at the end."""
    made: list[Patches] = []

    def start(*rows: Row) -> tuple[Patches, Any]:
        patches = Patches("made-up", rows)
        made.append(patches)
        patches.enable()
        return patches, importlib.import_module(NAME)

    yield start
    for patches in made:
        patches.disable()


def test_it_waits_and_stands_in(use: Callable[..., Any]) -> None:
    patches = Patches("made-up", [ROW])
    assert [status.state for status in patches.status()] == ["off"]
    patches.enable()
    patches.enable()
    assert [status.state for status in patches.status()] == ["waiting"]
    assert NAME not in sys.modules, "it must not import the server"
    module: Any = importlib.import_module(NAME)
    try:
        assert [status.state for status in patches.status()] == ["patched"]
        original = module.Preprocessor.run.__wrapped__
        assert module.Preprocessor.run.__doc__ == "The docstring."
        assert module.Preprocessor(3).run([1, 2], offset=5) == [8, 11]
        (status,) = patches.status()
        assert (status.state, status.ran, status.left) == ("checked", 1, {})
        assert status.target == f"{NAME}.Preprocessor.run"
        assert not type(module.__loader__).__module__.startswith("dynres_rs")
        assert module.__spec__.loader is module.__loader__
    finally:
        patches.disable()
    assert module.Preprocessor.run is original
    assert module.Preprocessor(3).run([1, 2]) == [3, 6]
    assert patches.status()[0].ran == 1


def test_a_module_that_is_there_already(use: Callable[..., Any]) -> None:
    importlib.import_module(NAME)
    patches, module = use(ROW)
    assert module.Preprocessor().run([4]) == [8]
    assert patches.status()[0].ran == 1


def test_what_is_left_to_upstream(use: Callable[..., Any]) -> None:
    patches, module = use(ROW)
    it = module.Preprocessor()
    assert it.run([1, 2, 3]) == [2, 4, 6]
    assert it.run([7, 2, 3, 4]) == [14, 4, 6, 8]
    assert it.run([8, 2, 3, 4]) == [16, 4, 6, 8]
    with pytest.raises(KeyError, match="no values") as caught:
        it.run([])
    assert caught.value.__context__ is None
    with pytest.raises(TypeError, match="values"):
        it.run()
    (status,) = patches.status()
    assert status.state == "checked"
    assert status.ran == 0
    # One more for the call without an argument, which fails before ours is asked.
    assert status.left.pop("# values") == 2
    assert status.left.pop("RuntimeError: broken at #") == 2
    assert [reason[:9] for reason in status.left] == ["TypeError"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (ROW._replace(parameters="self, values"), "its parameters are (self, values, offset=0)"),
        (ROW._replace(parameters="self, values, offset=1"), "not (self, values, offset=1)"),
        (ROW._replace(attribute="Preprocessor.walk"), "it is not there"),
        (ROW._replace(attribute="Other.run"), "it is not there"),
    ],
)
def test_another_release(
    use: Callable[..., Any], caplog: pytest.LogCaptureFixture, row: Row, reason: str
) -> None:
    with caplog.at_level(logging.WARNING, "dynres_rs"):
        patches, module = use(row)
    assert module.Preprocessor().run([1]) == [2]
    (status,) = patches.status()
    assert (status.state, status.ran) == ("aside", 0)
    assert reason in status.reason
    (record,) = caplog.records
    assert "steps aside for runs in made-up (unknown version)" in record.getMessage()


def test_other_numbers(use: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    """Only the small call shows it, and it is said once."""
    wrong = ROW._replace(run=lambda upstream, self, values, offset=0: [0 for _ in values])
    patches, module = use(wrong)
    with caplog.at_level(logging.WARNING, "dynres_rs"):
        for _ in range(3):
            assert module.Preprocessor().run([1, 5]) == [2, 10]
    (status,) = patches.status()
    assert (status.state, status.ran) == ("aside", 0)
    assert status.reason == "its numbers are not those of this release"
    assert len(caplog.records) == 1


def test_each_set_of_settings_is_checked(use: Callable[..., Any]) -> None:
    checked: list[int] = []

    def small_and_note(upstream: Upstream, self: Any, *args: Any, **kwargs: Any) -> Any:
        checked.append(self.factor)
        return small(upstream, self, *args, **kwargs)

    patches, module = use(ROW._replace(small=small_and_note))
    for factor in (2, 3, 2, 3):
        assert module.Preprocessor(factor).run([1]) == [factor]
    assert checked == [2, 3]
    for factor in range(MOST_SETTINGS + 5):
        assert module.Preprocessor(factor).run([1]) == [factor]
    assert len(checked) == MOST_SETTINGS
    (status,) = patches.status()
    assert status.left == {"too many different settings": 5}


def test_no_other_row_stands_in_while_one_is_checked(use: Callable[..., Any]) -> None:
    """Else a row would be compared with another one of ours."""
    nothing = Row("halves", NAME, "half", "value", lambda upstream, value: 0)
    deep = Row(
        "deep halves", NAME, "Preprocessor.deep", "self, value",
        lambda upstream, self, value: value / 2, small=lambda _, self, value: ((self, 3), {}),
    )  # fmt: skip
    patches, module = use(deep, nothing)
    assert module.half(4) == 0
    assert module.Preprocessor().deep(4) == 2.0
    assert [status.state for status in patches.status()] == ["checked", "patched"]


def test_static_and_class_methods(use: Callable[..., Any]) -> None:
    static = Row(
        "doubles", NAME, "Preprocessor.double", "value", lambda _, value: value + value,
        small=lambda *_: ((3,), {}),
    )  # fmt: skip
    counted = Row(
        "makes", NAME, "Preprocessor.make", "cls, factor",
        lambda upstream, cls, factor: (upstream.ran(), upstream.original(cls, factor + 1))[1],
    )  # fmt: skip
    patches, module = use(static, counted)
    assert module.Preprocessor.double(4) == module.Preprocessor().double(4) == 8
    assert module.Preprocessor.make(4).factor == 5
    assert [status.ran for status in patches.status()] == [2, 1]


def test_eight_threads(use: Callable[..., Any]) -> None:
    patches, module = use(ROW)
    it, wrong = module.Preprocessor(), []

    def work() -> None:
        for value in range(200):
            if it.run([value]) != [2 * value]:
                wrong.append(value)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert patches.status()[0].state == "checked"


def test_two_sets_wait_for_one_module(use: Callable[..., Any]) -> None:
    """As a process that has both servers' plugins."""
    other = Row("halves", NAME, "half", "value", lambda upstream, value: value * 0.5)
    second = Patches("other", [other])
    second.enable()
    try:
        patches, module = use(ROW)
        assert module.Preprocessor().run([4]) == [8]
        assert module.half(3) == 1.5
        assert [s.state for s in [*patches.status(), *second.status()]] == ["checked", "patched"]
    finally:
        second.disable()


def test_equal() -> None:
    a = np.array([0.0, 1.0], np.float32)
    assert equal(a, a.copy())
    assert not equal(a, -a), "the sign of a zero is a bit"
    assert not equal(a, a.astype(np.float64))
    assert not equal(a, a[:1])
    assert equal({"x": [1, a]}, {"x": [1, a.copy()]})
    assert not equal({"x": 1}, {"y": 1})
    assert not equal([1], (1,))
    assert not equal(1, True)
    assert not equal(a, 1)


PROBE = """
import sys, time, numpy, PIL.Image, json, importlib.metadata
(point,) = importlib.metadata.entry_points(group="vllm.general_plugins", name="dynres")
started = time.process_time()
point.load()()
spent = time.process_time() - started
heavy = sorted(set(sys.modules) & {"torch", "transformers", "torchvision", "vllm"})
import dynres_rs.vllm
print(json.dumps([spent, heavy, sorted({s.state for s in dynres_rs.vllm.status()})]))
"""


def probe(**environment: str) -> list[Any]:
    import json

    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    return list(json.loads(done.stdout))


@pytest.mark.slow
def test_the_plugin_costs_little_and_imports_nothing_heavy(tmp_path: Path) -> None:
    """What a process of another model pays: numpy and Pillow are vLLM's own already. The first run
    compiles, as an installation does."""
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    runs = [probe(**compiled) for _ in range(4)]
    assert {str(run[1]) for run in runs} == {"[]"}
    assert {str(run[2]) for run in runs} == {"['waiting']"}
    assert min(run[0] for run in runs) < 0.1


@pytest.mark.parametrize("value", ["0", "off", "False", " no "])
def test_the_environment_turns_the_plugin_off(value: str) -> None:
    assert probe(DYNRES_VLLM=value)[1:] == [[], ["off"]]


@pytest.mark.parametrize("value", ["", "1", "yes"])
def test_the_environment_leaves_it_on(value: str) -> None:
    assert probe(DYNRES_VLLM=value)[1:] == [[], ["waiting"]]


def test_any_other_value_is_an_error() -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        probe(DYNRES_VLLM="perhaps")
    assert caught.value.stderr.splitlines()[-1] == "ValueError: DYNRES_VLLM: must be 0 or 1"
