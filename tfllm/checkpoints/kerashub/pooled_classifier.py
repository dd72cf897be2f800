"""A text classifier for the KerasHub backbones that KerasHub has none for (ELECTRA, GPT-2, Llama …)."""

from __future__ import annotations

import keras
import keras_hub

from tfllm.errors import UserError
from tfllm.models.inputs import default_head_positions, gather_tokens


def first_token_index(backbone) -> int | None:
    """The place of the token that stands for a text, as encoders declare it; `None` for decoders, where it is the last."""
    return getattr(backbone, "cls_token_index", getattr(backbone, "start_token_index", None))


@keras.saving.register_keras_serializable("tfllm")
class LastToken(keras.layers.Layer):
    """The hidden state of each row's last real token: `(B, T, D)` and a padding mask `(B, T)` to `(B, D)`."""

    def call(self, hidden, padding_mask):
        return gather_tokens(hidden, default_head_positions(padding_mask, "last"))[:, 0]


@keras.saving.register_keras_serializable("tfllm")
class PooledTextClassifier(keras_hub.models.TextClassifier):
    """Dropout and a dense layer on the backbone's pooled output, its first token, or its last: logits `(B, C)`.

    Being a KerasHub task, it is saved in presets and takes plain texts as KerasHub's own do.

    Args:
        backbone: a `keras_hub.models.Backbone`.
        num_classes: number of classes C.
        preprocessor: a `keras_hub.models.TextClassifierPreprocessor`, or `None`.
        activation: of the logits.
        dropout: rate before the dense layer.

    Example:
        >>> PooledTextClassifier(keras_hub.models.GPT2Backbone(99, 2, 4, 32, 64), num_classes=2)       # doctest: +SKIP
    """

    preprocessor_cls = keras_hub.models.TextClassifierPreprocessor

    def __init__(self, backbone, num_classes, preprocessor=None, activation=None, dropout=0.1, **kwargs):
        self.backbone = backbone
        self.preprocessor = preprocessor
        dtype = backbone.dtype_policy
        self.output_dropout = keras.layers.Dropout(dropout, dtype=dtype, name="output_dropout")
        self.output_dense = keras.layers.Dense(
            num_classes,
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            activation=activation,
            dtype=dtype,
            name="logits",
        )
        pooled = _pool(backbone)
        super().__init__(inputs=backbone.input, outputs=self.output_dense(self.output_dropout(pooled)), **kwargs)
        self.num_classes = num_classes
        self.activation = keras.activations.get(activation)
        self.dropout = dropout

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "activation": keras.activations.serialize(self.activation),
            "dropout": self.dropout,
        }


def _pool(backbone):
    """The backbone's pooled output, as a symbolic tensor `(B, D)`."""
    outputs = backbone(backbone.input)
    if isinstance(outputs, dict):
        if "pooled_output" in outputs:
            return outputs["pooled_output"]
        outputs = outputs.get("sequence_output")
    if outputs is None or len(outputs.shape) != 3:
        raise UserError(
            "A backbone to classify texts with gives hidden states (B, T, D), alone or as `sequence_output`. "
            f"Received: {type(backbone).__name__} with outputs {backbone.output}."
        )
    index = first_token_index(backbone)
    if index is not None:
        return outputs[:, index, :]
    if "padding_mask" not in backbone.input:
        raise UserError(
            "A backbone to classify texts with says which token stands for a text (cls_token_index), or has a padding_mask, so that "
            f"the last one can be found. Received: {type(backbone).__name__} with inputs {sorted(backbone.input)}."
        )
    return LastToken(name="last_token", dtype=backbone.dtype_policy)(outputs, backbone.input["padding_mask"])
