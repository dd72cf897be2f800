"""Optimizers: AdamW with a fused update, correct clipping, layer-wise learning rates, and the train step that goes with them."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from tfllm.errors import UserError
from tfllm.training.schedules import SCHEDULES, WarmupSchedule
from tfllm.training.step import train_step


@keras.saving.register_keras_serializable("tfllm")
class AdamW(keras.optimizers.AdamW):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019); the numbers are those of `keras.optimizers.AdamW`.

    What differs:
      - gradients are summed over replicas first and clipped then, so that `global_clipnorm` clips the norm of the global gradient
        (Keras clips each replica's own); sparse gradients are made dense first, so that a token that occurs twice counts rightly;
      - the update is compiled: clipping, decay and Adam are one pass over the memory instead of ten;
      - no weight decay on vectors: norms' scales and all biases;
      - `layer_decay` (Clark et al., 2020, as ELECTRA fine-tunes): each block's learning rate is `layer_decay` times that of the
        block above it, with the embeddings below the first block and the head above the last.

    Args:
        learning_rate: a float or a schedule.
        layer_decay: factor in (0, 1] from one layer to the layer below; `None` for one rate everywhere.
        micro_batches: parts that a replica's rows go through the model in, one after the other, for one update (gradient
            accumulation; Keras' `gradient_accumulation_steps`, which counts updates instead, fails under tf.distribute).
        **kwargs: those of `keras.optimizers.AdamW`.
    """

    def __init__(self, learning_rate=1e-3, *, layer_decay: float | None = None, micro_batches: int = 1, **kwargs):
        if not isinstance(micro_batches, int) or micro_batches < 1:
            raise UserError(f"micro_batches must be a whole number of at least 1. Received: {micro_batches!r}.")
        if layer_decay is not None and not 0 < layer_decay <= 1:
            raise UserError(f"layer_decay must be in (0, 1]. Received: {layer_decay!r}.")
        if kwargs.get("amsgrad"):
            raise UserError(
                "tfllm's AdamW has no amsgrad: use keras.optimizers.AdamW(amsgrad=True). Received: amsgrad=True."
            )
        super().__init__(learning_rate, **kwargs)
        self.layer_decay, self.micro_batches = layer_decay, micro_batches

    _already_reduced = False

    # A tfllm model asks its optimizer for the step (see `TransformerModel.train_step`).
    model_train_step = staticmethod(train_step)

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        scales = layer_scales([variable.path for variable in variables], self.layer_decay)
        self._scales = {self._var_key(variable): scale for variable, scale in zip(variables, scales)}
        # By name too: an attention's bias is a matrix where it is shaped by heads, as KerasHub's are.
        self._programs = {}
        self._decaying = {self._var_key(v) for v in variables if len(v.shape) > 1 and v.name != "bias"}

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

    def _apply_weight_decay(self, variables):
        return  # part of the update

    def _clip_gradients(self, grads):
        return (
            grads if self.global_clipnorm else super()._clip_gradients(grads)
        )  # by the global norm: part of the update

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        learning_rate, factor = tf.convert_to_tensor(learning_rate), tf.constant(1.0)
        if self.global_clipnorm:
            factor = tf.minimum(
                1.0, self.global_clipnorm / tf.linalg.global_norm([tf.cast(g, "float32") for g in grads])
            )
        if self._distribution_strategy.num_replicas_in_sync > 1:
            grads = [grad * tf.cast(factor, grad.dtype) for grad in grads]
            return super()._backend_update_step(grads, trainable_variables, learning_rate)
        for members in _halves(trainable_variables):
            variables = [trainable_variables[i] for i in members]
            key = tuple(self._var_key(variable) for variable in variables)
            if key not in self._programs:
                self._programs[key] = self._program(variables)
            self._programs[key]([grads[i] for i in members], factor, learning_rate, self.iterations + 1)

    def _program(self, variables) -> Callable:
        """The update of some variables, compiled: clipping, decay and Adam in one pass over each variable's memory."""
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

    def _rates(self, variable, learning_rate):
        """The variable's own learning rate, and the factor of its decay (`None` for none)."""
        dtype = variable.dtype
        rate = tf.cast(learning_rate, dtype) * tf.cast(self._scales[self._var_key(variable)], dtype)
        decays = self.weight_decay and self._var_key(variable) in self._decaying
        return rate, (1 - tf.cast(self.weight_decay, dtype) * rate) if decays else None

    def update_step(self, gradient, variable, learning_rate):
        # On several replicas, where a program of its own cannot be compiled.
        dtype = variable.dtype
        learning_rate, decay = self._rates(variable, learning_rate)
        if decay is not None:
            # A product that replaces the variable: two passes over its memory, where assign_sub of a product makes five.
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

    def get_config(self):
        return {**super().get_config(), "layer_decay": self.layer_decay, "micro_batches": self.micro_batches}


def _halves(variables) -> list[list[int]]:
    """Positions of the variables in two groups of about the same size, whose updates run side by side."""
    halves, sizes = ([], []), [0, 0]
    for i in sorted(range(len(variables)), key=lambda i: -math.prod(variables[i].shape)):
        smaller = sizes.index(min(sizes))
        halves[smaller].append(i)
        sizes[smaller] += math.prod(variables[i].shape)
    return [sorted(half) for half in halves if half]


def layer_scales(paths: list[str], decay: float | None) -> list[float]:
    """Learning-rate factor of each variable: `decay ** (layers above it)`.

    Layers are, from below: the embeddings, the blocks (`block_0`, `block_1` … in the path), everything else (norms after the
    last block, heads).

    Example:
        >>> layer_scales(["e/embedding/token", "e/block_0/k", "e/block_1/k", "c/classifier/kernel"], 0.5)
        [0.125, 0.25, 0.5, 1.0]
    """
    if decay is None:
        return [1.0] * len(paths)
    blocks = [re.search(r"(?:^|/)block_(\d+)/", path) for path in paths]
    if not any(blocks):
        raise UserError(
            "layer_decay needs a model whose variables say which layer they are of (block_0/, block_1/ ...), as tfllm's own do. "
            f"Received: variables such as {', '.join(paths[:3])}. Leave layer_decay out."
        )
    top = max((int(match.group(1)) for match in blocks if match), default=-1) + 2
    depth = [
        int(match.group(1)) + 1 if match else 0 if re.search(r"(?:^|/)embedding/", path) else top
        for match, path in zip(blocks, paths)
    ]
    return [decay ** (top - layer) for layer in depth]


def optimizer(
    name: str = "adamw",
    learning_rate: float = 3e-5,
    *,
    total_steps: int | None = None,
    schedule: str | None = None,
    warmup: float | int = 0.1,
    weight_decay: float = 0.01,
    clip_norm: float | None = 1.0,
    layer_decay: float | None = None,
    micro_batches: int = 1,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-8,
) -> keras.optimizers.Optimizer:
    """An optimizer with its schedule, as fine-tuning uses them.

    Args:
        name: `"adamw"`.
        learning_rate: the peak.
        total_steps: optimizer steps of the run; needed by `"linear"` and `"cosine"`.
        schedule: `"linear"`, `"cosine"` or `"constant"`; default linear if `total_steps` is given, else constant.
        warmup: steps if an int, or a share of `total_steps` if a float below 1.
        weight_decay: decoupled, not on vectors (norms and biases).
        clip_norm: largest norm of the global gradient; `None` for no clipping.
        layer_decay, micro_batches: see `AdamW`.
        beta_1, beta_2, epsilon: Adam's; the default epsilon is PyTorch's, which published recipes were run with.

    Raises:
        UserError: an unknown name or schedule, a value out of range, or `total_steps` missing.

    Example:
        >>> optimizer("adamw", 3e-5, total_steps=1000).learning_rate
        <tf.Tensor: shape=(), dtype=float32, numpy=0.0>
    """
    if name != "adamw":
        raise UserError(f"optimizer name must be 'adamw'. Received: {name!r}.")
    if schedule is None:
        schedule = "constant" if total_steps is None else "linear"
    if schedule not in SCHEDULES:
        raise UserError(f"schedule must be one of {SCHEDULES}. Received: {schedule!r}.")
    if learning_rate <= 0 or weight_decay < 0 or warmup < 0 or (clip_norm is not None and clip_norm <= 0):
        raise UserError(
            "learning_rate and clip_norm must be above 0, weight_decay and warmup not below 0. "
            f"Received: {learning_rate=}, {clip_norm=}, {weight_decay=}, {warmup=}."
        )
    if isinstance(warmup, float):
        if warmup >= 1:
            raise UserError(f"warmup is a number of steps (an int) or a share below 1 (a float). Received: {warmup!r}.")
        warmup = round(warmup * total_steps) if total_steps else 0
    rate = (
        learning_rate
        if schedule == "constant" and not warmup
        else WarmupSchedule(learning_rate, total_steps, warmup, schedule)
    )
    return AdamW(
        rate,
        layer_decay=layer_decay,
        micro_batches=micro_batches,
        weight_decay=weight_decay,
        global_clipnorm=clip_norm,
        beta_1=beta_1,
        beta_2=beta_2,
        epsilon=epsilon,
    )
