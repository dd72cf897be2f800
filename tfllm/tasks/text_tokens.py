"""Sources and targets as the tokens that a language model is fine-tuned on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfllm.data.text_pairs import TokenizedPairs
from tfllm.data.tokenized import TokenizedExamples
from tfllm.errors import UserError
from tfllm.text import Tokenizer
from tfllm.text.target_form import TargetForm
from tfllm.text.template import ranges

_Flat = tuple[np.ndarray, np.ndarray]  # ids of all texts, and the number of each


def pair_tokens(
    sources: Sequence[str],
    targets: Sequence[str] | None,
    tokenizer: Tokenizer,
    form: TargetForm,
    *,
    max_source: int,
    max_target: int,
    language: str | None = None,
) -> TokenizedPairs:
    """Tokens for an encoder-decoder: each side with the special tokens that the tokenizer's template sets.

    Args:
        sources: N texts, the prompt around them included.
        targets: N texts; `None` where they are not known.
        tokenizer: of the model.
        form: of the model.
        max_source, max_target: tokens that either side is cut to; cut examples are counted.
        language: token that stands in the target where the template has the source's language (multilingual models).
    """
    encoded = tokenizer.encode_batch(sources, max_length=max_source)
    if not encoded.lengths.all():
        row = int(np.argmin(encoded.lengths))
        raise UserError(
            f"Every source must have at least one token. Received: none in example {row}, {sources[row]!r}."
        )
    if targets is None:
        return TokenizedPairs(encoded.ids, encoded.offsets, truncated=encoded.truncated)
    cut = _too_long(tokenizer, sources, max_source)
    ids, counts = tokenizer.encode_batch(targets, add_special_tokens=False, max_length=None), None
    before, after = _target_specials(tokenizer, form, language)
    room = max_target - len(before) - len(after)
    if room < 1:
        raise UserError(f"max_target must leave room for a text beside {max_target - room} special tokens.")
    counts = np.minimum(ids.lengths, room)
    targets_cut = counts < ids.lengths
    flat = ids.ids[np.repeat(ids.offsets[:-1], counts) + ranges(counts)]
    target_ids, target_offsets = _surround(before, (flat, counts), after)
    last = target_ids[target_offsets[1:] - 1]
    starts = last if form.start_id is None else np.full(len(counts), form.start_id)
    return TokenizedPairs(
        encoded.ids,
        encoded.offsets,
        truncated=int((cut | targets_cut).sum()),
        target_ids=target_ids,
        target_offsets=target_offsets,
        target_starts=starts.astype(np.int32),
        targets_cut=int(targets_cut.sum()),
    )


def continuation_tokens(
    sources: Sequence[str],
    targets: Sequence[str] | None,
    tokenizer: Tokenizer,
    form: TargetForm,
    *,
    after: str,
    max_source: int,
    max_target: int,
    keep_end: bool = False,
) -> TokenizedExamples:
    """Tokens for a decoder alone: source, what stands behind it, and target in one sequence; only the target has labels.

    Args:
        sources, targets, tokenizer, form, max_target: as in `pair_tokens`.
        after: text between source and target; it is there also where the source is cut.
        max_source: tokens before the target, `after` and special tokens included.
        keep_end: cut the beginning of a source that is too long, whatever the tokenizer's side.
    """
    first = tokenizer.template.single.specials[0]
    behind = tokenizer.encode(after, add_special_tokens=False) if after else []
    room = max_source - len(first) - len(behind)
    if room < 1:
        raise UserError(
            f"max_length must leave room for a source beside {max_target} tokens of the target and "
            f"{max_source - room} of the prompt. Received: {room} tokens of room."
        )
    read = tokenizer.encode_batch(sources, add_special_tokens=False)
    kept = np.minimum(read.lengths, room)
    cut = kept < read.lengths
    starts = read.offsets[1:] - kept if keep_end or tokenizer.truncation_side == "left" else read.offsets[:-1]
    ids, offsets = _surround(first, (read.ids[np.repeat(starts, kept) + ranges(kept)], kept), behind)
    if not np.diff(offsets).all():
        raise UserError("Every source must have at least one token. Received: an empty one, and no prompt around it.")
    if targets is None:
        return TokenizedExamples(ids, offsets, truncated=int(cut.sum()))
    end = () if form.eos_id is None else (form.eos_id,)
    written = tokenizer.encode_batch(targets, add_special_tokens=False)
    counts = np.minimum(written.lengths, max(1, max_target - len(end)))
    cut |= counts < written.lengths
    flat = written.ids[np.repeat(written.offsets[:-1], counts) + ranges(counts)]
    target_ids, target_offsets = _surround((), (flat, counts), end)
    return _joined(ids, offsets, target_ids, target_offsets, int(cut.sum()))


def _joined(ids, offsets, target_ids, target_offsets, truncated: int) -> TokenizedExamples:
    """Source and target one behind the other; a token's label is the next token where that is of the target."""
    before, counts = np.diff(offsets), np.diff(target_offsets)
    joined = np.concatenate([[0], np.cumsum(before + counts)])
    tokens = np.empty(joined[-1], np.int32)
    tokens[np.repeat(joined[:-1], before) + ranges(before)] = ids
    places = np.repeat(joined[:-1] + before, counts) + ranges(counts)
    tokens[places] = target_ids
    labels = np.full(len(tokens), -1, np.int32)
    labels[places - 1] = target_ids
    return TokenizedExamples(tokens, joined, truncated=truncated, token_labels=labels)


def _surround(before: Sequence[int], texts: _Flat, after: Sequence[int]) -> _Flat:
    """Ids before and after each of N texts: flat ids, and offsets `(N + 1,)`."""
    flat, counts = texts
    lengths = counts + len(before) + len(after)
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    ids = np.empty(offsets[-1], np.int32)
    for place, token in enumerate(before):
        ids[offsets[:-1] + place] = token
    ids[np.repeat(offsets[:-1] + len(before), counts) + ranges(counts)] = flat
    for place, token in enumerate(after):
        ids[offsets[1:] - len(after) + place] = token
    return ids, offsets


def _target_specials(tokenizer: Tokenizer, form: TargetForm, language: str | None) -> tuple[list[int], list[int]]:
    """The special tokens around a target: the template's, with the target's language for the source's."""
    before, after = (list(group) for group in tokenizer.template.single.specials)
    if language is not None:
        wanted = tokenizer.token_to_id(language)
        if wanted is None:
            raise UserError(f"language must be a token of the tokenizer. Received: {language!r}.")
        known = {tokenizer.cls_id, tokenizer.sep_id, tokenizer.bos_id, tokenizer.eos_id, form.eos_id}
        places = [
            (group, place) for group in (before, after) for place, token in enumerate(group) if token not in known
        ]
        if len(places) != 1:
            raise UserError(
                "language is for multilingual models, whose tokenizer sets one language token around a text. "
                f"Received: language={language!r}, and a tokenizer that sets {len(places)}."
            )
        group, place = places[0]
        group[place] = wanted
    if form.eos_id is not None and form.eos_id not in (*before, *after):
        after.append(form.eos_id)
    return before, after


def _too_long(tokenizer: Tokenizer, texts: Sequence[str], most: int) -> np.ndarray:
    specials = tokenizer.template.single.num_specials
    return tokenizer.encode_batch(texts, add_special_tokens=False).lengths + specials > most
