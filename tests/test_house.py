"""The house is as its maps say: who uses whom in Rust, and where a family may be named."""

from __future__ import annotations

import ast
import io
import re
import tokenize
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


#: Lines of code of the facade at most: see `test_the_facade_is_thin`.
FACADE_LINES = 3_060
#: What is no part of the facade: the command line, drawing, modules that have another library's
#: interface, and data.
OUTSIDE = {
    "_jpeg_samples", "cli", "cutting", "deepseek_vl2", "draw", "internvl", "largest",
    "llamafactory", "patching", "positions", "qwen_vl_utils", "ray", "ring", "sglang", "text",
    "torch", "transformers", "verify", "vllm",
}  # fmt: skip


def code_lines(text: str) -> int:
    """Lines of Python without docstrings, comments and blanks."""
    silent = {
        tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
        tokenize.ENDMARKER,
    }  # fmt: skip
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in silent:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", None)
        for part in body if isinstance(body, list) else ():
            value = part.value if isinstance(part, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                lines -= set(range(part.lineno, (part.end_lineno or 0) + 1))
    return len(lines)


def facade() -> dict[str, int]:
    """Lines of code of each module of the facade."""
    root = ROOT / "python" / "dynres_rs"
    return {
        str(file.relative_to(root)): code_lines(file.read_text(encoding="utf-8"))
        for file in sorted(root.rglob("*.py"))
        if file.relative_to(root).parts[0].removesuffix(".py") not in OUTSIDE
    }


def test_lines_of_code_are_counted() -> None:
    text = '''"""A module."""

# A comment.
def f(x: int) -> int:
    """What it
    does."""
    y = """not
    a docstring"""  # with a comment

    return len(y) + x


class C:
    a: int
    """An attribute."""
'''
    assert code_lines(text) == 6


def test_the_facade_is_thin() -> None:
    lines = facade()
    total = sum(lines.values())
    assert len(lines) > 20
    assert total <= FACADE_LINES, f"{total} lines: {lines}"


def test_no_module_decides_what_a_family_is_by_the_names_of_its_options() -> None:
    """The compiled core says it: `Spec`, `schema`, `keys`."""
    sniffing = re.compile(
        r"""["']\w+["'] (not )?in (self\.)?\w*\.?options\b|\boptions\.get\(|to_dict\(\)\.get\("""
    )
    wrong = []
    for file in sorted((ROOT / "python").rglob("*.py")):
        if file.parent.name == "transformers":  # the options there are those of a call
            continue
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            if sniffing.search(line):
                wrong.append(f"{file.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not wrong, "\n".join(wrong)


def test_work_without_the_interpreter_is_watched() -> None:
    """A thread that takes the interpreter back while the process ends must be parked first: one
    function of `py/calls.rs` does both."""
    found = [
        path.name
        for path in sorted((ROOT / "src").rglob("*.rs"))
        if ".detach(" in path.read_text(encoding="utf-8")
    ]
    assert found == ["calls.rs"]
