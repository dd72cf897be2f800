"""Processes whose JAX sees four devices."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

needs_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed (extra `jax`)")


def run(*command: str, **environment: str) -> subprocess.CompletedProcess:
    """`python *command`, with four virtual devices."""
    paths = [str(HERE.parents[2]), str(HERE.parents[1])]
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run(
        [sys.executable, *command],
        env={**os.environ, **flags, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def succeed(*command: str, **environment: str) -> subprocess.CompletedProcess:
    ended = run(*command, **environment)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended
