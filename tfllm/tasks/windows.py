"""Questions with contexts that are longer than a model's row: overlapping windows, each with the whole question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfllm.data.tokenized import TokenizedExamples
from tfllm.errors import UserError
from tfllm.text.template import ranges

NO_ANSWER = 0  # the place of a window's first token, which stands for "the answer is not here"


@dataclass(frozen=True, eq=False)
class Windows(TokenizedExamples):
    """W windows of N questions: one example for the model each.

    Attributes:
        labels: `(W, 2)` int32, first and last place of the answer in its window, `NO_ANSWER` twice where it is not in
            this one; `None` without answers.
        truncated: how many questions were cut. Contexts never are.
        questions: `(W,)` the question of each window, ascending.
        spans: `(tokens, 2)` int32, beside `token_ids`: which characters of the context a token comes from; -1 for tokens
            of the question and special ones.
        widest: `(tokens,)` bool: of all windows that hold this token of the context, this one shows the most around it.
    """

    questions: np.ndarray | None = None
    spans: np.ndarray | None = None
    widest: np.ndarray | None = None


def make_windows(
    questions: Sequence[str],
    contexts: Sequence[str],
    tokenizer,
    *,
    max_length: int,
    stride: int | None = None,
    max_question: int = 64,
    answers: Sequence[tuple[int, int] | None] | None = None,
) -> Windows:
    """Cuts contexts into windows.

    Args:
        questions, contexts: N texts each. Equal contexts are tokenised once.
        tokenizer: a `tfllm.text.Tokenizer` with offsets.
        max_length: tokens of a window, with the question and the special tokens.
        stride: tokens of the context from one window's beginning to the next one's; default: half of what there is room
            for. More than there is room for would leave tokens out, and is cut to that.
        max_question: tokens that a question is cut to.
        answers: the characters of each answer, first and one after the last; `None` for no answer.

    Raises:
        UserError: a length or stride that leaves no room, or a tokenizer without offsets.
    """
    layout = tokenizer.template.pair
    room = tokenizer.room(max_length, layout.num_specials)
    if stride is not None and stride < 1:
        raise UserError(f"stride must be at least 1. Received: stride={stride}.")
    numbers: dict[str, int] = {}
    which = np.array([numbers.setdefault(context, len(numbers)) for context in contexts])
    context_ids, context_counts, context_spans = tokenizer.encode_with_offsets(list(numbers))
    context_starts = np.cumsum(context_counts) - context_counts
    question_ids, question_counts, _ = tokenizer.encode_with_offsets(questions)
    question_starts = np.cumsum(question_counts) - question_counts
    kept = np.minimum(question_counts, max_question)
    if (kept >= room).any():
        raise UserError(
            f"max_length must leave room for a context beside a question of {kept.max()} tokens and "
            f"{layout.num_specials} special ones. Received: max_length={max_length}."
        )

    owners, begins, ends, labels, widest = [], [], [], [], []
    for number, context in enumerate(which):
        size, space = int(context_counts[context]), room - int(kept[number])
        step = min(stride or max(1, space // 2), space)
        windows = _cut(size, space, step)
        spans = context_spans[context_starts[context] : context_starts[context] + size]
        answer = None if answers is None else _tokens_of(spans, answers[number])
        before = len(layout.specials[0]) + int(kept[number]) + len(layout.specials[1])
        for begin, end in windows:
            owners.append(number)
            begins.append(begin)
            ends.append(end)
            inside = answer is not None and begin <= answer[0] and answer[1] < end
            labels.append(
                (before + answer[0] - begin, before + answer[1] - begin) if inside else (NO_ANSWER, NO_ANSWER)
            )
        widest.append(_widest(windows, size))

    owners, begins, ends = np.array(owners), np.array(begins), np.array(ends)
    counts = ends - begins
    sources = np.repeat(context_starts[which[owners]] + begins, counts) + ranges(counts)
    asked = kept[owners]
    asked_sources = np.repeat(question_starts[owners], asked) + ranges(asked)
    ids, offsets, type_ids = layout.assemble(
        [(question_ids[asked_sources], asked), (context_ids[sources], counts)], tokenizer.has_type_ids
    )
    first = offsets[:-1] + len(layout.specials[0]) + asked + len(layout.specials[1])
    places = np.repeat(first, counts) + ranges(counts)
    all_spans = np.full((len(ids), 2), -1, np.int32)
    all_spans[places] = context_spans[sources]
    shown = np.zeros(len(ids), bool)
    shown[places] = np.concatenate(widest)
    return Windows(
        token_ids=ids,
        offsets=offsets,
        type_ids=type_ids,
        labels=None if answers is None else np.array(labels, np.int32),
        truncated=int((kept < question_counts).sum()),
        questions=owners,
        spans=all_spans,
        widest=shown,
    )


def _cut(size: int, space: int, step: int) -> list[tuple[int, int]]:
    """`(begin, end)` of windows over `size` tokens; the last one reaches the end."""
    windows, begin = [], 0
    while True:
        end = min(size, begin + space)
        windows.append((begin, end))
        if end == size:
            return windows
        begin += step


def _tokens_of(spans: np.ndarray, answer: tuple[int, int] | None) -> tuple[int, int] | None:
    """The first and last token of some characters; `None` where no token comes from them."""
    if answer is None:
        return None
    first = int(np.searchsorted(spans[:, 1], answer[0], side="right"))
    last = int(np.searchsorted(spans[:, 0], answer[1], side="left")) - 1
    return (first, last) if first <= last else None


def _widest(windows: Sequence[tuple[int, int]], size: int) -> np.ndarray:
    """For each token of each window, in turn: whether no other window shows more on its narrower side. Of equals the first.

    BERT's "maximum context": a token at a window's edge is predicted better in the window where it stands further in.
    """
    views = np.full((len(windows), size), -1.0)
    for row, (begin, end) in enumerate(windows):
        places = np.arange(begin, end)
        views[row, begin:end] = np.minimum(places - begin, end - 1 - places) + 0.01 * (end - begin)
    best = views.argmax(axis=0) if size else np.zeros(0, int)
    return np.concatenate([best[begin:end] == row for row, (begin, end) in enumerate(windows)])
