"""The command `dynres`. Needs the extra `cli` (typer, rich, safetensors)."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Entry point of the command."""
    try:
        from .app import app
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in ("typer", "rich", "click"):
            raise
        print(
            f"dynres: the command needs '{error.name}': pip install 'dynres_rs[cli]'",
            file=sys.stderr,
        )
        raise SystemExit(2) from None
    app()
