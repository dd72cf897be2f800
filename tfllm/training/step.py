"""The one train step: right on one device, on several replicas and on several machines, in one pass or in micro-batches."""

from __future__ import annotations

import functools
from typing import Any

import keras
import tensorflow as tf

from tfllm.errors import UserError
from tfllm.layers.replica_seed import drawing_for
from tfllm.training import finite
from tfllm.training.regularizers.regularizer import regularized
from tfllm.training.xla_step import maybe_compiled


def train_step(model: keras.Model, data) -> dict:
    """Forward, backward and update on one batch `(x, y, sample_weight)`; returns the logs: this step's loss, the epoch's metrics.

    The loss is the sum over the real items of the GLOBAL batch divided by their number. Keras' own step divides by each replica's
    count, which is another number wherever rows are packed or the last batch is not full.

    Where the optimizer says so (`micro_batches`), the rows of a replica go through the model in as many parts, one after the other,
    and their gradients are summed: the same update from a fraction of the memory.

    A step whose loss or gradient (of all replicas, all parts) is not finite changes nothing, the metrics neither, and is counted in
    the log `skipped_steps`.

    For losses whose reduction is the weighted mean (those of `compile_defaults()`).
    """
    x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync
    count = real_items(y, weight)
    total = context.all_reduce(tf.distribute.ReduceOp.SUM, count) if replicas > 1 else count
    metrics_before = [tf.identity(variable.value) for variable in model.metrics_variables]
    parts = own_optimizer(model).micro_batches
    with drawing_for(context.replica_id_in_sync_group if replicas > 1 else None):
        if parts == 1:
            gradients, step_loss = _gradients(model, x, y, weight, total)
        else:
            gradients, step_loss = _summed_gradients(model, (x, y, weight), total, parts)
    if replicas > 1:
        # Before anything looks at them: clipping, and the loss scale's search for infinities, are of the global gradient.
        gradients = [
            tf.zeros(v.shape, v.dtype) if g is None else g for g, v in zip(gradients, model.trainable_variables)
        ]
        gradients, step_loss = context.all_reduce(tf.distribute.ReduceOp.SUM, (gradients, step_loss))
    skipped, skipped_steps = _update(model, gradients, step_loss)
    finite.put_back(model.metrics_variables, metrics_before, skipped)
    # This step's own loss; at the end of an epoch Keras takes the means from the trackers.
    logs = {**model.get_metrics_result(), "loss": step_loss, "skipped_steps": skipped_steps}
    if isinstance(context.strategy, tf.distribute.MultiWorkerMirroredStrategy):
        # Keras takes the mean over the workers along the first axis, which a scalar has not.
        logs = tf.nest.map_structure(lambda value: tf.reshape(value, (1,)), logs)
    return logs


def _update(model: keras.Model, gradients: list[tf.Tensor | None], loss: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Applies the gradients if they and the loss are finite; returns whether not, and how many steps that has been.

    A skipped step leaves weights, slots and averages as they were, and the optimizer's `iterations` too: they count updates, which is
    what Adam's bias correction and the schedule go by, and what a loss scale does.

    Where there is a loss scale, infinite gradients of a finite loss are how it finds its value: it skips the step itself, and that is
    counted apart. Once the loss is not scaled up any more, they are the model's own.
    """
    optimizer, own = model.optimizer, own_optimizer(model)
    squares = finite.half_squares(gradients)
    norm = finite.norm_of(squares)
    loss_is_finite, all_finite = tf.math.is_finite(loss), tf.math.is_finite(norm)
    scale = getattr(optimizer, "dynamic_scale", None)
    scaling = tf.constant(False)
    if scale is not None:
        scaling = loss_is_finite & ~all_finite & (tf.convert_to_tensor(scale.value) > 1.0)
    skip = ~(loss_is_finite & all_finite | scaling)
    clipped = scale is None and own.loss_scale_factor is None  # else the optimizer clips other numbers than these

    def apply(gradients, norm):
        with own.reduced_gradients(), finite.knowing(norm if clipped else None):
            optimizer.apply(gradients, model.trainable_variables)

    finite.run_if(~skip, apply, gradients, norm)
    return skip, own.step_record.write(skip, scaling, squares)


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


def forward_and_backward(model: keras.Model, x, y, weight, count: tf.Tensor, total: tf.Tensor, scale: tf.Tensor):
    """`(gradients of scale * share, share, loss, prediction)`, where the share is that of these rows in the global loss.

    Args:
        x, y, weight: the rows.
        count, total: how many real items these rows have, and the global batch.
        scale: of the loss, for float16.
    """
    with tf.GradientTape() as tape:
        loss, prediction = regularized(forward_loss, model)(model, x, y, weight)
        share = tf.math.divide_no_nan(tf.cast(loss, tf.float32) * count, total)
        scaled = share * scale
    gradients = tape.gradient(scaled, [variable.value for variable in model.trainable_variables])
    # Dense, as the optimizer wants them: a token that occurs twice is one row.
    return [None if g is None else tf.convert_to_tensor(g) for g in gradients], share, loss, prediction


def _gradients(model: keras.Model, x, y, weight, total: tf.Tensor) -> tuple[list[tf.Tensor | None], tf.Tensor]:
    """Gradients of these rows' share of the global loss (scaled, where there is a loss scale), and the share."""
    count, scale = real_items(y, weight), tf.convert_to_tensor(model.optimizer.scale_loss(tf.constant(1.0)))
    both = maybe_compiled(model, functools.partial(forward_and_backward, model))
    gradients, share, loss, prediction = both(x, y, weight, count, total, scale)
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
        dense = [tf.zeros_like(s) if g is None else g for g, s in zip(gradients, sums)]
        return i + 1, [s + g for s, g in zip(sums, dense)], share + part

    zeros = [tf.zeros(variable.shape, variable.dtype) for variable in model.trainable_variables]
    state = (tf.constant(0), zeros, tf.constant(0.0))
    # One at a time: side by side they would need the memory that splitting is to save.
    _, sums, share = tf.while_loop(lambda i, *_: i < parts, one, state, parallel_iterations=1, maximum_iterations=parts)
    return sums, share
