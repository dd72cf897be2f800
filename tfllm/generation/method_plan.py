"""From options to the method of decoding and its prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras

from tfllm.errors import UserError
from tfllm.generation.contrastive import Contrastive
from tfllm.generation.drafts import ModelDraft, PromptLookup, check_draft_model
from tfllm.generation.guidance import Guided, with_negatives
from tfllm.generation.methods import PLAIN, Method
from tfllm.generation.options import GenerationOptions
from tfllm.generation.prompts import Prompt, prompt_list
from tfllm.generation.speculative import Drafted

if TYPE_CHECKING:
    from tfllm.generation.generator import Generator

_DRAFT_TOKENS = 4


def plan(
    generator: Generator,
    texts: Sequence,
    options: GenerationOptions,
    *,
    negative_prompt: str | Sequence | None = None,
    draft_model: keras.Model | None = None,
) -> tuple[Method, list[Prompt]]:
    """The method that the options ask for, and the prompts in tokens, checked.

    Args:
        generator: whose model and tokenizer they are for.
        texts: prompts, see `Generator.__call__`.
        options: of the call.
        negative_prompt: for guidance: one for all prompts, or a list of one a prompt.
        draft_model: for speculative decoding.

    Raises:
        UserError: what is asked for does not go together, or a prompt is wrong.
    """
    method = make_method(options, draft_model)
    rows = generator.prompts(texts, options)
    if draft_model is not None:
        check_draft_model(draft_model, generator.model, rows)
    if options.guidance_scale != 1:
        negatives = None
        if negative_prompt is not None:
            negative_texts, _ = prompt_list(negative_prompt, "negative_prompt")
            negatives = generator.prompts(negative_texts or [[]], options, name="negative_prompt")
        elif generator.model.config.is_encoder_decoder:
            negatives = generator.prompts([_empty_source(generator)], options, name="negative_prompt")
        rows = with_negatives(rows, negatives)
    elif negative_prompt is not None:
        raise UserError(
            "negative_prompt needs guidance: give guidance_scale above 1. "
            f"Received: negative_prompt={negative_prompt!r}, guidance_scale={options.guidance_scale}."
        )
    return method, rows


def make_method(options: GenerationOptions, draft_model: keras.Model | None = None) -> Method:
    """The method that the options ask for. (Beam search is none: it goes by `tfllm.generation.beams`.)

    Raises:
        UserError: a draft does not go with it.
    """
    draft = None
    if draft_model is not None:
        for name, plain in {"num_beams": 1, "penalty_alpha": 0.0, "prompt_lookup": 0}.items():
            value = getattr(options, name)
            if value != plain:
                raise UserError(
                    f"draft_model guesses for greedy or sampled decoding, not with {name}. Give one of the two. "
                    f"Received: {name}={value}, draft_model={draft_model.name!r}."
                )
        draft = ModelDraft(draft_model, options.draft_tokens or _DRAFT_TOKENS)
    elif options.draft_tokens is not None:
        raise UserError(
            f"draft_tokens needs a draft_model. Received: draft_tokens={options.draft_tokens}, draft_model=None."
        )
    if options.prompt_lookup:
        draft = PromptLookup(options.prompt_lookup)
    if options.penalty_alpha > 0:
        return Contrastive(options.top_k, options.penalty_alpha)
    method = PLAIN if draft is None else Drafted(draft)
    return method if options.guidance_scale == 1 else Guided(method, options.guidance_scale)


def _empty_source(generator: Generator) -> str | list[int]:
    """An empty text for an encoder: what the tokenizer's template makes of it, or else the end token."""
    if generator.tokenizer is not None and generator.tokenizer.encode(""):
        return ""
    eos = generator.model.config.eos_id
    if eos is None:
        raise UserError(
            "guidance_scale: the model has no end token to stand for an empty source. Give a negative_prompt. "
            "Received: negative_prompt=None."
        )
    return [eos]
