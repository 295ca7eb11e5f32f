"""Makes an environment with a real server in it, for the tests in this folder.

    python tests/integrations/environment.py vllm PATH
    python tests/integrations/environment.py sglang PATH

A virtual environment at PATH with the release that `SERVERS` names, and what that release needs,
less the packages that are for a GPU alone. Only the server's front half, which reads requests and
prepares images, then works: it imports and runs on a CPU. dynres_rs goes in afterwards, built here
or as a wheel:

    VIRTUAL_ENV=PATH maturin develop --release
    PATH/bin/python -m pytest -m vllm tests/integrations
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Final

#: The releases that the pages speak of, and what else the tests of each need.
SERVERS: Final = {
    "vllm": ("vllm==0.33.0", ("torchvision==0.29.0",)),
    "sglang": ("sglang==0.5.23", ("setproctitle",)),
}
TESTS: Final = ("pytest>=8", "hypothesis>=6.100", "pytest-timeout>=2", "httpx>=0.27")

#: Kernels, compilers and bindings for a GPU; nothing of the front half imports one unasked.
GPU_ONLY: Final = {
    "apache-tvm-ffi",
    "cuda-python",
    "fastsafetensors",
    "flash-attn-4",
    "flashinfer-python",
    "humming-kernels",
    "instanttensor",
    "kernels",
    "nvidia-cudnn-frontend",
    "nvidia-cutlass-dsl",
    "nvidia-mathdx",
    "nvshmem4py-cu13",
    "nvtx",
    "pynvvideocodec",
    "quack-kernels",
    "sgl-deep-ep",
    "sgl-deep-gemm",
    "sgl-flash-mla",
    "sglang-kernel",
    "tilelang",
    "tokenspeed-mla",
    "torch-memory-saver",
}

# Run inside the new environment: pip has the library that reads requirements and markers.
_LIST: Final = """
import importlib.metadata, json, sys
from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name
found = []
for line in importlib.metadata.requires(sys.argv[1]) or ():
    need = Requirement(line)
    if need.marker is None or need.marker.evaluate({"extra": ""}):
        need.marker = None
        found.append((canonicalize_name(need.name), str(need)))
print(json.dumps(found))
"""


def make(server: str, path: Path) -> None:
    """The environment at `path`; raises `CalledProcessError` where a step of pip fails."""
    release, extra = SERVERS[server]
    subprocess.run([sys.executable, "-m", "venv", path], check=True)
    python = str(path / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", release], check=True)
    listed = subprocess.run(
        [python, "-c", _LIST, server], check=True, capture_output=True, text=True
    )
    needs = [text for name, text in json.loads(listed.stdout) if name not in GPU_ONLY]
    subprocess.run([*pip, *needs, *extra, *TESTS], check=True)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Make an environment with a server in it.")
    parser.add_argument("server", choices=sorted(SERVERS))
    parser.add_argument("path", type=Path, help="where; made if it is not there")
    arguments = parser.parse_args()
    make(arguments.server, arguments.path)


if __name__ == "__main__":
    main()
