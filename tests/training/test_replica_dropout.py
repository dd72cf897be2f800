"""Dropout on several replicas: each has masks of its own, the same ones in every run."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfllm import models, training
from tfllm.config import TransformerConfig
from tfllm.layers.dropout import Dropout
from tfllm.layers.replica_seed import drawing_for, of_this_replica

# Every kind of draw: embeddings, attention probabilities, outputs of sublayers, before the classifier.
CONFIG = {
    "vocab_size": 23,
    "hidden_size": 16,
    "num_layers": 1,
    "num_heads": 4,
    "intermediate_size": 20,
    "initializer_range": 0.5,
}
ROW = {"token_ids": np.arange(1, 8, dtype="int32")[None]}


def make(strategy, **rates) -> keras.Model:
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = models.SequenceClassifier(
            TransformerConfig(**CONFIG, **{"dropout": 0.0, "attention_dropout": 0.0, **rates}), 3
        )
        model.compile(training.optimizer("adamw", 1e-3, warmup=0), **model.compile_defaults())
    return model


def outputs(model, strategy, drawing: bool) -> list[np.ndarray]:
    """The logits of one and the same row on each replica, as a train step of ours (or of Keras) would compute them."""

    @tf.function
    def each():
        context = tf.distribute.get_replica_context()
        with drawing_for(context.replica_id_in_sync_group if drawing else None):
            return model(ROW, training=True)

    return [value.numpy() for value in strategy.experimental_local_results(strategy.run(each))]


@pytest.mark.parametrize("rates", [{"dropout": 0.5}, {"attention_dropout": 0.5}, {"classifier_dropout": 0.5}], ids=str)
def test_replicas_draw_masks_of_their_own(two_replicas, rates):
    first, second = outputs(make(two_replicas, **rates), two_replicas, drawing=True)
    assert np.abs(first - second).max() > 1e-3
    again = outputs(make(two_replicas, **rates), two_replicas, drawing=True)
    np.testing.assert_array_equal([first, second], again)
    same = outputs(make(two_replicas, **rates), two_replicas, drawing=False)
    np.testing.assert_array_equal(same[0], same[1])
    np.testing.assert_array_equal(same[0], first)  # replica 0 draws as one device does


def test_the_train_step_has_them_draw_their_own(two_replicas):
    """The same row on both replicas: with one mask for both, the loss would be that of one device with that row alone."""

    def losses(strategy, rows: int) -> list[float]:
        model = make(strategy, dropout=0.5)
        row = (
            {"token_ids": np.repeat(ROW["token_ids"], rows, 0)},
            np.ones((rows, 1), "int32"),
            np.ones((rows, 1), "f"),
        )
        seen = []
        log = keras.callbacks.LambdaCallback(on_train_batch_end=lambda _, logs: seen.append(logs["loss"]))
        model.fit(tf.data.Dataset.from_tensors(row).repeat(3), verbose=0, callbacks=[log])
        return seen

    two = losses(two_replicas, 2)
    assert two == losses(two_replicas, 2)
    assert abs(two[0] - losses(tf.distribute.get_strategy(), 1)[0]) > 1e-4


def test_the_state_of_a_generator_is_the_same_for_all():
    layers = [Dropout(0.5, seed=7) for _ in range(3)]
    ones = np.ones((1000,), "float32")
    masks = []
    for replica, layer in zip((None, 0, 1), layers):
        with drawing_for(replica):
            masks.append(np.array(layer(ones, training=True)))
    np.testing.assert_array_equal(masks[0], masks[1])
    assert 400 < (masks[0] != masks[2]).sum() < 600  # as two draws that have nothing to do with each other
    for layer in layers[1:]:
        np.testing.assert_array_equal(layer.seed_generator.state.numpy(), layers[0].seed_generator.state.numpy())
    noisy = Dropout(0.5, noise_shape=(1000, 1), seed=7)
    with drawing_for(1):
        mask = np.array(noisy(np.ones((1000, 2), "float32"), training=True))
    np.testing.assert_array_equal(mask[:, 0], mask[:, 1])
    generator = keras.random.SeedGenerator(7)
    assert of_this_replica(generator) is generator
