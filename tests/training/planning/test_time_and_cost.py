"""FLOPs, time and cost, held against published figures; the table of accelerators."""

from __future__ import annotations

import pytest

from tfllm.config import TransformerConfig
from tfllm.errors import UserError
from tfllm.training.planning import Setup, accelerators, count_parameters, get_accelerator, time_and_cost
from tfllm.training.planning.sizes import decoder_of_size, parse_count
from tfllm.training.planning.time_and_cost import forward_flops

GPT3 = TransformerConfig(
    51200, 12288, 96, 96, 49152, causal=True, max_positions=2048, norm_placement="pre", lm_head_transform=False
)


def test_flops_are_those_of_narayanan():
    """Narayanan et al. (2021), appendix: 96 B s l h² (1 + s / 6 h + V / 16 l h) with full rematerialisation, 72 without."""
    batch, s, layers, h, vocab = 1536, 2048, 96, 12288, 51200
    without = 72 * batch * s * layers * h**2 * (1 + s / (6 * h) + vocab / (12 * layers * h))
    forward, pairs = forward_flops(GPT3, "causal_lm", Setup(length=s))
    assert 3 * batch * forward == pytest.approx(without, rel=1e-3)
    assert pairs == 4 * layers * s * s * h


def test_a_short_row_costs_6_n_d():
    config = decoder_of_size(1.3e9)
    parameters = count_parameters(config, "causal_lm")
    plan = time_and_cost(config, "causal_lm", Setup(batch=8, length=16), peak_flops=1e12, mfu=1.0)
    # The table that is looked up has no products.
    looked_up = config.vocab_size * config.hidden_size
    assert plan.step_flops == pytest.approx(6 * (parameters.total - looked_up) * 8 * 16, rel=0.01)


def test_days_of_gpt3():
    """34 days for 300 B tokens on 1024 A100 at 140 TFLOP/s each, rematerialisation included (Narayanan et al., 2021)."""
    setup = Setup(batch=1536, length=2048, data=1024, accumulation=1, remat="full", dtype="mixed_float16")
    setup = setup.replace(batch=2048)
    plan = time_and_cost(GPT3, "causal_lm", setup, peak_flops=312e12, mfu=140 / 312, tokens=3e11, price=1.0)
    assert plan.days == pytest.approx(34, rel=0.05) and plan.cost == pytest.approx(plan.days * 24 * 1024)


def test_a_pipeline_waits_by_its_stages():
    plan = {
        parts: time_and_cost(
            GPT3, "causal_lm", Setup(batch=64, pipeline=8, accumulation=parts), peak_flops=1e15, mfu=0.5
        )
        for parts in (8, 64)
    }
    assert plan[8].bubble == 7 / 15 and plan[64].bubble == 7 / 71
    assert plan[8].step_seconds > plan[64].step_seconds


def test_an_encoder_decoder_counts_both_and_what_lies_between():
    config = TransformerConfig(99, 32, 2, 4, 64, num_decoder_layers=2, lm_head_transform=False)
    encoder, _ = forward_flops(config.encoder(), "backbone", Setup(length=16))
    both, _ = forward_flops(config, "backbone", Setup(length=16, target_length=8))
    more, _ = forward_flops(config, "backbone", Setup(length=16, target_length=16))
    assert encoder < both < more


def test_every_price_has_a_source_and_a_date():
    assert {"v5e", "v5p", "v6e", "h100"} <= set(accelerators())
    for accelerator in accelerators().values():
        assert (accelerator.price is None) == (accelerator.price_page is None)
        assert accelerator.memory_bytes > 1e9
    with pytest.raises(UserError, match="Did you mean h100?"):
        get_accelerator("h1000")


@pytest.mark.parametrize("text", ["7Q", "", "-1B", "0", "B", "1.2.3M"])
def test_what_is_no_count(text):
    with pytest.raises(UserError, match="must be a number such as 125M"):
        parse_count(text, "params")


@pytest.mark.parametrize("size", [10e6, 125e6, 1.3e9, 7e9, 70e9, 175e9, 1e12])
def test_shapes_have_the_size_that_was_asked_for(size):
    assert count_parameters(decoder_of_size(size), "causal_lm").total == pytest.approx(size, rel=0.05)
