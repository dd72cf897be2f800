"""The formula against the tensors that the gradient's graph really reads, family by family."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest
import tensorflow as tf
from kept_tensors import kept_bytes

import tfllm
from tfllm import training
from tfllm.training.planning.activations import block_activations

sys.path.insert(0, str(Path(__file__).parents[2] / "goldens"))
from golden_files import HF_TOYS, OF_FAMILY

ROWS, LENGTH = 2, 24
# One of each way in which a block is put together; the others with -m slow.
DEFAULT = ("bert", "gpt2", "llama", "gemma2", "t5", "mixtral", "deberta-v2")


def check(family: str, dtype: str, caplog) -> None:
    with caplog.at_level(logging.ERROR, logger="tfllm"):
        toy = tfllm.load(HF_TOYS / OF_FAMILY[family], tokenizer=False)
    model, config = type(toy)(toy.config, dtype=dtype), toy.config
    model.compile(training.optimizer("adamw"), **model.compile_defaults())
    ids = tf.ones((ROWS, LENGTH), "int32")
    batch = {"token_ids": ids, "example_ids": ids, "position_ids": ids}
    if config.is_encoder_decoder:
        batch |= {f"decoder_{name}": ids for name in batch}
    kept = kept_bytes(model, batch, ids, tf.ones((ROWS, LENGTH)))
    in_blocks = sum(size for name, size in kept.items() if "/block_" in name)
    stacks = [config.encoder(), config.decoder()] if config.is_encoder_decoder else [config]
    value_bytes = 4 if dtype == "float32" else 2
    formula = sum(
        block_activations(stack, i, length=LENGTH, context_length=LENGTH, value_bytes=value_bytes).total
        for stack in stacks
        for i in range(stack.num_layers)
    )
    # What the formula leaves out are numbers that a token has once (a norm's deviation): 4 bytes of some thousands.
    assert formula == pytest.approx(in_blocks / (ROWS * LENGTH), rel=0.05)


@pytest.mark.parametrize("family, dtype", [*((family, "float32") for family in DEFAULT), ("bert", "mixed_bfloat16")])
def test_the_formula_counts_what_the_gradient_reads(family, dtype, caplog):
    check(family, dtype, caplog)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("family", OF_FAMILY)
def test_the_formula_counts_what_the_gradient_reads_in_every_family(family, dtype, caplog):
    check(family, dtype, caplog)


def test_full_gpt_in_16_bits_is_near_korthikanti():
    """34 h + 5 a T bytes a token and layer there; ours keeps masks of 2 bytes, float32 in norms and softmax, 5 f of GELU."""
    config = tfllm.TransformerConfig(
        50257, 4096, 1, 32, 16384, causal=True, norm_placement="pre", activation="gelu_tanh", max_positions=2048
    )
    kept = block_activations(config, 0, length=2048, value_bytes=2)
    h, scores = 4096, 32 * 2048
    assert kept.scores == (4 + 2 + 2) * scores  # theirs: 2 + 1 + 2
    # q, k, v, attention's sum: 2 each. Two inputs and two masks of 2, two normalised inputs of 4. GELU 5 x 4 h of 2.
    assert kept.inner + kept.stream == (4 * 2 + 4 * 2 + 2 * 4 + 5 * 4 * 2) * h
