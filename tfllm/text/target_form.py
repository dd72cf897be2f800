"""How a model reads and ends the text that it writes: what a tokenizer must know to make training batches for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TargetForm:
    """What `tfllm.load` learns of a language model and puts on its tokenizer, beside `pooled`.

    Attributes:
        encoder_decoder: the source goes through an encoder, and the target through a decoder of its own; else both are one
            sequence.
        start_id: the token that an encoder-decoder's target begins with; `None`: the target's own last token (mBART).
        eos_id: the token that ends a target; `None` where there is none.
        longest: tokens that the model has positions for; `None` without a bound.

    Example:
        >>> TargetForm.of(TransformerConfig(99, 32, 2, 4, 64, causal=True, eos_id=2)).eos_id  # doctest: +SKIP
        2
    """

    encoder_decoder: bool
    start_id: int | None = None
    eos_id: int | None = None
    longest: int | None = None

    @classmethod
    def of(cls, config, stated: Mapping[str, Any] | None = None) -> TargetForm | None:
        """That of a model's `TransformerConfig`; `None` for a model that writes no text.

        Args:
            config: of the model.
            stated: the checkpoint's `config.json`, which may name other tokens.
        """
        if not (config.causal or config.is_encoder_decoder):
            return None
        stated = stated or {}
        start, eos = stated.get("decoder_start_token_id"), stated.get("eos_token_id", config.eos_id)
        if isinstance(eos, (list, tuple)):
            eos = eos[0] if eos else None
        return cls(
            encoder_decoder=config.is_encoder_decoder,
            start_id=config.decoder_start_id if start is None else start,
            eos_id=eos,
            longest=None if config.position in ("alibi", "none") else config.max_positions,
        )
