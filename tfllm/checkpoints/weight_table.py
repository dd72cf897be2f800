"""The language of weight tables: which variable of ours is which tensor of theirs, and how one becomes the other.

A table is a list of `Rule`s. Import and export both read it, so that what one does the other undoes.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence

import numpy as np

from tfllm.config import TransformerConfig


class _Same:
    """The tensor as it is."""

    def to_ours(self, tensor: np.ndarray, config: TransformerConfig) -> list[np.ndarray]:
        return [tensor]

    def to_theirs(self, arrays: Sequence[np.ndarray], config: TransformerConfig) -> np.ndarray:
        return arrays[0]


class _Transpose:
    """A PyTorch linear layer `(out, in)` and a Keras kernel `(in, out)`."""

    def to_ours(self, tensor: np.ndarray, config: TransformerConfig) -> list[np.ndarray]:
        return [tensor.T]

    def to_theirs(self, arrays: Sequence[np.ndarray], config: TransformerConfig) -> np.ndarray:
        return arrays[0].T


class _Row:
    """A row `(1, n)` and a vector `(n,)` (BART's bias over the vocabulary)."""

    def to_ours(self, tensor: np.ndarray, config: TransformerConfig) -> list[np.ndarray]:
        return [tensor.reshape(-1)]

    def to_theirs(self, arrays: Sequence[np.ndarray], config: TransformerConfig) -> np.ndarray:
        return arrays[0][None]


@dataclasses.dataclass(frozen=True)
class SplitColumns:
    """One tensor that holds `parts` of equal width side by side along its last axis (GPT-2's fused query, key, value)."""

    parts: int

    def to_ours(self, tensor: np.ndarray, config: TransformerConfig) -> list[np.ndarray]:
        return np.split(tensor, self.parts, axis=-1)

    def to_theirs(self, arrays: Sequence[np.ndarray], config: TransformerConfig) -> np.ndarray:
        return np.concatenate(arrays, axis=-1)


@dataclasses.dataclass(frozen=True)
class SplitRows:
    """A linear layer `(out, in)`, or its bias, that holds several below one another (Phi-3's fused projections).

    Args:
        widths: a config to the parts' output widths.
    """

    widths: Callable[[TransformerConfig], Sequence[int]]

    def to_ours(self, tensor: np.ndarray, config: TransformerConfig) -> list[np.ndarray]:
        widths = self.widths(config)
        if tensor.shape[0] != sum(widths):
            raise ValueError(f"expected {sum(widths)} rows, received {tensor.shape[0]}")
        return [part.T for part in np.split(tensor, np.cumsum(widths)[:-1])]

    def to_theirs(self, arrays: Sequence[np.ndarray], config: TransformerConfig) -> np.ndarray:
        return np.concatenate([array.T for array in arrays])


@dataclasses.dataclass(frozen=True)
class SplitHeads:
    """A linear layer `(out, in)`, or its bias, whose rows are `(heads, parts, head_dim)` (GPT-NeoX's and Bloom's fused projections)."""

    parts: int

    def to_ours(self, tensor: np.ndarray, config: TransformerConfig) -> list[np.ndarray]:
        rest = tensor.shape[1:]
        heads = tensor.reshape(config.num_heads, self.parts, config.head_dim, *rest)
        return [heads[:, part].reshape(-1, *rest).T for part in range(self.parts)]

    def to_theirs(self, arrays: Sequence[np.ndarray], config: TransformerConfig) -> np.ndarray:
        rest = arrays[0].T.shape[1:]
        heads = [array.T.reshape(config.num_heads, config.head_dim, *rest) for array in arrays]
        return np.stack(heads, axis=1).reshape(-1, *rest)


def qkv_widths(config: TransformerConfig) -> tuple[int, int, int]:
    """Output widths of the query, key and value projections, for `SplitRows`."""
    keys = config.num_kv_heads * config.head_dim
    return config.num_heads * config.head_dim, keys, keys


def gate_up_widths(config: TransformerConfig) -> tuple[int, int]:
    """Output widths of the two projections of a gated feed-forward layer, for `SplitRows`."""
    return config.intermediate_size, config.intermediate_size


SAME, TRANSPOSE, ROW = _Same(), _Transpose(), _Row()


@dataclasses.dataclass(frozen=True)
class Rule:
    """One line of a weight table.

    Args:
        ours: path(s) of our variable(s) below the model, with `{i}` for the block's number.
        theirs: name of their tensor, with `{i}`, `{e}` for an expert's number, and `{base}` for the prefix that a model with a head
            puts before its backbone.
        transform: how a tensor becomes our array(s) and back.
        legacy: other names that older files use for the tensor; read, not written.
        shared: a rule of a head whose tensor serves other heads, too (BERT's pooler).
        optional: where a file lacks the tensor, the variable keeps what it starts with (fixed tables of positions).
        when: whether a config has the rule; default: every config whose model has its variables.
        index: the tensor is this row of our variable (one expert of a stack of them); filled in by `expand`.

    A rule whose variables a model does not have (biases that the config turns off) does not apply to it.
    """

    ours: tuple[str, ...]
    theirs: str
    transform: object = SAME
    legacy: tuple[str, ...] = ()
    shared: bool = False
    optional: bool = False
    when: Callable[[TransformerConfig], bool] | None = None
    index: int | None = None

    def __post_init__(self):
        if isinstance(self.ours, str):
            object.__setattr__(self, "ours", (self.ours,))

    def expand(self, config: TransformerConfig, base: str) -> list[Rule]:
        """One rule a block (and an expert), with the names filled in."""
        if self.when is not None and not self.when(config):
            return []
        in_decoder = config.is_encoder_decoder and self.ours[0].startswith("decoder/")
        blocks = config.num_decoder_layers if in_decoder else config.num_layer_groups
        return [
            dataclasses.replace(
                self,
                ours=tuple(path.format(i=i) for path in self.ours),
                theirs=self.theirs.format(i=i, e=e, base=base),
                legacy=tuple(name.format(i=i, e=e, base=base) for name in self.legacy),
                index=e,
            )
            for i in (range(blocks) if "{i}" in self.theirs else [0])
            for e in (range(config.num_experts) if "{e}" in self.theirs else [None])
        ]

    def pattern(self, base: str) -> re.Pattern:
        """What the names of the rule's tensors look like, whatever the number of blocks."""
        escaped = re.escape(self.theirs).replace(r"\{base\}", re.escape(base))
        return re.compile(escaped.replace(r"\{i\}", r"\d+").replace(r"\{e\}", r"\d+"))


def dense(ours: str, theirs: str, *, shared: bool = False, when=None) -> list[Rule]:
    """A linear layer: kernel (transposed) and bias."""
    return [
        Rule(f"{ours}/kernel", f"{theirs}.weight", TRANSPOSE, shared=shared, when=when),
        Rule(f"{ours}/bias", f"{theirs}.bias", shared=shared, when=when),
    ]


def fused(ours: Sequence[str], theirs: str, transform) -> list[Rule]:
    """One linear layer of theirs that is several of ours."""
    return [
        Rule(tuple(f"{path}/kernel" for path in ours), f"{theirs}.weight", transform),
        Rule(tuple(f"{path}/bias" for path in ours), f"{theirs}.bias", transform),
    ]


def norm(ours: str, theirs: str, *, shared: bool = False) -> list[Rule]:
    """A LayerNorm (`gamma`, `beta`) or an RMSNorm (`scale`). TensorFlow-born checkpoints call weight and bias gamma and beta."""
    return [
        Rule(f"{ours}/gamma", f"{theirs}.weight", legacy=(f"{theirs}.gamma",), shared=shared),
        Rule(f"{ours}/beta", f"{theirs}.bias", legacy=(f"{theirs}.beta",), shared=shared),
        Rule(f"{ours}/scale", f"{theirs}.weight", shared=shared),
    ]


def embedding(ours: str, theirs: str, *, optional: bool = False) -> list[Rule]:
    """An embedding table, or any other tensor that is the same on both sides."""
    return [Rule(f"{ours}/embeddings", f"{theirs}.weight", optional=optional)]
