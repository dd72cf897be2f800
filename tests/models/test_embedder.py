"""Vectors of texts, and the loss that compares them across a batch."""

import keras
import numpy as np
import pytest
from scipy.special import logsumexp

import tfllm
from tfllm import models
from tfllm.errors import UserError
from tfllm.models.losses import InBatchContrast

CONFIG = tfllm.TransformerConfig(
    vocab_size=40,
    hidden_size=16,
    num_layers=2,
    num_heads=2,
    intermediate_size=32,
    max_positions=32,
    initializer_range=0.5,
)


def expected(vectors: np.ndarray, groups: list[int], scale: float) -> np.ndarray:
    unit = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    losses = []
    for row, group in enumerate(groups):
        others = [j for j, other in enumerate(groups) if j == row or (other != group and other >= 0)]
        likeness = scale * unit[others, 1] @ unit[row, 0]
        losses.append(logsumexp(likeness) - likeness[others.index(row)])
    return np.array(losses)


def test_loss_by_hand():
    vectors = np.random.default_rng(0).normal(size=(6, 2, 5)).astype("float32")
    groups, weights = [0, 1, 0, 2, -1, 3], np.array([1, 1, 1, 0, 0, 1], "float32")
    values = expected(vectors, groups, 20.0)
    loss = InBatchContrast()(np.array(groups), vectors, sample_weight=weights)
    assert float(loss) == pytest.approx((values * weights).sum() / weights.sum(), rel=1e-5)
    again = keras.losses.deserialize(keras.losses.serialize(InBatchContrast(scale=3.0)))
    assert float(again(np.array(groups), vectors)) == pytest.approx(expected(vectors, groups, 3.0).mean(), rel=1e-5)


def test_empty_rows_change_nothing():
    vectors = np.random.default_rng(1).normal(size=(3, 2, 5)).astype("float32")
    full = InBatchContrast()(np.array([0, 1, 2]), vectors, sample_weight=np.ones(3, "float32"))
    padded = np.concatenate([vectors, np.zeros((2, 2, 5), "float32")])
    weights = np.array([1, 1, 1, 0, 0], "float32")
    assert float(InBatchContrast()(np.array([0, 1, 2, -1, -1]), padded, sample_weight=weights)) == pytest.approx(
        float(full)
    )


@pytest.mark.parametrize("causal", [False, True])
def test_two_texts_of_a_row_are_apart(causal):
    keras.utils.set_random_seed(0)
    model = models.TextEmbedder(CONFIG.replace(causal=causal))
    first, second = [3, 4, 5], [6, 7, 8, 9]
    x = {
        "token_ids": np.array([first + second + [0]], "int32"),
        "example_ids": np.array([[1, 1, 1, 2, 2, 2, 2, 0]], "int32"),
        "position_ids": np.array([[0, 1, 2, 0, 1, 2, 3, 0]], "int32"),
        "head_positions": np.array([[0, 3]], "int32"),
    }
    together = keras.ops.convert_to_numpy(model(x))
    assert together.shape == (1, 2, 16)
    for slot, ids in enumerate((first, second)):
        hidden = keras.ops.convert_to_numpy(model.backbone(np.array([ids], "int32")))[0]
        np.testing.assert_allclose(together[0, slot], hidden.mean(axis=0), rtol=2e-5, atol=2e-6)
    assert set(model.named_weights()) == set(model.backbone.named_weights())


def test_encoder_decoders_are_refused():
    with pytest.raises(UserError, match="Received: an encoder-decoder"):
        models.TextEmbedder(CONFIG.replace(num_decoder_layers=1))
