"""Heads for labelled tasks: sequence classification and regression, multiple choice, token classification, span prediction."""

from __future__ import annotations

import keras
from keras import ops

from tfllm.config import TransformerConfig
from tfllm.errors import UserError
from tfllm.layers import make_norm
from tfllm.layers.activations import ACTIVATIONS
from tfllm.layers.dropout import Dropout
from tfllm.layers.initializers import WeightInitializer
from tfllm.models import losses
from tfllm.models.backbones import make_backbone
from tfllm.models.base import TransformerModel
from tfllm.models.inputs import complete_batch, default_head_positions, gather_tokens, mean_of_examples, shift_right


class _LabelledModel(TransformerModel):
    """A backbone, a dense layer with an activation if the config has one, and a linear layer to `num_labels` logits."""

    def __init__(self, config: TransformerConfig, num_labels: int, *, use_bias: bool, pooler: bool, **kwargs):
        super().__init__(config, **kwargs)
        if not isinstance(num_labels, int) or num_labels < 1:
            raise UserError(
                f"{type(self).__name__}: num_labels must be a whole number of at least 1. Received: {num_labels!r}."
            )
        c = self.config
        self.num_labels = num_labels
        self.backbone = make_backbone(c, dtype=self.dtype_policy)
        self.pooler = self.pooler_norm = None
        if pooler and c.classifier_activation:
            self.pooler = self._dense(c.output_size, "pooler", c.classifier_pooler_bias)
            self.pooler_norm = make_norm(c, name="pooler_norm", dtype=self.dtype_policy) if c.classifier_norm else None
        rate = c.dropout if c.classifier_dropout is None else c.classifier_dropout
        self.input_dropout = Dropout(
            rate if c.classifier_input_dropout else 0.0, name="input_dropout", dtype=self.dtype_policy
        )
        self.dropout = Dropout(rate, name="dropout", dtype=self.dtype_policy)
        self.classifier = self._dense(num_labels, "classifier", use_bias)
        self.build()

    def _dense(self, units: int, name: str, use_bias: bool = True) -> keras.layers.Dense:
        initializer = WeightInitializer(stddev=self.config.initializer_range)
        return keras.layers.Dense(
            units, use_bias=use_bias, kernel_initializer=initializer, name=name, dtype=self.dtype_policy
        )

    def build(self, input_shape=None):
        for layer in (self.pooler, self.pooler_norm, self.classifier):
            if layer is not None:
                layer.build((None, None, self.config.output_size))

    def _logits(self, hidden, training):
        """`(…, D)` to `(…, C)`: float32, whatever the dtype policy, since losses and scores are computed from these."""
        if self.pooler is not None:
            hidden = self.pooler(self.input_dropout(hidden, training=training))
            hidden = ACTIVATIONS[self.config.classifier_activation](hidden)
            if self.pooler_norm is not None:
                hidden = self.pooler_norm(hidden)
        return ops.cast(self.classifier(self.dropout(hidden, training=training)), "float32")

    def _hidden(self, batch: dict, training):
        """Hidden states of the tokens, `(B, T, D)`: an encoder-decoder's decoder reads the source too, shifted right (BART)."""
        if self.config.is_encoder_decoder:
            batch = {
                **batch,
                "decoder_token_ids": shift_right(
                    batch["token_ids"], batch["example_ids"], batch["position_ids"], self.config
                ),
                "decoder_example_ids": batch["example_ids"],
                "decoder_position_ids": batch["position_ids"],
            }
        return self.backbone(batch, training=training)

    def _pooled_logits(self, batch: dict, training):
        """One vector an example, `(B, K, D)`, to `(B, K, C)`."""
        hidden = self._hidden(batch, training)
        positions = batch["head_positions"]
        if positions is None:
            positions = default_head_positions(batch["example_ids"], self.config.pooled)
        if self.config.pooled == "mean":
            pooled = mean_of_examples(hidden, batch["example_ids"], positions)
        else:
            pooled = gather_tokens(hidden, positions)
        return self._logits(pooled, training)

    def get_config(self):
        return {**super().get_config(), "num_labels": self.num_labels}


@keras.saving.register_keras_serializable("tfllm")
class SequenceClassifier(_LabelledModel):
    """One label (or one number) for each example: logits `(B, K, C)` float32, K examples a row.

    Args:
        config: the architecture; `pooled`, `classifier_activation` and `classifier_bias` describe the head.
        num_labels: number of classes C; 1 for regression.
        regression: the loss is the squared error.

    Example:
        >>> config = TransformerConfig(vocab_size=99, hidden_size=32, num_layers=2, num_heads=4, intermediate_size=64)
        >>> SequenceClassifier(config, num_labels=3)(keras.ops.ones((2, 7), "int32")).shape
        TensorShape([2, 1, 3])
    """

    def __init__(self, config: TransformerConfig, num_labels: int = 2, *, regression: bool = False, **kwargs):
        if regression and num_labels != 1:
            raise UserError(f"A regression has one output. Received: num_labels={num_labels}, regression=True.")
        config = config if isinstance(config, TransformerConfig) else TransformerConfig(**config)
        super().__init__(config, num_labels, use_bias=config.classifier_bias, pooler=True, **kwargs)
        self.regression = regression

    def call(self, inputs, training=None):
        """A batch dictionary (see `complete_batch`) to logits `(B, K, C)`."""
        return self._pooled_logits(complete_batch(inputs, self.config), training)

    def compile_defaults(self) -> dict:
        if self.regression:
            return {"loss": losses.SquaredError()}
        return {
            "loss": losses.cross_entropy(),
            "weighted_metrics": [keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        }

    def get_config(self):
        return {**super().get_config(), "regression": self.regression}


@keras.saving.register_keras_serializable("tfllm")
class TokenClassifier(_LabelledModel):
    """One label for each token: logits `(B, T, C)` float32."""

    def __init__(self, config: TransformerConfig, num_labels: int = 2, **kwargs):
        config = config if isinstance(config, TransformerConfig) else TransformerConfig(**config)
        super().__init__(
            config, num_labels, use_bias=config.token_classifier_bias, pooler=config.token_pooler, **kwargs
        )

    def call(self, inputs, training=None):
        """A batch dictionary to logits `(B, T, C)`."""
        return self._logits(self._hidden(complete_batch(inputs, self.config), training), training)

    def compile_defaults(self) -> dict:
        return {
            "loss": losses.cross_entropy(),
            "weighted_metrics": [keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        }


@keras.saving.register_keras_serializable("tfllm")
class SpanPredictor(_LabelledModel):
    """Start and end of an answer: logits `(B, T, 2)` float32, start first."""

    def __init__(self, config: TransformerConfig, num_labels: int = 2, **kwargs):
        if num_labels != 2:
            raise UserError(f"SpanPredictor has two outputs, start and end. Received: num_labels={num_labels}.")
        config = config if isinstance(config, TransformerConfig) else TransformerConfig(**config)
        super().__init__(config, num_labels, use_bias=True, pooler=config.token_pooler, **kwargs)

    def call(self, inputs, training=None):
        """A batch dictionary to logits `(B, T, 2)`; places outside of any example get a large negative number."""
        batch = complete_batch(inputs, self.config)
        logits = self._logits(self._hidden(batch, training), training)
        real = ops.expand_dims(ops.greater(batch["example_ids"], 0), -1)
        return ops.where(real, logits, ops.full((), -1e9, "float32"))

    def compile_defaults(self) -> dict:
        return {"loss": losses.SpanCrossEntropy()}


@keras.saving.register_keras_serializable("tfllm")
class MultipleChoice(_LabelledModel):
    """One score for each choice of a question: logits `(B, C)` float32.

    The choices of a question are the examples of a row: `token_ids` `(B, T)` with C packed examples and `head_positions` `(B, C)`;
    or `token_ids` (and what else is given) `(B, C, T)`, one choice a line, as transformers has it.

    Example:
        >>> config = TransformerConfig(vocab_size=99, hidden_size=32, num_layers=2, num_heads=4, intermediate_size=64)
        >>> MultipleChoice(config)(keras.ops.ones((2, 3, 7), "int32")).shape
        TensorShape([2, 3])
    """

    def __init__(self, config: TransformerConfig, num_labels: int = 1, **kwargs):
        if num_labels != 1:
            raise UserError(f"MultipleChoice gives one score a choice. Received: num_labels={num_labels}.")
        super().__init__(config, num_labels, use_bias=True, pooler=True, **kwargs)

    def call(self, inputs, training=None):
        """A batch dictionary to logits `(B, C)`."""
        given = dict(inputs) if isinstance(inputs, dict) else {"token_ids": inputs}
        shape = ops.shape(given["token_ids"]) if "token_ids" in given else ()
        if len(shape) == 3:
            given = {
                key: value if value is None else ops.reshape(value, (shape[0] * shape[1], -1))
                for key, value in given.items()
            }
        logits = ops.squeeze(self._pooled_logits(complete_batch(given, self.config), training), -1)
        return ops.reshape(logits, shape[:2]) if len(shape) == 3 else logits

    def compile_defaults(self) -> dict:
        return {
            "loss": losses.cross_entropy(),
            "weighted_metrics": [keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        }
