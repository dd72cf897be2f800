"""Continuous batching: many prompts through the few rows of a batch, each as long as it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tfllm.generation import prompts, slots
from tfllm.generation.grammars import make_grammar
from tfllm.generation.methods import PLAIN, Method
from tfllm.generation.options import GenerationOptions
from tfllm.generation.prompts import Prompt
from tfllm.generation.results import Generation, check_possible

if TYPE_CHECKING:
    from tfllm.generation.generator import Generator


def fits(rows: list[tuple[Prompt, int]], options: GenerationOptions, method: Method) -> bool:
    """Whether prompts can take each other's places: there are more than rows, and they are decoded token by token.

    Beams, drafts, contrastive search, guidance and grammars keep more for each row than its tokens and its cache.
    """
    plain = method == PLAIN and options.num_beams == 1 and make_grammar(options) is None
    return options.continuous and plain and len(rows) > options.batch_size


def generate_rows(
    generator: Generator, rows: list[tuple[Prompt, int]], options: GenerationOptions
) -> list[Generation] | None:
    """The texts of the prompts, in their order: those of plain batches, up to rounding of the logits.

    Args:
        generator: whose model, tokenizer and compiled loops to use.
        rows: prompts and seeds, more than `options.batch_size`.
        options: see `fits`.

    Returns:
        One `Generation` a row; `None` if a processor needs rows that begin together.
    """
    loops, eos, size = generator.loops, generator.special.eos, options.batch_size
    processors = generator._processors(options)
    # The longest first: what begins last should not be what takes longest.
    waiting = sorted(range(len(rows)), key=lambda i: (rows[i][0].limit, len(rows[i][0].token_ids)))
    owners: list[int | None] = [waiting.pop() for _ in range(size)]
    width = _width([prompt for prompt, _ in rows])
    new_tokens = prompts.bucket(max(prompt.limit for prompt, _ in rows))
    source = max(len(prompt.source_ids) for prompt, _ in rows)
    first = [rows[i] for i in owners]
    batch = prompts.make_batch(*zip(*first), size, width=width, source_length=source)
    state = slots.as_variables(loops.start(batch, new_tokens))
    texts = [generator._text(prompt, options) for prompt, _ in rows]
    given, results = [0] * len(rows), [None] * len(rows)
    step = 0
    while any(owner is not None for owner in owners):
        if step == new_tokens:
            # Not further than to where the loop began: a newcomer of the full width must have its places.
            step = int(loops.move_left(state, min(_room(state, owners), step)))
        count = min(new_tokens - step, options.chunk if options.stop else new_tokens)
        try:
            step = int(loops.advance_slots(processors, eos, state, count, idle=owners.count(None)))
        except slots.NeedsCommonStep:
            return None
        token_ids, real, lengths, finished, log_probs = (
            state[key].numpy() for key in ("token_ids", "real", "lengths", "finished", "log_probs")
        )
        check_possible(log_probs)
        for row, i in enumerate(owners):
            if i is None:
                continue
            text, new = texts[i], _generated(token_ids[row], real[row], lengths[row])
            if text is not None:
                text.add(new[given[i] :])
                given[i] = len(new)
            stopped = text is not None and text.stopped is not None
            if not (finished[row] or stopped):
                continue
            results[i] = generator._result(rows[i][0], text, new, log_probs[row])
            owners[row] = waiting.pop() if waiting else None
            if owners[row] is not None:
                prompt, seed = rows[owners[row]]
                one = prompts.make_batch([prompt], [seed], 1)
                loops.enter(state, row, loops.start(one, 1))
            elif stopped:
                state["finished"].assign(state["finished"].numpy() | (np.arange(size) == row))
    return results


def _width(rows: list[Prompt]) -> int:
    longest = max(len(prompt.token_ids) for prompt in rows)
    return 1 if longest == 1 else prompts.bucket(longest)


def _generated(token_ids: np.ndarray, real: np.ndarray, length: int) -> np.ndarray:
    """The last `length` tokens of a row that ends where its last real one stands."""
    end = len(real) - int(real[::-1].argmax())
    return token_ids[end - length : end]


def _room(state: dict, owners: list[int | None]) -> int:
    """Places before the first token of every live row."""
    live = [row for row, owner in enumerate(owners) if owner is not None]
    return int(state["real"].numpy()[live].argmax(axis=1).min())
