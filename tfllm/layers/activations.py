"""Activation functions by the names that `TransformerConfig.activation` allows."""

from __future__ import annotations

import functools

from keras import ops

ACTIVATIONS = {
    "gelu": functools.partial(ops.gelu, approximate=False),
    "gelu_tanh": functools.partial(ops.gelu, approximate=True),
    "silu": ops.silu,
    "relu": ops.relu,
    "tanh": ops.tanh,
}
