"""The train step on JAX: one program over all devices, on the whole batch at once."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops, tree

from tfllm.errors import UserError


def train_step(model: keras.Model, state: tuple, data: Any) -> tuple[dict, tuple]:
    """`JAXTrainer.train_step` with the loss and the logs of TensorFlow's (`tfllm.training.step`).

    A step sees the global batch, so the mean over its real items is that of the loss itself, and the norm that gradients are clipped by
    is the global one. A step whose loss or gradient is not finite changes nothing, and is counted. With `micro_batches`, the rows of each copy of the model go through it in as many parts, one after the other.

    Args:
        model: compiled with an optimizer of `tfllm.training.model_parallel.optimizers`.
        state: trainable, other, optimizer's and metrics' variables, each a list of arrays.
        data: `(x, y, sample_weight)`.

    Returns:
        The logs: this step's loss, the epoch's metrics; and the new state.
    """
    import jax

    trainable, others, slots, metrics = state
    x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
    total = _real_items(y, weight)
    parts, before = model.optimizer.micro_batches, metrics

    def share_of_loss(trainable, others, metrics, x, y, weight):
        _, (loss, prediction, others, metrics) = model.compute_loss_and_updates(
            trainable, others, metrics, x, y, weight, training=True, optimizer_variables=slots
        )
        count = _real_items(y, weight)
        part = ops.where(total > 0, count / ops.maximum(total, 1e-30), 0.0)
        return ops.cast(loss, "float32") * part, (loss, count, prediction, others, metrics)

    def one_part(others, metrics, x, y, weight):
        (share, (loss, count, prediction, others, metrics)), gradients = jax.value_and_grad(
            share_of_loss, has_aux=True
        )(trainable, others, metrics, x, y, weight)
        metrics = _updated_metrics(model, metrics, loss, count, x, y, prediction, weight)
        return gradients, share, others, metrics

    if parts == 1:
        gradients, loss, others, metrics = one_part(others, metrics, x, y, weight)
    else:

        def add_part(carry, batch):
            sums, loss, others, metrics = carry
            gradients, share, others, metrics = one_part(others, metrics, *batch)
            return (tree.map_structure(ops.add, sums, gradients), loss + share, others, metrics), None

        zeros = [jax.numpy.zeros_like(value) for value in trainable]
        batches = jax.tree.map(lambda array: _in_parts(array, parts), (x, y, weight))
        carry = (zeros, jax.numpy.zeros((), "float32"), others, metrics)
        (gradients, loss, others, metrics), _ = jax.lax.scan(add_part, carry, batches)
    squares = ops.stack([ops.sum(ops.square(ops.cast(gradient, "float32"))) for gradient in gradients])
    good = ops.logical_and(ops.isfinite(loss), ops.isfinite(ops.sum(squares)))
    updated = model.optimizer.stateless_apply(slots, gradients, trainable)
    trainable, slots, metrics = tree.map_structure(
        lambda new, old: ops.where(good, new, old), (*updated, metrics), (trainable, slots, before)
    )
    slots, skipped = model.optimizer.step_record.written(slots, ops.logical_not(good), squares)
    with keras.StatelessScope(state_mapping=list(zip(model.metrics_variables, metrics, strict=True))):
        logs = {**model.get_metrics_result(), "loss": loss, "skipped_steps": skipped}
    return logs, (trainable, others, slots, metrics)


def _real_items(y, weight):
    """How many items of a batch count: the sum of the weights, which are 0 for empty places."""
    if weight is not None:
        return ops.sum(ops.cast(weight, "float32"))
    return ops.cast(np.prod(y.shape), "float32")


def _updated_metrics(model: keras.Model, values: list, loss, count, x, y, prediction, weight) -> list:
    variables = model.metrics_variables
    with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))) as scope:
        model._loss_tracker.update_state(loss, sample_weight=count)
        model.compute_metrics(x, y, prediction, sample_weight=weight)
    return [
        old if (new := scope.get_current_value(variable)) is None else new for variable, old in zip(variables, values)
    ]


def _in_parts(array, parts: int):
    """`(B, ...)` to `(parts, B / parts, ...)`: each copy of the model keeps its rows."""
    distribution = keras.distribution.distribution()
    copies = 1 if distribution is None else distribution.num_model_replicas
    rows, rest = array.shape[0], array.shape[1:]
    if rows % (copies * parts):
        raise UserError(
            f"The rows of a batch must divide into micro-batches. Received: {rows} rows, {copies} copies of the model, "
            f"micro_batches={parts}. Give replicas={copies * parts} to task.batches(...)."
        )
    array = ops.reshape(array, (copies, parts, rows // (copies * parts), *rest))
    array = ops.reshape(ops.swapaxes(array, 0, 1), (parts, rows // parts, *rest))
    if distribution is None:
        return array
    layout = keras.distribution.TensorLayout(
        (None, distribution.batch_dim_name, *[None] * len(rest)), distribution.device_mesh
    )
    return keras.distribution.distribute_tensor(array, layout)
