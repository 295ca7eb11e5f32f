"""A hook of mkdocs: folders in the nav, and lists of a folder's pages.

In `nav`, a path that ends in `/` stands for the pages of that folder, `index.md` first. In a page,
the line `<!-- pages -->` becomes a list of the pages beside it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

MARK = "<!-- pages -->"

#: Pages that are still being written. While one does not exist it is left out of the nav, and links
#: to it are plain text.
PENDING = ("video.md",)


def _pages(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.md"), key=lambda page: (page.name != "index.md", page.name))


def _item(item: Any, docs: Path) -> Any:
    """An item of the nav with its folders filled in; None where its page is to come."""
    ((title, inside),) = item.items()
    if inside.endswith("/"):
        return {title: [page.relative_to(docs).as_posix() for page in _pages(docs / inside)]}
    return None if inside in _absent(docs) else {title: inside}


def _absent(docs: Path) -> list[str]:
    return [name for name in PENDING if not (docs / name).is_file()]


def _title(page: Path) -> str:
    """The text of a page's first heading."""
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            return line[2:].strip()
    return page.stem


def on_config(config: Any) -> Any:
    """Fills in the nav."""
    docs = Path(config["docs_dir"])
    items = (_item(item, docs) for item in config["nav"])
    config["nav"] = [item for item in items if item is not None]
    return config


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Fills in the list of pages, and unlinks those to come."""
    for name in _absent(Path(config["docs_dir"])):
        link = rf"\[([^\]]+)\]\((?:\.\./)?{re.escape(name)}(?:#[\w-]*)?\)"
        markdown = re.sub(link, r"\1", markdown)
    if MARK not in markdown:
        return markdown
    here = Path(page.file.abs_src_path)
    others = [other for other in _pages(here.parent) if other != here]
    lines = [f"- [{_title(o)}]({o.relative_to(here.parent).as_posix()})" for o in others]
    return markdown.replace(MARK, "\n".join(lines))
