"""Moving averages of the weights: their numbers, used for a while and given back, and a whole run that scores them."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import toy_finetuning

import tfllm
from tfllm import models, training
from tfllm.config import TransformerConfig
from tfllm.training.callbacks.step_callback import StepCallback
from tfllm.training.moving_averages import training_goes_on
from tfllm.training.optimizers import Lion, optimizer

CONFIG = TransformerConfig(
    vocab_size=23, hidden_size=16, num_layers=1, num_heads=4, intermediate_size=20, dropout=0.1, attention_dropout=0.1
)
RNG = np.random.default_rng(0)
DATA = (
    {"token_ids": RNG.integers(1, 23, (6, 7)).astype("int32")},
    RNG.integers(0, 3, (6, 1)).astype("int32"),
    np.array([[1], [1], [1], [1], [1], [0]], "float32"),
)


def make(strategy=None, ema: float | None = 0.7):
    keras.utils.set_random_seed(0)
    with (strategy or tf.distribute.get_strategy()).scope():
        model = models.SequenceClassifier(CONFIG, 3)
        model.compile(optimizer("adamw", 1e-2, ema_momentum=ema), **model.compile_defaults())
    return model


def batches(steps: int) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensors(DATA).repeat(steps)


def train(model, steps: int, *callbacks):
    with training_goes_on(model):
        model.fit(batches(steps), verbose=0, callbacks=list(callbacks))
    return model


def values(model) -> list[np.ndarray]:
    """Of every replica."""
    local = model.distribute_strategy.experimental_local_results if model.distribute_strategy else lambda v: (v,)
    return [copy.numpy() for weight in model.trainable_weights for copy in local(weight.value)]


def equal(a, b) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


class Recorder(StepCallback):
    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self.weights = []

    def on_step_end(self, step, logs):
        self.weights.append(values(self.model))


@pytest.mark.parametrize("replicas", [1, 2])
def test_the_average_is_the_recurrence_from_the_first_steps_weights(request, replicas):
    model, recorder = make(request.getfixturevalue("two_replicas") if replicas == 2 else None), Recorder()
    train(model, 6, recorder)
    expected = [weight.astype("float64") for weight in recorder.weights[0]]
    for weights in recorder.weights[1:]:
        expected = [0.7 * average + 0.3 * weight for average, weight in zip(expected, weights)]
    assert not equal(recorder.weights[0], recorder.weights[1])
    with training.averaged_weights(model):
        received = values(model)
    assert len(received) == replicas * len(model.trainable_weights)
    for a, b in zip(expected, received, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_the_average_is_that_of_keras():
    def trained(own):
        rng = np.random.default_rng(1)
        variables = [keras.Variable(rng.normal(size=(4, 3)).astype("float32"), name="kernel")]
        own.build(variables)
        for _ in range(5):
            own.apply([tf.constant(rng.normal(size=(4, 3)), "float32")], variables)
        own.finalize_variable_values(variables)
        return variables[0].numpy()

    ours = trained(optimizer("sgd", 0.1, momentum=0.5, clip_norm=None, weight_decay=0.0, ema_momentum=0.9))
    theirs = trained(keras.optimizers.SGD(0.1, momentum=0.5, use_ema=True, ema_momentum=0.9))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("replicas", [1, 2])
def test_own_weights_come_back_to_the_bit(request, replicas):
    model = make(request.getfixturevalue("two_replicas") if replicas == 2 else None)
    start = values(model)
    with training.averaged_weights(model):  # there are none yet
        assert equal(values(model), start)
    train(model, 4)
    own, slots = values(model), [variable.numpy() for variable in model.optimizer.variables]
    with training.averaged_weights(model):
        averages = values(model)
        with training.averaged_weights(model):
            assert equal(values(model), averages)
        assert equal(values(model), averages) and not equal(averages, own)
    assert equal(values(model), own)
    with pytest.raises(ZeroDivisionError), training.averaged_weights(model):
        raise ZeroDivisionError
    assert equal(values(model), own)
    assert equal([variable.numpy() for variable in model.optimizer.variables], slots)


def test_without_averages_nothing_happens():
    model = train(make(ema=None), 2)
    own = values(model)
    with training.averaged_weights(model):
        assert equal(values(model), own)
    model.fit(batches(1), verbose=0)
    assert not equal(values(model), own)


def test_fit_ends_with_the_averages_unless_training_goes_on():
    model = train(make(), 3)
    with training.averaged_weights(model):
        averages = values(model)
    assert not equal(values(model), averages)
    other = make()
    other.fit(batches(3), verbose=0)
    assert equal(values(other), averages)


def test_several_steps_in_one_call_give_the_same_averages(two_replicas):
    averages = []
    for steps in (1, 3):
        model = make(two_replicas)
        model.steps_per_execution = steps
        model.fit(batches(6), verbose=0)
        averages.append(values(model))
    assert equal(*averages)


class Scores:
    """A task whose score is of the weights that a model has at the moment."""

    metrics = ("first",)

    def __init__(self, fail_at: int | None = None):
        self.seen, self.fail_at = [], fail_at

    def evaluate(self, model, split, **options):
        if len(self.seen) == self.fail_at:
            raise ZeroDivisionError
        self.seen.append(values(model))
        return {"first": -float(len(self.seen))}


def test_callbacks_score_and_keep_the_averages_and_training_does_not_notice(tmp_path):
    undisturbed = values(train(make(), 4))
    model, task, path = make(), Scores(), tmp_path / "best.weights.h5"
    best = training.BestCheckpoint(path, monitor="val_first", restore=False)
    train(model, 4, training.Evaluate(task, every=2), best)
    assert equal(values(model), undisturbed) and len(task.seen) == 2
    assert not equal(task.seen[-1], undisturbed)
    assert best.best_step == 2
    other = make(ema=None)
    other.load_weights(path)
    assert equal(values(other), task.seen[0])

    failing = make()
    with pytest.raises(ZeroDivisionError):
        train(failing, 6, training.Evaluate(Scores(fail_at=1), every=2))
    assert equal(values(failing), undisturbed)  # of step 4


class Stop(StepCallback):
    def on_step_end(self, step, logs):
        if step == 33:  # in the midst of an epoch
            raise KeyboardInterrupt


class Interrupted(training.Trainer):
    def _callbacks(self, *arguments):
        return [Stop(), *super()._callbacks(*arguments)]


def test_a_run_scores_and_saves_the_averages_and_goes_on_after_an_interruption_to_the_bit(checkpoint, tmp_path):
    config = training.FinetuneConfig(
        model=str(checkpoint),
        run_dir=str(tmp_path / "whole"),
        optimizer="lion",
        ema=0.9,
        epochs=3,
        learning_rate=2e-3,
        batch_size=8,
        max_length=10,
        log_every=1,
        eval_every="15",
        checkpoint_every=7,
    )
    task = toy_finetuning.sentiment_task()
    whole = training.Trainer(config, task=task)
    results = whole.run()
    assert isinstance(whole.model.optimizer, Lion)
    written = json.loads((tmp_path / "whole" / "results.json").read_text())
    assert written["scored_weights"] == "exponential moving average, 0.9"
    card = (tmp_path / "whole" / "README.md").read_text()
    assert "| optimizer | lion |" in card and "exponential moving average: after each step 0.9 of it stays" in card
    saved = tfllm.load(tmp_path / "whole" / "model")
    scores = task.evaluate(saved, "validation", max_length=10)
    assert scores["accuracy"] == results["scores"]["validation"]["accuracy"]
    best = max(line["accuracy"] for line in written["evaluations"])
    assert scores["accuracy"] == best

    again = config.replace(run_dir=str(tmp_path / "again"))
    with pytest.raises(KeyboardInterrupt):
        Interrupted(again, task=task).run()
    resumed = training.Trainer(again, task=task).run()
    assert resumed["resumed_after_step"] == 28
    assert [resumed[name] for name in ("steps", "best_step", "evaluations", "scores")] == [
        results[name] for name in ("steps", "best_step", "evaluations", "scores")
    ]
    losses = [
        [json.loads(line).get("loss") for line in (tmp_path / run / "metrics.jsonl").read_text().splitlines()]
        for run in ("whole", "again")
    ]
    assert losses[0] == losses[1]
    models = [(tmp_path / run / "model" / "model.safetensors").read_bytes() for run in ("whole", "again")]
    assert models[0] == models[1]

    # Without averages the same steps are made, and other weights are scored.
    plain = training.Trainer(config.replace(run_dir=str(tmp_path / "plain"), ema=None), task=task).run()
    assert plain["scored_weights"] == "as trained"
    text = (tmp_path / "plain" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line).get("loss") for line in text] == losses[0]
    assert (tmp_path / "plain" / "model" / "model.safetensors").read_bytes() != models[0]
