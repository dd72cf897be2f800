"""What makes an optimizer of Keras' right on several replicas, and its update fast."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from tfllm.training.finite import StepRecord, global_norm
from tfllm.training.many_steps import TrainFunction
from tfllm.training.optimizers.layer_rules import LayerRules
from tfllm.training.step import train_step


class GlobalBatchOptimizer(LayerRules):
    """Stands before one of Keras' optimizers, whose update it leaves as it is: `class Lion(GlobalBatchOptimizer, keras.optimizers.Lion)`.

    What differs from Keras':
      - gradients are summed over replicas first and clipped then, so that `global_clipnorm` clips the norm of the global gradient
        (Keras clips each replica's own); sparse gradients are made dense first, so that a token that occurs twice counts rightly;
      - it brings the train step whose loss and `micro_batches` are right on several replicas;
      - the update is compiled on one replica: clipping, decay and update are one pass over the memory instead of ten;
      - no weight decay on vectors: norms' scales and all biases;
      - `layer_decay` (Clark et al., 2020, as ELECTRA fine-tunes): each block's learning rate is `layer_decay` times that of the
        block above it, with the embeddings below the first block and the head above the last.

    A subclass may override `_program`, to fuse by hand, and `_compiled`, to leave XLA out.

    Args:
        learning_rate, layer_decay, micro_batches, use_ema, ema_momentum: see `LayerRules`.
        **kwargs: those of Keras' optimizer.
    """

    _compiled = True
    _already_reduced = False

    # A tfllm model asks its optimizer for the step (see `TransformerModel.train_step`).
    model_train_step = staticmethod(train_step)
    # And `fit()` for what calls it.
    model_train_function = TrainFunction

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._programs = {}
        self.step_record = StepRecord(self, variables)

    @contextlib.contextmanager
    def reduced_gradients(self) -> Iterator[None]:
        """Inside, gradients given to `apply` have been summed over the replicas."""
        self._already_reduced = True
        try:
            yield
        finally:
            self._already_reduced = False

    def _backend_apply_gradients(self, grads, trainable_variables):
        dense = [tf.convert_to_tensor(grad) for grad in grads]
        if not self._already_reduced:  # somebody else's step
            native = [v.value if isinstance(v, keras.Variable) else v for v in trainable_variables]
            dense = [grad for grad, _ in super()._all_reduce_sum_gradients(list(zip(dense, native)))]
        with self.reduced_gradients():
            super()._backend_apply_gradients(dense, trainable_variables)

    def _all_reduce_sum_gradients(self, grads_and_vars):
        return list(grads_and_vars) if self._already_reduced else super()._all_reduce_sum_gradients(grads_and_vars)

    def _clip_gradients(self, grads):
        # By the global norm: part of the update.
        return grads if self.global_clipnorm else super()._clip_gradients(grads)

    @property
    def _replicas(self) -> int:
        return self._distribution_strategy.num_replicas_in_sync

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        learning_rate, factor = tf.convert_to_tensor(learning_rate), tf.constant(1.0)
        if self.global_clipnorm:
            factor = tf.minimum(1.0, self.global_clipnorm / global_norm(grads))
        if self._replicas > 1:  # where a program of its own cannot be compiled
            grads = [grad * tf.cast(factor, grad.dtype) for grad in grads]
            return super()._backend_update_step(grads, trainable_variables, learning_rate)
        for members in _halves(trainable_variables):
            variables = [trainable_variables[i] for i in members]
            key = tuple(self._var_key(variable) for variable in variables)
            if key not in self._programs:
                self._programs[key] = self._program(variables)
            self._programs[key]([grads[i] for i in members], factor, learning_rate, self.iterations + 1)

    def _program(self, variables) -> Callable:
        """The update of some variables, compiled: `program(grads, factor, learning_rate, step)`, where `factor` is that of clipping."""

        @tf.function(jit_compile=self._compiled)
        def program(grads, factor, learning_rate, step):
            for variable, grad in zip(variables, grads):
                grad = tf.cast(grad, variable.dtype) * tf.cast(factor, variable.dtype)
                self.update_step(grad, variable.value, learning_rate)

        return program

    def _update_model_variables_moving_average(self, trainable_variables):
        averages = self._model_variables_moving_average
        pairs = [(v.value, a.value) for v, a in zip(trainable_variables, averages) if a is not None]

        def update(step):
            # The first update's weights are the first average.
            share = tf.where(step == 0, 1.0, 1.0 - self.ema_momentum)
            for variable, average in pairs:
                average.assign(average + (variable - average) * tf.cast(share, average.dtype))

        if self._replicas > 1:  # each replica its own copy, in which the same numbers are
            return update(self.iterations)
        if "averages" not in self._programs:
            self._programs["averages"] = tf.function(update, jit_compile=True)
        self._programs["averages"](tf.convert_to_tensor(self.iterations))


def _halves(variables) -> list[list[int]]:
    """Positions of the variables in two groups of about the same size, whose updates run side by side."""
    halves, sizes = ([], []), [0, 0]
    for i in sorted(range(len(variables)), key=lambda i: -math.prod(variables[i].shape)):
        smaller = sizes.index(min(sizes))
        halves[smaller].append(i)
        sizes[smaller] += math.prod(variables[i].shape)
    return [sorted(half) for half in halves if half]
