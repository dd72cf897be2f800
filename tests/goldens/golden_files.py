"""The golden toys as the default tests read them."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np
from comparison import by_their_names, largest_difference, our_outputs, output_mask, to_our_batch
from hf_families import FAMILIES

import tfllm

HF_TOYS = Path(__file__).parent / "hf_toys"
NAMES = sorted(path.name for path in HF_TOYS.iterdir())
_LANGUAGE_MODELS = ("masked_lm", "causal_lm", "seq2seq_lm")
# One toy a family, with all that the family has: its language model.
OF_FAMILY = {
    family: f"{family}-{next(head for head in spec.heads if head in _LANGUAGE_MODELS)}"
    for family, spec in FAMILIES.items()
}


@dataclasses.dataclass
class Golden:
    """A toy, loaded, and what transformers computes with it."""

    name: str
    model: Any
    expected: dict[str, np.ndarray]

    @property
    def directory(self) -> Path:
        return HF_TOYS / self.name

    @property
    def batch(self) -> dict[str, np.ndarray]:
        return to_our_batch(self.expected)

    @property
    def mask(self) -> np.ndarray:
        return output_mask(self.expected)

    @functools.cached_property
    def output(self) -> np.ndarray:
        """What the toy gives for its batch: computed once, so it is for tests that leave the toy as it is."""
        return np.asarray(self.model(self.batch, training=False))

    def assert_outputs(self, model=None) -> None:
        """`model` (default: the toy) gives what transformers gives."""
        ours = by_their_names(self.model, self.output) if model is None else our_outputs(model, self.expected)
        for name, value in ours.items():
            assert largest_difference(value, self.expected[name], self.mask) < 1e-4, name


def open_golden(name: str, **options: Any) -> Golden:
    with np.load(HF_TOYS / name / "expected.npz") as file:
        expected = dict(file)
    if "prediction_logits" in expected:  # ForPreTraining: masked LM and next sentence; the first is what we load
        expected["logits"] = expected.pop("prediction_logits")
    return Golden(name, tfllm.load(HF_TOYS / name, tokenizer=False, **options), expected)
