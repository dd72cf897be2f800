"""Log-probabilities of chosen tokens under a language model: the one place where likelihoods are computed.

A request is a row of token ids and, for some places of it, a token each. Rows that are the same, or (for a causal model) the
beginning of another, are read once; short ones are packed into rows of few static lengths, so that next to nothing is padding;
and the product with the vocabulary, the dear part, is made for the places that are asked for and no others.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import keras
import numpy as np
from keras import ops

from tfllm.errors import UserError
from tfllm.models import CausalLM, MaskedLM
from tfllm.tasks.compiled import compiled

BATCH_TOKENS = 4096  # tokens a step
_SHORTEST_ROW = 128  # shorter rows would be packed no better, and be one more compilation
_PLACES = (64, 512)  # places a product with the vocabulary; the logits of 512 in float32 are 100 MB for 50,000 tokens


@dataclass(frozen=True)
class Request:
    """What is asked about one row.

    Attributes:
        token_ids: what the model reads.
        places: where in it the model's distribution is wanted. A causal model's is over the next token.
        targets: a token for each place, whose log-probability is wanted.
    """

    token_ids: tuple[int, ...]
    places: tuple[int, ...]
    targets: tuple[int, ...]


@dataclass(frozen=True)
class Answer:
    """What the model says about a request.

    Attributes:
        log_probs: natural log-probabilities of the targets, `(len(targets),)` float32.
        greedy: whether each target is the most probable token, `(len(targets),)` bool.
    """

    log_probs: np.ndarray
    greedy: np.ndarray


@dataclass
class _Row:
    """Requests that read the same tokens."""

    token_ids: tuple[int, ...]
    members: list[int] = field(default_factory=list)


def answer(
    model: keras.Model,
    requests: Sequence[Request],
    *,
    batch_tokens: int = BATCH_TOKENS,
    progress: Callable[[int, int], None] | None = None,
) -> list[Answer]:
    """Answers requests, in their order.

    Args:
        model: a `CausalLM` or a `MaskedLM`.
        requests: at least one place each.
        batch_tokens: tokens a step; more are faster until the cache or the memory is full.
        progress: called with (tokens read, tokens in all).

    Raises:
        UserError: the model is neither, or a request is longer than the model reads or names a token it does not have.

    Example:
        >>> (one,) = answer(model, [Request((5, 6, 7), (1, 2), (7, 8))])  # doctest: +SKIP
        >>> one.log_probs.shape  # doctest: +SKIP
        (2,)
    """
    if not isinstance(model, (CausalLM, MaskedLM)):
        raise UserError(
            f"Likelihoods are asked of a causal or a masked language model. Received: a {type(model).__name__}. Give a "
            "checkpoint that has its language-model head."
        )
    _check(model, requests)
    rows = _distinct(requests, shared_beginnings=isinstance(model, CausalLM))
    total, done = sum(len(row.token_ids) for row in rows), 0
    results: list[Answer | None] = [None] * len(requests)
    for batch in packed([len(row.token_ids) for row in rows], batch_tokens):
        members = [(row, start, rows[index]) for row, packs in enumerate(batch.rows) for start, index in packs]
        hidden = _hidden(model, batch, members)
        places, targets, sizes = [], [], []
        for row, start, content in members:
            for i in content.members:
                places += [row * batch.width + start + place for place in requests[i].places]
                targets += requests[i].targets
                sizes.append((i, len(requests[i].targets)))
        log_probs, greedy = _of_places(model, hidden, np.array(places, np.int32), np.array(targets, np.int32))
        begin = 0
        for i, size in sizes:
            results[i] = Answer(log_probs[begin : begin + size], greedy[begin : begin + size])
            begin += size
        done += sum(len(content.token_ids) for _, _, content in members)
        if progress is not None:
            progress(done, total)
    return results


def longest_row(model: keras.Model) -> int | None:
    """The longest row that a model reads; `None` where nothing bounds it (ALiBi)."""
    config = model.config
    return None if config.position in ("alibi", "none") else config.max_positions


def _check(model, requests: Sequence[Request]) -> None:
    longest, size = longest_row(model), model.config.vocab_size
    for i, request in enumerate(requests):
        ids = np.array(request.token_ids + request.targets)
        if not len(request.places) == len(request.targets) > 0:
            raise UserError(f"requests[{i}] must have a target for each of its places, and one place at least.")
        if not 0 <= min(request.places) <= max(request.places) < len(request.token_ids):
            raise UserError(
                f"requests[{i}] has places from 0 to {len(request.token_ids) - 1}. Received: {request.places}."
            )
        if longest is not None and len(request.token_ids) > longest:
            raise UserError(
                f"requests[{i}] is longer than the model reads, {longest}: {len(request.token_ids)} tokens."
            )
        if ids.min() < 0 or ids.max() >= size:
            raise UserError(
                f"requests[{i}]: token ids must be from 0 to {size - 1}. Received: {ids.min()} to {ids.max()}."
            )


def _distinct(requests: Sequence[Request], shared_beginnings: bool) -> list[_Row]:
    """The rows to read: each once, and none that another one begins with if that is of no consequence."""
    rows: list[_Row] = []
    # From the last in alphabetical order: what begins with a row comes right after it in order.
    for i in sorted(range(len(requests)), key=lambda i: requests[i].token_ids, reverse=True):
        ids = requests[i].token_ids
        last = rows[-1].token_ids if rows else ()
        if rows and (last[: len(ids)] == ids if shared_beginnings else last == ids):
            rows[-1].members.append(i)
        else:
            rows.append(_Row(ids, [i]))
    return rows


@dataclass(frozen=True)
class PackedBatch:
    """Where rows stand in a batch: for each of its rows (start, index) pairs; `height` x `width` is its static shape."""

    height: int
    width: int
    rows: list[list[tuple[int, int]]]


def packed(lengths: Sequence[int], batch_tokens: int) -> list[PackedBatch]:
    """Deals rows into batches, the longest first, each into the fullest place that it fits in.

    Example:
        >>> [batch] = packed([100, 60, 68, 28], 256)
        >>> (batch.height, batch.width), batch.rows
        ((2, 128), [[(0, 0), (100, 3)], [(0, 2), (68, 1)]])
    """
    waiting: dict[int, list[int]] = {}  # by length
    for index in range(len(lengths) - 1, -1, -1):
        waiting.setdefault(lengths[index], []).append(index)
    sizes = sorted(waiting)

    def take(room: int) -> tuple[int, int] | None:
        """The longest that fits."""
        at = bisect.bisect_right(sizes, room) - 1
        if at < 0:
            return None
        size = sizes[at]
        index = waiting[size].pop()
        if not waiting[size]:
            del sizes[at], waiting[size]
        return size, index

    batches = []
    while sizes:
        width = row_length(sizes[-1])
        height = max(1, batch_tokens // width)
        rows: list[list[tuple[int, int]]] = []
        while sizes and len(rows) < height:
            row, start = [], 0
            while found := take(width - start):
                row.append((start, found[1]))
                start += found[0]
            rows.append(row)
        if len(rows) < height:  # the last: no more rows than needed, to a power of two
            height = min(height, 1 << (len(rows) - 1).bit_length())
        batches.append(PackedBatch(height, width, rows))
    return batches


def row_length(longest: int) -> int:
    """The static length for rows of up to `longest` tokens: 128, 192, 256, 384, 512, ...

    Example:
        >>> [row_length(n) for n in (5, 129, 200, 1000)]
        [128, 192, 256, 1024]
    """
    size = _SHORTEST_ROW
    while size < longest:
        size = size * 3 // 2 if size & (size - 1) == 0 else size // 3 * 4
    return size


def _hidden(model, batch: PackedBatch, members):
    """Hidden states of a batch, `(height * width, D)`."""
    shape = (batch.height, batch.width)
    token_ids, example_ids, position_ids = (np.zeros(shape, np.int32) for _ in range(3))
    number = 0
    for row, start, content in members:
        number = number + 1 if start else 1
        place = slice(start, start + len(content.token_ids))
        token_ids[row, place], example_ids[row, place] = content.token_ids, number
        position_ids[row, place] = np.arange(len(content.token_ids))
    return compiled(_states, model)(token_ids, example_ids, position_ids)


def _of_places(model, hidden, places: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities and whether greedy, `(len(places),)` each, in pieces of few static sizes."""
    scores = compiled(_scores, model)
    values, greedy = [], []
    small, large = _PLACES
    for begin in range(0, len(places), large):
        some = len(places[begin : begin + large])
        size = large if some > small else small
        padded = [np.resize(array[begin : begin + large], size) for array in (places, targets)]
        log_probs, best = scores(hidden, *padded)
        values.append(ops.convert_to_numpy(log_probs)[:some])
        greedy.append(ops.convert_to_numpy(best)[:some])
    return np.concatenate(values), np.concatenate(greedy)


def _states(model, token_ids, example_ids, position_ids):
    """Hidden states of a batch, its rows one after the other."""
    inputs = {"token_ids": token_ids, "example_ids": example_ids, "position_ids": position_ids}
    states = model.backbone(inputs, training=False)
    return ops.reshape(states, (-1, states.shape[-1]))


def _scores(model, states, places, targets):
    """Log-probabilities of the targets at some places, and whether each is the most probable token."""
    logits = ops.cast(model.logits(ops.take(states, places, axis=0)), "float32")
    chosen = ops.squeeze(ops.take_along_axis(logits, ops.expand_dims(targets, 1), axis=1), 1)
    return chosen - ops.logsumexp(logits, axis=-1), ops.equal(ops.cast(ops.argmax(logits, axis=-1), "int32"), targets)
