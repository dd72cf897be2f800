"""One toy made live by transformers and loaded by tfllm: what the live tests and `measured_parity.py` compare."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from comparison import largest_difference, our_outputs, output_mask
from hf_families import FAMILIES, Sizes
from toy_models import compute_outputs, in_plain_arithmetic, make_inputs, make_model

import tfllm

# Other sizes than the goldens'.
SIZES = {
    "wide": Sizes(
        hidden=48,
        layers=3,
        heads=6,
        kv_heads=2,
        intermediate=52,
        vocab=131,
        positions=40,
        length=17,
        real_tokens=5,
        target_length=13,
        real_target_tokens=10,
    ),
    # The longest sequence that the position table allows, one key-value head, and rows of a single token.
    "narrow": Sizes(
        hidden=24,
        layers=1,
        heads=2,
        kv_heads=1,
        intermediate=17,
        vocab=57,
        positions=24,
        length=24,
        real_tokens=1,
        target_length=24,
        real_target_tokens=1,
    ),
}
_LANGUAGE_MODELS = ("masked_lm", "causal_lm", "seq2seq_lm")
# In the configs of both sides: who wrote them, and how the dtype is spelt.
_NO_MEANING = ("transformers_version", "dtype", "torch_dtype", "_name_or_path")


@dataclasses.dataclass(frozen=True)
class Case:
    """A family's head in one variant and size."""

    family: str
    head: str
    size: str
    variant: str = ""
    overrides: Any = None

    @property
    def name(self) -> str:
        return "-".join(filter(None, (self.family, self.head, self.variant, self.size)))


def cases() -> Iterator[Case]:
    """Every family and head wide; language models narrow, too; variants in both sizes."""
    for family, spec in FAMILIES.items():
        for head in spec.heads:
            if head == "pretraining":  # a masked LM with one more head: tests/zoo
                continue
            yield Case(family, head, "wide")
            if head in _LANGUAGE_MODELS:
                yield Case(family, head, "narrow")
        for variant, (head, overrides) in spec.variants.items():
            for size in SIZES:
                yield Case(family, head, size, variant, overrides)


@dataclasses.dataclass(frozen=True)
class Pair:
    """A model of theirs, saved in `directory`, the same loaded by us, inputs, and what theirs computes."""

    directory: Path
    theirs: Any
    ours: Any
    inputs: dict[str, np.ndarray]
    expected: dict[str, np.ndarray]

    def differences(self) -> dict[str, float]:
        """Output's name to max |ours - theirs|."""
        return differences(self.ours, self.inputs, self.expected)


def differences(ours, inputs: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> dict[str, float]:
    return {
        name: largest_difference(value, expected[name], output_mask(inputs))
        for name, value in our_outputs(ours, inputs).items()
    }


def make_pair(case: Case, directory: Path, seed: int = 71) -> Pair:
    sizes = SIZES[case.size]
    theirs = make_model(case.family, case.head, sizes, seed, case.overrides)
    theirs.save_pretrained(directory)
    inputs = make_inputs(theirs.config, case.head, sizes, seed + 1)
    ours = tfllm.load(directory, tokenizer=False)  # the head comes from the config's `architectures`
    return Pair(directory, theirs, ours, inputs, compute_outputs(theirs, inputs))


def open_with_transformers(directory: Path, model_class):
    """The directory by `from_pretrained`, which must find every tensor that it wants and no other."""
    model, info = model_class.from_pretrained(directory, output_loading_info=True)
    problems = {name: found for name, found in info.items() if found}
    assert not problems, f"transformers does not take {directory} as it is: {problems}"
    return in_plain_arithmetic(model)


def config_meaning(directory: Path) -> dict[str, Any]:
    """What transformers understands by a directory's `config.json`."""
    from transformers import AutoConfig

    meaning = AutoConfig.from_pretrained(directory).to_dict()
    return {key: value for key, value in meaning.items() if key not in _NO_MEANING}
