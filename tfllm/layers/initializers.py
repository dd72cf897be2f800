"""How kernels and tables start."""

from __future__ import annotations

import contextlib
import contextvars

import keras
from keras import ops

_zeros = contextvars.ContextVar("tfllm_zeros", default=None)


@keras.saving.register_keras_serializable("tfllm")
class WeightInitializer(keras.initializers.TruncatedNormal):
    """A truncated normal distribution (BERT's), or zeros inside `zero_weights()`."""

    def __call__(self, shape, dtype=None):
        zeros = _zeros.get()
        return super().__call__(shape, dtype) if zeros is None else zeros(shape, dtype)


@contextlib.contextmanager
def zero_weights(zeros=ops.zeros):
    """Weights made inside start as zeros: for a model whose weights are about to be read, random ones would cost time and memory.

    Args:
        zeros: makes them, `zeros(shape, dtype)`.
    """
    token = _zeros.set(zeros)
    try:
        yield
    finally:
        _zeros.reset(token)
