"""AdamW with an update of one pass."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from tfllm.errors import UserError
from tfllm.training.optimizers.global_batch import GlobalBatchOptimizer


@keras.saving.register_keras_serializable("tfllm")
class AdamW(GlobalBatchOptimizer, keras.optimizers.AdamW):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019); the numbers are those of `keras.optimizers.AdamW`.

    Args:
        learning_rate: a float or a schedule.
        layer_decay, micro_batches, use_ema, ema_momentum: see `GlobalBatchOptimizer`, which also says what differs from Keras'.
        **kwargs: those of `keras.optimizers.AdamW`.

    Raises:
        UserError: `amsgrad`, or a value out of range.
    """

    def __init__(self, learning_rate=1e-3, **kwargs):
        if kwargs.get("amsgrad"):
            raise UserError(
                "tfllm's AdamW has no amsgrad: use keras.optimizers.AdamW(amsgrad=True). Received: amsgrad=True."
            )
        super().__init__(learning_rate, **kwargs)

    def _program(self, variables) -> Callable:
        slots = [self._get_variable_index(variable) for variable in variables]
        momentums, velocities = ([slot[i].value for i in slots] for slot in (self._momentums, self._velocities))

        @tf.function(jit_compile=True)
        def program(grads, factor, learning_rate, step):
            for variable, momentum, velocity, grad in zip(variables, momentums, velocities, grads):
                dtype = variable.dtype
                rate, decay = self._rates(variable, learning_rate)
                power = tf.cast(step, dtype)
                beta_1, beta_2 = tf.cast(self.beta_1, dtype), tf.cast(self.beta_2, dtype)
                grad = tf.cast(grad, dtype) * tf.cast(factor, dtype)
                m = momentum + (grad - momentum) * (1 - beta_1)
                v = velocity + (tf.square(grad) - velocity) * (1 - beta_2)
                momentum.assign(m)
                velocity.assign(v)
                size = rate * tf.sqrt(1 - tf.pow(beta_2, power)) / (1 - tf.pow(beta_1, power))
                kept = variable.value if decay is None else variable.value * decay
                variable.value.assign(kept - size * m / (tf.sqrt(v) + self.epsilon))

        return program

    def update_step(self, gradient, variable, learning_rate):
        # On several replicas, where a program of its own cannot be compiled.
        dtype = variable.dtype
        learning_rate, decay = self._rates(variable, learning_rate)
        if decay is not None:
            variable.assign(variable * decay)
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, dtype), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, dtype), step),
            lr=learning_rate,
            beta1=tf.cast(self.beta_1, dtype),
            beta2=tf.cast(self.beta_2, dtype),
            epsilon=tf.cast(self.epsilon, dtype),
            grad=tf.cast(gradient, dtype),
        )
