"""Weight-only int8: kernels of 8 bits with a scale for each output, for a loop that is bound by reading weights.

A token of one row reads every weight once, so a quarter of the bytes is up to four times the speed, if nothing else is done with them:
converted kernels must not be written to memory. XLA converts in registers, inside the product of a row and a kernel, if each output's
weights lie together and the row is short; so kernels are kept as blocks `(N, K')`, and a few rows are a pass each. With more rows the
kernels are converted once a call, and products are as fast as with float32. Activations stay as they are (cf. Dettmers et al., 2022,
whose outliers are in the activations).
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator

import keras
import tensorflow as tf

from tfllm.generation.dense_products import attribute, dense_layers, products_of

_FEW_ROWS = 8  # up to so many rows, each is a pass over the kernel of its own
_LONGEST_ROW = 2**12 - 1  # floats; XLA converts in memory for a longer one


@dataclasses.dataclass(frozen=True)
class Int8Kernel:
    """A kernel `(K, N)` as `values * scale`.

    Attributes:
        values: variable `(C, N, K / C)` int8, C blocks of the kernel's rows, each transposed.
        scale: variable `(N,)` float32.
        one: variable of the value 1; see `_one_row`.
    """

    values: tf.Variable
    scale: tf.Variable
    one: tf.Variable

    @classmethod
    def of(cls, transposed: tf.Tensor) -> Int8Kernel:
        """Of a kernel's transpose `(N, K)`."""
        return cls(*(tf.Variable(part, trainable=False) for part in (*_quantized(transposed), 1.0)))

    def assign(self, transposed: tf.Tensor) -> None:
        for variable, part in zip((self.values, self.scale), _quantized(transposed)):
            variable.assign(part)

    def product(self, x: tf.Tensor, *, compiled: bool) -> tf.Tensor:
        """`(…, K)` to `(…, N)`.

        Args:
            x: floats; the result has its dtype.
            compiled: by XLA.
        """
        blocks, units, width = self.values.shape
        rows = tf.reshape(tf.cast(x, tf.float32), (-1, blocks * width))
        if rows.shape[0] is not None and rows.shape[0] <= _FEW_ROWS and compiled:
            y = tf.concat([self._one_row(row) for row in tf.split(rows, rows.shape[0])], axis=0)
        else:
            y = self._products(rows, tf.convert_to_tensor(self.values))
        return tf.cast(tf.reshape(y, (*tf.unstack(tf.shape(x))[:-1], units)), x.dtype)

    def _one_row(self, x: tf.Tensor) -> tf.Tensor:
        """`(1, K)` to `(1, N)`."""
        from tensorflow.compiler.tf2xla.python import xla

        # XLA would compute what comes before (GELU, a norm's scale) again for each of the N outputs, inside the product. A division it
        # takes for too costly to repeat, if it does not know the divisor.
        x = x / tf.convert_to_tensor(self.one)
        # Without the barrier it sees that the conversion is the same for all tokens, and takes it out of the loop: 4 bytes a weight again.
        values, x = xla.optimization_barrier(tf.convert_to_tensor(self.values), x)
        return self._products(x, values)

    def _products(self, rows: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        """`(R, K)` and `(C, N, K / C)` to `(R, N)`."""
        parts = zip(tf.split(rows, values.shape[0], axis=1), tf.unstack(values), strict=True)
        # Each is scaled before the sum: XLA fuses a product with an addition rather than with the conversion.
        return tf.add_n([tf.matmul(x, tf.cast(v, tf.float32), transpose_b=True) * self.scale for x, v in parts])


def _quantized(transposed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    kernel = tf.cast(transposed, tf.float32)
    units, width = kernel.shape
    scale = tf.reduce_max(tf.abs(kernel), axis=1) / 127
    values = tf.cast(tf.round(tf.math.divide_no_nan(kernel, scale[:, None])), tf.int8)
    blocks = next(count for count in range(-(-width // _LONGEST_ROW), width + 1) if width % count == 0)
    return tf.transpose(tf.reshape(values, (units, blocks, width // blocks)), (1, 0, 2)), scale


class Int8Weights:
    """Int8 kernels of a language model's dense layers and of its product with the vocabulary.

    The model is not changed: its own `call`s use these kernels inside `in_use`. Biases, norms, token tables, and the stacked kernels of
    experts are the model's own, in float; so are layers that Keras has quantised already.

    Args:
        model: a `CausalLM` or a `Seq2SeqLM`.
        compiled: whether XLA compiles what is traced inside `in_use`.
    """

    def __init__(self, model: keras.Model, *, compiled: bool):
        self.model, self.compiled = model, compiled
        self.layers = dense_layers(model)
        self.kernels: list[Int8Kernel] = []
        self._sums: list[tf.Tensor] = []

    def refresh(self) -> bool:
        """Quantises again if the model's weights are others than the last time: whether they were.

        They are told by sums over each row, for which all weights are read: about the time of two tokens in float.
        """
        sums = [row_sums for kernel in self._floats() for row_sums in _row_sums(kernel)]
        if self._sums and all(bool(tf.reduce_all(old == new)) for old, new in zip(self._sums, sums)):
            return False
        if not self.kernels:
            self.kernels = [Int8Kernel.of(kernel) for kernel in self._transposed()]
        else:
            for kernel, floats in zip(self.kernels, self._transposed()):
                kernel.assign(floats)
        self._sums = sums
        return True

    def _floats(self) -> Iterator[tf.Tensor]:
        for layer in self.layers:
            yield tf.convert_to_tensor(layer.kernel)
        yield tf.convert_to_tensor(self.model.vocabulary_table)

    def _transposed(self) -> Iterator[tf.Tensor]:
        """The kernels as `(N, K)`, which the vocabulary's table `(V, D)` is already."""
        for i, kernel in enumerate(self._floats()):
            yield tf.transpose(kernel) if i < len(self.layers) else kernel

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """What is traced inside takes its products from these kernels."""
        products = [functools.partial(kernel.product, compiled=self.compiled) for kernel in self.kernels]
        with products_of(self.layers, products[:-1]), attribute(self.model, "vocabulary_product", products[-1]):
            yield


def _row_sums(kernel: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Two sums over each row: of the bits, which the least change of a weight changes, and one in which places and signs count."""
    floats = tf.cast(kernel, tf.float32)
    bits = tf.reduce_sum(tf.bitcast(floats, tf.int32), axis=-1)
    return bits, tf.linalg.matvec(floats, tf.sin(tf.range(1.0, kernel.shape[-1] + 1.0)))
