"""The documentation: its code runs, what it points to exists, and its site builds.

On every page of `docs` and in the README, blocks of python and pycon run in order in one process
and share their names; the output that a pycon block shows must be the one that comes. Of shell
blocks, lines that begin with `dynres` run. `<!-- no-run -->` on the line before leaves a block out.
"""

import importlib.util
import json
import re
import runpy
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, NamedTuple

import dynres_rs as dr
import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
if not DOCS.is_dir():
    pytest.skip("the pages are in a checkout only", allow_module_level=True)
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
NO_RUN = "<!-- no-run -->"

#: What a block needs beyond the package itself, by a pattern in its text.
NEEDS = {
    "torch": r"\btorch\b|\"pt\"",
    "transformers": r"\btransformers\b",
    "ray": r"\bray\b",
    "av": r"\.(mp4|mkv|webm)\b|\bimport av\b",
    "typer": r"^dynres ",
    **{
        name: rf"^\s*(import|from) {name}\b"
        for name in (
            *("datasets", "webdataset", "vllm", "sglang", "decord"),
            *("qwen_vl_utils", "llamafactory", "deepseek_vl2"),
        )
    },
}

RUNNER = """
import doctest, json, pathlib, shlex, subprocess, sys

# The command as pip installs it.
COMMAND = [sys.executable, "-c", "from dynres_rs.cli import main; main()"]
names = {"__name__": "__main__"}
for line, kind, code in json.load(sys.stdin):
    where = f"{sys.argv[1]}:{line}"
    if kind == "python":
        exec(compile("\\n" * line + code, sys.argv[1], "exec"), names)
    elif kind == "pycon":
        test = doctest.DocTestParser().get_doctest(code, names, where, sys.argv[1], line)
        assert test.examples, f"{where}: no prompt"
        result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, clear_globs=False)
        if result.failed:
            sys.exit(f"{where}: {result.failed} of {result.attempted} lines differ")
        names.update(test.globs)
    else:
        for command in code.splitlines():
            if command.startswith("dynres "):
                done = subprocess.run([*COMMAND, *shlex.split(command, comments=True)[1:]])
                assert done.returncode == 0, f"{where}: {command}"
"""


class Block(NamedTuple):
    """A fenced block of a page."""

    line: int
    kind: str
    code: str
    runs: bool


def blocks(page: Path) -> list[Block]:
    found = []
    lines = page.read_text(encoding="utf-8").splitlines()
    at = 0
    while at < len(lines):
        opening = re.fullmatch(r"(\s*)```(\w*).*", lines[at])
        if opening is None:
            at += 1
            continue
        end = next(
            (n for n in range(at + 1, len(lines)) if lines[n].strip() == "```"), len(lines) - 1
        )
        code = textwrap.dedent("\n".join(lines[at + 1 : end]) + "\n")
        marked = at > 0 and lines[at - 1].strip() == NO_RUN
        found.append(Block(at + 1, opening[2], code, not marked))
        at = end + 1
    return found


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"^\s*```.*?^\s*```\s*$", "", text, flags=re.DOTALL | re.MULTILINE)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def missing(code: str) -> list[str]:
    """The packages that a block needs and that are not installed."""
    return [
        name
        for name, pattern in NEEDS.items()
        if re.search(pattern, code, re.MULTILINE) and importlib.util.find_spec(name) is None
    ]


RUN = ("python", "pycon", "sh")


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(b.runs and b.kind in RUN for b in blocks(page))],
    ids=name_of,
)
def test_code_runs(page: Path, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    given: list[tuple[int, str, str]] = []
    absent: list[str] = []
    for block in blocks(page):
        if not block.runs or block.kind not in RUN:
            continue
        absent = missing(block.code)
        if absent:  # later blocks may use its names
            break
        given.append((block.line, block.kind, block.code))
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, name_of(page)],
        input=json.dumps(given),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    if absent:
        pytest.skip(f"ran {len(given)} blocks; the next needs {', '.join(absent)}")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_parses(page: Path) -> None:
    """Blocks that do not run are Python nevertheless."""
    for block in blocks(page):
        if block.kind == "python":
            compile("\n" * block.line + block.code, name_of(page), "exec")


def _defines(file: Path, name: str) -> bool:
    keyword = "fn" if file.suffix == ".rs" else "def"
    text = file.read_text(encoding="utf-8")
    return re.search(rf"^\s*{keyword} {re.escape(name)}\b", text, re.MULTILINE) is not None


TOP = r"(?:src|tests|python|benches|examples|docs|\.ci)"
PATH = re.compile(rf"`(?:bash )?({TOP}(?:/[\w.\-]+)+/?)(?:::(\w+))?(?:\s[^`]*)?`")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_paths_and_tests_exist(page: Path) -> None:
    """`src/plan.rs` is a file, `tests/test_x.py::test_y` is a test in it, `make x` is a recipe."""
    text = prose(page)
    wrong = []
    for path, name in PATH.findall(text):
        file = ROOT / path
        if not file.exists():
            wrong.append(f"no {path}")
        elif name and not _defines(file, name):
            wrong.append(f"no {name} in {path}")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for recipe in re.findall(r"`make ([\w-]+)`", text):
        if not re.search(rf"^{recipe}:", makefile, re.MULTILINE):
            wrong.append(f"no recipe {recipe}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    pending = {DOCS / name for name in runpy.run_path(str(DOCS / "nav.py"))["PENDING"]}
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target) or target.startswith("#"):
            continue
        leads = (page.parent / target.partition("#")[0]).resolve()
        if not leads.exists() and leads not in pending:
            wrong.append(target)
    assert not wrong, wrong


def test_every_promise_has_a_test() -> None:
    """A row of a table in promises.md names at least one test."""
    text = (DOCS / "promises.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    promised = [row for row in rows if not row.startswith("| promise |")]
    assert len(promised) > 25
    assert not [row for row in promised if "::" not in row.rsplit("|", 2)[1]]


def test_every_test_of_a_promise_exists() -> None:
    """Each `file::name` in promises.md is a function of that file."""
    text = (DOCS / "promises.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/.]+)::(\w+)`", text)
    assert len(named) > 90
    for file, name in named:
        source = (ROOT / file).read_text(encoding="utf-8")
        form = rf"^\s*fn {name}\(" if file.endswith(".rs") else rf"^def {name}\("
        assert re.search(form, source, re.MULTILINE), f"{file}::{name}"


def test_excerpts_of_rust_are_in_the_source() -> None:
    def squeezed(text: str) -> str:
        return re.sub(r"\s+", " ", text).strip()

    entries = sorted((ROOT / "src/families").glob("*.rs"))
    source = squeezed("\n".join(file.read_text(encoding="utf-8") for file in entries))
    excerpts = [b for page in PAGES for b in blocks(page) if b.kind == "rust" and b.runs]
    assert excerpts
    for block in excerpts:
        assert squeezed(block.code) in source, block.code


def test_the_install_commands_are_the_readmes() -> None:
    """The README's are what CI runs."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = [
        line
        for block in blocks(DOCS / "index.md")
        if block.kind == "sh"
        for line in block.code.splitlines()
        if not line.startswith("dynres ")
    ]
    assert len(commands) == 2
    assert not [command for command in commands if command not in readme]


def test_api_is_complete() -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^::: dynres_rs\.(\w+)$", text, re.MULTILINE))
    public = {name for name in dr.__all__ if not name.startswith("__")}
    assert not public - listed, "add them to docs/api.md"


def test_the_site_builds_and_fetches_nothing(tmp_path: Path) -> None:
    """Without a warning; and what a browser loads of it is in it."""
    for package in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(package, reason="needs the extra 'docs'")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) >= len(PAGES) - 1
    loads = re.compile(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\"((?:https?:)?//[^\"]+)")
    fetched: dict[str, Any] = {
        page.name: found for page in pages if (found := loads.findall(page.read_text("utf-8")))
    }
    assert not fetched


def test_the_page_of_families_is_that_of_the_table() -> None:
    script = runpy.run_path(str(ROOT / ".ci" / "families"))
    assert (DOCS / "families.md").read_text(encoding="utf-8") == script["page"](), (
        "run .ci/families"
    )
    replaced = (DOCS / "integrations" / "transformers.md").read_text(encoding="utf-8")
    assert script["with_classes"](replaced) == replaced, "run .ci/families"


def test_the_page_of_outputs_is_that_of_the_recorded_cases() -> None:
    page = runpy.run_path(str(ROOT / ".ci" / "outputs"))["page"]
    assert (DOCS / "outputs.md").read_text(encoding="utf-8") == page(), "run .ci/outputs"
