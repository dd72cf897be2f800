"""How kernels and tables start."""

from __future__ import annotations

import contextlib
import contextvars

import keras
from keras import ops

_zeros = contextvars.ContextVar("tfllm_zeros", default=False)


@keras.saving.register_keras_serializable("tfllm")
class WeightInitializer(keras.initializers.TruncatedNormal):
    """A truncated normal distribution (BERT's), or zeros inside `zero_weights()`."""

    def __call__(self, shape, dtype=None):
        return ops.zeros(shape, dtype) if _zeros.get() else super().__call__(shape, dtype)


@contextlib.contextmanager
def zero_weights():
    """Weights made inside start as zeros: for a model whose weights are about to be read, random ones would cost time and memory."""
    token = _zeros.set(True)
    try:
        yield
    finally:
        _zeros.reset(token)
