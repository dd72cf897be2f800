"""LoRA, QLoRA and freezing: what is trained, what is left alone, and that it comes back from files."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras_features import NEEDS_QUANTIZED_KERNELS

import tfllm
from tfllm import models, training
from tfllm.errors import UserError
from tfllm.models import adaptation

IDS = np.random.default_rng(0).integers(1, 50, (8, 7)).astype("int32")
LABELS = np.random.default_rng(1).integers(0, 3, (8, 1)).astype("int32")

QUANTIZED = [pytest.param(mode, marks=NEEDS_QUANTIZED_KERNELS) for mode in ("int8", "int4")]


def make(dropout: float = 0.0, dtype=None, seed: int = 0):
    keras.utils.set_random_seed(seed)
    config = tfllm.TransformerConfig(
        vocab_size=50,
        hidden_size=32,
        num_layers=2,
        num_heads=4,
        intermediate_size=80,
        initializer_range=0.2,
        dropout=dropout,
        attention_dropout=dropout,
    )
    return models.SequenceClassifier(config, num_labels=3, dtype=dtype)


def train(model, steps: int = 2, **settings):
    model.compile(
        training.optimizer("adamw", 1e-2, schedule="constant", warmup=0, weight_decay=0.1, **settings),
        **model.compile_defaults(),
    )
    model.fit(IDS, LABELS, batch_size=8, epochs=steps, verbose=0)
    return model


def values(model) -> dict[str, np.ndarray]:
    return {path: np.array(weight) for path, weight in model.named_weights().items()}


def changed(before: dict, after: dict) -> set[str]:
    return {path for path, value in before.items() if not np.array_equal(value, after[path])}


def outputs(model) -> np.ndarray:
    return np.array(model(IDS, training=False))


def randomize(model) -> None:
    generator = np.random.default_rng(2)
    for layer in adaptation.adapted(model).values():
        layer.lora_b.assign(generator.normal(0, 0.2, layer.lora_b.shape))


@pytest.mark.parametrize("mode", [None, *QUANTIZED])
def test_it_starts_as_the_base_and_trains_updates_and_head_alone(mode):
    model = make()
    if mode is not None:
        training.quantize(model, mode)
    base, base_outputs = values(model), outputs(model)
    training.lora(model, rank=4)
    np.testing.assert_array_equal(outputs(model), base_outputs)
    trained = {weight.path.split("/", 1)[1] for weight in model.trainable_variables}
    updates = {path for path in model.named_weights() if path.endswith(("/lora_a", "/lora_b"))}
    assert len(updates) == 2 * 2 * 2
    head = {"classifier/kernel", "classifier/bias", "pooler/kernel", "pooler/bias"}
    assert trained == updates | head

    start = values(model)
    train(model)
    after = values(model)
    assert changed(base, after) == head
    assert changed(start, after) == trained
    adapted = outputs(model)
    training.merge_lora(model)
    np.testing.assert_allclose(outputs(model), adapted, atol=1e-5)
    assert not adaptation.record(model)
    assert {str(weight.dtype) for weight in model.weights} == {"float32"}


def test_the_update_is_that_of_the_paper():
    model = training.lora(make(), rank=3, alpha=6, targets=r"block_1/attention/query$")
    randomize(model)
    (layer,) = adaptation.adapted(model).values()
    x = np.random.default_rng(3).normal(size=(2, 5, 32)).astype("float32")
    kernel, bias, a, b = (np.array(w) for w in (layer.kernel, layer.bias, layer.lora_a, layer.lora_b))
    np.testing.assert_allclose(layer(x), x @ kernel + bias + 6 / 3 * (x @ a @ b), atol=1e-5)
    assert np.abs(a).max() <= 32**-0.5


@pytest.mark.parametrize("mode", QUANTIZED)
def test_a_quantized_base_is_near_and_small(mode):
    model, plain = make(), make()
    training.quantize(model, mode)
    layers, before = adaptation.quantized(model), adaptation.projections(plain)
    assert layers.keys() == before.keys()
    for path, layer in layers.items():
        kernel = np.array(before[path].kernel)
        levels = 127 if mode == "int8" else 7
        assert np.abs(np.array(layer.float_kernel()) - kernel).max() <= 1.01 * np.abs(kernel).max() / levels, path
        assert layer._kernel.dtype == "int8"
        assert np.prod(layer._kernel.shape) == kernel.size // (1 if mode == "int8" else 2)
    bound = {"int8": 0.02, "int4": 0.4}[mode]
    assert 0 < np.abs(outputs(model) - outputs(plain)).max() < bound


@pytest.mark.parametrize("mode", [None, QUANTIZED[1]])
def test_a_file_keeps_base_and_updates_apart(mode, tmp_path):
    model = make()
    if mode is not None:
        training.quantize(model, mode)
    training.lora(model, rank=4, alpha=3, dropout=0.1)
    randomize(model)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(outputs(again), outputs(model))
    assert adaptation.record(again) == adaptation.record(model)
    before, after = values(model), values(again)
    assert before.keys() == after.keys() and not changed(before, after)

    model.save_weights(tmp_path / "model.weights.h5")
    expected = outputs(model)
    train(model, 1)
    assert np.abs(outputs(model) - expected).max() > 1e-4
    model.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(outputs(model), expected)
    assert not changed(before, values(model))


@NEEDS_QUANTIZED_KERNELS
def test_under_mixed_bfloat16():
    model = training.quantize(make(dtype="mixed_bfloat16"), "int8")
    base = outputs(model)
    training.lora(model, rank=4)
    np.testing.assert_array_equal(outputs(model), base)
    assert {str(weight.dtype) for weight in model.trainable_variables} == {"float32"}
    start = values(model)
    train(model)
    trained = {weight.path.split("/", 1)[1] for weight in model.trainable_variables}
    assert changed(start, values(model)) == trained
    adapted = outputs(model)
    training.merge_lora(model)
    np.testing.assert_allclose(outputs(model), adapted, atol=0.1)  # bfloat16 has 8 bits


def test_dropout_is_on_what_enters_the_update():
    model = training.lora(make(), rank=4, dropout=0.5)
    assert not np.abs(outputs(model) - np.array(model(IDS, training=True))).any()  # B is 0
    randomize(model)
    first, second = (np.array(model(IDS, training=True)) for _ in range(2))
    assert np.abs(first - second).max() > 1e-3
    np.testing.assert_array_equal(outputs(model), outputs(model))


def test_two_replicas_train_as_one_device(two_replicas):
    def run():
        model = training.lora(make(), rank=4)
        return train(model, 2)

    one = run()
    with two_replicas.scope():
        two = run()
    for weight, other in zip(one.trainable_variables, two.trainable_variables):
        np.testing.assert_allclose(weight, other, atol=1e-4, err_msg=weight.path)


def test_other_weights_by_pattern():
    model = training.lora(make(), also_train=r"norm/")
    trained = {weight.path.split("/", 1)[1] for weight in model.trainable_variables}
    assert "classifier/kernel" not in trained and "embedding/norm/gamma" in trained


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rank": 0}, "rank of at least 1"),
        ({"dropout": 1.0}, r"dropout in \[0, 1\)"),
        ({"targets": "attention/qurey"}, "There are: .*attention/query"),
        ({"targets": "("}, "regular expression"),
        ({"also_train": "clasifier/kernel"}, "There are: classifier/kernel"),
    ],
)
def test_what_a_user_can_get_wrong(arguments, message):
    with pytest.raises(UserError, match=message):
        training.lora(make(), **arguments)


@NEEDS_QUANTIZED_KERNELS
def test_steps_in_the_wrong_order():
    model = make()
    with pytest.raises(UserError, match="plain"):
        training.merge_lora(model)
    with pytest.raises(UserError, match="int8 or int4"):
        training.quantize(model, "int2")
    training.lora(model)
    with pytest.raises(UserError, match="already"):
        training.lora(model)
    with pytest.raises(UserError, match="quantize first"):
        training.quantize(model, "int8")
    with pytest.raises(UserError, match="own layers"):
        training.lora(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]))


def test_frozen_weights_stay_and_the_others_train_as_before():
    """Without clipping, whose factor depends on every gradient."""
    frozen_model, free_model = make(), make()
    frozen = training.freeze(frozen_model, r"^classifier/bias|block_1/feed_forward/down/")
    assert frozen == [
        "classifier/bias",
        "encoder/block_1/feed_forward/down/bias",
        "encoder/block_1/feed_forward/down/kernel",
    ]
    start = values(frozen_model)
    train(frozen_model, 1, clip_norm=None)
    train(free_model, 1, clip_norm=None)
    after, free = values(frozen_model), values(free_model)
    key_biases = {path for path in start if path.endswith("attention/key/bias")}  # their gradient is rounding alone
    assert changed(start, after) - key_biases == set(start) - set(frozen) - key_biases - {
        path for path in start if np.array_equal(start[path], free[path])
    }
    assert set(frozen) <= changed(start, free)
    for path in set(start) - set(frozen) - key_biases:
        np.testing.assert_allclose(after[path], free[path], atol=1e-6, err_msg=path)
    slots = [variable.path for variable in frozen_model.optimizer.variables]
    assert not [path for path in slots if "block_1_feed_forward_down" in path]


def test_a_pattern_must_match_and_leave_something():
    model = make()
    with pytest.raises(UserError, match="There are: .*embedding/token/embeddings"):
        training.freeze(model, "embedding/tokens/embedings")
    with pytest.raises(UserError, match="leave something to train"):
        training.freeze(model, ".")
    assert all(weight.trainable for weight in model.weights)
