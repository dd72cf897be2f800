"""What every optimizer of tfllm does with its learning rate and weight decay, on any backend."""

from __future__ import annotations

from keras import ops

from tfllm.errors import UserError
from tfllm.training.moving_averages import overwrite_with_averages
from tfllm.training.optimizers.layer_scales import layer_scales


class LayerRules:
    """A learning rate of its own for each layer, no weight decay on vectors, and options that are checked; before one of Keras' optimizers.

    Args:
        learning_rate: a float or a schedule.
        layer_decay: factor in (0, 1] from one layer to the layer below; `None` for one rate everywhere.
        micro_batches: parts that a replica's rows go through the model in, one after the other, for one update (gradient
            accumulation; Keras' `gradient_accumulation_steps`, which counts updates instead, fails under tf.distribute).
        use_ema, ema_momentum: whether to keep an exponential moving average of the weights, and how much of it stays in a step.
        **kwargs: those of Keras' optimizer.
    """

    def __init__(
        self,
        learning_rate=1e-3,
        *,
        layer_decay: float | None = None,
        micro_batches: int = 1,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        **kwargs,
    ):
        if not isinstance(micro_batches, int) or micro_batches < 1:
            raise UserError(f"micro_batches must be a whole number of at least 1. Received: {micro_batches!r}.")
        if layer_decay is not None and not 0 < layer_decay <= 1:
            raise UserError(f"layer_decay must be in (0, 1]. Received: {layer_decay!r}.")
        if use_ema and not 0 < ema_momentum < 1:
            raise UserError(f"ema_momentum must lie between 0 and 1, such as 0.999. Received: {ema_momentum!r}.")
        if ema_overwrite_frequency is not None:
            raise UserError(
                "Training goes on with its own weights, not with their average: ema_overwrite_frequency must be None. Received: "
                f"{ema_overwrite_frequency!r}. To use the averages for a while: tfllm.training.averaged_weights."
            )
        super().__init__(learning_rate, use_ema=use_ema, ema_momentum=ema_momentum, **kwargs)
        self.layer_decay, self.micro_batches = layer_decay, micro_batches

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        scales = layer_scales([variable.path for variable in variables], self.layer_decay)
        self._scales = {self._var_key(variable): scale for variable, scale in zip(variables, scales)}
        # By name too: an attention's bias is a matrix where it is shaped by heads, as KerasHub's are.
        decaying = [v for v in variables if len(v.shape) > 1 and v.name != "bias" and self._use_weight_decay(v)]
        self._decays = {self._var_key(variable): self._decay_of(variable) for variable in decaying}

    def _decay_of(self, variable) -> float | None:
        return self.weight_decay

    def _apply_weight_decay(self, variables):
        return  # part of the update, at the variable's own rate

    def _rates(self, variable, learning_rate):
        """The variable's own learning rate, and the factor of its decay (`None` for none)."""
        key = self._var_key(variable)
        rate, decay = ops.cast(learning_rate, variable.dtype) * self._scales[key], self._decays.get(key)
        return rate, 1 - decay * rate if decay else None

    def update_step(self, gradient, variable, learning_rate):
        rate, decay = self._rates(variable, learning_rate)
        if decay is not None:
            # A product that replaces the variable: two passes over its memory, where assign_sub of a product makes five.
            variable.assign(variable * decay)
        super().update_step(gradient, variable, rate)

    def finalize_variable_values(self, var_list):
        overwrite_with_averages(self)

    def get_config(self):
        return {**super().get_config(), "layer_decay": self.layer_decay, "micro_batches": self.micro_batches}
