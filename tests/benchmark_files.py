"""The benchmark files in $TFLLM_DATA (default: ../shared/data), for tests marked `real`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("TFLLM_DATA", Path(__file__).parents[1].parent / "shared" / "data"))


def path(name: str) -> Path:
    """The file or directory of that name; the test is skipped, with the reason, where it is missing."""
    if not (ROOT / name).exists():
        pytest.skip(f"needs {name} of the benchmark files, which is not in {ROOT} (set TFLLM_DATA)")
    return ROOT / name


def lines(name: str) -> list[str]:
    """Its lines, without their ends."""
    return path(name).read_bytes().decode().removesuffix("\n").split("\n")
