"""`generate` and `Generator`: texts in, texts out."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from tfllm.errors import UserError
from tfllm.generation import beam_matching, beams, continuous, prompts
from tfllm.generation.compiled import CompiledLoops
from tfllm.generation.grammars import make_grammar
from tfllm.generation.incremental_text import IncrementalText
from tfllm.generation.matching import Matching
from tfllm.generation.method_plan import plan
from tfllm.generation.methods import PLAIN, Method
from tfllm.generation.options import GenerationOptions, make_options
from tfllm.generation.plan import make_processors, with_language
from tfllm.generation.processors import Processor
from tfllm.generation.prompts import Prompt
from tfllm.generation.results import Generation, check_possible
from tfllm.generation.special_ids import special_ids
from tfllm.text import Tokenizer

_CONTEXT_TOKENS = 8  # of the prompt, that the first generated ones are decoded with


class Generator:
    """Generates text with one model, and keeps what was compiled for it.

    Args:
        model: a `CausalLM` or a `Seq2SeqLM`. Its weights are read at every call: train on, and generate again.
        tokenizer: default `model.tokenizer`; without one, prompts are lists of token ids and texts come back empty.
        processors: own processors (see `tfllm.generation.processors`), applied after those that the options ask for and before the draw.
        draft_model: a smaller model of the same vocabulary, which guesses tokens for this one to check: the same texts, sooner.
        jit_compile: compile the loops with XLA: about 1.4 times as fast on a CPU (GPT-2's size), for a longer compilation.
        weights: `"float"`, the model's own, or `"int8"`: kernels of 8 bits (see `tfllm.generation.int8`), made again when the model's
            weights have changed. With XLA and one row at a time about 1.75 times as fast on a CPU (GPT-2's size).

    Raises:
        UserError: the model does not generate text, or Keras runs on another backend than TensorFlow.

    Example:
        >>> generator = Generator(tfllm.load("path/to/gpt2"))                              # doctest: +SKIP
        >>> generator("Once upon a time", max_new_tokens=20).text                          # doctest: +SKIP
        >>> for piece in generator.stream("Once upon a time", temperature=0.8):            # doctest: +SKIP
        ...     print(piece, end="", flush=True)
    """

    def __init__(
        self,
        model: keras.Model,
        tokenizer: Tokenizer | None = None,
        *,
        processors: Sequence[Processor] = (),
        draft_model: keras.Model | None = None,
        jit_compile: bool = True,
        weights: str = "float",
    ):
        if keras.backend.backend() != "tensorflow":
            raise UserError(
                "Text is generated on the TensorFlow backend: save the model (tfllm.save), and load it in a process without "
                f"KERAS_BACKEND={keras.backend.backend()}. Received: Keras on {keras.backend.backend()}."
            )
        self.loops = CompiledLoops(model, jit_compile=jit_compile, weights=weights)
        self.model = model
        self._tokenizer = tokenizer
        self.processors = tuple(processors)
        self.draft_model = draft_model
        self.special = special_ids(model)

    @property
    def tokenizer(self) -> Tokenizer | None:
        return self.model.tokenizer if self._tokenizer is None else self._tokenizer

    def __call__(
        self,
        texts: str | Sequence,
        *,
        seeds: Sequence[int] | None = None,
        limits: Sequence[int] | None = None,
        negative_prompt: str | Sequence | None = None,
        draft_model: keras.Model | None = None,
        **options,
    ) -> Generation | list[Generation]:
        """Generates.

        Args:
            texts: a prompt, or a list of prompts; each a string or a list of token ids. (A flat list of ids is one prompt.)
            seeds: each prompt's random seed; default `seed + i`.
            limits: most tokens to generate for each prompt, in place of `max_new_tokens`.
            negative_prompt: with `guidance_scale`, what to be led away from: one for all prompts, or a list of one a prompt. Default: see
                `tfllm.generation.guidance`.
            draft_model: in place of the generator's own.
            **options: see `GenerationOptions`.

        Returns:
            A `Generation`, or a list of them in the order of the prompts.

        Raises:
            UserError: an option or a prompt is wrong.
        """
        texts, one = prompts.prompt_list(texts, "prompts")
        chosen = make_options(options if limits is None else prompts.with_longest(options, limits, len(texts)))
        draft_model = draft_model or self.draft_model
        method, encoded = plan(self, texts, chosen, negative_prompt=negative_prompt, draft_model=draft_model)
        self.loops.refresh(draft_model)
        encoded = encoded if limits is None else [prompt.limited(limit) for prompt, limit in zip(encoded, limits)]
        seeds = _checked_seeds(seeds, len(texts), chosen)
        draws = chosen.num_results if chosen.sampled else 1
        # Each draw of a prompt is a row of its own, with a seed of its own.
        rows = [
            (prompt, (seed + 1_000_003 * draw) % 2**31) for prompt, seed in zip(encoded, seeds) for draw in range(draws)
        ]
        results = self._all_rows(rows, chosen, method)
        best = []
        for i in range(len(texts)):
            first, *others = results[i * draws : (i + 1) * draws]
            best.append(_with_others(first, others) if others else first)
        return best[0] if one else best

    def stream(
        self,
        text: str | Sequence[int],
        *,
        chunk: int = 1,
        negative_prompt: str | Sequence[int] | None = None,
        draft_model: keras.Model | None = None,
        **options,
    ) -> Iterator[str]:
        """The same text as `generator(text, **options).text`, piece by piece, as soon as each is certain.

        Args:
            text: one prompt.
            chunk: tokens generated between two pieces.
            negative_prompt, draft_model: see `__call__`.
            **options: see `GenerationOptions`; no beam search.
        """
        chosen = make_options({**options, "chunk": chunk})
        if chosen.num_beams > 1 or chosen.num_results > 1:
            raise UserError(
                "A stream is one text, generated from left to right. "
                f"Received: num_beams={chosen.num_beams}, num_results={chosen.num_results}."
            )
        draft_model = draft_model or self.draft_model
        method, (prompt,) = plan(self, [text], chosen, negative_prompt=negative_prompt, draft_model=draft_model)
        self._needs_tokenizer("a stream")
        self.loops.refresh(draft_model)
        for pieces, _ in self._run([(prompt, chosen.seed)], chosen, method, stream=True):
            if pieces[0]:
                yield pieces[0]

    def prompts(self, texts: Sequence, options: GenerationOptions, *, name: str = "prompts") -> list[Prompt]:
        """The prompts in tokens, checked."""
        return [
            prompts.make_prompt(
                ids,
                self.model.config,
                with_language(self.special, options.language, self.tokenizer),
                max_new_tokens=options.max_new_tokens,
                too_long=options.too_long,
                name=f"{name}[{i}]",
            )
            for i, ids in enumerate(prompts.encode_prompts(texts, self.tokenizer))
        ]

    def _check_bias(self, options: GenerationOptions) -> None:
        outside = [token for token, _ in options.logit_bias if token >= self.model.config.vocab_size]
        if outside:
            raise UserError(
                f"logit_bias: token ids must be below {self.model.config.vocab_size}. Received: {outside[0]}."
            )

    def _needs_tokenizer(self, what: str) -> Tokenizer:
        if self.tokenizer is None:
            raise UserError(f"{what} needs a tokenizer, and model.tokenizer is None.")
        return self.tokenizer

    def _all_rows(self, rows: list[tuple[Prompt, int]], options: GenerationOptions, method: Method) -> list[Generation]:
        if continuous.fits(rows, options, method):
            found = continuous.generate_rows(self, rows, options)
            if found is not None:
                return found
        # Prompts of similar length together: less padding. The results do not depend on it.
        order = sorted(range(len(rows)), key=lambda i: len(rows[i][0].token_ids) + len(rows[i][0].source_ids))
        results: list[Generation | None] = [None] * len(rows)
        size = 1 if method.one_row else options.batch_size
        for begin in range(0, len(order), size):
            members = order[begin : begin + size]
            batch = [rows[i] for i in members]
            if options.num_beams > 1:
                found = self._search(batch, options)
            else:
                *_, (_, found) = self._run(batch, options, method, stream=False)
            for i, result in zip(members, found):
                results[i] = result
        return results

    def _start(self, rows: list[tuple[Prompt, int]], options: GenerationOptions, method: Method):
        batch_rows = min(1 << (len(rows) - 1).bit_length(), max(options.batch_size, len(rows)))
        batch = method.make_batch([prompt for prompt, _ in rows], [seed for _, seed in rows], batch_rows)
        new_tokens = prompts.bucket(max(prompt.limit for prompt, _ in rows))
        processors = self._processors(options)
        return self.loops.start(batch, new_tokens, method), processors, batch["token_ids"].shape[1]

    def _processors(self, options: GenerationOptions) -> list[Processor]:
        special = with_language(self.special, options.language, self.tokenizer)
        self._check_bias(options)
        processors = make_processors(options, special, self.tokenizer)
        noise = processors[-1:] if options.sampled else []  # the draw comes last
        return [*processors[: len(processors) - len(noise)], *self.processors, *noise]

    def _run(
        self, rows: list[tuple[Prompt, int]], options: GenerationOptions, method: Method, *, stream: bool
    ) -> Iterator[tuple[list[str], list[Generation]]]:
        """Runs the loop chunk by chunk; after each, new text of each row, and in the end the results."""
        if options.stop:
            self._needs_tokenizer("stop")
        matching = self._matching(rows, options, method)
        state, processors, width = self._start(rows, options, method)
        chunk = options.chunk if stream or options.stop else options.max_new_tokens
        texts = [self._text(prompt, options) for prompt, _ in rows]
        given = [0] * len(rows)
        while True:
            advance = functools.partial(self.loops.advance, processors, self.special.eos, method=method)
            state = advance(state, chunk) if matching is None else matching.advance(advance, state, width)
            token_ids, lengths, finished, log_probs = (
                state[key].numpy() for key in ("token_ids", "lengths", "finished", "log_probs")
            )
            check_possible(log_probs)
            pieces = [""] * len(rows)
            for i, text in enumerate(texts):
                if text is not None and text.stopped is None:
                    pieces[i] = text.add(token_ids[i, width + given[i] : width + lengths[i]])
                    if text.stopped is None and finished[i]:
                        pieces[i] += text.end()
                    given[i] = lengths[i]
                    finished[i] |= text.stopped is not None
            if finished.all():
                break
            state["finished"] = tf.constant(finished)
            yield pieces, []
        yield (
            pieces,
            [
                self._result(
                    prompt,
                    text,
                    token_ids[i, width : width + lengths[i]],
                    log_probs[i],
                    complete=matching is not None and matching.rows[i].complete,
                )
                for i, ((prompt, _), text) in enumerate(zip(rows, texts))
            ],
        )

    def _search(self, rows: list[tuple[Prompt, int]], options: GenerationOptions) -> list[Generation]:
        """Beam search."""
        early = {"true": True, "false": False}.get(options.early_stopping, options.early_stopping)
        rules = beams.BeamRules(
            options.num_beams, options.length_penalty, early, options.num_beam_groups, options.diversity_penalty
        )
        matching = self._matching(rows, options, PLAIN)
        state, processors, width = self._start(rows, options, PLAIN)
        if matching is None:
            state = self.loops.search(processors, self.special.eos, rules, state, options.max_new_tokens)
        else:
            advance = functools.partial(self.loops.advance_search, processors, self.special.eos, rules, count=1)
            state = self.loops.start_search(rules, state)
            state = beam_matching.search(matching.rows, rules.group_beams, rules.groups, advance, state, width)
            state = self.loops.finish_search(rules, state)
        ids, lengths, log_probs, scores, ended = (
            state[f"best_{key}"].numpy() for key in ("ids", "lengths", "log_probs", "scores", "ended")
        )
        ended &= np.isfinite(scores)
        results = []
        for i, (prompt, _) in enumerate(rows):
            found = []
            if not ended[i].any():
                raise UserError(
                    "beam search found no text with a finite score: the options together forbid every token, length_penalty is out of "
                    f"proportion, or the model computes NaN. Received: length_penalty={options.length_penalty}."
                )
            for k in np.flatnonzero(ended[i])[: options.num_results]:
                length = lengths[i, k]
                text = self._text(prompt, options)
                if text is not None:
                    text.add(ids[i, k, :length])
                found.append(self._result(prompt, text, ids[i, k, :length], log_probs[i, k], score=float(scores[i, k])))
            results.append(_with_others(found[0], found[1:]))
        return results

    def _text(self, prompt: Prompt, options: GenerationOptions) -> IncrementalText | None:
        if self.tokenizer is None:
            return None
        return IncrementalText(self.tokenizer, options.stop, _context(prompt))

    def _matching(self, rows: list[tuple[Prompt, int]], options: GenerationOptions, method: Method) -> Matching | None:
        """What keeps the rows to a constraint, if there is one."""
        grammar = make_grammar(options)
        if grammar is None:
            return None
        if method.one_row:
            raise UserError(f"{grammar.name} goes with one token at a time, not with drafts. Received: a draft.")
        if options.num_beams > 1 and not self.special.eos:
            raise UserError(
                f"{grammar.name} with beams needs an end token, by which a text says that it is whole, and the model has none. "
                f"Give num_beams=1. Received: num_beams={options.num_beams}."
            )
        tokenizer = self._needs_tokenizer(grammar.name)
        special = with_language(self.special, options.language, self.tokenizer)
        matching = Matching(
            grammar, tokenizer, self.model.config.vocab_size, self.special.eos, least=options.min_new_tokens
        )
        for prompt, _ in rows:
            matching.add_row(prompt.limit, _context(prompt), skip=int(special.forced_first is not None))
        return matching

    def _result(
        self,
        prompt: Prompt,
        text: IncrementalText | None,
        token_ids: np.ndarray,
        log_probs: np.ndarray,
        score=None,
        complete=False,
    ) -> Generation:
        if text is not None:
            token_ids = np.array(text.token_ids, "int64")  # a stop string may stand before the end of a chunk
        if text is not None and text.stopped is not None:
            reason = "stop"
        elif token_ids.size and int(token_ids[-1]) in self.special.eos:
            reason = "eos"
        elif complete:
            reason = "constraint"
        else:
            reason = "context" if prompt.in_context else "length"
        return Generation(
            text="" if text is None else text.text,
            token_ids=tuple(token_ids.tolist()),
            log_probs=tuple(log_probs[: len(token_ids)].tolist()),
            finish_reason=reason,
            prompt_tokens=len(prompt.source_ids or prompt.token_ids),
            truncated_tokens=prompt.truncated,
            score=score,
        )


def generate(
    model: keras.Model, texts: str | Sequence, *, weights: str = "float", **options
) -> Generation | list[Generation]:
    """Generates text. What is compiled stays with the model, for the next call.

    Args:
        model: a `CausalLM` or a `Seq2SeqLM`, as `tfllm.load` gives it.
        texts: a prompt, or a list of prompts; each a string or a list of token ids.
        weights: see `Generator`.
        **options: see `GenerationOptions`, and `seeds`, `limits`, `negative_prompt`, `draft_model`: see `Generator.__call__`.

    Returns:
        A `Generation`, or a list of them in the order of the prompts.

    Raises:
        UserError: the model does not generate, or an option or a prompt is wrong.

    Example:
        >>> generate(model, ["Once upon a time"], temperature=0.8, top_p=0.95, seed=1)[0].text     # doctest: +SKIP
    """
    return generator_of(model, weights)(texts, **options)


def generator_of(model: keras.Model, weights: str = "float") -> Generator:
    """The model's own `Generator`, made when it is first asked for; one for each kind of weights."""
    name = f"_generator_{weights}"
    found = model.__dict__.get(name)
    if found is None:
        found = Generator(model, weights=weights)
        model.__dict__[name] = found  # past Keras, which would track it as part of the model
    return found


def _context(prompt: Prompt) -> tuple[int, ...]:
    """Tokens that the generated ones are decoded with."""
    return () if prompt.source_ids else prompt.token_ids[-_CONTEXT_TOKENS:]


def _checked_seeds(seeds, count: int, options: GenerationOptions) -> list[int]:
    if seeds is None:
        return [(options.seed + i) % 2**31 for i in range(count)]
    numbers = prompts.whole_numbers(seeds)
    if numbers is None or len(numbers) != count or not all(0 <= seed < 2**31 for seed in numbers):
        raise UserError(f"seeds must be one whole number from 0 to 2**31 - 1 a prompt: {count}. Received: {seeds!r}.")
    return numbers


def _with_others(first: Generation, others: Sequence[Generation]) -> Generation:
    return dataclasses.replace(first, others=tuple(others))
