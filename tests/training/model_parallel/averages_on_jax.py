"""Moving averages where Keras runs on JAX and weights are split over devices: what test_averages.py starts as a process."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from tfllm import models, training
from tfllm.config import TransformerConfig
from tfllm.training.callbacks.step_callback import StepCallback
from tfllm.training.moving_averages import training_goes_on
from tfllm.training.strategies import strategy

CONFIG = TransformerConfig(vocab_size=24, hidden_size=16, num_layers=1, num_heads=4, intermediate_size=20)
RNG = np.random.default_rng(0)
X = {"token_ids": RNG.integers(1, 24, (8, 7)).astype("int32")}
DATA = tf.data.Dataset.from_tensors((X, RNG.integers(0, 3, (8, 1)).astype("int32"), np.ones((8, 1), "float32")))


def make() -> keras.Model:
    keras.utils.set_random_seed(0)
    with strategy("model_parallel", tensor_parallel=2).scope():
        model = models.SequenceClassifier(CONFIG, 3)
        model.compile(training.optimizer("lion", 1e-3, ema_momentum=0.7), **model.compile_defaults())
    return model


def values(model) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(weight) for weight in model.trainable_weights]


def same(a, b) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


class Recorder(StepCallback):
    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self.weights = []

    def on_step_end(self, step, logs):
        self.model.jax_state_sync()
        self.weights.append(values(self.model))


class Scores:
    metrics = ("constant",)

    def __init__(self):
        self.seen = []

    def evaluate(self, model, split, **options):
        model.predict(X, verbose=0)
        self.seen.append(values(model))
        return {"constant": 0.0}


def main() -> None:
    model, recorder = make(), Recorder()
    with training_goes_on(model):
        model.fit(DATA.repeat(6), verbose=0, callbacks=[recorder])
    expected = [weight.astype("float64") for weight in recorder.weights[0]]
    for weights in recorder.weights[1:]:
        expected = [0.7 * average + 0.3 * weight for average, weight in zip(expected, weights, strict=True)]
    with training.averaged_weights(model):
        averages = values(model)
    assert max(np.abs(a - b).max() for a, b in zip(expected, averages, strict=True)) < 1e-6
    assert same(values(model), recorder.weights[-1]) and not same(averages, recorder.weights[-1])

    evaluated, task = make(), Scores()
    with training_goes_on(evaluated):
        evaluated.fit(DATA.repeat(6), verbose=0, callbacks=[training.Evaluate(task, every=3)])
    assert len(task.seen) == 2 and same(task.seen[-1], averages)
    assert same(values(evaluated), values(model))

    ended = make()
    ended.fit(DATA.repeat(6), verbose=0)
    assert same(values(ended), averages)


if __name__ == "__main__":
    main()
