"""How likely a masked language model finds a sentence: each token masked in turn and scored from both its sides.

Salazar et al. 2020, Masked Language Model Scoring, ACL. CrowS-Pairs (Nangia et al. 2020) sums over the tokens alone that two
sentences share; StereoSet (Nadeem et al. 2021) fills one blank.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence

import keras
import numpy as np

from tfllm.errors import UserError
from tfllm.models import MaskedLM
from tfllm.tasks.likelihood import Likelihood, Progress, tokenizer_of
from tfllm.tasks.token_likelihoods import BATCH_TOKENS, Request, answer, longest_row


def masked_sentences(
    model: keras.Model,
    sentences: Sequence[str],
    places: Sequence[Sequence[int]] | None = None,
    *,
    batch_tokens: int = BATCH_TOKENS,
    progress: Progress = None,
) -> list[Likelihood]:
    """Pseudo-log-likelihoods of sentences: the sum of each token's log-probability where it alone is masked.

    Args:
        model: a `MaskedLM` with a tokenizer that has a mask token.
        sentences: N texts.
        places: for each, the places of its token ids (special tokens counted) to sum over; default: all but the special tokens.
        batch_tokens, progress: as in `tfllm.tasks.likelihood.continuations`.

    Raises:
        UserError: another model, no mask token, or a sentence that is longer than the model reads or has no token.
    """
    tokenizer = _tokenizer(model)
    requests, owners = [], []
    for i, sentence in enumerate(sentences):
        ids = with_special_tokens(model, sentence)
        chosen = text_places(model, ids) if places is None else places[i]
        if not len(chosen):
            raise UserError(f"A sentence needs a token at least to be scored. Received: {sentence!r}.")
        for place in chosen:
            masked = (*ids[:place], tokenizer.mask_id, *ids[place + 1 :])
            requests.append(Request(tuple(masked), (place,), (ids[place],)))
            owners.append(i)
    values = [[] for _ in sentences]
    greedy = [[] for _ in sentences]
    for i, found in zip(owners, answer(model, requests, batch_tokens=batch_tokens, progress=progress)):
        values[i].append(found.log_probs)
        greedy[i].append(found.greedy)
    result = []
    for some, flags in zip(values, greedy):
        log_probs = np.concatenate(some)
        result.append(
            Likelihood(math.fsum(log_probs.astype(float)), len(log_probs), bool(np.all(flags)), False, log_probs)
        )
    return result


def around_the_span(
    model: keras.Model,
    groups: Sequence[Sequence[str]],
    *,
    batch_tokens: int = BATCH_TOKENS,
    progress: Progress = None,
) -> list[list[Likelihood]]:
    """Pseudo-log-likelihoods of what texts share that differ in one span (a name, an answer): CrowS-Pairs' idea for any number.

    Summed are the same tokens in every text of a group, those before and after the span, each masked in turn. The span itself is not
    scored: a sum over more tokens would be lower, and a rarer word less likely, whatever it stands for.

    Args:
        model: as in `masked_sentences`.
        groups: texts to be compared with each other.
        batch_tokens, progress: as in `tfllm.tasks.likelihood.continuations`.

    Raises:
        UserError: as `masked_sentences`, or texts of a group have no token in common around their span.
    """
    texts, places = [], []
    for group in groups:
        encoded = [with_special_tokens(model, text) for text in group]
        room = min(map(len, encoded))
        before = _common(encoded, room)
        after = _common([ids[::-1] for ids in encoded], room - before)
        for text, ids in zip(group, encoded):
            own = text_places(model, ids)
            around = [place for place in own if place < before or place >= len(ids) - after]
            if not around:
                raise UserError(f"Texts must share a token to be compared. Received: {', '.join(map(repr, group))}.")
            texts.append(text)
            places.append(around)
    found = iter(masked_sentences(model, texts, places, batch_tokens=batch_tokens, progress=progress))
    return [[next(found) for _ in group] for group in groups]


def _common(sequences: Sequence[Sequence[int]], most: int) -> int:
    """How many of the first items, `most` at most, are the same in all."""
    return next((n for n in range(most) if len({sequence[n] for sequence in sequences}) > 1), most)


def shared_places(model: keras.Model, first: str, second: str) -> tuple[list[int], list[int]]:
    """Places of the tokens that two sentences share, in the token ids of each: CrowS-Pairs' rule.

    `difflib.SequenceMatcher` over the token ids, special tokens among them, gives the equal stretches; the first and the last of
    all shared places (`[CLS]` and `[SEP]`) are left out (`metric.py` of https://github.com/nyu-mll/crows-pairs).
    """
    ids = [with_special_tokens(model, sentence) for sentence in (first, second)]
    matcher = difflib.SequenceMatcher(None, *ids)
    places: tuple[list[int], list[int]] = ([], [])
    for kind, begin, end, other_begin, other_end in matcher.get_opcodes():
        if kind == "equal":
            places[0].extend(range(begin, end))
            places[1].extend(range(other_begin, other_end))
    return places[0][1:-1], places[1][1:-1]


def filled_blanks(
    model: keras.Model,
    blanks: Sequence[tuple[str, str]],
    *,
    batch_tokens: int = BATCH_TOKENS,
    progress: Progress = None,
) -> list[float]:
    """How well words fill a blank, as StereoSet has it: the mean probability of the word's tokens, from left to right.

    For token k of the word the blank holds tokens 0 to k - 1 as text, and one mask after them; the rest of the word is not there
    (`code/dataloader.py` and `code/eval_discriminative_models.py` of https://github.com/moinnadeem/StereoSet).

    Args:
        model: as in `masked_sentences`.
        blanks: (sentence with `BLANK` in it, word).
        batch_tokens, progress: as in `tfllm.tasks.likelihood.continuations`.
    """
    tokenizer = _tokenizer(model)
    requests, owners = [], []
    for i, (sentence, word) in enumerate(blanks):
        word_ids = tokenizer.encode(word, add_special_tokens=False)
        if not word_ids:
            raise UserError(f"A blank is filled with a token at least. Received: {word!r} for {sentence!r}.")
        for k, target in enumerate(word_ids):
            begun = tokenizer.decode(word_ids[:k]) if k else ""
            ids = with_special_tokens(model, sentence.replace("BLANK", begun + mask_text(model)))
            places = [place for place, token in enumerate(ids) if token == tokenizer.mask_id]
            # A context with several blanks has them all filled the same way: the official scorer reads the first of them.
            requests.append(Request(tuple(ids), (places[0],), (target,)))
            owners.append(i)
    probabilities = [[] for _ in blanks]
    for i, found in zip(owners, answer(model, requests, batch_tokens=batch_tokens, progress=progress)):
        probabilities[i].append(float(np.exp(found.log_probs.astype(float))[0]))
    return [math.fsum(some) / len(some) for some in probabilities]


def with_special_tokens(model: keras.Model, sentence: str) -> list[int]:
    """Token ids as the model reads a sentence.

    Raises:
        UserError: more than it can read.
    """
    ids, longest = model.tokenizer.encode(sentence), longest_row(model)
    if longest is not None and len(ids) > longest:
        raise UserError(
            f"A sentence must fit into the {longest} tokens that the model reads. Received: {len(ids)} tokens, "
            f"{sentence[:40]!r} ..."
        )
    return ids


def text_places(model: keras.Model, ids: Sequence[int]) -> list[int]:
    """Places of all but the special tokens that the tokenizer sets around a text."""
    before, after = model.tokenizer.template.single.specials
    return list(range(len(before), len(ids) - len(after)))


def mask_text(model: keras.Model) -> str:
    """The mask token as it is written in a text."""
    return model.tokenizer.id_to_token(model.tokenizer.mask_id)


def _tokenizer(model: keras.Model):
    if not isinstance(model, MaskedLM):
        raise UserError(f"Pseudo-likelihoods are asked of a masked language model. Received: a {type(model).__name__}.")
    tokenizer = tokenizer_of(model)
    if tokenizer.mask_id is None:
        raise UserError("Pseudo-likelihoods need a tokenizer with a mask token. Received: one without.")
    return tokenizer
