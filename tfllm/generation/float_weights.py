"""The model's own weights in a loop that is bound by reading them: a row's product as a few smaller ones, side by side.

XLA computes the product of one row and a kernel in one thread, which cannot read as fast as the memory can be read. A batch of
products it divides among the threads; so the kernel's rows are taken as a batch of blocks, which copies nothing, and their results are summed.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import keras
import tensorflow as tf

from tfllm.generation.dense_products import dense_layers, products_of

_BLOCKS = 8  # of a kernel's rows; on two threads faster than 2 or 4
_FEW_ROWS = 2  # more rows are faster in one product, which has threads of its own
_LEAST_WEIGHTS = 2**17  # a smaller kernel is not worth the extra sum


class FloatWeights:
    """Products with the model's own kernels, the large ones in blocks.

    Args:
        model: a `CausalLM` or a `Seq2SeqLM`.
        compiled: whether XLA compiles what is traced inside `in_use`; otherwise there is nothing to gain.
    """

    def __init__(self, model: keras.Model, *, compiled: bool):
        self.layers = [layer for layer in dense_layers(model) if compiled and _blocks_of(layer) > 1]

    def refresh(self) -> bool:
        """Nothing to do: the loops read the model's weights at every call."""
        return False

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """What is traced inside multiplies so."""
        with products_of(self.layers, [functools.partial(_product, layer) for layer in self.layers]):
            yield


def _blocks_of(layer: keras.layers.Dense) -> int:
    width, units = layer.kernel.shape
    return _BLOCKS if width % _BLOCKS == 0 and width * units >= _LEAST_WEIGHTS else 1


def _product(layer: keras.layers.Dense, x: tf.Tensor) -> tf.Tensor:
    kernel = tf.convert_to_tensor(layer.kernel)  # in the compute dtype
    width, units = kernel.shape
    *shape, _ = x.shape
    rows = tf.reshape(x, (-1, width))
    if rows.shape[0] is None or rows.shape[0] > _FEW_ROWS:
        return tf.reshape(tf.matmul(rows, kernel), (*tf.unstack(tf.shape(x))[:-1], units))
    blocks = tf.reshape(kernel, (_BLOCKS, width // _BLOCKS, units))
    products = [tf.matmul(tf.reshape(row, (_BLOCKS, 1, -1)), blocks) for row in tf.unstack(rows)]
    return tf.reshape(tf.concat([tf.reduce_sum(product, axis=0) for product in products], axis=0), (*shape, units))
