from __future__ import annotations

import io
import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfllm import training
from tfllm.errors import UserError


def small_model() -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01), loss="mse")
    return model


def data(steps: int = 5) -> tf.data.Dataset:
    x = np.random.default_rng(0).normal(size=(steps * 4, 2)).astype("float32")
    return tf.data.Dataset.from_tensor_slices((x, x.sum(axis=1, keepdims=True))).batch(4)


class Scores:
    """A task whose scores are given beforehand, so that a test says which evaluation is the best."""

    metrics = ("f1",)

    def __init__(self, *scores: float):
        self.scores, self.kernels = list(scores), []

    def evaluate(self, model, split, **options):
        self.kernels.append(model.get_weights()[0])
        return {"f1": self.scores[len(self.kernels) - 1], "n": 8, "ci95": {"f1": [0, 1]}, "split": split}


def test_evaluations_by_step_by_epoch_and_at_the_end():
    task = Scores(0.1, 0.2, 0.3, 0.4)
    evaluate = training.Evaluate(task, every=4)
    small_model().fit(data(5), epochs=3, verbose=0, callbacks=[evaluate])
    assert [(line["step"], line["f1"]) for line in evaluate.history] == [(4, 0.1), (8, 0.2), (12, 0.3), (15, 0.4)]
    assert set(evaluate.history[0]) == {"step", "epoch", "f1"}

    evaluate = training.Evaluate(Scores(0.1, 0.2))
    history = small_model().fit(data(5), epochs=2, verbose=0, callbacks=[evaluate])
    assert [line["step"] for line in evaluate.history] == [5, 10]
    assert history.history["val_f1"] == [0.1, 0.2]


def test_the_best_weights_are_kept_on_disk_and_restored(tmp_path):
    task = Scores(0.2, 0.9, math.nan, 0.9, 0.5)
    best = training.BestCheckpoint(tmp_path / "best.weights.h5", "val_f1")
    model = small_model()
    model.fit(data(), epochs=5, verbose=0, callbacks=[training.Evaluate(task), best])
    assert (best.best, best.best_step) == (0.9, 10)  # the first of equals
    np.testing.assert_array_equal(model.get_weights()[0], task.kernels[1])
    other = small_model()
    other.load_weights(tmp_path / "best.weights.h5")
    np.testing.assert_array_equal(other.get_weights()[0], task.kernels[1])
    assert [path.name for path in tmp_path.iterdir()] == ["best.weights.h5"]


def test_a_score_that_is_not_a_number_is_the_worst(tmp_path):
    best = training.BestCheckpoint(tmp_path / "best.weights.h5", "val_f1")
    small_model().fit(data(), epochs=2, verbose=0, callbacks=[training.Evaluate(Scores(math.nan, -0.5)), best])
    assert (best.best, best.best_step) == (-0.5, 10)


@pytest.mark.parametrize("every, steps", [(None, 20), (2, 8)])
def test_patience_counts_evaluations(every, steps):
    evaluate = training.Evaluate(Scores(0.5, 0.6, 0.6, 0.4, 0.9, 0.9), every=every)
    small_model().fit(data(5), epochs=9, verbose=0, callbacks=[evaluate, training.EarlyStopping("val_f1", patience=2)])
    assert evaluate.step == steps


def test_stop_after_ends_in_the_middle_of_an_epoch():
    stop = training.StopAfter(7)
    small_model().fit(data(5), epochs=3, verbose=0, callbacks=[stop])
    assert stop.step == 7


def test_metrics_by_step_as_json_lines(tmp_path):
    path = tmp_path / "metrics.jsonl"
    callbacks = [training.Evaluate(Scores(0.5, math.nan)), training.JsonlMetrics(path, every=3)]
    small_model().fit(data(5), epochs=2, verbose=0, callbacks=callbacks)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [3, 6, 9, 10]
    assert [(line["step"], line["val_f1"]) for line in lines if "val_f1" in line] == [(5, 0.5), (10, None)]
    assert lines[0]["epoch"] == 0.6 and lines[0]["learning_rate"] == pytest.approx(0.01)


def test_metrics_reach_the_file_before_a_run_breaks_off(tmp_path):
    class Broken(training.StepCallback):
        def on_step_end(self, step, logs):
            if step == 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small_model().fit(data(5), verbose=0, callbacks=[training.JsonlMetrics(tmp_path / "metrics.jsonl"), Broken()])
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 4


def test_tensorboard_gets_the_same_figures(tmp_path):
    callbacks = [training.Evaluate(Scores(0.5)), training.TensorBoardScalars(tmp_path, every=2)]
    small_model().fit(data(4), verbose=0, callbacks=callbacks)
    points = set()
    for record in tf.data.TFRecordDataset([str(path) for path in tmp_path.iterdir()]):
        event = tf.compat.v1.Event.FromString(record.numpy())
        points |= {(value.tag, event.step) for value in event.summary.value}
    assert {("loss", 2), ("loss", 4), ("val_f1", 4), ("learning_rate", 2)} <= points and ("loss", 1) not in points


def test_a_loss_that_is_no_number_stops_with_advice():
    x = np.ones((20, 2), "float32")
    y = np.ones((20, 1), "float32")
    y[9] = np.nan  # in the third batch of 4
    with pytest.raises(UserError, match=r"loss=nan at step 3, learning rate 0.01. Try a lower learning_rate"):
        small_model().fit(
            tf.data.Dataset.from_tensor_slices((x, y)).batch(4), verbose=0, callbacks=[training.NanGuard()]
        )


def test_progress_away_from_a_terminal_is_lines():
    stream = io.StringIO()
    callbacks = [training.Evaluate(Scores(0.5)), training.Progress(seconds=0, stream=stream)]
    small_model().fit(data(3), verbose=0, callbacks=callbacks)
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("step 1/3  epoch 1  loss ") and lines[-1] == "step 3  val_f1 0.5000"
    stream = io.StringIO()
    small_model().fit(data(3), verbose=0, callbacks=[training.Progress(seconds=1000, stream=stream)])
    assert stream.getvalue() == ""


def test_progress_on_a_terminal_is_a_bar():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    small_model().fit(data(3), verbose=0, callbacks=[training.Evaluate(Scores(0.5)), training.Progress(stream=stream)])
    assert "3/3" in stream.getvalue() and "val_f1 0.5000" in stream.getvalue()


def test_steps_are_counted_with_several_steps_an_execution(tmp_path):
    model = small_model()
    model.compile(keras.optimizers.SGD(0.01), loss="mse", steps_per_execution=2)
    path = tmp_path / "metrics.jsonl"
    model.fit(data(5), epochs=2, verbose=0, callbacks=[training.JsonlMetrics(path, every=2)])
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()][-1] == 10
