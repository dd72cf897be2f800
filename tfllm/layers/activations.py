"""Activation functions by the names that `TransformerConfig.activation` allows."""

from __future__ import annotations

import functools
import math

from keras import ops


@ops.custom_gradient
def gelu(x):
    """The exact GELU (Hendrycks and Gimpel, 2016), `x * Phi(x)`, with a gradient that uses `Phi(x)` again."""
    below = 0.5 + 0.5 * ops.erf(x * 0.5**0.5)

    def gradient(upstream):
        density = ops.exp(-0.5 * ops.square(x)) * (2 * math.pi) ** -0.5
        return upstream * (below + x * density)

    return x * below, gradient


ACTIVATIONS = {
    "gelu": gelu,
    "gelu_tanh": functools.partial(ops.gelu, approximate=True),
    "silu": ops.silu,
    "relu": ops.relu,
    "tanh": ops.tanh,
}
