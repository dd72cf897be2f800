"""Heads for labelled tasks: sequence classification and regression, token classification, span prediction."""

from __future__ import annotations

import keras
from keras import ops

from tfllm.config import TransformerConfig
from tfllm.errors import UserError
from tfllm.layers.activations import ACTIVATIONS
from tfllm.layers.initializers import WeightInitializer
from tfllm.models import losses
from tfllm.models.backbones import make_backbone
from tfllm.models.base import TransformerModel
from tfllm.models.inputs import complete_batch, default_head_positions, gather_tokens


class _LabelledModel(TransformerModel):
    """A backbone and a linear layer to `num_labels` logits."""

    def __init__(self, config: TransformerConfig, num_labels: int, *, use_bias: bool, **kwargs):
        super().__init__(config, **kwargs)
        if not isinstance(num_labels, int) or num_labels < 1:
            raise UserError(
                f"{type(self).__name__}: num_labels must be a whole number of at least 1. Received: {num_labels!r}."
            )
        self.num_labels = num_labels
        self.backbone = make_backbone(self.config, dtype=self.dtype_policy)
        rate = self.config.dropout if self.config.classifier_dropout is None else self.config.classifier_dropout
        self.dropout = keras.layers.Dropout(rate, name="dropout", dtype=self.dtype_policy)
        self.classifier = self._dense(num_labels, "classifier", use_bias)

    def _dense(self, units: int, name: str, use_bias: bool = True) -> keras.layers.Dense:
        initializer = WeightInitializer(stddev=self.config.initializer_range)
        return keras.layers.Dense(
            units, use_bias=use_bias, kernel_initializer=initializer, name=name, dtype=self.dtype_policy
        )

    def build(self, input_shape=None):
        self.classifier.build((None, None, self.config.hidden_size))

    def _logits(self, hidden, training):
        # float32, whatever the dtype policy: losses and scores are computed from these.
        return ops.cast(self.classifier(self.dropout(hidden, training=training)), "float32")

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
        super().__init__(config, num_labels, use_bias=config.classifier_bias, **kwargs)
        self.regression = regression
        self.pooler = self._dense(config.hidden_size, "pooler") if config.classifier_activation else None
        self.build()

    def build(self, input_shape=None):
        super().build(input_shape)
        if self.pooler is not None:
            self.pooler.build((None, None, self.config.hidden_size))

    def call(self, inputs, training=None):
        """A batch dictionary (see `complete_batch`) to logits `(B, K, C)`."""
        batch = complete_batch(inputs, self.config)
        positions = batch["head_positions"]
        if positions is None:
            positions = default_head_positions(batch["example_ids"], self.config.pooled)
        hidden = gather_tokens(self.backbone(batch, training=training), positions)  # (B, K, D)
        if self.pooler is not None:
            hidden = ACTIVATIONS[self.config.classifier_activation](self.pooler(hidden))
        return self._logits(hidden, training)

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
        super().__init__(config, num_labels, use_bias=config.token_classifier_bias, **kwargs)
        self.build()

    def call(self, inputs, training=None):
        """A batch dictionary to logits `(B, T, C)`."""
        return self._logits(self.backbone(inputs, training=training), training)

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
        super().__init__(config, num_labels, use_bias=True, **kwargs)
        self.build()

    def call(self, inputs, training=None):
        """A batch dictionary to logits `(B, T, 2)`; places outside of any example get a large negative number."""
        batch = complete_batch(inputs, self.config)
        logits = self._logits(self.backbone(batch, training=training), training)
        real = ops.expand_dims(ops.greater(batch["example_ids"], 0), -1)
        return ops.where(real, logits, ops.full((), -1e9, "float32"))

    def compile_defaults(self) -> dict:
        return {"loss": losses.SpanCrossEntropy()}
