"""A backbone that gives one vector a text: what retrieval compares."""

from __future__ import annotations

import keras
from keras import ops

from tfllm.config import TransformerConfig
from tfllm.errors import UserError
from tfllm.models import losses
from tfllm.models.backbones import Decoder, Encoder, backbone_class
from tfllm.models.base import TransformerModel
from tfllm.models.inputs import complete_batch, default_head_positions, mean_of_examples


@keras.saving.register_keras_serializable("tfllm")
class TextEmbedder(TransformerModel):
    """The mean of a text's last hidden states: `(B, K, D)` float32, K texts a row. It has no weights beyond its backbone's.

    Its loss tells the second text of each row from those of the other rows (see `losses.InBatchContrast`).

    Args:
        config: the architecture, of an encoder or a decoder alone.
        with_pooler: as in `Encoder`; the pooler is kept for saving, neither used nor trained.
        backbone: an `Encoder` or `Decoder` of that config; default: a new one.

    Raises:
        UserError: the architecture is an encoder-decoder's.

    Example:
        >>> config = TransformerConfig(vocab_size=99, hidden_size=32, num_layers=2, num_heads=4, intermediate_size=64)
        >>> TextEmbedder(config)(keras.ops.ones((2, 7), "int32")).shape
        TensorShape([2, 1, 32])
    """

    def __init__(
        self,
        config: TransformerConfig,
        *,
        with_pooler: bool = False,
        backbone: Encoder | Decoder | None = None,
        **kwargs,
    ):
        super().__init__(config, **kwargs)
        if self.config.is_encoder_decoder:
            raise UserError(
                "Retrieval takes the hidden states of an encoder or a decoder alone. Received: an encoder-decoder."
            )
        if backbone is None:
            options = {} if self.config.causal else {"with_pooler": with_pooler}
            backbone = backbone_class(self.config)(self.config, dtype=self.dtype_policy, **options)
        self.backbone = backbone
        pooler = getattr(backbone, "pooler", None)
        self.with_pooler = pooler is not None
        if pooler is not None:
            pooler.trainable = False
        self.build()

    @classmethod
    def around(cls, backbone: Encoder | Decoder) -> TextEmbedder:
        """An embedder of a loaded backbone's weights, with its tokenizer and the record of its checkpoint."""
        record = backbone.checkpoint
        if record is not None:  # a pooler that the directory has not is made, and saved, but it takes no part
            record["fresh"] = [path for path in record.get("fresh", ()) if not path.startswith("pooler/")]
        model = cls(backbone.config, backbone=backbone, checkpoint=record, dtype=backbone.dtype_policy)
        model.tokenizer, model.carried_tensors = backbone.tokenizer, backbone.carried_tensors
        return model

    def build(self, input_shape=None):
        """The backbone was built when it was made."""

    def call(self, inputs, training=None):
        """A batch dictionary (see `complete_batch`) to vectors `(B, K, D)` float32; `head_positions` name one token of each text."""
        batch = complete_batch(inputs, self.config)
        hidden = ops.cast(self.backbone(batch, training=training), "float32")
        positions = batch["head_positions"]
        if positions is None:
            positions = default_head_positions(batch["example_ids"], self.config.pooled)
        return mean_of_examples(hidden, batch["example_ids"], positions)

    def compile_defaults(self) -> dict:
        return {"loss": losses.InBatchContrast()}

    def get_config(self):
        return {**super().get_config(), "with_pooler": self.with_pooler}
