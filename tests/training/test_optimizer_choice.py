"""Every optimizer by one routine: Keras' numbers, two replicas as one, resumption, files, layers' rates, low-rank updates and freezing."""

from __future__ import annotations

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_features import NEEDS_MUON

from tfllm import models, training
from tfllm.config import TransformerConfig
from tfllm.data.batches import Batches
from tfllm.data.tokenized import TokenizedExamples
from tfllm.errors import UserError
from tfllm.training.moving_averages import training_goes_on
from tfllm.training.optimizers import OPTIMIZERS, optimizer
from tfllm.training.optimizers.muon import _NOT_OF_A_BLOCK
from tfllm.training.train_state import read_state, write_state

RATES = {"adamw": 1e-3, "adafactor": 1e-2, "lion": 1e-4, "muon": 1e-3, "sgd": 1e-1}
NAMES = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=NEEDS_MUON if name == "muon" else ()) for name in RATES]
)
CONFIG = TransformerConfig(
    vocab_size=50,
    hidden_size=16,
    num_layers=2,
    num_heads=4,
    intermediate_size=20,
    max_positions=64,
    dropout=0.0,
    attention_dropout=0.0,
)


def variables() -> list[keras.Variable]:
    rng = np.random.default_rng(1)
    made = []
    for path, shape in (
        ("embedding/token/embeddings", (5, 4)),
        ("block_0/up/kernel", (4, 3)),
        ("block_0/up/bias", (3,)),
        ("block_0/norm/gamma", (4,)),
        ("block_1/up/kernel", (3, 4)),
        ("classifier/kernel", (4, 2)),
    ):
        *scopes, name = path.split("/")
        with contextlib.ExitStack() as stack:
            for scope in scopes:
                stack.enter_context(keras.name_scope(scope))
            made.append(keras.Variable(rng.normal(size=shape).astype("float32"), name=name))
    return made


def updated(own: keras.optimizers.Optimizer, steps: int = 5) -> list[np.ndarray]:
    """Variables after updates with gradients that do not depend on them."""
    rng, trained = np.random.default_rng(2), variables()
    own.build(trained)
    for _ in range(steps):
        own.apply([tf.constant(rng.normal(size=v.shape), "float32") for v in trained], trained)
    return [variable.numpy() for variable in trained]


def largest(a, b) -> float:
    return max(np.abs(x - y).max() for x, y in zip(a, b, strict=True))


@NAMES
@pytest.mark.parametrize("weight_decay", [0.0, 0.5])
def test_the_numbers_are_those_of_keras(name, weight_decay):
    options = {
        "adamw": {"epsilon": 1e-8},
        "muon": {"epsilon": 1e-8, "exclude_layers": [_NOT_OF_A_BLOCK], "adam_weight_decay": weight_decay},
        "sgd": {"momentum": 0.9},
    }
    theirs = getattr(keras.optimizers, OPTIMIZERS[name].__name__)(
        RATES[name], weight_decay=weight_decay, **options.get(name, {})
    )
    theirs.exclude_from_weight_decay(var_names=["bias", "gamma"])
    ours = optimizer(name, RATES[name], warmup=0, weight_decay=weight_decay, clip_norm=None)
    assert largest(updated(ours), updated(theirs)) < 1e-6
    assert largest(updated(theirs.from_config(theirs.get_config())), [v.numpy() for v in variables()]) > 1e-4


@NAMES
def test_layer_decay_scales_the_first_step(name):
    start = [variable.numpy() for variable in variables()]
    plain, decayed = (
        updated(optimizer(name, RATES[name], warmup=0, weight_decay=0.0, layer_decay=decay), steps=1)
        for decay in (None, 0.5)
    )
    for before, one, other, scale in zip(start, plain, decayed, (0.125, 0.25, 0.25, 0.25, 0.5, 1.0)):
        np.testing.assert_allclose(other - before, scale * (one - before), atol=5e-7)
        assert np.abs(one - before).max() > 1e-5


def packed_batches() -> Batches:
    """16 examples a step or 8, in rows of different numbers of tokens, for two replicas with two parts each."""
    rng = np.random.default_rng(3)
    ids = [rng.integers(1, 50, rng.integers(2, 38)).astype("int32") for _ in range(24)]
    examples = TokenizedExamples.from_ids(ids, rng.integers(0, 3, 24).astype("int32"))
    return Batches(examples, batch_size=16, shuffle=True, seed=1, pooled=CONFIG.pooled, layout="packed", replicas=4)


def train(name, strategy=None, steps=20, **options) -> tuple[list[np.ndarray], list[np.ndarray], list[float]]:
    """Weights at the end, their averages, and losses."""
    keras.utils.set_random_seed(0)
    with (strategy or tf.distribute.get_strategy()).scope():
        model = models.SequenceClassifier(CONFIG, 3)
        model.compile(optimizer(name, RATES[name], warmup=0, ema_momentum=0.8, **options), **model.compile_defaults())
    losses = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps_losses.append(logs["loss"]))
    steps_losses: list[float] = []
    with training_goes_on(model):
        model.fit(packed_batches().dataset(0, steps), verbose=0, callbacks=[losses])

    def values():
        # A key's bias has no gradient but rounding errors, which most optimizers scale up to whole steps.
        return [weight.numpy() for weight in model.trainable_weights if "key/bias" not in weight.path]

    own = values()
    with training.averaged_weights(model):
        return own, values(), steps_losses


@NAMES
def test_two_replicas_in_parts_train_as_one_device_at_once(two_replicas, name):
    """Packed rows, uneven numbers of real examples and tokens, clipping, weight decay, moving averages."""
    one, one_average, one_loss = train(name, clip_norm=0.5)
    two, two_average, two_loss = train(name, two_replicas, clip_norm=0.5, micro_batches=2)
    limit = 1e-6 if name == "sgd" else 1e-4
    np.testing.assert_allclose(one_loss, two_loss, atol=1e-5)
    assert largest(one, two) < limit and largest(one_average, two_average) < limit
    assert largest(one, one_average) > 2 * limit and len(one_loss) == 20


def adapted(name: str, seed: int):
    """A model with low-rank updates and frozen weights, and dropout, compiled."""
    keras.utils.set_random_seed(seed)
    model = models.SequenceClassifier(CONFIG.replace(dropout=0.1), 3)
    training.lora(model, rank=2, dropout=0.1)
    training.freeze(model, "^pooler/")
    model.compile(
        optimizer(name, RATES[name], total_steps=9, layer_decay=0.9, ema_momentum=0.9), **model.compile_defaults()
    )
    return model


@NAMES
def test_an_adapted_model_goes_on_from_its_state_and_travels_in_a_file(name, tmp_path):
    def go_on(model, start):
        with training_goes_on(model):
            model.fit(packed_batches().dataset(start, start + 2), verbose=0)
        return model

    model = adapted(name, seed=0)
    before = {path: weight.numpy() for path, weight in model.named_weights().items()}
    state = read_state(go_on(model, 0))
    trained = {path for path, weight in model.named_weights().items() if weight.trainable}
    changed = {
        path for path, weight in model.named_weights().items() if not np.array_equal(weight.numpy(), before[path])
    }
    assert changed == trained and {path.split("/")[0] for path in trained} == {"classifier", "encoder"}
    model.save(tmp_path / "model.keras")

    other = adapted(name, seed=1)
    other.build_to_train(packed_batches().dataset(0, 1).element_spec)
    write_state(other, state)
    expected, received = read_state(go_on(model, 2)), read_state(go_on(other, 2))
    assert expected.keys() == received.keys()
    for path, value in expected.items():
        np.testing.assert_array_equal(value, received[path], err_msg=path)

    from_file = keras.models.load_model(tmp_path / "model.keras").optimizer
    assert type(from_file) is OPTIMIZERS[name]
    assert from_file.get_config() == model.optimizer.get_config()
    slots = [value for path, value in state.items() if path.startswith("optimizer/")]
    for value, variable in zip(slots, from_file.variables, strict=True):
        np.testing.assert_array_equal(value, variable.numpy())


def test_a_loss_scale_goes_around_it_on_two_replicas(two_replicas):
    """With moving averages: of the steps that are made, and only those."""
    keras.utils.set_random_seed(0)
    with two_replicas.scope():
        model = models.SequenceClassifier(CONFIG, 3, dtype="mixed_float16")
        model.compile(optimizer("lion", 1e-4, ema_momentum=0.5), **model.compile_defaults())
    before = [weight.numpy() for weight in model.trainable_weights]
    with training_goes_on(model):
        model.fit(packed_batches().dataset(0, 4), verbose=0)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    after = [weight.numpy() for weight in model.trainable_weights]
    with training.averaged_weights(model):
        averages = [weight.numpy() for weight in model.trainable_weights]
    assert all(np.isfinite(weight).all() for weight in after)
    assert largest(before, after) > 1e-5 and 1e-5 < largest(averages, after) < largest(before, after)


@NEEDS_MUON
def test_muon_is_for_the_matrices_of_blocks():
    model = models.SequenceClassifier(CONFIG, 3)
    own = optimizer("muon", weight_decay=0.3)
    assert own.momentum == 0.95 and own.weight_decay == own.adam_weight_decay == 0.3
    own.build(model.trainable_variables)
    orthogonalized = [v.path for v, slot in zip(model.trainable_variables, own.adam_velocities) if slot is None]
    assert len(orthogonalized) == 2 * 6 and all("/block_" in p and p.endswith("/kernel") for p in orthogonalized)
    with pytest.raises(UserError, match="muon needs kernels of blocks"):
        optimizer("muon").build([v for v in model.trainable_variables if "/block_" not in v.path])


def test_the_flag_knows_the_same_names_and_defaults_are_stated():
    field = training.FinetuneConfig.__dataclass_fields__["optimizer"]
    assert field.metadata["choices"] == tuple(OPTIMIZERS)
    assert optimizer("sgd").momentum == 0.9
    assert optimizer("lion").beta_2 == 0.99 and optimizer("adamw").epsilon == 1e-8


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("adamw", {"momentum": 0.9}, "momentum is an option of muon, sgd"),
        ("sgd", {"beta_1": 0.9}, "beta_1 is an option of adamw, lion, muon"),
        ("sgd", {"momentum": 1.0}, "Received: momentum=1.0"),
        ("lion", {"ema_momentum": 1.0}, "ema_momentum must lie between"),
        ("rmsprop", {}, "one of adamw, adafactor, lion, muon, sgd"),
    ],
)
def test_user_errors(name, options, message):
    with pytest.raises(UserError, match=message):
        optimizer(name, **options)


def test_an_average_that_overwrites_is_refused():
    with pytest.raises(UserError, match="averaged_weights"):
        OPTIMIZERS["sgd"](0.1, use_ema=True, ema_overwrite_frequency=2)
