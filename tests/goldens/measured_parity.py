"""Measures how far tfllm's outputs are from transformers', a figure for each family and head.

    python tests/goldens/measured_parity.py [--out tfllm/zoo/parity.json] [--only bert]

needs the extra `parity`. The figure is the largest absolute difference of a logit (or hidden state) over the toys of
`live.py`: both sizes, all variants, float32. `tfllm models` prints it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

# PyTorch must come before TensorFlow: imported after it, transformers crashes the process.
import torch
import transformers

_ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(_ROOT))

import keras
import live
import tensorflow as tf


def measure(only: str = "") -> dict[str, dict[str, float]]:
    """Family to head to difference; regressions count as classifiers."""
    measured: dict[str, dict[str, float]] = {}
    for case in live.cases():
        if not case.name.startswith(only):
            continue
        with tempfile.TemporaryDirectory() as directory:
            difference = max(live.make_pair(case, Path(directory)).differences().values())
        heads = measured.setdefault(case.family, {})
        head = "classifier" if case.head == "regression" else case.head
        heads[head] = max(heads.get(head, 0.0), float(f"{difference:.1e}"))
        print(f"{case.name:50s} {difference:.1e}", flush=True)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=_ROOT / "tfllm" / "zoo" / "parity.json")
    parser.add_argument("--only", default="", help="measure only what begins so; the rest of the file stays as it is")
    arguments = parser.parse_args()

    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    families = measure(arguments.only)
    if arguments.only and arguments.out.exists():
        families = {**json.loads(arguments.out.read_text())["families"], **families}
    versions = {module.__name__: module.__version__ for module in (keras, tf, torch, transformers)}
    content = {"versions": {**versions, "torch": torch.__version__.split("+")[0]}, "families": families}
    arguments.out.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
