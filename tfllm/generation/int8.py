"""Weight-only int8: kernels of 8 bits with a scale for each output, for a loop that is bound by reading weights.

A token of one row reads every weight once, so a quarter of the bytes is up to four times the speed, if nothing else is done with them:
converted kernels must not be written to memory. XLA compiles a sum of scaled rows of the kernel to one pass that converts in registers
(a dot product with a converted kernel would be two). With more rows the kernels are converted once a call, and products are as fast as
with float32. Activations stay as they are (cf. Dettmers et al., 2022, whose outliers are in the activations).
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf
from keras import ops

from tfllm.layers.dense import Dense

# Rows of a kernel that are summed in one pass: fewer write more partial sums, more take longer to compile.
_TERMS = 32
# Weights of a dense kernel from which it is made int8. Smaller ones were slower than float32 when measured (GPT-2 small's blocks, whose
# kernels have at most 2.4 million); the vocabulary's 39 million were not.
LEAST_WEIGHTS = 2**23
_FEW_ROWS = 2  # up to so many rows, each is a pass over the kernel of its own


@dataclasses.dataclass(frozen=True)
class Int8Kernel:
    """A kernel `(K, N)` as `values * scale`.

    Attributes:
        values: variable `(_TERMS, G, N)` int8, the K rows and zeros up to `_TERMS * G`.
        scale: variable `(N,)` float32.
    """

    values: tf.Variable
    scale: tf.Variable

    @classmethod
    def of(cls, kernel: tf.Tensor) -> Int8Kernel:
        parts = _quantized(kernel)
        return cls(*(tf.Variable(part, trainable=False) for part in parts))

    def assign(self, kernel: tf.Tensor) -> None:
        for variable, part in zip((self.values, self.scale), _quantized(kernel)):
            variable.assign(part)

    def product(self, x: tf.Tensor, *, compiled: bool) -> tf.Tensor:
        """`(…, K)` to `(…, N)`.

        Args:
            x: floats; the result has its dtype.
            compiled: by XLA.
        """
        terms, groups, units = self.values.shape
        *shape, width = x.shape
        rows = tf.pad(tf.reshape(tf.cast(x, tf.float32), (-1, width)), ((0, 0), (0, terms * groups - width)))
        values = tf.convert_to_tensor(self.values)
        if rows.shape[0] is not None and rows.shape[0] <= _FEW_ROWS and compiled:
            y = tf.stack([_one_row(row, values) for row in tf.unstack(rows)])
        else:
            y = tf.matmul(rows, tf.cast(tf.reshape(values, (terms * groups, units)), tf.float32))
        return tf.cast(tf.reshape(y * self.scale, (*shape, units)), x.dtype)


def _one_row(x: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """`(K,)` and `(terms, G, N)` int8 to `(N,)`."""
    from tensorflow.compiler.tf2xla.python import xla

    terms, groups, _ = values.shape
    # Without the barrier XLA sees that the conversion is the same for all tokens, and takes it out of the loop: 4 bytes a weight again.
    values, x = xla.optimization_barrier(values, x)
    x = tf.unstack(tf.reshape(x, (terms, groups, 1)))
    total = None
    for scale, part in zip(x, tf.unstack(values)):
        term = tf.cast(part, tf.float32) * scale
        total = term if total is None else total + term
    return tf.reduce_sum(total, axis=0)


def _quantized(kernel: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    kernel = tf.cast(kernel, tf.float32)
    width, units = kernel.shape
    scale = tf.reduce_max(tf.abs(kernel), axis=0) / 127
    values = tf.cast(tf.round(tf.math.divide_no_nan(kernel, scale)), tf.int8)
    groups = -(-width // _TERMS)
    values = tf.pad(values, ((0, _TERMS * groups - width), (0, 0)))
    return tf.reshape(values, (_TERMS, groups, units)), scale


class Int8Weights:
    """Int8 kernels of a language model's large dense layers (see `LEAST_WEIGHTS`) and of its product with the vocabulary.

    The model is not changed: its own `call`s use these kernels inside `in_use`. Biases, norms, token tables, and the stacked kernels of
    experts are the model's own, in float; so are layers that Keras has quantised already.

    Args:
        model: a `CausalLM` or a `Seq2SeqLM`.
        compiled: whether XLA compiles what is traced inside `in_use`.
    """

    def __init__(self, model: keras.Model, *, compiled: bool):
        self.model, self.compiled = model, compiled
        self.layers = [
            layer
            for layer in {id(layer): layer for layer in model._flatten_layers()}.values()
            if type(layer) in (keras.layers.Dense, Dense)
            and layer.built
            and layer.quantization_mode is None
            and layer.kernel.shape[0] * layer.kernel.shape[1] >= LEAST_WEIGHTS
        ]
        self.kernels: list[Int8Kernel] = []
        self._sums: list[tf.Tensor] = []

    def refresh(self) -> bool:
        """Quantises again if the model's weights are others than the last time: whether they were.

        They are told by the sums of each row's bits, for which all weights are read once: about the time of one token.
        """
        sums = [_row_sums(kernel) for kernel in self._floats()]
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
        """The kernels `(K, N)`; the vocabulary's table is `(V, D)`."""
        for i, kernel in enumerate(self._floats()):
            yield tf.transpose(kernel) if i == len(self.layers) else kernel

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """What is traced inside takes its products from these kernels."""
        places = [(layer, "call", _dense_call(layer, self._product(i))) for i, layer in enumerate(self.layers)]
        places.append((self.model, "vocabulary_product", self._product(len(self.layers))))
        try:
            for layer, name, function in places:
                layer.__dict__[name] = function  # past Keras, which would track it as part of the layer
            yield
        finally:
            for layer, name, _ in places:
                layer.__dict__.pop(name, None)

    def _product(self, i: int) -> Callable:
        return lambda x: self.kernels[i].product(x, compiled=self.compiled)


def _dense_call(layer: keras.layers.Dense, product: Callable) -> Callable:
    def call(inputs, training=None):
        y = product(inputs)
        y = y if layer.bias is None else ops.add(y, layer.bias)
        y = y if layer.activation is None else layer.activation(y)
        return layer._updated(y, inputs, training) if isinstance(layer, Dense) else y  # LoRA, in float

    return call


def _row_sums(kernel: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.bitcast(tf.cast(kernel, tf.float32), tf.int32), axis=-1)
