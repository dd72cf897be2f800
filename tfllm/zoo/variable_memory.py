"""Weights copied straight into the memory of TensorFlow's variables.

`variable.assign(array)` makes two copies of an array before the third one is the variable. For a table that is half of a model this is
the model's size once more, and most of the time that loading takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import keras
import numpy as np

_SMALLEST = 2**20  # bytes; smaller variables are assigned
_BLOCK = 2**22  # bytes that are copied at a time
_ALIGNMENT = 64  # bytes, what TensorFlow's kernels rely on


class VariableMemory:
    """The memory of variables, to be written to before anything else uses them.

    Only of TensorFlow's variables in the machine's own memory: on other backends and devices, and under a distribution strategy, `write`
    assigns as usual; under a distribution of Keras' (JAX) each device is given its part alone.

    Example:
        >>> memory = VariableMemory()
        >>> layer = keras.layers.Embedding(1000, 384, embeddings_initializer=memory.zeros)
        >>> layer.build()
        >>> memory.write(layer.embeddings, np.ones((1000, 384), "float16"), None, lambda array: None)
        >>> float(layer.embeddings[-1, -1])
        1.0
    """

    def __init__(self):
        self._arrays: dict[int, np.ndarray] = {}  # address -> the array there
        self._direct = keras.backend.backend() == "tensorflow"
        if self._direct:
            import tensorflow as tf

            self._direct = not tf.distribute.has_strategy()

    def zeros(self, shape, dtype=None):
        """A tensor of zeros, in memory that the system does not provide before it is written to."""
        dtype = keras.backend.standardize_dtype(dtype)
        if not self._direct or math.prod(shape) * np.dtype(dtype).itemsize < _SMALLEST:
            return keras.ops.zeros(shape, dtype)
        import tensorflow as tf

        array = _aligned_zeros(shape, dtype)
        self._arrays[array.ctypes.data] = array
        return tf.bitcast(_tensor(array), dtype)

    def _of(self, variable: keras.Variable) -> np.ndarray | None:
        """The array that is the variable's memory, if it is one of ours."""
        if not self._direct or math.prod(variable.shape) * np.dtype(variable.dtype).itemsize < _SMALLEST:
            return None
        import tensorflow as tf

        value = tf.convert_to_tensor(variable.value)
        if "CPU" not in value.device:
            return None
        return self._arrays.get(np.from_dlpack(tf.bitcast(value, _bits(value.dtype.size))).ctypes.data)

    def write(
        self, variable: keras.Variable, array: np.ndarray, index: int | None, release: Callable[[np.ndarray], None]
    ) -> None:
        """Sets a variable, or one row of it.

        Args:
            variable: the variable.
            array: its values, in any layout and floating-point type.
            index: the row; `None` for all of it.
            release: is called with each part of `array` that has been read.
        """
        memory = self._of(variable)
        if memory is not None:
            _copy(array, memory if index is None else memory[index], release)
            return
        values = array.astype(variable.dtype, copy=False)
        if index is None:
            variable.assign(_in_parts(values, variable))
        elif keras.backend.backend() == "tensorflow":
            variable.value[index].assign(values)  # in place
        else:
            variable.assign(keras.ops.slice_update(variable.value, (index,) + (0,) * values.ndim, values[None]))
        release(array)


def _in_parts(values: np.ndarray, variable: keras.Variable):
    """The values as a distribution lays them out: assigned as they are, all of them would be on the first device for a moment."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return values
    return keras.distribution.distribute_tensor(values, distribution.get_variable_layout(variable))


def _copy(source: np.ndarray, target: np.ndarray, release: Callable[[np.ndarray], None]) -> None:
    """Copies in blocks that follow the source's order in memory, so that its pages are read once and can go."""
    axis = int(np.argmax(source.strides))
    length = source.shape[axis]
    step = max(1, _BLOCK * length // target.nbytes)
    for start in range(0, length, step):
        block = (slice(None),) * axis + (slice(start, start + step),)
        target[block] = _in_order(source[block], target.dtype)
        release(source[block])


def _in_order(part: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """A transposed array in C order. TensorFlow transposes several times faster than numpy."""
    order = sorted(range(part.ndim), key=lambda axis: -part.strides[axis])
    if order == list(range(part.ndim)):
        return part
    import tensorflow as tf

    packed = _aligned_zeros([part.shape[axis] for axis in order], dtype)
    packed[...] = part.transpose(order)
    return np.from_dlpack(tf.transpose(_tensor(packed), np.argsort(order))).view(dtype)


def _aligned_zeros(shape, dtype) -> np.ndarray:
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.zeros(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def _tensor(array: np.ndarray):
    """A tensor of the array's bits, as unsigned integers, in the array's own memory."""
    import tensorflow as tf

    return tf.experimental.dlpack.from_dlpack(array.view(_bits(array.itemsize)).__dlpack__())


def _bits(itemsize: int) -> str:
    return f"uint{8 * itemsize}"  # DLPack and numpy do not agree on bfloat16
