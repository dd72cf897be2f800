"""From options to the processors of the loop."""

from __future__ import annotations

import dataclasses

from tfllm.errors import UserError
from tfllm.generation.constraints import Allowed, BadWords, MinNewTokens
from tfllm.generation.grammars import constraint_name
from tfllm.generation.options import GenerationOptions
from tfllm.generation.penalties import CountPenalty, LogitBias, NoRepeatNgrams, RepetitionPenalty
from tfllm.generation.processors import Processor
from tfllm.generation.sampling import GumbelNoise, MinP, Temperature, TopK, TopP, TypicalP
from tfllm.generation.special_ids import SpecialIds
from tfllm.text import Tokenizer


def make_processors(options: GenerationOptions, special: SpecialIds, tokenizer: Tokenizer | None) -> list[Processor]:
    """The processors that the options ask for, in the order of transformers: penalties, constraints, then what cuts the distribution."""
    o, result = options, []
    if o.logit_bias:
        result.append(LogitBias(o.logit_bias))
    if o.repetition_penalty != 1:
        result.append(RepetitionPenalty(o.repetition_penalty))
    if o.presence_penalty or o.frequency_penalty:
        result.append(CountPenalty(o.presence_penalty, o.frequency_penalty))
    if o.no_repeat_ngram_size:
        result.append(NoRepeatNgrams(o.no_repeat_ngram_size))
    if o.bad_words:
        result.append(BadWords(word_sequences(o.bad_words, tokenizer)))
    if o.min_new_tokens and special.eos:
        result.append(MinNewTokens(o.min_new_tokens, special.eos))
    if constraint_name(o) is None:
        result += special.processors()
    else:  # it says itself where a text ends
        result += [*dataclasses.replace(special, forced_last=None).processors(), Allowed(shown=o.num_beams == 1)]
    if not o.sampled:
        return result
    if o.temperature != 1:
        result.append(Temperature(o.temperature))
    if o.top_k is not None:
        result.append(TopK(o.top_k))
    if o.top_p < 1:
        result.append(TopP(o.top_p))
    if o.min_p > 0:
        result.append(MinP(o.min_p))
    if o.typical_p < 1:
        result.append(TypicalP(o.typical_p))
    return [*result, GumbelNoise()]


def with_language(special: SpecialIds, language: str | None, tokenizer: Tokenizer | None) -> SpecialIds:
    """The special ids for a translation into a language: it is the first generated token, or what the target begins with (mBART).

    Raises:
        UserError: the vocabulary has no such token.
    """
    if language is None:
        return special
    token = None if tokenizer is None else tokenizer.token_to_id(language)
    if token is None:
        raise UserError(
            f"language must be a token of the model's vocabulary, as `__de__`, `de_DE` or `deu_Latn`. Received: {language!r}."
        )
    changed = "decoder_start" if special.decoder_start is None else "forced_first"
    return dataclasses.replace(special, **{changed: token})


def word_sequences(words: tuple[str, ...], tokenizer: Tokenizer | None) -> tuple[tuple[int, ...], ...]:
    """The token sequences of words, at the beginning of a text and after a space."""
    if tokenizer is None:
        raise UserError(f"bad_words need a tokenizer, and model.tokenizer is None. Received: bad_words={words}.")
    spelt = [text for word in words for text in dict.fromkeys((word, f" {word.strip()}"))]
    encoded = (tuple(tokenizer.encode(text, add_special_tokens=False)) for text in spelt)
    return tuple(dict.fromkeys(sequence for sequence in encoded if sequence))
