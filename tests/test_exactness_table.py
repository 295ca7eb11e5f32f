"""The table of classes in docs/exactness.md: what is recorded of each, and whether it is equal.

Each recorded case is a test (`test_families.py`, `test_video_families.py`) that fails where one bit
is another; a class is not here yet where no family of the compiled table names it. `python
tests/test_exactness_table.py` writes the table and the README's sum from the same files.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import golden_cases
import pytest
import test_families
from dynres_rs import _dynres_rs as native

ROOT = Path(__file__).parent.parent
PAGE, README = ROOT / "docs" / "exactness.md", ROOT / "README.md"
BACKENDS = {"pil": "pillow", "torchvision": "torchvision"}
VIDEOS = ("video_families.json", "video_sampled.json")


def counts() -> dict[str, Counter[str]]:
    """Recorded cases of each class, by backend."""
    found: dict[str, Counter[str]] = {}
    for file in (*test_families.FILES, *VIDEOS):
        for case in golden_cases.load(file)["cases"]:
            name = test_families.class_of(case)
            # Video processors have torchvision alone.
            found.setdefault(name, Counter())[BACKENDS[case.get("backend", "torchvision")]] += 1
    return found


def is_exact(name: str) -> bool:
    return name in native.upstream()


def table() -> str:
    """A row a class: recorded cases on either backend, all of them equal, or none here yet."""

    def cell(name: str, count: int) -> str:
        if not count:
            return ""
        return f"{count} exact" if is_exact(name) else f"{count} not here yet"

    lines = ["| class | pillow | torchvision |", "|---|---|---|"]
    for name, row in sorted(counts().items()):
        cells = [cell(name, row[backend]) for backend in ("pillow", "torchvision")]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def summary() -> str:
    """The sum of the table."""
    lines = ["| | pillow | torchvision |", "|---|---:|---:|"]
    for title, wanted in (("exact", True), ("not here yet", False)):
        rows = [row for name, row in counts().items() if is_exact(name) is wanted]
        cells = []
        for backend in ("pillow", "torchvision"):
            of = [row[backend] for row in rows if row[backend]]
            classes = "1 class" if len(of) == 1 else f"{len(of)} classes"
            cells.append(f"{classes}, {sum(of):,} cases")
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def written(file: Path, name: str, text: str) -> str:
    """The page with the text between its two marks."""
    page = file.read_text(encoding="utf-8")
    marks = f"<!-- {name} -->", f"<!-- end of {name} -->"
    found = re.compile(re.escape(marks[0]) + r"\n.*?" + re.escape(marks[1]), re.DOTALL)
    assert found.search(page), f"{file.name} has no place for {name}"
    return found.sub(lambda _: f"{marks[0]}\n{text}\n{marks[1]}", page)


PLACES = ((PAGE, "table of classes", table), (README, "sum of classes", summary))


@pytest.mark.parametrize(
    ("file", "name", "text"), PLACES, ids=lambda value: getattr(value, "name", "")
)
def test_the_table_is_that_of_the_recorded_cases(
    file: Path, name: str, text: Callable[[], str]
) -> None:
    if not file.exists():
        pytest.skip("needs a checkout")
    now = file.read_text(encoding="utf-8")
    assert written(file, name, text()) == now, "run python tests/test_exactness_table.py"


def main() -> None:
    for file, name, text in PLACES:
        file.write_text(written(file, name, text()), encoding="utf-8")


if __name__ == "__main__":
    main()
