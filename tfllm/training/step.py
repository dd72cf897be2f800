"""The one train step: right on one device and on several replicas."""

from __future__ import annotations

import keras
import tensorflow as tf


def train_step(model: keras.Model, data) -> dict:
    """Forward, backward and update on one batch `(x, y, sample_weight)`; returns the logs: this step's loss, the epoch's metrics.

    The loss is the sum over the real items of the GLOBAL batch divided by their number. Keras' own step divides by each replica's
    count, which is another number wherever rows are packed or the last batch is not full.

    For losses whose reduction is the weighted mean (those of `compile_defaults()`).
    """
    x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync
    with tf.GradientTape() as tape:
        prediction = model(x, training=True)
        # Under tf.distribute Keras has divided this by the number of replicas: the gradients are summed over them.
        loss = model.compute_loss(x=x, y=y, y_pred=prediction, sample_weight=weight, training=True)
        count = tf.reduce_sum(tf.cast(weight, loss.dtype)) if weight is not None else tf.cast(tf.size(y), loss.dtype)
        model._loss_tracker.update_state(loss * replicas, sample_weight=count)
        if replicas > 1:
            total = context.all_reduce(tf.distribute.ReduceOp.SUM, count)
            loss = tf.math.divide_no_nan(loss * replicas * count, total)
        step_loss = context.all_reduce(tf.distribute.ReduceOp.SUM, loss) if replicas > 1 else loss
        loss = model.optimizer.scale_loss(loss)
    variables = model.trainable_variables
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    model.optimizer.apply(gradients, variables)
    # This step's own loss; at the end of an epoch Keras takes the means from the trackers.
    return {**model.compute_metrics(x, y, prediction, sample_weight=weight), "loss": step_loss}
