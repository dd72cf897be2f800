"""Every model through the same checks: shapes, fit, `.keras` files, dtype policies, packed rows, XLA, gradients."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfllm import models
from tfllm.config import TransformerConfig
from tfllm.errors import UserError

ENCODER = TransformerConfig(
    vocab_size=23,
    hidden_size=16,
    num_layers=2,
    num_heads=4,
    intermediate_size=20,
    type_vocab_size=2,
    dropout=0.0,
    attention_dropout=0.0,
    max_positions=32,
)
DECODER = ENCODER.replace(
    causal=True,
    norm="rms",
    norm_placement="pre",
    gated=True,
    activation="silu",
    num_kv_heads=2,
    type_vocab_size=0,
    embedding_norm=False,
    final_norm=True,
    position="rotary",
    pooled="last",
    classifier_activation=None,
    classifier_bias=False,
    lm_head_transform=False,
    lm_head_bias=False,
    tie_embeddings=False,
    pad_id=None,
)
MODELS = {
    "classifier": (lambda **kw: models.SequenceClassifier(ENCODER, 3, **kw), (1, 3), "one"),
    "regression": (lambda **kw: models.SequenceClassifier(ENCODER, 1, regression=True, **kw), (1, 1), "one"),
    "decoder_classifier": (lambda **kw: models.SequenceClassifier(DECODER, 3, **kw), (1, 3), "one"),
    "token_classifier": (lambda **kw: models.TokenClassifier(ENCODER, 5, **kw), (7, 5), "token"),
    "span_predictor": (lambda **kw: models.SpanPredictor(ENCODER, **kw), (7, 2), "span"),
    "masked_lm": (lambda **kw: models.MaskedLM(ENCODER, **kw), (7, 23), "token"),
    "causal_lm": (lambda **kw: models.CausalLM(DECODER, **kw), (7, 23), "token"),
    "tied_causal_lm": (lambda **kw: models.CausalLM(DECODER.replace(tie_embeddings=True), **kw), (7, 23), "token"),
}
RNG = np.random.default_rng(0)
TOKENS = RNG.integers(1, 23, (4, 7)).astype("int32")


def batch(model, labels):
    """`(x, y, w)` of four rows of seven tokens, the last item without weight."""
    shape = {"one": (4, 1), "token": (4, 7), "span": (4, 2)}[labels]
    y = RNG.integers(0, 2, shape)
    y = y.astype("float32") if getattr(model, "regression", False) else y.astype("int32")
    w = np.ones((4, 7) if labels == "token" else (4, 1) if labels == "one" else (4,), "float32")
    w[-1] = 0
    x = {
        "token_ids": TOKENS,
        "example_ids": np.ones_like(TOKENS),
        "position_ids": np.tile(np.arange(7, dtype="int32"), (4, 1)),
    }
    return x, y, w


every_model = pytest.mark.parametrize("make, shape, labels", MODELS.values(), ids=MODELS)


@every_model
def test_fit_changes_every_trainable_weight_and_keras_file_keeps_it(make, shape, labels, tmp_path):
    model = make()
    x, y, w = batch(model, labels)
    assert model(x).shape == (4, *shape) and model(x).dtype == tf.float32
    before = model.get_weights()
    model.compile(keras.optimizers.Adam(1e-2), **model.compile_defaults())
    model.fit(tf.data.Dataset.from_tensors((x, y, w)), verbose=0)
    changed = [not np.array_equal(old, new) for old, new in zip(before, model.get_weights())]
    # A key's bias adds the same to all scores of a query: its gradient is zero.
    still = [
        weight.path for weight, moved in zip(model.weights, changed) if not moved and "key/bias" not in weight.path
    ]
    # Types are all 0 here, and a token that does not occur moves nothing.
    assert not still
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(x), model(x))


@every_model
def test_summary_counts_the_parameters(make, shape, labels):
    model, lines = make(), []
    model.summary(print_fn=lambda line, **_: lines.append(line))
    assert f"{model.count_params():,}" in "\n".join(lines)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@every_model
def test_dtype_policies_train(make, shape, labels, policy, tmp_path):
    model = make(dtype=policy)
    x, y, w = batch(model, labels)
    reference = make()
    reference.set_weights(model.get_weights())
    np.testing.assert_allclose(model(x), reference(x), atol=0.1)
    model.compile(keras.optimizers.Adam(1e-3), **model.compile_defaults())
    history = model.fit(tf.data.Dataset.from_tensors((x, y, w)), verbose=0)
    assert np.isfinite(history.history["loss"][0])
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").dtype_policy.name == policy


@every_model
def test_compiles_with_xla_forward_and_backward(make, shape, labels):
    model = make()
    x, y, w = batch(model, labels)
    loss = model.compile_defaults()["loss"]

    def gradients(x, y, w):
        with tf.GradientTape() as tape:
            value = loss(y, model(x, training=True), sample_weight=w)
        return value, [
            tf.convert_to_tensor(g) for g in tape.gradient(value, [v.value for v in model.trainable_variables])
        ]

    plain, compiled = gradients(x, y, w), tf.function(gradients, jit_compile=True)(x, y, w)
    for a, b in zip(tf.nest.flatten(plain), tf.nest.flatten(compiled)):
        np.testing.assert_allclose(a, b, atol=1e-5)


@every_model
def test_padding_changes_nothing(make, shape, labels):
    model = make()
    x, _, _ = batch(model, labels)
    right = {key: np.pad(value, ((0, 0), (0, 3))) for key, value in x.items()}
    left = {key: np.pad(value, ((0, 0), (3, 0))) for key, value in x.items()}
    expected = np.array(model(x))
    per_token = expected.shape[1] == 7
    np.testing.assert_allclose(np.array(model(right))[:, : 7 if per_token else None], expected, atol=1e-5)
    np.testing.assert_allclose(np.array(model(left))[:, 3 if per_token else 0 :], expected, atol=1e-5)


@pytest.mark.parametrize("config", [ENCODER, DECODER], ids=["encoder", "decoder"])
def test_packed_classifier_equals_separate(config):
    model = models.SequenceClassifier(config, 3)
    first, second = TOKENS[:1, :3], TOKENS[1:2, :4]
    last = config.pooled == "last"
    packed = {
        "token_ids": np.concatenate([first, second, [[0, 0]]], 1),
        "example_ids": np.array([[1, 1, 1, 2, 2, 2, 2, 0, 0]]),
        "position_ids": np.array([[0, 1, 2, 0, 1, 2, 3, 0, 0]]),
        "head_positions": np.array([[2, 6]] if last else [[0, 3]]),
    }
    expected = np.concatenate([model({"token_ids": first}), model({"token_ids": second})], axis=1)
    np.testing.assert_allclose(model(packed), expected, atol=1e-5)


@pytest.mark.parametrize("step", [1, 3])
def test_cached_decoding_equals_full(step):
    model = models.CausalLM(DECODER)
    full = np.array(model(TOKENS))
    cache = model.backbone.empty_cache(4, 9)
    for start in range(0, 7, step):
        logits, cache = model({"token_ids": TOKENS[:, start : start + step]}, cache=cache)
        np.testing.assert_allclose(logits, full[:, start : start + step], atol=1e-5)


def test_masked_lm_computes_only_the_places_asked_for():
    model = models.MaskedLM(ENCODER)
    places = np.array([[1, 3]] * 4)
    expected = np.take_along_axis(np.array(model(TOKENS)), places[..., None], 1)
    np.testing.assert_allclose(model({"token_ids": TOKENS, "head_positions": places}), expected, atol=1e-5)


def test_user_errors():
    model = models.SequenceClassifier(ENCODER, 2)
    with pytest.raises(UserError, match="Received keys: .*input_ids"):
        model({"input_ids": TOKENS})
    with pytest.raises(UserError, match="num_labels"):
        models.SequenceClassifier(ENCODER, 0)
    with pytest.raises(UserError, match="one output"):
        models.SequenceClassifier(ENCODER, 3, regression=True)
    with pytest.raises(UserError, match="causal=True"):
        models.Decoder(ENCODER)
    with pytest.raises(UserError, match="no loss of its own"):
        models.Encoder(ENCODER).compile_defaults()
