"""FLOPs of a training step, and what follows: step time, days, cost."""

from __future__ import annotations

import dataclasses

from tfllm.config import TransformerConfig
from tfllm.training.planning.memory import Setup
from tfllm.training.planning.parameters import attention_parameters, feed_forward_parameters

_LANGUAGE_MODELS = ("masked_lm", "causal_lm", "seq2seq_lm")


@dataclasses.dataclass(frozen=True)
class TimeAndCost:
    """A run's time and cost.

    Attributes:
        step_flops: FLOPs of an optimizer step, over all devices, without what rematerialisation computes again.
        rematerialised_flops: what that adds.
        bubble: the share of a step in which a pipeline's stages wait.
        step_seconds: time of a step.
        steps, days, cost: of the whole run; `None` where no number of tokens, or no price, is known.
        price: US dollars a device and hour.
    """

    step_flops: float
    rematerialised_flops: float
    bubble: float
    step_seconds: float
    tokens_per_second: float
    steps: float | None
    days: float | None
    cost: float | None
    price: float | None


def forward_flops(config: TransformerConfig, head: str, setup: Setup) -> tuple[float, float]:
    """FLOPs of one row's forward pass, and those of them that attention's scores and sums take.

    Matrix products alone, at 2 FLOPs a multiply-add (PaLM, Chowdhery et al., 2022, appendix B); attention counts all pairs, masked or
    not. Times 3 with the backward pass: for long rows of a dense model the well-known 6 N D, and 12 L H T per token for attention.
    Experts count as `tfllm.layers.MixtureOfExperts` computes them: every expert for every token.
    """
    c, s = config, setup
    source, target = s.length, s.target_length or s.length
    stacks = [(c.encoder(), source, 0), (c.decoder(), target, source)] if c.is_encoder_decoder else [(c, source, 0)]
    products = pairs = 0.0
    for stack, length, context in stacks:
        width = stack.num_heads * stack.head_dim
        for i in range(stack.num_layers):
            products += 2.0 * length * (attention_parameters(stack) + feed_forward_parameters(stack, i))
            pairs += 4.0 * length * length * width
        if context:
            keys = 2 * stack.hidden_size * stack.num_kv_heads * stack.head_dim
            products += 2.0 * stack.num_layers * (length * (attention_parameters(stack) - keys) + context * keys)
            pairs += 4.0 * stack.num_layers * length * context * width
    if head in _LANGUAGE_MODELS:
        last = target if c.is_encoder_decoder else source
        products += 2.0 * last * c.vocab_size * c.embedding_size
        if c.lm_head_transform:
            products += 2.0 * last * c.hidden_size * c.embedding_size
    return products + pairs, pairs


def time_and_cost(
    config: TransformerConfig,
    head: str,
    setup: Setup,
    *,
    peak_flops: float,
    mfu: float,
    tokens: float | None = None,
    price: float | None = None,
) -> TimeAndCost:
    """Step time at a stated utilisation.

    Args:
        config, head: as for `count_parameters`.
        setup: how it is trained.
        peak_flops: FLOP/s of one device.
        mfu: the share of the peak that the needed FLOPs reach while no stage waits: what is lost to communication, memory and padding
            is in it.
        tokens: of the whole run.
        price: US dollars a device and hour.

    Example:
        >>> gpt3 = TransformerConfig(50257, 12288, 96, 96, 49152, causal=True)
        >>> plan = time_and_cost(gpt3, "causal_lm", Setup(batch=1536, length=2048, data=1024), peak_flops=312e12, mfu=0.45, tokens=3e11)
        >>> round(plan.days)     # Narayanan et al. (2021) give 34 days on 1024 A100
        26
    """
    s = setup
    forward, pairs = forward_flops(config, head, s)
    again = {"none": 0.0, "selective": pairs, "full": forward}[s.remat]
    parts = s.accumulation
    bubble = (s.pipeline - 1) / (parts + s.pipeline - 1)
    step_flops, more = 3.0 * forward * s.batch, again * s.batch
    seconds = (step_flops + more) / (s.devices * peak_flops * mfu) / (1 - bubble)
    row = s.length + ((s.target_length or s.length) if config.is_encoder_decoder else 0)
    steps = tokens / (s.batch * row) if tokens else None
    days = steps * seconds / 86400 if steps else None
    cost = days * 24 * s.devices * price if days is not None and price is not None else None
    return TimeAndCost(step_flops, more, bubble, seconds, s.batch * row / seconds, steps, days, cost, price)
