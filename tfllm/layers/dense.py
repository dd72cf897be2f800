"""The projection of attention and feed-forward layers: a dense layer that can be adapted (LoRA) and quantized (QLoRA)."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

import keras
from keras import ops

from tfllm.layers.dropout import Dropout


@keras.saving.register_keras_serializable("tfllm")
class Dense(keras.layers.Dense):
    """`keras.layers.Dense` whose low-rank update (Hu et al., 2022, LoRA) stays apart from its kernel.

    Keras' own `enable_lora` merges the update into the kernel whenever weights are written, and reads both of its factors back as
    zeros, which cannot be trained any more; it also makes the gradient of the whole kernel. Here the update is computed on the
    activations, `y = x W + b + alpha / rank * dropout(x) A B`, files hold `W`, `A` and `B` apart, and `W` is left as it is.

    `quantize_weights` makes the kernel int8 or int4 with Keras' quantizers; activations stay in the compute dtype (QLoRA, Dettmers et
    al., 2023), so that gradients reach the layers below and a merged kernel computes the same.

    Attributes:
        lora_a, lora_b: the factors, `(in, rank)` and `(rank, units)` float32; `None` without an update.
        lora: `{"rank", "alpha", "dropout"}`, or `None`.

    Example:
        >>> layer = Dense(3)
        >>> layer.build((None, 4))
        >>> layer.enable_lora(2, lora_alpha=4)
        >>> layer(keras.ops.ones((1, 4))).shape, layer.lora_a.shape, layer.lora_b.shape
        (TensorShape([1, 3]), TensorShape([4, 2]), TensorShape([2, 3]))
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.lora_a = self.lora_b = self.lora_dropout = None
        self._update: tuple[int, float, float] | None = None  # plain values: Keras would track a dictionary

    @property
    def lora(self) -> dict | None:
        return None if self._update is None else dict(zip(("rank", "alpha", "dropout"), self._update))

    @property
    def lora_scale(self) -> float:
        rank, alpha, _ = self._update
        return alpha / rank

    def enable_lora(self, rank: int, lora_alpha: float | None = None, dropout: float = 0.0):
        """Adds an update that starts at 0: A as PEFT draws it, uniform within `in ** -0.5`, B of zeros. The kernel is frozen.

        Args:
            rank: of the update.
            lora_alpha: the update is scaled by `lora_alpha / rank`; default `rank`.
            dropout: rate on what enters A.
        """
        if self._update is not None:
            raise ValueError(f"{self.path} has a low-rank update already.")
        wide = int(self._kernel.shape[0])
        self._tracker.unlock()
        self.lora_a = self.add_weight(
            name="lora_a",
            shape=(wide, rank),
            initializer=keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform"),
            dtype="float32",
        )
        self.lora_b = self.add_weight(name="lora_b", shape=(rank, self.units), initializer="zeros", dtype="float32")
        if dropout:
            self.lora_dropout = Dropout(dropout, name="lora_dropout", dtype=self.compute_dtype)
        self._update = (rank, float(rank if lora_alpha is None else lora_alpha), float(dropout))
        self._tracker.lock()
        self._kernel.trainable = False

    def merge_lora(self):
        """Adds the update to the kernel, which becomes one of floating point if it was quantized, and drops it."""
        if self.quantization_mode is not None:
            self._replace_kernel(self.float_kernel())
        if self._update is not None:
            self._kernel.assign(self._kernel + ops.cast(self._delta(), self._kernel.dtype))
            self._drop("lora_a", "lora_b", "lora_dropout")
            self._update = None
        self._kernel.trainable = True

    def _delta(self):
        return self.lora_scale * ops.matmul(self.lora_a, self.lora_b)

    def quantize_weights(self, mode: str):
        """Makes the kernel one of 8 or 4 bits: `"int8"`, a scale a column, or `"int4"`, scale and zero point for 64 rows of a column."""
        if mode == "int8":
            config = keras.quantizers.Int8QuantizationConfig(activation_quantizer=None)
        else:
            config = keras.quantizers.Int4QuantizationConfig(block_size=64)
        with _old_objects_left_alone():
            self.quantize(mode, config=config, type_check=False)

    def float_kernel(self):
        """The kernel `(in, units)` in floating point, without the update."""
        if self.quantization_mode is None:
            return ops.convert_to_tensor(self._kernel)
        if self.quantization_mode == "int8":
            return ops.cast(self._kernel, "float32") / self.kernel_scale
        levels = keras.quantizers.unpack_int4(self._kernel, self.units, axis=-1)
        groups = ops.cast(self.g_idx, "int32")
        zeros = ops.cast(ops.take(self.kernel_zero, groups, axis=0), "float32")
        return (ops.cast(levels, "float32") - zeros) * ops.take(self.kernel_scale, groups, axis=0)

    def _replace_kernel(self, value):
        policy = keras.dtype_policies.DTypePolicy(self.dtype_policy.name.split("_from_", 1)[1])
        self._drop("_kernel", "kernel_scale", "kernel_zero", "g_idx")
        self._tracker.unlock()
        self._is_quantized, self.quantization_config = False, None
        self.dtype_policy = policy
        self._kernel = self.add_weight(name="kernel", shape=tuple(value.shape), initializer="zeros")
        self._tracker.lock()
        self._kernel.assign(value)

    def _drop(self, *names: str):
        self._tracker.unlock()
        for name in names:
            value = getattr(self, name, None)
            if isinstance(value, keras.Variable):
                # Keras' own `del` collects garbage each time: a quarter of a second.
                self._untrack_variable(value)
            elif value is not None:
                delattr(self, name)
            setattr(self, name, None)
        self._tracker.lock()

    def call(self, inputs, training=None):
        """`(…, in)` to `(…, units)`."""
        return self._updated(super().call(inputs, training=training), inputs, training)

    def quantized_call(self, inputs, training=None):
        return self._updated(super().quantized_call(inputs, training=training), inputs, training)

    def _updated(self, y, inputs, training):
        if self._update is None:
            return y
        x = inputs if self.lora_dropout is None else self.lora_dropout(inputs, training=training)
        low = ops.matmul(ops.matmul(x, ops.cast(self.lora_a, x.dtype)), ops.cast(self.lora_b, x.dtype))
        return y + ops.cast(low * self.lora_scale, y.dtype)

    def save_own_variables(self, store):
        super().save_own_variables(store)
        if self.built and self._update is not None:
            store["lora_a"], store["lora_b"] = self.lora_a, self.lora_b

    def load_own_variables(self, store):
        super().load_own_variables(store)
        if self.built and self._update is not None:
            self.lora_a.assign(store["lora_a"])
            self.lora_b.assign(store["lora_b"])


@contextlib.contextmanager
def _old_objects_left_alone() -> Iterator[None]:
    """Keras collects garbage for each variable that it takes away; over all objects of a large process that is seconds a layer."""
    if gc.get_freeze_count():  # somebody else's doing
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
