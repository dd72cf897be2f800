"""Several steps a call, and forward and backward compiled by XLA: the numbers of one step at a time, uncompiled."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import toy_finetuning

from tfllm import models, training
from tfllm.config import TransformerConfig
from tfllm.errors import UserError

CONFIG = TransformerConfig(
    vocab_size=23, hidden_size=16, num_layers=1, num_heads=4, intermediate_size=20, dropout=0.2, attention_dropout=0.2
)
STEPS = 20
RNG = np.random.default_rng(0)
X = {"token_ids": RNG.integers(1, 23, (STEPS, 4, 7)).astype("int32")}
Y = RNG.integers(0, 3, (STEPS, 4, 1)).astype("int32")
W = RNG.integers(0, 2, (STEPS, 4, 1)).astype("float32")


def data(steps: int = STEPS) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((X, Y, W)).take(steps)


class Recorder(training.StepCallback):
    """The steps that callbacks see, and the losses of the last of each call."""

    def __init__(self):
        super().__init__()
        self.seen, self.epochs = [], []

    def on_step_end(self, step, logs):
        self.seen.append((step, logs["loss"]))

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append((self.step, dict(logs)))


def make(strategy=None, steps_a_call: int = 1, jit: bool = False, dtype=None, **settings) -> keras.Model:
    keras.utils.set_random_seed(0)
    with (strategy or tf.distribute.get_strategy()).scope():
        model = models.SequenceClassifier(CONFIG, 3, dtype=dtype)
        model.compile(
            training.optimizer("adamw", 1e-3, total_steps=STEPS, **settings),
            **model.compile_defaults(),
            steps_per_execution=steps_a_call,
            jit_compile=jit,
        )
    return model


def train(strategy=None, steps_a_call: int = 1, jit: bool = False, settings=None, dtype=None, **fit):
    model, recorder = make(strategy, steps_a_call, jit, dtype, **(settings or {})), Recorder()
    model.fit(data(), verbose=0, callbacks=[recorder], **fit)
    return model, recorder


def weights(model) -> list[np.ndarray]:
    # A key's bias has no gradient but rounding errors, which Adam scales up to whole steps.
    return [np.array(v) for v in model.trainable_variables if "key/bias" not in v.path]


def replicas_of(request, replicas: int):
    return request.getfixturevalue("two_replicas") if replicas == 2 else None


@pytest.fixture(scope="module")
def one_at_a_time(two_replicas):
    """By the number of replicas: a run of one step a call."""
    return {replicas: train(two_replicas if replicas == 2 else None) for replicas in (1, 2)}


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("epochs", [1, 2, 5], ids=["one epoch", "10 steps an epoch", "4 steps an epoch"])
def test_several_steps_a_call_are_the_same_steps(request, one_at_a_time, replicas, epochs):
    """Also where the steps of an epoch are no multiple of those of a call: the last call makes fewer."""
    steps = STEPS // epochs
    options = {"epochs": epochs, "steps_per_epoch": steps} if epochs > 1 else {}
    model, recorder = train(replicas_of(request, replicas), 6, **options)
    one, single = one_at_a_time[replicas]
    ends = [epoch * steps + end for epoch in range(epochs) for end in (*range(6, steps, 6), steps)]
    assert [step for step, _ in recorder.seen] == ends
    losses = dict(single.seen)
    assert [loss for _, loss in recorder.seen] == [losses[step] for step in ends]
    for ours, theirs in zip(weights(model), weights(one)):
        np.testing.assert_array_equal(ours, theirs)
    # Nothing was counted or decayed beyond the data's end.
    assert int(model.optimizer.iterations.numpy()) == model.optimizer.step_record.count(0) == STEPS
    assert int(one.optimizer.iterations.numpy()) == STEPS


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_metric_of_an_epoch_is_that_of_its_steps(request, one_at_a_time, replicas):
    _, recorder = train(replicas_of(request, replicas), 7)
    for name, value in one_at_a_time[replicas][1].epochs[0][1].items():
        assert recorder.epochs[0][1][name] == pytest.approx(value, abs=1e-6), name


@pytest.mark.parametrize("replicas", [1, 2])
def test_the_end_of_data_is_no_step(request, replicas):
    """Data that do not know their own length: Keras' function counts an iteration and decays weights after the last batch."""
    model = make(replicas_of(request, replicas), weight_decay=0.5)
    unknown = data(5).filter(lambda *_: True)
    model.fit(unknown, verbose=0, epochs=2)
    assert int(model.optimizer.iterations.numpy()) == 10
    known = make(replicas_of(request, replicas), weight_decay=0.5)
    known.fit(data(5), verbose=0, epochs=2)
    for ours, theirs in zip(weights(model), weights(known)):
        np.testing.assert_array_equal(ours, theirs)


def test_how_many_steps_there_are_must_be_known():
    model = make(steps_a_call=3)
    with pytest.raises(UserError, match="steps_per_execution=3, .*FilterDataset|steps_per_execution=3, .*Filter"):
        model.fit(data().filter(lambda *_: True), verbose=0)
    with pytest.raises(UserError, match="steps_per_execution=3, steps_per_epoch=7, 20 batches"):
        model.fit(data(), steps_per_epoch=7, epochs=2, verbose=0)
    model.fit(data().filter(lambda *_: True), steps_per_epoch=7, epochs=2, verbose=0)
    assert int(model.optimizer.iterations.numpy()) == 14
    logs = make().train_on_batch({"token_ids": X["token_ids"][0]}, Y[0], W[0], return_dict=True)
    assert np.isfinite(logs["loss"])


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("steps_a_call, settings", [(1, {}), (5, {"micro_batches": 2})], ids=str)
def test_compiled_by_xla_the_numbers_are_the_same(request, one_at_a_time, replicas, steps_a_call, settings):
    strategy = replicas_of(request, replicas)
    plain = train(strategy, settings=settings) if settings else one_at_a_time[replicas]
    model, recorder = train(strategy, steps_a_call, jit=True, settings=settings)
    assert model.jit_compile
    losses = dict(plain[1].seen)
    np.testing.assert_allclose(
        [loss for _, loss in recorder.seen], [losses[step] for step, _ in recorder.seen], atol=1e-5
    )
    for ours, theirs in zip(weights(model), weights(plain[0])):
        np.testing.assert_allclose(ours, theirs, atol=2e-4)


def test_compiled_under_mixed_float16_and_several_shapes():
    model = make(jit=True, dtype="mixed_float16")
    widths = [5, 7, 5]

    def batches():
        for step, width in enumerate(widths):
            yield {"token_ids": X["token_ids"][step, :, :width]}, Y[step], W[step]

    spec = ({"token_ids": tf.TensorSpec((4, None), "int32")}, tf.TensorSpec((4, 1), "int32"), tf.TensorSpec((4, 1)))
    history = model.fit(tf.data.Dataset.from_generator(batches, output_signature=spec), verbose=0).history
    assert model.jit_compile and np.isfinite(history["loss"][0])


def test_keras_evaluation_on_several_replicas_is_refused_in_words(two_replicas):
    with pytest.raises(UserError, match="steps_per_execution=5, jit_compile=False"):
        make(two_replicas, 5).evaluate(data(), verbose=0)


def test_what_xla_cannot_compile_trains_uncompiled_and_says_so(caplog):
    class Unique(models.SequenceClassifier):
        def call(self, inputs, training=None):
            output = super().call(inputs, training=training)
            return output + 0.0 * tf.cast(tf.strings.length(tf.strings.as_string(tf.reduce_sum(output))), output.dtype)

    keras.utils.set_random_seed(0)
    model = Unique(CONFIG, 3)
    model.compile(training.optimizer("adamw", 1e-3), **model.compile_defaults(), jit_compile=True)
    model.fit(data(2), verbose=0)
    (said,) = [record.getMessage() for record in caplog.records if record.name == "tfllm"]
    assert said.startswith("jit: XLA cannot compile") and said.endswith("goes on uncompiled") and "\n" not in said
    assert not model.jit_compile and int(model.optimizer.iterations.numpy()) == 2


def run(checkpoint, directory, trainer=training.Trainer, **options) -> dict:
    keras.backend.clear_session()  # variables are named as in a process of its own
    config = training.FinetuneConfig(
        model=str(checkpoint),
        run_dir=str(directory),
        batch_size=8,
        epochs=2,
        log_every=1,
        learning_rate=1e-3,
        **options,
    )
    return trainer(config, task=toy_finetuning.sentiment_task()).run()


def lines(directory) -> dict[int, float]:
    written = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in written if "loss" in line}


def test_a_run_with_several_steps_a_call_is_the_same_and_goes_on(checkpoint, tmp_path):
    class Killed(training.Trainer):
        def _callbacks(self, *arguments):
            class Kill(training.StepCallback):
                def on_step_end(self, step, logs):
                    if step == 26:
                        raise KeyboardInterrupt

            return [Kill(), *super()._callbacks(*arguments)]

    one = run(checkpoint, tmp_path / "one")
    several = run(checkpoint, tmp_path / "several", steps_per_call=6)
    assert several["evaluations"] == one["evaluations"] and several["steps"] == one["steps"] == 40
    losses = lines(tmp_path / "one")
    assert lines(tmp_path / "several") == {step: losses[step] for step in (6, 12, 18, 20, 26, 32, 38, 40)}
    with pytest.raises(KeyboardInterrupt):
        run(checkpoint, tmp_path / "killed", Killed, steps_per_call=6, checkpoint_every=10)
    resumed = run(checkpoint, tmp_path / "killed", steps_per_call=6, checkpoint_every=10)
    assert resumed["resumed_after_step"] == 20 and resumed["evaluations"] == one["evaluations"]
    assert lines(tmp_path / "killed") == lines(tmp_path / "several")


def test_where_a_call_ends_is_checked(checkpoint, tmp_path, caplog):
    with pytest.raises(UserError, match="max_steps=25, steps_per_call=6, 20 steps an epoch"):
        run(checkpoint, tmp_path / "wrong", steps_per_call=6, max_steps=25)
    assert not (tmp_path / "wrong").exists()
    results = run(checkpoint, tmp_path / "right", steps_per_call=6, max_steps=26, eval_every="5", jit="on")
    assert results["steps"] == 26 and results["compiled_by_xla"]
    assert [line["step"] for line in results["evaluations"]] == [6, 12, 18, 20, 26]
    assert any("up to 5 steps later" in record.getMessage() for record in caplog.records)
