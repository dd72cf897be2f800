"""Int8 weights: near the float model in every layer kind, the model unchanged, remade when its weights change."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from toy_generation import toy_config

from tfllm.errors import UserError
from tfllm.generation import Generator, generate, int8
from tfllm.generation.int8 import Int8Kernel, Int8Weights

KINDS = {
    "tied": {},
    "gated": {"position": "rotary", "gated": True, "tie_embeddings": False, "lm_head_bias": True, "num_kv_heads": 1},
    "experts": {"num_experts": 2, "experts_per_token": 1, "expert_intermediate_size": 16},
    "seq2seq": {"causal": False, "num_decoder_layers": 1, "decoder_start_id": 0},
}


def make_model(kind: str):
    from tfllm.models import CausalLM, Seq2SeqLM

    keras.utils.set_random_seed(7)
    return (Seq2SeqLM if kind == "seq2seq" else CausalLM)(toy_config(hidden_size=40, **KINDS[kind]))


def dequantised(kernel: np.ndarray) -> np.ndarray:
    scale = np.abs(kernel).max(axis=0) / 127
    return np.round(kernel / np.where(scale > 0, scale, 1)) * scale


@pytest.mark.parametrize("rows", [1, 2, 9])
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("longest", [69, 4095], ids=["blocks", "whole"])
def test_a_product_is_that_of_the_rounded_kernel(rows, compiled, longest, monkeypatch):
    monkeypatch.setattr(int8, "_LONGEST_ROW", longest)
    random = np.random.default_rng(0)
    floats, x = random.normal(size=(70, 33)).astype("float32"), random.normal(size=(1, rows, 70)).astype("float32")
    floats[:, 5] = 0.0
    kernel = Int8Kernel.of(tf.constant(floats.T))
    product = tf.function(lambda x: kernel.product(x, compiled=compiled), jit_compile=compiled)
    np.testing.assert_allclose(product(tf.constant(x)), x @ dequantised(floats), atol=1e-4)
    assert np.abs(dequantised(floats) - floats).max() <= np.abs(floats).max() / 254 * 1.001


@pytest.mark.parametrize(("kind", "compiled"), [*((kind, False) for kind in KINDS), ("gated", True)])
def test_generation_is_that_of_a_model_with_rounded_weights(kind, compiled):
    model, rounded = make_model(kind), make_model(kind)
    layers = Int8Weights(rounded, compiled=False).layers
    assert len(layers) >= 4
    for layer in layers:
        layer.kernel.assign(dequantised(layer.kernel.numpy()))
    table = rounded.vocabulary_table.numpy()
    prompts = [[5, 6, 7], [9] * 5]
    results = Generator(model, weights="int8", jit_compile=compiled)(prompts, max_new_tokens=8, batch_size=1)
    if kind == "gated":  # a head of its own: the table is not read by anything else
        rounded.vocabulary_table.assign(dequantised(table.T).T)
        expected = generate(rounded, prompts, max_new_tokens=8)
        assert [r.token_ids for r in results] == [r.token_ids for r in expected]
        for one, other in zip(results, expected):
            np.testing.assert_allclose(one.log_probs, other.log_probs, atol=1e-3)
    together = Generator(model, weights="int8", jit_compile=compiled)(prompts, max_new_tokens=8)
    assert [r.token_ids for r in together] == [r.token_ids for r in results]


# Not of experts: a token near the border of two goes to the other one.
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "experts"])
def test_logits_are_near_those_in_float(kind):
    model = make_model(kind)
    inputs = {"token_ids": np.random.default_rng(1).integers(3, 31, (4, 12))}
    if kind == "seq2seq":
        inputs["decoder_token_ids"] = inputs["token_ids"][:, ::-1]
    exact = model(inputs).numpy()
    weights = Int8Weights(model, compiled=False)
    weights.refresh()
    with weights.in_use():
        rounded = model(inputs).numpy()
    assert 0 < np.abs(rounded - exact).max()
    assert np.linalg.norm(rounded - exact) < 0.03 * np.linalg.norm(exact - exact.mean(axis=-1, keepdims=True))
    assert (rounded.argmax(-1) == exact.argmax(-1)).mean() > 0.9
    np.testing.assert_array_equal(model(inputs).numpy(), exact)  # the model is as it was


def test_they_are_made_again_when_the_weights_change():
    model, other = make_model("tied"), make_model("tied")
    other.set_weights([np.asarray(w) * 0.5 + 0.01 for w in model.get_weights()])
    generator = Generator(model, weights="int8")
    generator([5, 6], max_new_tokens=8)
    assert not generator.loops.weights.refresh()
    traces = generator.loops.traces
    model.set_weights(other.get_weights())
    again = generator([5, 6], max_new_tokens=8)
    fresh = Generator(other, weights="int8")([5, 6], max_new_tokens=8)
    assert (again.token_ids, again.log_probs) == (fresh.token_ids, fresh.log_probs)
    assert generator.loops.traces == traces


def test_the_door_and_the_error():
    model = make_model("tied")
    expected = Generator(model, weights="int8")([5, 6], max_new_tokens=4)
    assert model.generate([5, 6], max_new_tokens=4, weights="int8") == expected
    assert model.generate([5, 6], max_new_tokens=4).log_probs != expected.log_probs
    with pytest.raises(UserError, match='"float" or "int8". Received: weights=\'int4\''):
        model.generate([5, 6], weights="int4")
