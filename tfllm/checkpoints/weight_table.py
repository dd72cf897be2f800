"""The language of weight tables: which variable of ours is which tensor of theirs, and how one becomes the other.

A table is a list of `Rule`s. Import and export both read it, so that what one does the other undoes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np


class _Same:
    """The tensor as it is."""

    def to_ours(self, tensor: np.ndarray) -> list[np.ndarray]:
        return [tensor]

    def to_theirs(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        return arrays[0]


class _Transpose:
    """A PyTorch linear layer `(out, in)` and a Keras kernel `(in, out)`."""

    def to_ours(self, tensor: np.ndarray) -> list[np.ndarray]:
        return [tensor.T]

    def to_theirs(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        return arrays[0].T


@dataclasses.dataclass(frozen=True)
class SplitColumns:
    """One tensor that holds `parts` of equal width side by side along its last axis (GPT-2's fused query, key, value)."""

    parts: int

    def to_ours(self, tensor: np.ndarray) -> list[np.ndarray]:
        return np.split(tensor, self.parts, axis=-1)

    def to_theirs(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate(arrays, axis=-1)


SAME, TRANSPOSE = _Same(), _Transpose()


@dataclasses.dataclass(frozen=True)
class Rule:
    """One line of a weight table.

    Args:
        ours: path(s) of our variable(s) below the model, with `{i}` for the block's number.
        theirs: name of their tensor, with `{i}`, and `{base}` for the prefix that a model with a head puts before its backbone.
        transform: how a tensor becomes our array(s) and back.
        legacy: other names that older files use for the tensor; read, not written.

    A rule whose variables a model does not have (biases that the config turns off) does not apply to it.
    """

    ours: tuple[str, ...]
    theirs: str
    transform: object = SAME
    legacy: tuple[str, ...] = ()

    def __post_init__(self):
        if isinstance(self.ours, str):
            object.__setattr__(self, "ours", (self.ours,))

    def expand(self, num_layers: int, base: str) -> list[Rule]:
        """One rule a block, with the names filled in."""
        numbers = range(num_layers) if "{i}" in self.theirs else [0]
        return [
            Rule(
                tuple(path.format(i=i) for path in self.ours),
                self.theirs.format(i=i, base=base),
                self.transform,
                tuple(name.format(i=i, base=base) for name in self.legacy),
            )
            for i in numbers
        ]


def dense(ours: str, theirs: str) -> list[Rule]:
    """A linear layer: kernel (transposed) and bias."""
    return [Rule(f"{ours}/kernel", f"{theirs}.weight", TRANSPOSE), Rule(f"{ours}/bias", f"{theirs}.bias")]


def norm(ours: str, theirs: str) -> list[Rule]:
    """A LayerNorm (`gamma`, `beta`) or an RMSNorm (`scale`). TensorFlow-born checkpoints call weight and bias gamma and beta."""
    return [
        Rule(f"{ours}/gamma", f"{theirs}.weight", legacy=(f"{theirs}.gamma",)),
        Rule(f"{ours}/beta", f"{theirs}.bias", legacy=(f"{theirs}.beta",)),
        Rule(f"{ours}/scale", f"{theirs}.weight"),
    ]


def embedding(ours: str, theirs: str) -> list[Rule]:
    """An embedding table, or any other tensor that is the same on both sides."""
    return [Rule(f"{ours}/embeddings", f"{theirs}.weight")]
