"""Products in blocks: those of the whole kernel, for any number of rows."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from toy_generation import toy_config

from tfllm.generation import Generator
from tfllm.generation.float_weights import FloatWeights
from tfllm.models import CausalLM


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(3)
    return CausalLM(toy_config(hidden_size=256, intermediate_size=512, num_heads=4))


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_logits_are_those_of_the_plain_products(model, rows):
    weights = FloatWeights(model, compiled=True)
    assert (
        len(weights.layers) == 2 * model.config.num_layers
    )  # those of the feed-forward; the attention's are too small
    token_ids = tf.constant(np.random.default_rng(rows).integers(3, 31, (rows, 1)))
    with weights.in_use():
        ours = tf.function(lambda ids: model({"token_ids": ids}), jit_compile=True)(token_ids)
    np.testing.assert_allclose(ours, model({"token_ids": token_ids}), atol=1e-4)


def test_compiled_generation_is_the_same_as_not_compiled(model):
    prompts = [[5, 6, 7], [9] * 5]
    compiled = Generator(model)(prompts, max_new_tokens=8, batch_size=1)
    plain = Generator(model, jit_compile=False)(prompts, max_new_tokens=8, batch_size=1)
    assert [r.token_ids for r in compiled] == [r.token_ids for r in plain]
    for one, other in zip(compiled, plain):
        np.testing.assert_allclose(one.log_probs, other.log_probs, atol=1e-4)


def test_nothing_is_replaced_where_nothing_is_compiled(model):
    assert not FloatWeights(model, compiled=False).layers
