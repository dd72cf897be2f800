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


def additive_mask(mask, dtype="float32"):
    """`(…)` bool to a float tensor to add to attention scores: 0 where True, a large negative number where False.

    The number is finite, so that a softmax over a row that is False everywhere is uniform and not NaN.
    """
    # Half of float16's range: the sum of a score and the mask must not overflow in any of the dtypes.
    return ops.where(mask, ops.zeros((), dtype), ops.full((), -3e4 if dtype == "float16" else -1e9, dtype))
