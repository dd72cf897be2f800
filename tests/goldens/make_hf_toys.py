"""Makes the golden toys in `hf_toys/`: tiny random Hugging Face models and what transformers computes with them.

    python tests/goldens/make_hf_toys.py [--out tests/goldens/hf_toys] [--only bert]

needs the extra `parity` (PyTorch and transformers). One directory a toy, named `<family>-<head>[-<variant>]`:

    config.json, model.safetensors   as `save_pretrained` writes them (or several shards and their index)
    expected.npz                     the inputs, and the outputs of transformers in float32 and eval mode

Every parameter is random, the biases and norm scales too, so that no weight can be dropped, swapped or left at its
initial value without a difference in the outputs. See README.md beside this file for the keys of `expected.npz`;
`hf_families.py` lists the families and their variants, `legacy_layouts.py` how older checkpoints look.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import legacy_layouts
import numpy as np
from hf_families import FAMILIES, Sizes
from toy_models import compute_outputs, in_plain_arithmetic, make_inputs, make_model


@dataclasses.dataclass(frozen=True)
class Toy:
    """One golden directory."""

    family: str
    head: str
    variant: str = ""
    overrides: Any = None
    dtype: str = "float32"
    max_shard_size: str = "1GB"
    # Rewrites (config, tensors) into what an older transformers would have written.
    legacy: Callable[[dict, dict], tuple[dict, dict]] | None = None

    @property
    def name(self) -> str:
        return "-".join(filter(None, (self.family, self.head, self.variant)))

    @property
    def seed(self) -> int:
        return zlib.crc32(self.name.encode())

    @property
    def sizes(self) -> Sizes:
        """The second layer is for the language model and for variants."""
        whole = ("masked_lm", "causal_lm", "seq2seq_lm")
        return Sizes() if self.variant or self.head in whole else Sizes(layers=1)


def _longrope(sizes: Sizes) -> dict:
    return FAMILIES["phi3"].variants["longrope"][1](sizes)


TOYS = (
    # A regression's head is a classifier's with one label: a golden a kind of model; tests/parity has them all.
    *(
        Toy(family, head)
        for family, spec in FAMILIES.items()
        for head in spec.heads
        if head != "regression" or family in ("bert", "llama", "t5")
    ),
    *(
        Toy(family, head, variant, overrides)
        for family, spec in FAMILIES.items()
        for variant, (head, overrides) in spec.variants.items()
    ),
    Toy("llama", "causal_lm", "sharded", max_shard_size="30KB"),
    Toy("llama", "causal_lm", "bf16", dtype="bfloat16"),
    *(
        Toy(family, "masked_lm", "legacy", legacy=getattr(legacy_layouts, family))
        for family in ("bert", "roberta", "distilbert", "albert", "electra", "mpnet", "modernbert")
    ),
    *(
        Toy(family, "causal_lm", "legacy", legacy=getattr(legacy_layouts, family))
        for family in ("gpt2", "bloom", "gpt_neox", "llama", "gemma")
    ),
    Toy("qwen2", "causal_lm", "legacy", {"sliding_window": 4, "max_window_layers": 1}, legacy=legacy_layouts.rope),
    Toy("phi3", "causal_lm", "legacy", _longrope, legacy=legacy_layouts.rope),
    Toy("smollm3", "causal_lm", "legacy", legacy=legacy_layouts.rope),
    Toy("gemma2", "causal_lm", "legacy", legacy=legacy_layouts.rope),
    Toy("gemma3_text", "causal_lm", "legacy", legacy=legacy_layouts.gemma3),
    Toy("t5", "seq2seq_lm", "legacy", legacy=legacy_layouts.t5),
    *(Toy(family, "seq2seq_lm", "legacy", legacy=legacy_layouts.bart) for family in ("bart", "marian", "m2m_100")),
)


def write_toy(toy: Toy, directory: Path) -> None:
    """Writes one golden directory, and checks that transformers reads it back to the same outputs."""
    import torch
    from safetensors.torch import load_file, save_file

    shutil.rmtree(directory, ignore_errors=True)
    model = make_model(toy.family, toy.head, toy.sizes, toy.seed, toy.overrides)
    inputs = make_inputs(model.config, toy.head, toy.sizes, toy.seed)
    made = compute_outputs(model, inputs)
    model.to(getattr(torch, toy.dtype)).save_pretrained(directory, max_shard_size=toy.max_shard_size)
    if toy.legacy:
        config, tensors = toy.legacy(
            json.loads((directory / "config.json").read_text()), load_file(directory / "model.safetensors")
        )
        (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    for unwanted in directory.glob("generation_config.json"):
        unwanted.unlink()

    reread = type(model).from_pretrained(directory, dtype=torch.float32)
    outputs = compute_outputs(in_plain_arithmetic(reread), inputs)
    for name, value in outputs.items():
        difference = np.abs(value - made[name]).max()
        # Not 0: the order of summation depends on the alignment of memory.
        if difference > 1e-5 and toy.dtype == "float32":
            sys.exit(f"{toy.name}: {name} differs by {difference} after reading the toy back")
    np.savez_compressed(directory / "expected.npz", **inputs, **outputs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "hf_toys")
    parser.add_argument("--only", default="", help="make only the toys whose name begins so")
    arguments = parser.parse_args()

    import transformers

    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    for toy in TOYS:
        if toy.name.startswith(arguments.only):
            write_toy(toy, arguments.out / toy.name)
            size = sum(file.stat().st_size for file in (arguments.out / toy.name).iterdir())
            print(f"{toy.name:40s} {size / 1e3:8.1f} kB", flush=True)


if __name__ == "__main__":
    main()
