"""The batch of a step whose loss or gradient was not finite, on disk for a look."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from tfllm.tasks.predictions_file import write_new


def save_nan_batch(
    directory: str | os.PathLike, batches, step: int, *, examples=None, facts: dict[str, Any] | None = None
) -> Path:
    """Writes what the model was given in one step.

    `batch.safetensors` has the tensors, named as in the batch dictionary, with `labels` and `weights`; `batch.json` has what a reader
    asks first: `facts`, each tensor's shape and range, and the examples with id, texts and label. An earlier one is replaced.

    Args:
        directory: where to; made if it is not there.
        batches: a `tfllm.data.Batches`, which makes the batch of any step again.
        step: number of the step in the run, from 1.
        examples: the `tfllm.data.Examples` behind `batches`; `None`, or where an example is cut into several rows, leaves texts out.
        facts: what else is known, JSON-ready.

    Returns:
        `directory`.
    """
    x, y, weights = batches.batch(step - 1)
    tensors = dict(x) | ({} if y is None else {"labels": y}) | {"weights": weights}
    tensors = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    indices = batches.example_indices(step - 1)
    known = examples is not None and len(examples) == len(batches.tokenized)
    report = {
        "step": step,
        **(facts or {}),
        "tensors": {name: _described(value) for name, value in tensors.items()},
        "examples": [
            {"row": int(row), "slot": int(slot), **_example(int(indices[row, slot]), examples if known else None)}
            for row, slot in np.argwhere(indices >= 0)
        ],
    }
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    write_new(directory / "batch.safetensors", safetensors.numpy.save(tensors), overwrite=True)
    text = json.dumps(report, indent=2, ensure_ascii=False)
    write_new(directory / "batch.json", f"{text}\n".encode("utf-8", "surrogateescape"), overwrite=True)
    return directory


def _described(value: np.ndarray) -> dict[str, Any]:
    finite = np.isfinite(value)
    described = {"shape": list(value.shape), "dtype": str(value.dtype), "not_finite": int((~finite).sum())}
    if finite.any():
        described |= {"least": value[finite].min().item(), "greatest": value[finite].max().item()}
    return described


def _example(index: int, examples) -> dict[str, Any]:
    if examples is None:
        return {"index": index}
    label = None if examples.labels is None else examples.labels[index].item()
    named = {} if label is None else {"label": label if np.isfinite(label) else str(label)}
    return {"index": index, "id": examples.ids[index], "texts": [texts[index] for texts in examples.texts], **named}
