"""Which options of the methods of decoding go together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfllm.errors import UserError

if TYPE_CHECKING:
    from tfllm.generation.options import GenerationOptions


def check_methods(o: GenerationOptions) -> None:
    """Checks groups of beams, contrastive search, guidance and drafts.

    Raises:
        UserError: two options contradict each other, or one needs another.
    """
    if o.num_beams % o.num_beam_groups:
        raise UserError(
            "num_beam_groups must divide num_beams, so that all groups are of one size. "
            f"Received: num_beams={o.num_beams}, num_beam_groups={o.num_beam_groups}."
        )
    if o.diversity_penalty and o.num_beam_groups == 1:
        raise UserError(
            "diversity_penalty sets groups of beams apart: give num_beam_groups above 1. "
            f"Received: diversity_penalty={o.diversity_penalty}, num_beam_groups=1."
        )
    if o.penalty_alpha > 0:
        _alone(o, "penalty_alpha", "contrastive search takes the best token and does not draw", {"temperature": 0.0})
        _alone(
            o,
            "penalty_alpha",
            "contrastive search goes by itself",
            {"num_beams": 1, "prompt_lookup": 0, "draft_tokens": None, "guidance_scale": 1.0},
        )
        if o.top_k is None or o.top_k < 2:
            raise UserError(
                "penalty_alpha chooses among the top_k likeliest tokens: give top_k of at least 2. "
                f"Received: top_k={o.top_k}, penalty_alpha={o.penalty_alpha}."
            )
    if o.guidance_scale != 1:
        _alone(o, "guidance_scale", "guidance goes with greedy or sampled decoding", {"num_beams": 1})
    if o.draft_tokens is not None:
        _alone(o, "draft_tokens", "guesses come either from a model or from the prompt", {"prompt_lookup": 0})


def _alone(o: GenerationOptions, name: str, why: str, others: dict) -> None:
    for other, default in others.items():
        if getattr(o, other) != default:
            raise UserError(
                f"{name} and {other}: {why}. Give one of the two. "
                f"Received: {name}={getattr(o, name)}, {other}={getattr(o, other)}."
            )
