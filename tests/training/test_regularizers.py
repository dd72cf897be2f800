"""Each regularizer against its formula by hand, and what they have in common."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfllm
from tfllm import models, training
from tfllm.errors import UserError
from tfllm.training import step
from tfllm.training.regularizers import (
    FGM,
    SMART,
    Distillation,
    FreeLB,
    LabelSmoothing,
    RDrop,
    regularize,
    regularized,
)

RANDOM = np.random.default_rng(0)
X = {
    "token_ids": RANDOM.integers(1, 50, (4, 6)).astype("int32"),
    "example_ids": np.array([[1, 1, 1, 2, 2, 0], [1, 1, 2, 2, 2, 2], [1, 1, 1, 1, 0, 0], [1] * 6], "int32"),
    "position_ids": np.array([[0, 1, 2, 0, 1, 0], [0, 1, 0, 1, 2, 3], [0, 1, 2, 3, 0, 0], [*range(6)]], "int32"),
    "head_positions": np.array([[0, 3], [0, 2], [0, 0], [0, 0]], "int32"),
}
Y = RANDOM.integers(0, 3, (4, 2)).astype("int32")
WEIGHT = np.array([[1, 1], [1, 1], [1, 0], [1, 0]], "float32")  # two places are empty


def make(dropout: float = 0.0, seed: int = 0, head=models.SequenceClassifier, **options):
    keras.utils.set_random_seed(seed)
    config = tfllm.TransformerConfig(
        vocab_size=50,
        hidden_size=16,
        num_layers=1,
        num_heads=2,
        intermediate_size=24,
        initializer_range=0.5,
        dropout=dropout,
        attention_dropout=dropout,
    )
    model = head(config, **(options or {"num_labels": 3}))
    model.compile(training.optimizer("adamw", 1e-2, warmup=0), **model.compile_defaults())
    model.optimizer.build(model.trainable_variables)
    return model


def total(model, *regularizers, x=X, y=Y, weight=WEIGHT) -> float:
    regularize(model, *regularizers)
    return float(regularized(step.forward_loss, model)(model, x, y, weight)[0])


def extra(model, *regularizers, **data) -> float:
    return total(model, *regularizers, **data) - total(model, **data)


def cross_entropy(model, x=X):
    """By item, in TensorFlow, from the logits."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(Y, model(x, training=False))


def mean(values) -> float:
    return float(np.sum(np.asarray(values) * WEIGHT) / WEIGHT.sum())


def softmax(logits):
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def kl(p, q):
    return np.sum(p * (np.log(p) - np.log(q)), -1)


def test_without_any_the_forward_pass_is_the_plain_one():
    model = make()
    assert regularized(step.forward_loss, model) is step.forward_loss
    assert total(model) == pytest.approx(mean(cross_entropy(model)), abs=1e-6)


def test_label_smoothing_is_that_of_keras():
    model = make()
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2, reduction=None)
    expected = mean(loss(np.eye(3, dtype="float32")[Y], model(X)))
    assert total(model, LabelSmoothing(0.2)) == pytest.approx(expected, abs=1e-5)


def test_r_drop_is_nothing_without_dropout_and_the_papers_half_with_it():
    assert extra(make(), RDrop(4.0)) == pytest.approx(0, abs=1e-6)

    model = make(dropout=0.3)
    keras.utils.set_random_seed(1)
    model = make(dropout=0.3)
    draws = [variable for variable in model.non_trainable_variables if "seed" in variable.path]
    before = [np.array(variable) for variable in draws]
    loss = total(model, RDrop(4.0))
    for variable, value in zip(draws, before):
        variable.assign(value)
    first, second = (np.array(model(X, training=True)) for _ in range(2))
    p, q = softmax(first), softmax(second)
    entropies = [-np.log(np.take_along_axis(s, Y[..., None], -1))[..., 0] for s in (p, q)]
    halves = mean(sum(entropies)) / 2
    assert np.abs(first - second).max() > 1e-2
    assert loss == pytest.approx(halves + 4.0 / 4 * mean(kl(p, q) + kl(q, p)), abs=1e-5)


def gradient_of_embeddings(model, at=None):
    """The gradient of the mean loss at the token embeddings, by example: `(B, T, D)` and the example's norm at each token."""
    noise = tf.Variable(tf.zeros((4, 6, 16)) if at is None else at)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(cross_entropy(model, {**X, "embedding_noise": noise}) * WEIGHT) / WEIGHT.sum()
    gradient = np.array(tape.gradient(loss, noise))
    return gradient, norms(gradient)


def norms(noise):
    result = np.ones((4, 6, 1), "float32")
    for row, ids in enumerate(X["example_ids"]):
        for example in set(ids.tolist()) - {0}:
            result[row, ids == example] = np.sqrt(np.sum(noise[row, ids == example] ** 2))
    return result


def unit(gradient):
    return gradient / np.maximum(norms(gradient), 1e-30) * (X["example_ids"] > 0)[..., None]


def test_noise_is_added_to_what_the_token_table_gives():
    model = make()
    table = model.backbone.embedding.token.embeddings
    noise = np.random.default_rng(3).normal(size=(4, 6, 16)).astype("float32")
    moved = np.array(model({**X, "embedding_noise": noise}))
    ids = np.arange(24, dtype="int32").reshape(4, 6)
    rows = np.array(table)[X["token_ids"]] + noise
    table.assign(np.concatenate([rows.reshape(24, 16), np.array(table)[24:]]))
    np.testing.assert_allclose(moved, model({**X, "token_ids": ids}), atol=1e-5)


def test_fgm_adds_the_loss_one_step_up_the_gradient():
    model = make()
    gradient, _ = gradient_of_embeddings(model)
    x = {**X, "embedding_noise": 0.5 * unit(gradient)}
    expected = mean(cross_entropy(model, x))
    assert extra(model, FGM(0.5, weight=2.0)) == pytest.approx(2 * expected, abs=1e-4)
    assert expected > total(model)


def test_free_lb_is_the_mean_loss_along_the_ascent():
    model = make()
    # From 0, so that the first loss is the plain one; the ball of 0.15 is reached in the second step of 0.1.
    expected, moved = [], np.zeros((4, 6, 16), "float32")
    for _ in range(3):
        expected.append(mean(cross_entropy(model, {**X, "embedding_noise": moved})))
        moved = moved + 0.1 * unit(gradient_of_embeddings(model, moved)[0])
        moved = moved * np.minimum(1, 0.15 / np.maximum(norms(moved), 1e-30))
    loss = total(model, FreeLB(3, step_size=0.1, max_norm=0.15, initial_norm=0.0))
    assert loss == pytest.approx(np.mean(expected), abs=1e-4)


def test_smart_is_the_divergence_at_the_worst_corner():
    """With a tiny start and a step beyond the ball, the perturbation is epsilon times the sign where the gradient is not small."""
    model = make()
    epsilon = 0.05
    found = extra(model, SMART(3.0, epsilon=epsilon, step_size=1e6, deviation=1e-3))
    p = softmax(np.array(model(X)))

    def apart(noise):
        q = softmax(np.array(model({**X, "embedding_noise": noise})))
        return 3.0 * mean(kl(p, q) + kl(q, p))

    generator = np.random.default_rng(4)
    signs = [np.sign(generator.normal(size=(4, 6, 16))).astype("float32") for _ in range(20)]
    assert found > max(apart(epsilon * s) for s in signs)
    assert extra(model, SMART(3.0)) == pytest.approx(0, abs=1e-5)  # the paper's ball is tiny


def test_distillation_is_hintons_and_nothing_from_itself():
    model, teacher = make(), make(seed=1)
    p, q = softmax(np.array(teacher(X)) / 3), softmax(np.array(model(X)) / 3)
    loss = total(model, Distillation(teacher, temperature=3.0, weight=0.4))
    assert loss == pytest.approx(0.6 * total(model) + 0.4 * 9 * mean(kl(p, q)), abs=1e-4)
    itself = total(model, Distillation(model, temperature=3.0, weight=1.0))
    assert itself == pytest.approx(0, abs=1e-6)
    assert len(model.weights) == len(make().weights)  # the teacher is no part of its student


def test_two_add_up():
    model = make()
    one, two = LabelSmoothing(0.1), FGM(0.3)
    assert extra(model, one, two) == pytest.approx(extra(model, one) + extra(model, two), abs=1e-5)


def test_packed_rows_count_as_rows_of_their_own():
    """Norms and means are of examples: FGM on two examples in a row, and on each alone."""
    model = make()
    alone = {
        "token_ids": np.array([[*X["token_ids"][0][:3]], [*X["token_ids"][0][3:5], 0]], "int32"),
        "example_ids": np.array([[1, 1, 1], [1, 1, 0]], "int32"),
        "position_ids": np.array([[0, 1, 2], [0, 1, 0]], "int32"),
        "head_positions": np.zeros((2, 1), "int32"),
    }
    packed = {key: value[:1] for key, value in X.items()}
    for regularizer in (FGM(0.5), SMART(1.0, epsilon=0.05, step_size=1e6, deviation=1e-9), RDrop(1.0)):
        together = total(model, regularizer, x=packed, y=Y[:1], weight=WEIGHT[:1])
        apart = total(model, regularizer, x=alone, y=Y[0][:, None], weight=None)
        assert together == pytest.approx(apart, abs=1e-4), regularizer


def test_of_a_regression_differences_are_squared():
    model = make(dropout=0.3, num_labels=1, regression=True)
    data = {"y": Y.astype("float32"), "weight": WEIGHT}
    assert np.isfinite(extra(model, RDrop(1.0), SMART(1.0), **data))
    with pytest.raises(UserError, match="cross-entropy"):
        total(model, LabelSmoothing(0.1), **data)


@pytest.mark.parametrize(
    "regularizer",
    [lambda: LabelSmoothing(1.0), lambda: RDrop(0), lambda: FGM(-1.0), lambda: FreeLB(0), lambda: SMART(0.0)],
)
def test_values_out_of_range(regularizer):
    with pytest.raises(UserError, match="Received: "):
        regularizer()


def test_a_teacher_with_other_labels_is_refused():
    with pytest.raises(UserError, match="student's outputs"):
        total(make(), Distillation(make(num_labels=2)))


def test_compiled_by_xla_it_is_the_same():
    model = make()
    expected = total(model, LabelSmoothing(0.1), FGM(0.5))
    forward = regularized(step.forward_loss, model)

    @tf.function(jit_compile=True)
    def compiled(x):
        with tf.GradientTape() as tape:
            loss, _ = forward(model, x, Y, WEIGHT)
        return loss, tape.gradient(loss, [variable.value for variable in model.trainable_variables])

    loss, gradients = compiled({key: tf.constant(value) for key, value in X.items()})
    assert float(loss) == pytest.approx(expected, abs=1e-4)
    assert all(np.isfinite(np.array(tf.convert_to_tensor(g))).all() for g in gradients if g is not None)


def test_fit_trains_with_them_on_one_device_and_on_two(two_replicas):
    def run(*regularizers):
        model = regularize(make(), *regularizers)
        data = tf.data.Dataset.from_tensors((X, Y, WEIGHT)).repeat(3)
        history = model.fit(data, epochs=1, verbose=0)
        return model, history.history["loss"][-1]

    one, loss = run(LabelSmoothing(0.3), FGM(0.5))
    plain, plain_loss = run()
    assert loss > plain_loss
    assert np.abs(np.array(one.classifier.kernel) - np.array(plain.classifier.kernel)).max() > 1e-4
    with two_replicas.scope():
        two, _ = run(LabelSmoothing(0.3), FGM(0.5))
    for weight, other in zip(one.trainable_variables, two.trainable_variables):
        if not weight.path.endswith("key/bias"):
            np.testing.assert_allclose(weight, other, atol=2e-4, err_msg=weight.path)
