"""What a checkpoint says about the tokens that begin and end a text."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras

from tfllm.generation.constraints import BadWords, ForcedFirst, ForcedLast, SuppressAt


@dataclasses.dataclass(frozen=True)
class SpecialIds:
    """Token ids that generation needs.

    Attributes:
        bos: what a decoder's empty prompt becomes, or `None`.
        eos: tokens that end a text.
        decoder_start: what an encoder-decoder's target begins with, or `None`.
        forced_first, forced_last: the first, and the last possible, generated token, or `None`.
        bad_words: sequences that are never generated.
        not_first: tokens that a text does not begin with. (After `forced_first`, where there is one.)
    """

    bos: int | None
    eos: tuple[int, ...]
    decoder_start: int | None
    forced_first: int | None = None
    forced_last: int | None = None
    bad_words: tuple[tuple[int, ...], ...] = ()
    not_first: tuple[int, ...] = ()

    def processors(self) -> list:
        result = []
        if self.bad_words:
            result.append(BadWords(self.bad_words))
        if self.forced_first is not None:
            result.append(ForcedFirst(self.forced_first))
        if self.forced_last is not None:
            result.append(ForcedLast(self.forced_last))
        if self.not_first:
            result.append(SuppressAt(self.not_first, 0 if self.forced_first is None else 1))
        return result


def special_ids(model: keras.Model) -> SpecialIds:
    """Those of a model: from its checkpoint's generation_config.json and config.json, else from its config.

    Only what belongs to the text's form is read. A checkpoint's own preferences (its temperature, its number of beams) are not.
    """
    record = model.checkpoint or {}
    stated: dict[str, Any] = {**(record.get("hf_config") or {}), **(record.get("generation_config") or {})}
    config = model.config
    eos = stated.get("eos_token_id", config.eos_id)
    eos = () if eos is None else tuple(eos) if isinstance(eos, (list, tuple)) else (eos,)
    ordinary = {(token,) for token in eos}
    bad = tuple(tuple(word) for word in stated.get("bad_words_ids") or () if tuple(word) not in ordinary)
    bad += tuple((token,) for token in stated.get("suppress_tokens") or () if token >= 0)
    start = stated.get("decoder_start_token_id")
    return SpecialIds(
        bos=config.bos_id if stated.get("bos_token_id") is None else stated["bos_token_id"],
        eos=eos,
        decoder_start=config.decoder_start_id if start is None else start,
        forced_first=stated.get("forced_bos_token_id"),
        forced_last=_one(stated.get("forced_eos_token_id")),
        bad_words=bad,
        not_first=tuple(token for token in stated.get("begin_suppress_tokens") or () if token >= 0),
    )


def _one(token):
    return token[0] if isinstance(token, (list, tuple)) else token
