"""Runs a model over batches and puts its logits in the order of the examples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from keras import ops

from tfllm.errors import UserError
from tfllm.tasks.compiled import compiled


def predict_logits(
    model, batches, size: int, num_outputs: int, name: str, progress: Callable[[int, int], None] | None = None
) -> np.ndarray:
    """Logits `(size, num_outputs)` float32 of a model whose call gives `(B, K, C)`.

    Args:
        model: called as `model(x, training=False)`.
        batches: an unshuffled `tfllm.data.Batches`: one epoch of it is run.
        size: number of examples.
        num_outputs: C that is expected.
        name: of the task, for messages.
        progress: called with (steps done, steps in all).

    Raises:
        UserError: the model gives another number of outputs.
    """
    call = compiled_call(model)
    logits = np.zeros((size, num_outputs), np.float32)
    seen = np.zeros(size, np.int64)
    steps = batches.steps_per_epoch
    for step in range(steps):
        x, _, _ = batches.batch(step)
        output = ops.convert_to_numpy(call(x))
        if output.ndim != 3 or output.shape[-1] != num_outputs:
            raise UserError(
                f"{name} needs a model whose outputs have the shape (B, K, {num_outputs}). "
                f"Received: {type(model).__name__} with output of shape {output.shape}. "
                f"Load it with head='classifier', num_labels={num_outputs}."
            )
        indices = batches.example_indices(step)  # (B, K), -1 in empty slots
        real = indices >= 0
        logits[indices[real]] = output[real]
        seen += np.bincount(indices[real], minlength=size)
        if progress is not None:
            progress(step + 1, steps)
    if not (seen == 1).all():
        raise RuntimeError(
            f"{name}: {int((seen != 1).sum())} of {size} examples were not predicted exactly once. This is a bug."
        )
    return logits


def predict_token_logits(model, batches, name: str, progress: Callable[[int, int], None] | None = None) -> np.ndarray:
    """Logits `(tokens, C)` float32 of a model whose call gives `(B, T, C)`, in the order of the batches' `token_ids`.

    Args:
        model, batches, name, progress: as in `predict_logits`.

    Raises:
        UserError: the model's outputs have another shape.
    """
    call, offsets, logits = compiled_call(model), batches.tokenized.offsets, None
    for step in range(batches.steps_per_epoch):
        x, _, _ = batches.batch(step)
        output = ops.convert_to_numpy(call(x))
        if output.ndim != 3 or output.shape[:2] != x["token_ids"].shape:
            raise UserError(
                f"{name} needs a model whose outputs have the shape (B, T, C). "
                f"Received: {type(model).__name__} with output of shape {output.shape}. Load it with another head."
            )
        if logits is None:
            logits = np.zeros((offsets[-1], output.shape[-1]), np.float32)
        rows, places = np.nonzero(x["example_ids"])
        examples = batches.example_indices(step)[rows, x["example_ids"][rows, places] - 1]
        logits[offsets[examples] + x["position_ids"][rows, places]] = output[rows, places]
        if progress is not None:
            progress(step + 1, batches.steps_per_epoch)
    return logits


def compiled_call(model) -> Callable:
    """`model(x, training=False)` as float32, traced once for as long as the model lives: see `compiled`."""
    return compiled(_call, model)


def _call(model, x):
    return ops.cast(model(x, training=False), "float32")
