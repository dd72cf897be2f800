"""Training whose blocks are computed again against training that keeps them."""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfllm
from tfllm import models, training

sys.path.insert(0, str(Path(__file__).parents[1] / "training" / "planning"))
from kept_tensors import kept_bytes

SMALL = {"vocab_size": 96, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "intermediate_size": 64}
T5 = {
    "num_decoder_layers": 2,
    "relative_buckets": 8,
    "relative_max_distance": 16,
    "position": "none",
    "norm": "rms",
    "norm_placement": "pre",
    "lm_head_transform": False,
    "lm_head_bias": False,
}
DISENTANGLED = {"disentangled": ("c2p", "p2c"), "position": "none", "max_relative_positions": 16, "position_buckets": 8}
ROWS, LENGTH = 4, 24
IDS = np.random.default_rng(0).integers(1, 96, (ROWS, LENGTH)).astype("int32")


def encoder():
    return models.MaskedLM(tfllm.TransformerConfig(**SMALL))


def encoder_decoder():
    return models.Seq2SeqLM(tfllm.TransformerConfig(**SMALL, **T5))


def disentangled():
    return models.MaskedLM(tfllm.TransformerConfig(**SMALL, **DISENTANGLED))


def adapted():
    """Low-rank updates with dropout of their own, everything else but the head frozen."""
    return training.lora(encoder(), 2, targets="block_", dropout=0.2)


def batch(model) -> tuple:
    inputs = {"token_ids": IDS}
    if model.config.is_encoder_decoder:
        inputs["decoder_token_ids"] = IDS
    return inputs, np.roll(IDS, -1, axis=1), (np.arange(LENGTH) < [[24], [20], [9], [3]]).astype("float32")


def train(make, remat: bool, **options) -> tuple[list[float], dict[str, np.ndarray]]:
    """Losses, and what the model's variables are after three steps: weights and dropout's seeds."""
    jit = options.pop("jit_compile", False)
    keras.utils.set_random_seed(0)
    model = make()
    model.remat = remat
    assert model.remat is remat
    model.compile(training.optimizer("sgd", 0.1, **options), jit_compile=jit, **model.compile_defaults())
    losses = []
    record = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: losses.append(float(logs["loss"])))
    model.fit(tf.data.Dataset.from_tensors(batch(model)).repeat(3), verbose=0, callbacks=[record])
    return losses, {f"{i} {v.path}": keras.ops.convert_to_numpy(v) for i, v in enumerate(model.variables)}


def assert_same(ours, theirs):
    assert ours[0] == pytest.approx(theirs[0], abs=1e-6)
    for ours_value, (name, value) in zip(ours[1].values(), theirs[1].items(), strict=True):
        np.testing.assert_allclose(ours_value, value, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (encoder, {}),
        (encoder, {"micro_batches": 2}),
        (encoder_decoder, {}),
        (disentangled, {}),
        (adapted, {}),
        pytest.param(encoder, {"jit_compile": True}, marks=pytest.mark.slow),
    ],
    ids=lambda value: getattr(value, "__name__", None) or ",".join(value),
)
def test_losses_weights_and_seeds_are_the_same(make, options):
    """With dropout: the second computation has the masks of the first."""
    assert_same(train(make, True, **options), train(make, False, **options))


def test_on_two_replicas(two_replicas):
    found = []
    for remat in (True, False):
        with two_replicas.scope():
            found.append(train(encoder, remat))
    assert_same(*found)


def test_only_the_inputs_of_blocks_are_kept():
    bytes_kept = {}
    for remat in (False, True):
        model = models.MaskedLM(tfllm.TransformerConfig(**{**SMALL, "num_layers": 4}))
        model.remat = remat
        model.compile(training.optimizer("sgd"), **model.compile_defaults())
        x, y, weight = (tf.nest.map_structure(tf.constant, part) for part in batch(model))
        kept = kept_bytes(model, x, y, weight)
        bytes_kept[remat] = sum(size for name, size in kept.items() if "/block_" in name)
    inputs = 4 * ROWS * LENGTH * 4 * 32  # float32, of four blocks
    assert bytes_kept[True] < 1.5 * inputs < 0.2 * bytes_kept[False]


def test_evaluation_and_files_do_not_know_of_it(tmp_path):
    model = encoder()
    before = keras.ops.convert_to_numpy(model({"token_ids": IDS}))
    config = model.get_config()
    model.remat = True
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model({"token_ids": IDS})), before)
    assert {**model.get_config(), "name": ""} == {**config, "name": ""}
    model.save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").remat is False
    tfllm.save(model, tmp_path / "bert", family="bert")
    assert tfllm.load(tmp_path / "bert").remat is False
    assert tfllm.load(tmp_path / "bert", remat=True).remat is True
