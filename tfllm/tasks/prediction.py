"""Runs a model over batches and puts its logits in the order of the examples."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfllm.errors import UserError

# One compiled call a model, for as long as the model lives: evaluating after every epoch must not trace it again.
_FUNCTIONS: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


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
        output = call({key: tf.convert_to_tensor(value) for key, value in x.items()})
        if output.shape.rank != 3 or output.shape[-1] != num_outputs:
            raise UserError(
                f"{name} needs a model whose outputs have the shape (B, K, {num_outputs}). "
                f"Received: {type(model).__name__} with output of shape {tuple(output.shape)}. "
                f"Load it with head='classifier', num_labels={num_outputs}."
            )
        indices = batches.example_indices(step)  # (B, K), -1 in empty slots
        real = indices >= 0
        logits[indices[real]] = output.numpy()[real]
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
        output = call({key: tf.convert_to_tensor(value) for key, value in x.items()}).numpy()
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


def compiled_call(model) -> tf.types.experimental.PolymorphicFunction:
    """`model(x, training=False)` as float32, traced once for as long as the model lives."""
    # The variables tell whether layers were added or replaced (LoRA, quantization) since the call was traced.
    variables = tuple(id(variable) for variable in model.variables)
    known = _FUNCTIONS.get(model)
    if known is None or known[0] != variables:
        # Through a weak reference: a function that held the model would keep its own key alive.
        reference = weakref.ref(model)
        function = tf.function(lambda x: tf.cast(reference()(x, training=False), tf.float32))
        _FUNCTIONS[model] = known = (variables, function)
    return known[1]
