"""What every session prints, hypothesis' profiles, and the doors to the upstream libraries."""

import importlib
import re
import sys
import warnings
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

import property_counts
import pytest

PROFILE = property_counts.load_profile()


#: Tests with these marks need what an ordinary environment does not have, or hours. They run where
#: `-m` names the mark.
ASKED_FOR = ("examples", "ray", "sglang", "soak", "torch", "vllm")
#: Modules whose tests are `slow`: they start processes, or go through very many cases.
SLOW = {
    "test_cli", "test_cli_plan", "test_docs", "test_examples", "test_exhaustion", "test_exit",
    "test_interrupt", "test_jpeg_judge", "test_loading", "test_oracle", "test_plan_volume",
    "test_properties", "test_ring", "test_shards", "test_strangers", "test_verify", "test_workers",
}  # fmt: skip
#: Cases of one test that are not `slow`: of more, so many, evenly spread.
CASES = 16


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for group in cases.values():
        kept = {index * len(group) // CASES for index in range(CASES)}
        for index, item in enumerate(group):
            if len(group) > CASES and index not in kept:
                item.add_marker("slow")
    for item in items:
        random = getattr(getattr(item, "function", None), "is_hypothesis_test", False)
        if random or item.path.stem in SLOW:
            item.add_marker("slow")
    named = set(re.findall(r"\w+", config.option.markexpr))
    unasked = [mark for mark in ASKED_FOR if mark not in named]
    left_out = [item for item in items if any(map(item.get_closest_marker, unasked))]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        out = set(left_out)
        items[:] = [item for item in items if item not in out]


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"no {package}"


def pytest_report_header() -> list[str]:
    packages = ("numpy", "pillow", "transformers", "torch", "torchvision")
    lines = [", ".join(_version(package) for package in packages)]
    try:
        import dynres_rs
    except ImportError as error:
        lines.append(f"dynres_rs: NOT IMPORTABLE ({error})")
    else:
        lines.append(
            f"dynres_rs {dynres_rs.__version__}, SIMD backend: {dynres_rs.simd()},"
            f" from {dynres_rs.__file__}"
        )
    examples = property_counts.PROFILES.get(PROFILE, "its own number of")
    lines.append(f"hypothesis profile: {PROFILE} ({examples} examples a property)")
    return lines


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    counts = property_counts.COMPLETED
    if not counts:
        return
    terminalreporter.section(f"{counts.total()} random examples passed")
    for name, count in sorted(counts.items()):
        terminalreporter.write_line(f"{count:7d}  {name}")


def _import_upstream(name: str, mark: str) -> ModuleType:
    """`name`, or a failure that says what to do: a test that cannot look must not pass."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError as error:
        pytest.fail(
            f"{name} cannot be imported by {sys.executable} ({error}); install it, or leave these"
            f" tests out with -m 'not {mark}'",
            pytrace=False,
        )


@pytest.fixture(scope="session")
def transformers() -> ModuleType:
    """For tests marked `oracle`."""
    return _import_upstream("transformers", "oracle")


@pytest.fixture(scope="session")
def torch() -> ModuleType:
    """For tests marked `torch`."""
    return _import_upstream("torch", "torch")


@pytest.fixture(scope="module")
def one_thread(torch: ModuleType) -> Iterator[ModuleType]:
    """torch, whose sums of floats are in the order of one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch
    torch.set_num_threads(threads)


@pytest.fixture
def upstream_warnings_allowed() -> Iterator[None]:
    """Upstream's own deprecations are not ours to mend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
