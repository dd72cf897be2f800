"""Attention against a plain numpy reading of the formula, and its modes against each other."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tfllm.layers import MultiHeadAttention, additive_mask, example_mask, rotary_table

B, T, D, H, HEAD = 2, 6, 16, 4, 8


def array(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy_attention(layer, x, context, mask):
    """Softmax(QK^T / sqrt(d)) V, head by head."""

    def project(dense, value):
        return value @ np.array(dense.kernel) + (np.array(dense.bias) if dense.use_bias else 0)

    query, key, value = project(layer.query, x), project(layer.key, context), project(layer.value, context)
    group = layer.num_heads // layer.num_kv_heads
    heads = []
    for h in range(layer.num_heads):
        of_query = slice(h * layer.head_dim, (h + 1) * layer.head_dim)
        of_key = slice(h // group * layer.head_dim, (h // group + 1) * layer.head_dim)
        scores = query[..., of_query] @ key[..., of_key].transpose(0, 2, 1) / np.sqrt(layer.head_dim)
        scores = np.where(mask, scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        heads.append(weights / weights.sum(-1, keepdims=True) @ value[..., of_key])
    return project(layer.output_projection, np.concatenate(heads, -1))


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("cross", [False, True])
def test_equals_the_formula(kv_heads, bias, cross):
    x, context = array(0, B, T, D), array(1, B, 9, 12)
    layer = MultiHeadAttention(H, HEAD, num_kv_heads=kv_heads, use_bias=bias, output_bias=bias)
    arguments = {"context": context} if cross else {}
    layer(x, **arguments)
    for variable in layer.trainable_variables:
        variable.assign(array(len(variable.shape), *variable.shape))
    keys = context.shape[1] if cross else T
    mask = array(3, B, 1, T, keys) > -0.5
    mask[..., 0] = True
    expected = numpy_attention(layer, x, context if cross else x, mask[:, 0])
    np.testing.assert_allclose(layer(x, attention_mask=additive_mask(mask), **arguments), expected, atol=2e-4)


def test_packed_row_equals_separate_rows():
    layer = MultiHeadAttention(H, HEAD)
    examples = np.array([[1, 1, 2, 2, 2, 0]])
    x = array(0, 1, T, D)
    packed = np.array(layer(x, attention_mask=additive_mask(example_mask(examples, examples))))
    np.testing.assert_allclose(packed[:, :2], layer(x[:, :2]), atol=1e-6)
    np.testing.assert_allclose(packed[:, 2:5], layer(x[:, 2:5]), atol=1e-6)
    assert np.isfinite(packed).all()


@pytest.mark.parametrize("step", [1, 2, 3])
def test_cached_equals_full(step):
    layer = MultiHeadAttention(H, HEAD, num_kv_heads=2)
    x, place = array(0, B, T, D), np.arange(T)[None]
    ones = np.ones((B, T), "int32")
    cos, sin = rotary_table(np.repeat(place, B, 0), HEAD)
    causal = additive_mask(example_mask(ones, ones, query_positions=place, key_positions=place))
    full = np.array(layer(x, attention_mask=causal, rotary=(cos, sin)))
    cache = keras.ops.zeros((B, 2, 2, T, HEAD))
    for start in range(0, T, step):
        part = slice(start, start + step)
        y, cache = layer(
            x[:, part],
            attention_mask=causal[:, :, part],
            rotary=(cos[:, part], sin[:, part]),
            cache=cache,
            cache_index=start,
        )
        np.testing.assert_allclose(y, full[:, part], atol=1e-5)


def test_a_row_that_may_attend_to_nothing_is_finite_in_every_dtype():
    for policy in ("float32", "mixed_bfloat16", "mixed_float16"):
        layer = MultiHeadAttention(H, HEAD, dtype=policy)
        mask = additive_mask(np.zeros((B, 1, T, T), bool))
        assert np.isfinite(np.array(layer(array(0, B, T, D), attention_mask=mask)).astype("float32")).all()


def test_heads_must_divide():
    with pytest.raises(ValueError, match="num_heads=4, num_kv_heads=3"):
        MultiHeadAttention(4, 8, num_kv_heads=3)
