"""Sinusoidal and rotary positions. (Learned positions are a table in `TokenEmbedding`.)"""

from __future__ import annotations

import numpy as np
from keras import ops


def sinusoidal_table(num_positions: int, width: int) -> np.ndarray:
    """The fixed table of the Transformer paper (Vaswani et al., 2017), as DistilBERT lays it out: even columns sine, odd columns cosine.

    Returns:
        `(num_positions, width)` float32.
    """
    position = np.arange(num_positions)[:, None]
    column = np.arange(width)[None, :]
    angle = position / np.power(10000.0, 2 * (column // 2) / width)
    return np.where(column % 2 == 0, np.sin(angle), np.cos(angle)).astype("float32")


def rotary_table(positions, head_dim: int, theta: float = 10000.0):
    """Cosines and sines for rotary positions (Su et al., 2021).

    Args:
        positions: `(B, T)` int.
        head_dim: width of a head, even.
        theta: base of the frequencies.

    Returns:
        `(cos, sin)`, each `(B, T, head_dim)` float32; the halves repeat, as in Llama's layout in Hugging Face files.
    """
    # Frequencies in float32, like the reference: their rounding shows in the logits at large positions.
    inverse = 1.0 / (np.float32(theta) ** (np.arange(0, head_dim, 2, dtype="float32") / np.float32(head_dim)))
    angle = ops.expand_dims(ops.cast(positions, "float32"), -1) * ops.convert_to_tensor(inverse.astype("float32"))
    angle = ops.concatenate([angle, angle], axis=-1)
    return ops.cos(angle), ops.sin(angle)


def apply_rotary(x, cos, sin):
    """Rotates each head of `x` by its position.

    Args:
        x: `(B, T, H, head_dim)`.
        cos, sin: `(B, T, head_dim)` from `rotary_table`.
    """
    cos = ops.cast(ops.expand_dims(cos, 2), x.dtype)
    sin = ops.cast(ops.expand_dims(sin, 2), x.dtype)
    first, second = ops.split(x, 2, axis=-1)
    return x * cos + ops.concatenate([-second, first], axis=-1) * sin
