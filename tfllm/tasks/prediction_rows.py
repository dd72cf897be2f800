"""Predictions for people: a table with probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax of logits `(N, C)`, float64."""
    from scipy.special import softmax

    return softmax(np.asarray(logits, np.float64), axis=-1)


def prediction_rows(
    ids: Sequence[str],
    logits: np.ndarray,
    *,
    label_names: Sequence[str] | None,
    labels: np.ndarray | None = None,
    columns: Mapping[str, Sequence] | None = None,
) -> list[dict[str, str | float]]:
    """One record an example: `id`, `label` where it is known, `prediction`, and for classes the `probability` of the
    prediction.

    Args:
        ids: N names of the examples.
        logits: `(N, C)`.
        label_names: C names; `None` for a regression.
        labels: `(N,)` true class numbers or values, or `None`.
        columns: further columns of N values each, such as the groups that the examples are scored by.
    """
    rows: list[dict[str, str | float]] = [{"id": name} for name in ids]
    for name, values in (columns or {}).items():
        for row, value in zip(rows, values):
            row[name] = value
    if label_names is None:
        for number, row in enumerate(rows):
            if labels is not None:
                row["label"] = float(labels[number])
            row["prediction"] = float(logits[number, 0])
        return rows
    chances = probabilities(logits)
    classes = chances.argmax(axis=-1)
    for number, row in enumerate(rows):
        if labels is not None:
            row["label"] = label_names[labels[number]]
        row["prediction"] = label_names[classes[number]]
        row["probability"] = float(chances[number, classes[number]])
    return rows


def to_tsv(rows: Sequence[dict[str, str | float]]) -> str:
    """Records as tab-separated text with a header; tabs and line ends inside a value become spaces."""
    if not rows:
        return ""
    lines = [rows[0].keys(), *(row.values() for row in rows)]
    return "".join("\t".join(_cell(value) for value in line) + "\n" for line in lines)


def _cell(value: str | float) -> str:
    return f"{value:.6g}" if isinstance(value, float) else " ".join(str(value).splitlines()).replace("\t", " ")
