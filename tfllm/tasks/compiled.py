"""A model's computations compiled once, on whichever backend Keras runs: TensorFlow, or JAX with weights that may be split."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import keras
import numpy as np

# The compiled functions of a model, for as long as it lives: evaluating after every epoch must not trace it again.
_COMPILED: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def compiled(function: Callable, model: keras.Model) -> Callable:
    """`function(model, *inputs)`, compiled: traced once for a set of shapes, and always with the weights of the moment.

    Args:
        function: written in `keras.ops`; of a module, so that it is the same object each time.
        model: held weakly, as what is compiled lives as long as the model.

    Returns:
        A function of the inputs: numpy arrays or tensors of the backend, in dictionaries if they are many. Its results are tensors of
        the backend; `keras.ops.convert_to_numpy` has their values.

    Example:
        >>> def doubled(model, x):
        ...     return 2 * model(x)
        >>> model = keras.Sequential([keras.layers.Dense(1, kernel_initializer="ones")])
        >>> _ = model.build((None, 2))
        >>> keras.ops.convert_to_numpy(compiled(doubled, model)(np.ones((1, 2), "float32"))).tolist()
        [[4.0]]
    """
    # The variables tell whether layers were added or replaced (LoRA, quantization) since the function was traced.
    variables = tuple(id(variable) for variable in model.variables)
    functions = _COMPILED.setdefault(model, {})
    known = functions.get(function)
    if known is None or known[0] != variables:
        # Through a weak reference: a function that held the model would keep its own key alive.
        functions[function] = known = (variables, _BACKENDS[keras.backend.backend()](function, weakref.ref(model)))
    return known[1]


def _on_tensorflow(function: Callable, model: weakref.ref) -> Callable:
    import tensorflow as tf

    traced = tf.function(lambda *inputs: function(model(), *inputs), autograph=False)

    def call(*inputs):
        inputs = tf.nest.map_structure(tf.convert_to_tensor, inputs)
        # Asked for by its shapes: TensorFlow warns of every shape that is traced in a call, and few are meant to be.
        return traced.get_concrete_function(*inputs)(*inputs)

    call.experimental_get_tracing_count = traced.experimental_get_tracing_count
    return call


def _on_jax(function: Callable, model: weakref.ref) -> Callable:
    import jax

    @jax.jit
    def pure(values, *inputs):
        # Seeds that a layer moves on are left as they are.
        with keras.StatelessScope(state_mapping=list(zip(model().variables, values, strict=True))):
            return function(model(), *inputs)

    return lambda *inputs: pure([variable.value for variable in model().variables], *jax.tree.map(_placed, inputs))


def _placed(array):
    """An array of the host, its rows divided among the copies of the model if they divide; else each copy computes all of them."""
    distribution = keras.distribution.distribution()
    if distribution is None or not isinstance(array, np.ndarray):
        return array
    if not array.ndim or array.shape[0] % distribution.num_model_replicas:
        return array
    return keras.distribution.distribute_tensor(array, distribution.get_data_layout(array.shape))


_BACKENDS = {"tensorflow": _on_tensorflow, "jax": _on_jax}
