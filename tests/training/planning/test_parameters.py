"""The counts by formula against the variables of real models, and against published counts."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

import tfllm
from tfllm.training.planning.parameters import count_parameters
from tfllm.training.planning.sizes import decoder_shape

sys.path.insert(0, str(Path(__file__).parents[2] / "goldens"))
from golden_files import HF_TOYS, NAMES, OF_FAMILY

# Every family's language model; and for BERT, BART and ELECTRA what else stands on a backbone. The other toys: -m slow.
DEFAULT = sorted(
    {*OF_FAMILY.values(), "albert-masked_lm-groups", "opt-causal_lm-projected", "roberta-classifier", "t5-encoder"}
    | {f"bert-{head}" for head in ("backbone", "classifier", "multiple_choice", "span_predictor", "token_classifier")}
    | {"bart-classifier", "bart-backbone", "electra-discriminator", "electra-classifier", "modernbert-classifier"}
)


def check(name: str, caplog) -> None:
    with caplog.at_level(logging.ERROR, logger="tfllm"):
        model = tfllm.load(HF_TOYS / name, tokenizer=False)
    counted = count_parameters(
        model.config,
        model.checkpoint["head"],
        num_labels=getattr(model, "num_labels", 2),
        with_pooler=getattr(model, "with_pooler", False),
    )
    assert counted.total == model.count_params()


@pytest.mark.parametrize("name", DEFAULT)
def test_the_count_is_that_of_the_variables(name, caplog):
    check(name, caplog)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(NAMES) - set(DEFAULT)))
def test_the_count_is_that_of_the_variables_of_every_toy(name, caplog):
    check(name, caplog)


def test_published_counts():
    llama = decoder_shape(layers=32, width=4096, heads=32, vocab=32000, inner=11008)
    assert count_parameters(llama, "causal_lm").total == 6_738_415_616  # Llama 2 7B
    mixtral = decoder_shape(
        layers=32, width=4096, heads=32, kv_heads=8, vocab=32000, inner=14336, num_experts=8, experts_per_token=2
    )
    counted = count_parameters(mixtral, "causal_lm")
    assert counted.total == 46_702_792_704  # Mixtral 8x7B
    assert counted.active == pytest.approx(12.88e9, rel=1e-3)
