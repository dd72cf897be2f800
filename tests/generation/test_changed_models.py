"""Models that are changed between two calls: new values, low-rank updates, quantized and merged kernels."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras_features import NEEDS_QUANTIZED_KERNELS
from toy_generation import toy_config

from tfllm.generation import Generator
from tfllm.models import CausalLM, adaptation

PROMPTS = [[5, 6, 7], [9] * 5]


def make_model(seed: int = 3) -> CausalLM:
    keras.utils.set_random_seed(seed)
    return CausalLM(toy_config(hidden_size=24, tie_embeddings=False))


def change_signs(model):
    for weight in model.trainable_weights:
        weight.assign(-weight.value)


def change_places(model):
    for layer in adaptation.projections(model).values():
        layer.kernel.assign(keras.ops.flip(layer.kernel, axis=1))


def adapt(model):
    update = {"rank": 4, "alpha": 16.0, "dropout": 0.0}
    adaptation.add_updates(model, dict.fromkeys(adaptation.projections(model), update), lambda path: False)
    for layer in adaptation.adapted(model).values():
        layer.lora_b.assign(keras.random.normal(layer.lora_b.shape, seed=1))


def quantize(model):
    adaptation.quantize(model, "int8")


CHANGES = {change.__name__: change for change in (change_signs, change_places, adapt, quantize)}


@pytest.mark.parametrize("weights", ["float", "int8"])
@pytest.mark.parametrize(
    "change",
    [pytest.param(name, marks=NEEDS_QUANTIZED_KERNELS if name == "quantize" else ()) for name in CHANGES],
)
def test_the_next_call_takes_the_model_as_it_is(weights, change):
    model = make_model()
    generator = Generator(model, weights=weights)
    before = generator(PROMPTS, max_new_tokens=6)
    CHANGES[change](model)
    after = generator(PROMPTS, max_new_tokens=6)
    expected = Generator(model, weights=weights)(PROMPTS, max_new_tokens=6)
    assert [result.token_ids for result in after] == [result.token_ids for result in expected]
    for one, other, old in zip(after, expected, before):
        np.testing.assert_allclose(one.log_probs, other.log_probs, atol=1e-5)
        assert one.log_probs != old.log_probs


def test_a_changed_draft_guesses_what_it_now_says():
    model, draft = make_model(3), make_model(4)
    generator = Generator(model)
    options = {"max_new_tokens": 8, "draft_model": draft, "draft_tokens": 3}
    expected = generator(PROMPTS, **options)
    traces = generator.loops.traces
    adapt(draft)
    assert [r.token_ids for r in generator(PROMPTS, **options)] == [r.token_ids for r in expected]
    assert generator.loops.traces > traces
    traces = generator.loops.traces
    generator(PROMPTS, max_new_tokens=8)
    plain = generator.loops.traces
    generator(PROMPTS, **options)
    assert traces < plain == generator.loops.traces  # taking turns, nothing is compiled again
