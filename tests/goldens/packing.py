"""A batch's examples packed into one row, and the outputs taken apart again."""

from __future__ import annotations

import numpy as np

_ROOM = 2  # places that stay empty at the end of a packed row


def pack(batch: dict[str, np.ndarray], pooled: str) -> dict[str, np.ndarray]:
    """All examples of a batch in one row: `(B, T)` to `(1, N)`.

    The choices of a question, `(B, C, T)`, stay examples of its row: `(B, N)`.

    Args:
        batch: of the batch contract, one example a line.
        pooled: the token that a classifier reads, `"first"`, `"last"` or `"mean"`.
    """
    if batch["token_ids"].ndim == 3:
        rows = [
            pack({key: value[row] for key, value in batch.items()}, pooled) for row in range(len(batch["token_ids"]))
        ]
        width = max(row["token_ids"].shape[1] for row in rows)
        return {
            key: np.concatenate(
                [
                    row[key] if key == "head_positions" else np.pad(row[key], ((0, 0), (0, width - row[key].shape[1])))
                    for row in rows
                ]
            )
            for key in rows[0]
        }
    packed = {}
    for key, value in batch.items():
        prefix = "decoder_" if key.startswith("decoder_") else ""
        real = batch[f"{prefix}example_ids"] > 0
        if key.endswith("example_ids"):
            value = real * np.arange(1, len(real) + 1)[:, None]
        packed[key] = np.concatenate([*(line[keep] for line, keep in zip(value, real)), [0] * _ROOM])[None].astype(
            "int32"
        )
    ends = np.cumsum((batch["example_ids"] > 0).sum(axis=1))
    starts = np.concatenate([[0], ends[:-1]])
    packed["head_positions"] = (ends - 1 if pooled == "last" else starts)[None].astype("int32")
    return packed


def outputs_of_examples(outputs: np.ndarray, kind: str, mask: np.ndarray, *, packed: bool) -> np.ndarray:
    """One array of what a model gives for the real tokens (or the examples) of a batch, whether it was packed or not.

    Args:
        outputs: the model's, for the packed or the plain batch.
        kind: the model's class.
        mask: `(B, T)`, real tokens of the plain batch, on the side of the outputs.
        packed: which of the two.
    """
    if kind == "MultipleChoice":
        return outputs
    if kind == "SequenceClassifier":
        return outputs[0] if packed else outputs[:, 0]
    return outputs[0][: mask.sum()] if packed else outputs[mask.astype(bool)]
