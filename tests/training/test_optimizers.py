"""AdamW against Keras' own, clipping, layer-wise rates, schedules, and the train step on two replicas."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfllm import models
from tfllm.config import TransformerConfig
from tfllm.errors import UserError
from tfllm.training.optimizers import AdamW, layer_scales, optimizer
from tfllm.training.schedules import WarmupSchedule

CONFIG = TransformerConfig(
    vocab_size=23, hidden_size=16, num_layers=2, num_heads=4, intermediate_size=20, dropout=0.0, attention_dropout=0.0
)
RNG = np.random.default_rng(0)
X = {"token_ids": RNG.integers(1, 23, (6, 7)).astype("int32")}
Y = RNG.integers(0, 3, (6, 1)).astype("int32")
W = np.array([[1], [1], [1], [1], [1], [0]], "float32")


def train(make_optimizer, strategy=None, steps=4, config=CONFIG, data=(X, Y, W)):
    keras.utils.set_random_seed(0)
    with (strategy or tf.distribute.get_strategy()).scope():
        model = models.SequenceClassifier(config, 3)
        model.compile(make_optimizer(), **model.compile_defaults())
    history = model.fit(tf.data.Dataset.from_tensors(data).repeat(steps), verbose=0)
    # A key's bias has no gradient but rounding errors, which Adam scales up to whole steps.
    return [weight.numpy() for weight in model.weights if "key/bias" not in weight.path], history.history


def largest(a, b):
    return max(np.abs(x - y).max() for x, y in zip(a, b))


def apply(make_optimizer, steps=5):
    """Variables after `steps` updates with gradients that do not depend on them."""
    rng = np.random.default_rng(1)
    variables = [
        keras.Variable(rng.normal(size=shape).astype("float32"), name=name)
        for name, shape in (("kernel", (4, 3)), ("bias", (3,)), ("gamma", (3,)), ("embeddings", (5, 3)))
    ]
    own = make_optimizer()
    own.build(variables)
    for _ in range(steps):
        own.apply([tf.constant(rng.normal(size=v.shape), "float32") for v in variables], variables)
    return [variable.numpy() for variable in variables]


@pytest.mark.parametrize("rate", [1e-2, keras.optimizers.schedules.CosineDecay(1e-2, 10)], ids=["constant", "schedule"])
def test_the_fused_update_is_keras_adamw(rate):
    ours = apply(lambda: AdamW(rate, weight_decay=0.0))
    assert largest(ours, apply(lambda: keras.optimizers.AdamW(rate, weight_decay=0.0))) < 1e-6


def test_weight_decay_is_keras_for_matrices_and_none_for_vectors():
    def keras_excluding_vectors():
        own = keras.optimizers.AdamW(1e-2, weight_decay=0.5)
        own.exclude_from_weight_decay(var_names=["bias", "gamma"])
        return own

    ours = apply(lambda: AdamW(1e-2, weight_decay=0.5))
    assert largest(ours, apply(keras_excluding_vectors)) < 1e-6
    assert largest(ours, apply(lambda: AdamW(1e-2, weight_decay=0.0))) > 1e-3


def test_clipping_is_of_the_global_norm_with_repeated_tokens_counted_once():
    variable = keras.Variable(np.zeros((5, 3), "float32"))
    own = AdamW(1.0, weight_decay=0.0, global_clipnorm=1.0, beta_1=0.0, beta_2=0.0, epsilon=1e-8)
    own.build([variable])
    sparse = tf.IndexedSlices(tf.constant([[3.0, 0, 0], [0, 4.0, 0], [3.0, 0, 0]]), tf.constant([1, 2, 1]), (5, 3))
    own.apply([sparse], [variable])
    moment = own._momentums[0].numpy()
    # Rows 1 and 1 add up to 6, so the norm is sqrt(36 + 16); clipped to 1.
    np.testing.assert_allclose(moment[1, 0], 6 / math.sqrt(52), rtol=1e-6)
    np.testing.assert_allclose(moment[2, 1], 4 / math.sqrt(52), rtol=1e-6)


@pytest.mark.parametrize("options", [{"clip_norm": None}, {"clip_norm": 0.1}, {"layer_decay": 0.5}], ids=str)
def test_two_replicas_train_as_one(two_replicas, options):
    one, one_log = train(lambda: optimizer("adamw", 1e-3, **options))
    two, two_log = train(lambda: optimizer("adamw", 1e-3, **options), two_replicas)
    assert largest(one, two) < 1e-5
    np.testing.assert_allclose(one_log["loss"], two_log["loss"], atol=1e-5)
    np.testing.assert_allclose(one_log["accuracy"], two_log["accuracy"], atol=1e-6)


def test_two_replicas_refuse_a_step_that_would_be_wrong(two_replicas):
    with pytest.raises(UserError, match=r"tfllm\.training\.optimizer"):
        train(lambda: keras.optimizers.AdamW(1e-3), two_replicas)


def test_rows_must_divide_among_replicas(two_replicas):
    with two_replicas.scope():
        model = models.SequenceClassifier(CONFIG, 3)
        model.compile(optimizer("adamw", 1e-3), **model.compile_defaults())
    odd = ({"token_ids": X["token_ids"][:5]}, Y[:5], W[:5])
    with pytest.raises(UserError, match="5 rows for 2 replicas.*replicas=2"):
        model.fit(tf.data.Dataset.from_tensors(odd), verbose=0)


def test_layer_decay_scales_the_step():
    paths = [
        "m/embedding/token/embeddings",
        "m/block_0/attention/query/kernel",
        "m/block_1/x",
        "m/final_norm/scale",
        "c/pooler/kernel",
    ]
    assert layer_scales(paths, 0.5) == [0.125, 0.25, 0.5, 1.0, 1.0]
    assert layer_scales(paths, None) == [1.0] * 5
    with_decay, _ = train(lambda: optimizer("adamw", 1e-3, layer_decay=0.5, weight_decay=0.0), steps=1)
    without, _ = train(lambda: optimizer("adamw", 1e-3, weight_decay=0.0), steps=1)
    keras.utils.set_random_seed(0)
    model = models.SequenceClassifier(CONFIG, 3)
    weights = [weight for weight in model.weights if "key/bias" not in weight.path]
    for path, scale in (
        ("block_0/feed_forward/up/kernel", 0.25),
        ("block_1/feed_forward/up/kernel", 0.5),
        ("classifier/bias", 1.0),
    ):
        i = next(i for i, weight in enumerate(weights) if weight.path.endswith(path))
        start = weights[i].numpy()
        np.testing.assert_allclose(with_decay[i] - start, scale * (without[i] - start), atol=1e-7)


def test_mixed_float16_trains_with_a_loss_scale():
    keras.utils.set_random_seed(0)
    model = models.SequenceClassifier(CONFIG, 3, dtype="mixed_float16")
    model.compile(optimizer("adamw", 1e-3), **model.compile_defaults())
    history = model.fit(tf.data.Dataset.from_tensors((X, Y, W)).repeat(5), epochs=2, verbose=0)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert history.history["loss"][1] < history.history["loss"][0]


@pytest.mark.parametrize("decay", ["linear", "cosine", "constant"])
def test_schedules_are_the_published_formulas(decay):
    schedule = WarmupSchedule(2.0, 50, 10, decay)
    for step in range(0, 55):
        progress = min(max((step - 10) / 40, 0), 1)
        after = {"linear": 1 - progress, "cosine": 0.5 * (1 + math.cos(math.pi * progress)), "constant": 1.0}[decay]
        assert float(schedule(step)) == pytest.approx(2.0 * min(step / 10, 1) * after, abs=1e-6)
    assert float(WarmupSchedule.from_config(schedule.get_config())(17)) == float(schedule(17))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"name": "adam"}, "name"),
        ({"schedule": "linear"}, "total_steps"),
        ({"schedule": "step"}, "schedule"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"warmup": 1.5}, "warmup"),
        ({"clip_norm": 0}, "clip_norm"),
        ({"layer_decay": 1.5}, "layer_decay"),
        ({"weight_decay": -1}, "weight_decay"),
    ],
)
def test_user_errors(arguments, message):
    with pytest.raises(UserError, match=message):
        optimizer(**arguments)


def test_optimizer_travels_in_a_keras_file(tmp_path):
    model = models.SequenceClassifier(CONFIG, 3)
    model.compile(optimizer("adamw", 1e-3, total_steps=9, layer_decay=0.9), **model.compile_defaults())
    model.fit(tf.data.Dataset.from_tensors((X, Y, W)), verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(again.optimizer, AdamW) and again.optimizer.layer_decay == 0.9
    for m in (model, again):
        m.fit(tf.data.Dataset.from_tensors((X, Y, W)), verbose=0)
    assert largest(model.get_weights(), again.get_weights()) == 0


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.1}], ids=str)
def test_micro_batches_train_as_one_batch(request, replicas, options):
    """Parts with uneven numbers of real examples, one of them with none."""
    strategy = request.getfixturevalue("two_replicas") if replicas == 2 else None
    rng = np.random.default_rng(5)
    data = (
        {"token_ids": rng.integers(1, 23, (8, 7)).astype("int32")},
        rng.integers(0, 3, (8, 1)).astype("int32"),
        np.array([[1], [1], [1], [0], [0], [0], [1], [1]], "float32"),
    )
    whole, whole_log = train(lambda: optimizer("adamw", 1e-3, **options), data=data)
    parts, parts_log = train(lambda: optimizer("adamw", 1e-3, micro_batches=4, **options), strategy, data=data)
    assert largest(whole, parts) < 1e-5
    np.testing.assert_allclose(whole_log["loss"], parts_log["loss"], atol=1e-5)
    np.testing.assert_allclose(whole_log["accuracy"], parts_log["accuracy"], atol=1e-6)


def test_rows_must_divide_into_micro_batches():
    with pytest.raises(UserError, match="6 rows, micro_batches=4"):
        train(lambda: optimizer("adamw", 1e-3, micro_batches=4))
    with pytest.raises(UserError, match="micro_batches must be"):
        optimizer("adamw", 1e-3, micro_batches=0)


def test_an_infinity_on_one_replica_is_skipped_on_all(two_replicas):
    """mixed_float16: Keras' loss scale would look at each replica's own gradient."""
    rows = {"token_ids": np.where(X["token_ids"] == 7, 8, X["token_ids"])}
    infinite = {"token_ids": rows["token_ids"].copy()}
    infinite["token_ids"][4, 2] = 7  # on the second replica
    keras.utils.set_random_seed(0)
    with two_replicas.scope():
        model = models.SequenceClassifier(CONFIG, 3, dtype="mixed_float16")
        model.compile(optimizer("adamw", 1e-2), **model.compile_defaults())
    table = model.backbone.embedding.token.embeddings
    table.assign(table.numpy() + 1e6 * (np.arange(23) == 7)[:, None])  # beyond float16
    before = [weight.numpy() for weight in model.trainable_weights]
    model.fit(tf.data.Dataset.from_tensors((infinite, Y, W)), verbose=0)
    assert largest(before, [weight.numpy() for weight in model.trainable_weights]) == 0
    model.fit(tf.data.Dataset.from_tensors((rows, Y, W)).repeat(20), verbose=0)
    after = [weight.numpy() for weight in model.trainable_weights]
    assert largest(before, after) > 1e-3 and all(np.isfinite(weight).all() for weight in after)
