"""`Examples`: texts and labels as they were read, before any tokenizer has seen them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from tfllm.errors import UserError


@dataclass(frozen=True)
class ReadReport:
    """What a source read and what it left out.

    Attributes:
        rows_read: data rows seen (a header and blank lines are not rows), the skipped ones included.
        skipped_lines: 1-based line numbers of the rows that were left out.
        notes: sentences for the user: why rows were left out, how many texts are empty, an unofficial size.
    """

    rows_read: int = 0
    skipped_lines: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def skipped(self) -> int:
        """Number of rows that were left out."""
        return len(self.skipped_lines)


@dataclass(frozen=True, eq=False)
class Examples:
    """Labelled or unlabelled texts, one or two columns of them.

    Args:
        texts: one or two lists of N strings. Empty strings are allowed (and counted in the report).
        labels: `(N,)` class numbers (kept as int32) or real numbers (kept as float32); `None` where there are no
            labels.
        ids: N strings that name the examples in a prediction file; default: "0" to "N-1".
        source: where they come from, for people.
        report: what was read and what was left out.
        label_names: the values in the file that class numbers 0, 1, ... stand for; `None` for real numbers or when not
            known.
        columns: further columns, N values each, that scorers and submissions read: which question an answer belongs to,
            what annotators answered.

    Raises:
        UserError: columns of different lengths, something that is not a string, labels of a wrong shape or not finite.

    Example:
        >>> examples = Examples((["good", "bad"],), np.array([1, 0]))
        >>> len(examples), examples.labels.dtype, examples.ids
        (2, dtype('int32'), ['0', '1'])
    """

    texts: tuple[list[str], ...]
    labels: np.ndarray | None = None
    ids: list[str] | None = None
    source: str = "memory"
    report: ReadReport = field(default_factory=ReadReport)
    label_names: tuple[str, ...] | None = None
    columns: Mapping[str, Sequence] = field(default_factory=dict)

    def __post_init__(self):
        if not 1 <= len(self.texts) <= 2:
            raise UserError(f"Examples have one or two text columns. Received: {len(self.texts)}.")
        size = len(self.texts[0])
        for column in self.texts:
            if len(column) != size:
                raise UserError(f"Text columns must have the same length. Received: {[len(c) for c in self.texts]}.")
            for row, text in enumerate(column):
                if not isinstance(text, str):
                    raise UserError(
                        f"A text must be a string. Received: {text!r} ({type(text).__name__}) at row {row}."
                    )
        if self.labels is not None:
            object.__setattr__(self, "labels", _label_array(self.labels, size))
        ids = [str(i) for i in range(size)] if self.ids is None else [str(i) for i in self.ids]
        if len(ids) != size:
            raise UserError(f"There must be an id for each of the {size} examples. Received: {len(ids)} ids.")
        object.__setattr__(self, "ids", ids)
        for name, values in self.columns.items():
            if len(values) != size:
                raise UserError(f"Column {name!r} must have {size} values, as the texts. Received: {len(values)}.")

    def __len__(self) -> int:
        return len(self.texts[0])

    @cached_property
    def fingerprint(self) -> str:
        """sha256, in hex, of the texts, the labels and the ids: equal for equal contents from any source."""
        digest = hashlib.sha256(f"examples 1 {len(self.texts)} {len(self)}".encode())
        for column in (*self.texts, self.ids):
            digest.update(np.array([len(text) for text in column], "<i8").tobytes())
            # A lone surrogate, which only an in-memory text can hold, must not stop us here.
            digest.update("".join(column).encode("utf-8", "surrogatepass"))
        if self.labels is not None:
            digest.update(self.labels.dtype.str.encode() + self.labels.tobytes())
        if self.columns:
            digest.update(repr(sorted((name, list(values)) for name, values in self.columns.items())).encode())
        return digest.hexdigest()


def _label_array(labels, size: int) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.shape != (size,):
        raise UserError(
            f"There must be a label for each of the {size} examples. Received: labels of shape {labels.shape}."
        )
    if labels.dtype.kind in "iub":
        return labels.astype(np.int32)
    if labels.dtype.kind != "f":
        raise UserError(
            f"Labels must be class numbers or real numbers. Received: {labels.dtype} ({labels[:3].tolist()} ...)."
        )
    if not np.isfinite(labels).all():
        row = int(np.argmin(np.isfinite(labels)))
        raise UserError(f"Labels must be finite. Received: {labels[row]} at row {row}.")
    return labels.astype(np.float32)
