"""Perturbations of token embeddings: their shape, their norms by example, their gradients."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfllm.errors import UserError
from tfllm.models.inputs import complete_batch
from tfllm.training.regularizers.regularizer import Pass


def example_ids(p: Pass) -> tf.Tensor:
    """`(B, T)`: which example of its row each token is of; 0 for padding.

    Raises:
        UserError: the model is none of tfllm's, or a question's choices stand in an axis of their own.
    """
    config = getattr(p.model, "config", None)
    if not isinstance(p.x, dict) or not hasattr(config, "embedding_size"):
        raise UserError(
            "FGM, FreeLB and SMART perturb token embeddings, for which a model of tfllm.load and a batch dictionary are needed. "
            f"Received: a {type(p.model).__name__}."
        )
    if len(p.x["token_ids"].shape) != 2:
        raise UserError(
            f"FGM, FreeLB and SMART need token_ids (B, T). Received: shape {p.x['token_ids'].shape}. Pack the choices in one row."
        )
    source = {key: value for key, value in p.x.items() if not key.startswith("decoder_")}
    return complete_batch(source, config)["example_ids"]


def random_normal(p: Pass, ids: tf.Tensor, salt: int) -> tf.Tensor:
    """Standard normal `(B, T, embedding_size)`, 0 at padding: a function of the step, the replica and `salt`."""
    context = tf.distribute.get_replica_context()
    replica = tf.cast(context.replica_id_in_sync_group, tf.int32)
    step = tf.cast(p.model.optimizer.iterations, tf.int32)
    values = tf.random.stateless_normal(shape(p, ids), seed=tf.stack([step, salt + 1009 * replica]))
    return tf.ensure_shape(values, (*ids.shape, p.model.config.embedding_size)) * real(ids)


def shape(p: Pass, ids: tf.Tensor) -> list:
    """That of the embeddings of these tokens."""
    return [*tf.unstack(tf.shape(ids)), p.model.config.embedding_size]


def real(ids: tf.Tensor) -> tf.Tensor:
    """`(B, T, 1)` float32: 1 for tokens, 0 for padding."""
    return tf.cast(ids > 0, tf.float32)[..., None]


def example_norms(noise: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
    """`(B, T, 1)`: the Euclidean norm of the noise of each token's whole example, however examples are packed."""
    together = tf.cast(ids[:, :, None] == ids[:, None, :], tf.float32)
    squares = tf.reduce_sum(tf.square(noise), axis=-1, keepdims=True)
    return tf.sqrt(tf.matmul(together, squares))


def unit(gradient: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
    """The gradient divided by its norm, example by example."""
    return tf.math.divide_no_nan(gradient, example_norms(gradient, ids)) * real(ids)


def gradient_at(noise: tf.Tensor, function: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """The gradient of a scalar function of the noise; nothing is learned through it."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(noise)
        value = function(noise)
    return tf.stop_gradient(tf.convert_to_tensor(tape.gradient(value, noise)))
