"""The house is as its maps say: who uses whom in Rust, and where a family may be named."""

from __future__ import annotations

import re
from pathlib import Path

import dynres_rs as dr
import pytest

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src"


def code_of(file: Path) -> str:
    """The file without its unit tests, comments and docs."""
    text = file.read_text(encoding="utf-8").partition("#[cfg(test)]\nmod tests {")[0]
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("//"))


def module_of(file: Path) -> str:
    return file.relative_to(SRC).parts[0].removesuffix(".rs")


def sources() -> list[Path]:
    return [file for file in sorted(SRC.rglob("*.rs")) if file.name not in ("lib.rs", "tests.rs")]


def test_the_map_of_modules_is_true() -> None:
    if not SRC.is_dir():
        pytest.skip("needs a checkout")
    rows = re.findall(
        r"^//! \| \[?`(\w+)`\]? \| [^|]* \| ([^|]*) \|$",
        (SRC / "lib.rs").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    said = {module: set(re.findall(r"`([a-z]\w*)`", uses)) for module, uses in rows}
    modules = set(said)
    used: dict[str, set[str]] = {module: set() for module in modules}
    for file in sources():
        module = module_of(file)
        assert module in modules, f"lib.rs does not list {module}"
        found = set(re.findall(r"\bcrate::(\w+)", code_of(file)))
        used[module] |= (found & modules) - {module}
    wrong = []
    for module in modules - {"py"}:
        if extra := used[module] - said[module]:
            wrong.append(f"{module} uses {sorted(extra)}, which lib.rs does not say")
        if unused := said[module] - used[module]:
            wrong.append(f"{module} does not use {sorted(unused)}, which lib.rs says")
    assert not wrong, "\n".join(wrong)


def test_strategies_are_matched_in_their_folder_alone() -> None:
    if not SRC.is_dir():
        pytest.skip("needs a checkout")
    outside = [file for file in sources() if module_of(file) not in ("strategy", "families")]
    wrong = [
        str(file.relative_to(ROOT)) for file in outside if re.search(r"\bStrategy::", code_of(file))
    ]
    assert not wrong, wrong


def test_families_are_named_in_their_entries_alone() -> None:
    if not SRC.is_dir():
        pytest.skip("needs a checkout")
    names = "|".join(re.escape(f'"{name}"') for name in dr.families())
    wrong = []
    for file in sources():
        if module_of(file) != "families" and re.search(names, code_of(file)):
            wrong.append(str(file.relative_to(ROOT)))
    decided = re.compile(rf"family (==|!=) ({names})")
    for file in sorted((ROOT / "python").rglob("*.py")):
        if decided.search(file.read_text(encoding="utf-8")):
            wrong.append(str(file.relative_to(ROOT)))
    assert not wrong, wrong
