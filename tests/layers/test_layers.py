"""Every layer through the same checks: shapes, serialization, dtype policies, own initial values; and what each one computes."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy.special import erf

from tfllm.config import TransformerConfig
from tfllm.layers import (
    FeedForward,
    MultiHeadAttention,
    RMSNorm,
    TokenEmbedding,
    TransformerBlock,
    apply_rotary,
    rotary_table,
    sinusoidal_table,
)

CONFIG = TransformerConfig(
    vocab_size=23, hidden_size=16, num_layers=1, num_heads=4, intermediate_size=20, type_vocab_size=2
)
GATED = CONFIG.replace(
    norm="rms",
    norm_placement="pre",
    gated=True,
    activation="silu",
    num_kv_heads=2,
    attention_bias=False,
    attention_output_bias=False,
    feed_forward_bias=False,
    type_vocab_size=0,
    embedding_norm=False,
    position="rotary",
)
X = np.random.default_rng(0).normal(size=(2, 5, 16)).astype("float32")
IDS = np.random.default_rng(0).integers(0, 20, (2, 5)).astype("int32")
PLACES = np.tile(np.arange(5, dtype="int32"), (2, 1))
LAYERS = {
    "attention": (lambda **kw: MultiHeadAttention(4, 8, num_kv_heads=2, **kw), (X,)),
    "feed_forward": (lambda **kw: FeedForward(20, **kw), (X,)),
    "gated_feed_forward": (lambda **kw: FeedForward(20, gated=True, activation="silu", use_bias=False, **kw), (X,)),
    "rms_norm": (lambda **kw: RMSNorm(1e-5, **kw), (X,)),
    "post_norm_block": (lambda **kw: TransformerBlock(CONFIG, **kw), (X,)),
    "pre_norm_block": (lambda **kw: TransformerBlock(GATED, **kw), (X,)),
    "embedding": (lambda **kw: TokenEmbedding(CONFIG, **kw), (IDS, PLACES, IDS % 2)),
    "sinusoidal_embedding": (lambda **kw: TokenEmbedding(CONFIG.replace(position="sinusoidal"), **kw), (IDS, PLACES)),
    "rotary_embedding": (lambda **kw: TokenEmbedding(GATED, **kw), (IDS, PLACES)),
}


@pytest.mark.parametrize("make, inputs", LAYERS.values(), ids=LAYERS)
def test_shape_and_serialization(make, inputs):
    layer = make(name="layer")
    expected = np.array(layer(*inputs))
    assert expected.shape == (2, 5, 16)
    again = type(layer).from_config(layer.get_config())
    again(*inputs)
    assert [v.path for v in again.weights] == [v.path for v in layer.weights]
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(*inputs), expected)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("make, inputs", LAYERS.values(), ids=LAYERS)
def test_dtype_policies(make, inputs, policy):
    layer, reference = make(dtype=policy), make()
    y = layer(*inputs)
    reference(*inputs)
    reference.set_weights(layer.get_weights())
    assert keras.backend.standardize_dtype(y.dtype) == policy.removeprefix("mixed_")
    assert all(weight.dtype == "float32" for weight in layer.weights)
    np.testing.assert_allclose(np.array(y).astype("float32"), reference(*inputs), atol=0.1)


@pytest.mark.parametrize("make, inputs", LAYERS.values(), ids=LAYERS)
def test_kernels_start_different(make, inputs):
    layer = make()
    layer(*inputs)
    kernels = [np.array(weight).ravel() for weight in layer.weights if weight.name == "kernel"]
    for i, first in enumerate(kernels):
        assert all(not np.array_equal(first, second) for second in kernels[i + 1 :])


def test_feed_forward_is_exact_gelu():
    layer = FeedForward(20)
    y = layer(X)
    up = X @ np.array(layer.up.kernel)
    expected = (0.5 * up * (1 + erf(up / np.sqrt(2)))) @ np.array(layer.down.kernel)
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_rms_norm():
    np.testing.assert_allclose(RMSNorm(1e-5)(X), X / np.sqrt((X**2).mean(-1, keepdims=True) + 1e-5), atol=1e-5)


def test_rotary_keeps_norms_and_depends_on_distance_alone():
    vector = np.random.default_rng(1).normal(size=(1, 1, 1, 8)).astype("float32")

    def at(position):
        return np.array(apply_rotary(vector, *rotary_table(np.array([[position]]), 8)))

    assert np.isclose(np.linalg.norm(at(17)), np.linalg.norm(vector), atol=1e-5)
    assert np.isclose((at(3) * at(10)).sum(), (at(40) * at(47)).sum(), atol=1e-4)
    np.testing.assert_allclose(at(0), vector, atol=1e-6)


def test_sinusoidal_table_is_fixed_and_starts_with_zeros_and_ones():
    table = sinusoidal_table(9, 6)
    np.testing.assert_allclose(table[0], [0, 1, 0, 1, 0, 1])
    np.testing.assert_allclose(table[5, :2], [np.sin(5), np.cos(5)], atol=1e-6)
    embedding = TokenEmbedding(CONFIG.replace(position="sinusoidal"))
    embedding(IDS, PLACES)
    assert all("position" not in weight.path for weight in embedding.trainable_weights)
