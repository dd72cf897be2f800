"""Forward and backward pass of the train step, compiled by XLA where the model asks for it (`compile(..., jit_compile=True)`).

Not the whole step: under MirroredStrategy the update of mirrored variables cannot be compiled, and an optimizer's update has programs
of its own.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf


def maybe_compiled(model: keras.Model, function: Callable) -> Callable:
    """`function`, compiled if `model.jit_compile`. It may read variables, and draw from seed generators."""
    return tf.function(function, jit_compile=True, autograph=False) if model.jit_compile else function


def why_not_compiled(model: keras.Model, spec) -> str | None:
    """What keeps XLA from compiling forward and backward pass, on one line; `None` if it can.

    Args:
        model: built, compiled.
        spec: the `element_spec` of its data, `(x, y, weight)`; dimensions that are not known are taken as 8.
    """
    from tfllm.training.step import forward_and_backward

    def array(leaf):
        leaf = getattr(leaf, "_value_specs", (leaf,))[0]  # what one replica gets of a distributed dataset
        return tf.zeros([dimension or 8 for dimension in leaf.shape], leaf.dtype)

    x, y, weight = keras.utils.unpack_x_y_sample_weight(keras.tree.map_structure(array, spec))
    one = tf.constant(1.0)

    @tf.function(jit_compile=True, autograph=False)
    def both(x, y, weight):
        gradients, share, loss, prediction = forward_and_backward(model, x, y, weight, one, one, one)
        return [g for g in gradients if g is not None], share, loss, prediction

    def compile_it():
        both.experimental_get_compiler_ir(x, y, weight)(stage="hlo")

    try:
        # As a replica, for which mirrored variables are those on its own device.
        model.distribute_strategy.run(compile_it)
    except (tf.errors.OpError, ValueError, TypeError, NotImplementedError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return (
            next((line for line in lines if "unsupported" in line.lower()), lines[-1])[:300] if lines else repr(error)
        )
    return None
