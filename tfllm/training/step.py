"""The one train step: right on one device, on several replicas and on several machines, in one pass or in micro-batches."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfllm.errors import UserError
from tfllm.training.regularizers.regularizer import regularized


def train_step(model: keras.Model, data) -> dict:
    """Forward, backward and update on one batch `(x, y, sample_weight)`; returns the logs: this step's loss, the epoch's metrics.

    The loss is the sum over the real items of the GLOBAL batch divided by their number. Keras' own step divides by each replica's
    count, which is another number wherever rows are packed or the last batch is not full.

    Where the optimizer says so (`micro_batches`), the rows of a replica go through the model in as many parts, one after the other,
    and their gradients are summed: the same update from a fraction of the memory.

    For losses whose reduction is the weighted mean (those of `compile_defaults()`).
    """
    x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync
    count = real_items(y, weight)
    total = context.all_reduce(tf.distribute.ReduceOp.SUM, count) if replicas > 1 else count
    parts = own_optimizer(model).micro_batches
    if parts == 1:
        gradients, share = _gradients(model, x, y, weight, total)
    else:
        gradients, share = _summed_gradients(model, (x, y, weight), total, parts)
    step_loss = share
    if replicas > 1:
        # Before anything looks at them: clipping, and the loss scale's search for infinities, are of the global gradient.
        gradients = [
            tf.zeros(v.shape, v.dtype) if g is None else tf.convert_to_tensor(g)
            for g, v in zip(gradients, model.trainable_variables)
        ]
        gradients, step_loss = context.all_reduce(tf.distribute.ReduceOp.SUM, (gradients, share))
    with own_optimizer(model).reduced_gradients():
        model.optimizer.apply(gradients, model.trainable_variables)
    # This step's own loss; at the end of an epoch Keras takes the means from the trackers.
    logs = {**model.get_metrics_result(), "loss": step_loss}
    if isinstance(context.strategy, tf.distribute.MultiWorkerMirroredStrategy):
        # Keras takes the mean over the workers along the first axis, which a scalar has not.
        logs = tf.nest.map_structure(lambda value: tf.reshape(value, (1,)), logs)
    return logs


def forward_loss(model: keras.Model, x, y, weight) -> tuple[tf.Tensor, tf.Tensor]:
    """`(loss, prediction)`: the mean over the real items of these rows. Wrappers of the step wrap this."""
    prediction = model(x, training=True)
    loss = model.compute_loss(x=x, y=y, y_pred=prediction, sample_weight=weight, training=True)
    # Under tf.distribute Keras has divided it by the number of replicas.
    return loss * tf.distribute.get_replica_context().num_replicas_in_sync, prediction


def real_items(y, weight) -> tf.Tensor:
    """How many items of a batch count, as a float32 scalar: the sum of the weights, which are 0 for empty places."""
    if weight is not None:
        return tf.reduce_sum(tf.cast(weight, tf.float32))
    return tf.cast(tf.size(y), tf.float32)


def own_optimizer(model: keras.Model) -> keras.optimizers.Optimizer:
    """The optimizer that brought this step, without the loss scale that Keras may have put around it."""
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)


def _gradients(model: keras.Model, x, y, weight, total: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
    """Gradients of these rows' share of the global loss (scaled, where there is a loss scale), and the share."""
    count = real_items(y, weight)
    with tf.GradientTape() as tape:
        loss, prediction = regularized(forward_loss, model)(model, x, y, weight)
        share = tf.math.divide_no_nan(tf.cast(loss, tf.float32) * count, total)
        scaled = model.optimizer.scale_loss(share)
    gradients = tape.gradient(scaled, [variable.value for variable in model.trainable_variables])
    model._loss_tracker.update_state(loss, sample_weight=count)
    model.compute_metrics(x, y, prediction, sample_weight=weight)
    return gradients, share


def _summed_gradients(model: keras.Model, data: Any, total: tf.Tensor, parts: int) -> tuple[list[tf.Tensor], tf.Tensor]:
    """`_gradients` of `parts` equal blocks of rows, one after the other."""

    def block(tensor, i):
        rows = tensor.shape[0]
        if rows is None:  # several workers: the number is the same at every step, but nothing says so
            rows = tf.shape(tensor)[0]
            tf.debugging.assert_equal(rows % parts, 0, f"The rows of a replica must divide into {parts} micro-batches.")
        elif rows % parts:
            raise UserError(
                f"The rows of a replica must divide into micro-batches. Received: {rows} rows, micro_batches={parts}. "
                f"Give replicas=<replicas> * {parts} to task.batches(...)."
            )
        return tf.slice(
            tensor,
            (i * (rows // parts), *[0] * (tensor.shape.rank - 1)),
            (rows // parts, *tf.unstack(tf.shape(tensor))[1:]),
        )

    def one(i, sums, share):
        x, y, weight = tf.nest.map_structure(lambda tensor: None if tensor is None else block(tensor, i), data)
        gradients, part = _gradients(model, x, y, weight, total)
        # A variable that the loss does not depend on has no gradient at all.
        dense = [tf.zeros_like(s) if g is None else tf.convert_to_tensor(g) for g, s in zip(gradients, sums)]
        return i + 1, [s + g for s, g in zip(sums, dense)], share + part

    zeros = [tf.zeros(variable.shape, variable.dtype) for variable in model.trainable_variables]
    state = (tf.constant(0), zeros, tf.constant(0.0))
    # One at a time: side by side they would need the memory that splitting is to save.
    _, sums, share = tf.while_loop(lambda i, *_: i < parts, one, state, parallel_iterations=1, maximum_iterations=parts)
    return sums, share
