"""Which token may attend to which."""

from __future__ import annotations

from keras import ops


def example_mask(query_examples, key_examples, *, query_positions=None, key_positions=None):
    """Tokens attend within their own example; with positions given, not to later ones.

    Padding (example 0) attends to padding, so that no row of the softmax is empty; nothing reads those rows.

    Args:
        query_examples: `(B, Tq)` int, example that each query token belongs to, 0 for padding.
        key_examples: `(B, Tk)` int.
        query_positions: `(B, Tq)` or `(1, Tq)` int, place in the row; give both for causal attention.
        key_positions: `(B, Tk)` or `(1, Tk)` int.

    Returns:
        `(B, 1, Tq, Tk)` bool, True where attention is allowed.
    """
    mask = ops.equal(ops.expand_dims(query_examples, -1), ops.expand_dims(key_examples, -2))
    if query_positions is not None:
        causal = ops.greater_equal(ops.expand_dims(query_positions, -1), ops.expand_dims(key_positions, -2))
        mask = ops.logical_and(mask, causal)
    return ops.expand_dims(mask, 1)


def window_mask(distance, window: int):
    """Distances `(B, Tq, Tk)` int to `(B, 1, Tq, Tk)` bool, True where a key is less than `window` positions away."""
    return ops.expand_dims(ops.less(ops.abs(distance), window), 1)


def additive_mask(mask):
    """`(…)` bool to a float32 tensor to add to attention scores: 0 where True, a large negative number where False.

    The number is finite, so that a softmax over a row that is False everywhere is uniform and not NaN; and within float16's range,
    since Keras casts a layer's floating inputs to its compute dtype. Its exponential is 0 in every dtype.
    """
    return ops.where(mask, ops.zeros((), "float32"), ops.full((), -3e4, "float32"))
