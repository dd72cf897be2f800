"""Other ways to multiply by a dense layer's kernel, for what is traced inside a `with` block."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import keras
import tensorflow as tf
from keras import ops

from tfllm.layers.dense import Dense

Product = Callable[[tf.Tensor], tf.Tensor]
"""`(…, K)` to `(…, N)`, without bias."""


def dense_layers(model: keras.Model) -> list[keras.layers.Dense]:
    """The model's dense layers with kernels of floating point, each once."""
    return [
        layer
        for layer in {id(layer): layer for layer in model._flatten_layers()}.values()
        if type(layer) in (keras.layers.Dense, Dense) and layer.built and layer.quantization_mode is None
    ]


@contextlib.contextmanager
def products_of(layers: Sequence[keras.layers.Dense], products: Sequence[Product]) -> Iterator[None]:
    """Inside, each layer's `call` takes its product from the function at the same place. The layers themselves are not changed."""
    with contextlib.ExitStack() as replaced:
        for layer, product in zip(layers, products, strict=True):
            replaced.enter_context(attribute(layer, "call", _call(layer, product)))
        yield


@contextlib.contextmanager
def attribute(owner: object, name: str, value: Callable) -> Iterator[None]:
    """Inside, `owner.name` is another function."""
    owner.__dict__[name] = value  # past Keras, which would track it as part of the layer
    try:
        yield
    finally:
        del owner.__dict__[name]


def _call(layer: keras.layers.Dense, product: Product) -> Callable:
    def call(inputs, training=None):
        y = product(inputs)
        y = y if layer.bias is None else ops.add(y, layer.bias)
        y = y if layer.activation is None else layer.activation(y)
        return layer._updated(y, inputs, training) if isinstance(layer, Dense) else y  # LoRA

    return call
