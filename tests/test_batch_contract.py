"""The batch contract: the same examples packed, bucketed and padded give the same logits, loss and gradients, on two replicas too."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfllm import models
from tfllm.config import TransformerConfig
from tfllm.data.batches import Batches
from tfllm.data.tokenized import TokenizedExamples
from tfllm.training.optimizers import AdamW

ENCODER = TransformerConfig(
    vocab_size=50,
    hidden_size=16,
    num_layers=2,
    num_heads=4,
    intermediate_size=20,
    dropout=0.0,
    attention_dropout=0.0,
    max_positions=64,
    type_vocab_size=2,
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
)
LAYOUTS = {
    "packed": {"layout": "packed"},
    "packed_four_rows": {"layout": "packed", "rows": 4},
    "bucketed": {"layout": "bucketed"},
    "padded": {"layout": "padded", "max_length": 40},
}
EXAMPLES = 14  # of a batch of 16: two slots stay empty


def tokenized(regression=False):
    rng = np.random.default_rng(3)
    ids = [rng.integers(1, 50, rng.integers(2, 38)).astype("int32") for _ in range(EXAMPLES)]
    types = [(np.arange(len(x)) > len(x) // 2).astype("uint8") for x in ids]
    labels = rng.normal(size=EXAMPLES).astype("float32") if regression else rng.integers(0, 3, EXAMPLES).astype("int32")
    return TokenizedExamples.from_ids(ids, labels, type_ids=types)


def make(config, regression=False):
    keras.utils.set_random_seed(1)
    return models.SequenceClassifier(config, 1 if regression else 3, regression=regression)


def measure(config, regression, options):
    """Logits by example, loss, and gradients by variable, of the one batch."""
    model = make(config, regression)
    batches = Batches(tokenized(regression), batch_size=16, shuffle=False, pooled=config.pooled, **options)
    x, y, w = batches.batch(0)
    with tf.GradientTape() as tape:
        prediction = model(x, training=True)
        loss = model.compile_defaults()["loss"](y, prediction, sample_weight=w)
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    places = batches.example_indices(0)
    logits = np.zeros((EXAMPLES, prediction.shape[-1]), "float32")
    logits[places[places >= 0]] = np.array(prediction)[places >= 0]
    return (
        logits,
        float(loss),
        {
            v.path.split("/", 1)[1]: np.array(tf.convert_to_tensor(g))
            for v, g in zip(model.trainable_variables, gradients)
        },
    )


@pytest.mark.parametrize("regression", [False, True], ids=["classes", "scores"])
@pytest.mark.parametrize("config", [ENCODER, DECODER], ids=["encoder", "decoder"])
def test_layouts_give_the_same_numbers(config, regression):
    expected = measure(config, regression, LAYOUTS["padded"])
    for name, options in LAYOUTS.items():
        logits, loss, gradients = measure(config, regression, options)
        np.testing.assert_allclose(logits, expected[0], atol=1e-5, err_msg=name)
        assert loss == pytest.approx(expected[1], abs=1e-5), name
        for path, gradient in gradients.items():
            np.testing.assert_allclose(gradient, expected[2][path], atol=1e-5, err_msg=f"{name} {path}")


class Recorder(AdamW):
    """Keeps the reduced gradients in its first moments: with beta_1 = 0 they are the gradients of the global batch."""

    def __init__(self):
        super().__init__(1e-3, weight_decay=0.0, beta_1=0.0)


@pytest.mark.parametrize("options", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("config", [ENCODER, DECODER], ids=["encoder", "decoder"])
def test_two_replicas_give_the_same_numbers(two_replicas, config, options):
    _, loss, gradients = measure(config, False, LAYOUTS["padded"])
    with two_replicas.scope():
        model = make(config)
        model.compile(Recorder(), **model.compile_defaults())
    batches = Batches(tokenized(), batch_size=16, shuffle=False, pooled=config.pooled, replicas=2, **options)
    history = model.fit(batches.dataset(), verbose=0)
    assert history.history["loss"][0] == pytest.approx(loss, abs=1e-5)
    for variable, moment in zip(model.trainable_variables, model.optimizer._momentums):
        np.testing.assert_allclose(
            moment.numpy(), gradients[variable.path.split("/", 1)[1]], atol=1e-5, err_msg=variable.path
        )
