"""Steps whose loss or gradient is not finite: nothing changes, they are counted, and too many of them end the run."""

from __future__ import annotations

import json
import math

import keras
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
import toy_finetuning

from tfllm import models, training
from tfllm.config import TransformerConfig
from tfllm.errors import UserError
from tfllm.training import finite
from tfllm.training.train_state import read_state

CONFIG = TransformerConfig(
    vocab_size=23, hidden_size=16, num_layers=1, num_heads=4, intermediate_size=20, dropout=0.1, attention_dropout=0.1
)
RNG = np.random.default_rng(0)
X = {"token_ids": RNG.integers(1, 23, (4, 7)).astype("int32")}
Y = RNG.normal(size=(4, 1)).astype("float32")
W = np.ones((4, 1), "float32")
LOSS = np.where(np.arange(4)[:, None] == 3, np.float32(1e20), Y)  # a loss beyond float32, in the second replica's rows
NAN = np.where(np.arange(4)[:, None] == 3, np.float32("nan"), Y)


def make(strategy=None, dtype=None, **settings) -> keras.Model:
    keras.utils.set_random_seed(0)
    with (strategy or tf.distribute.get_strategy()).scope():
        model = models.SequenceClassifier(CONFIG, 1, regression=True, dtype=dtype)
        own = training.optimizer("adamw", 1e-2, warmup=0, **settings)
        model.compile(own, **model.compile_defaults(), weighted_metrics=[keras.metrics.MeanSquaredError(name="mse")])
    return model


def batches(*labels) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(
        (
            {name: np.stack([value] * len(labels)) for name, value in X.items()},
            np.stack(labels),
            np.stack([W] * len(labels)),
        )
    )


def state(model) -> dict[str, np.ndarray]:
    """All that a step may change but the dropout's seeds and the record of steps."""
    return {
        name: value
        for name, value in read_state(model).items()
        if not name.endswith(("seed_generator_state", "step_counts", "bad_gradients"))
    }


@pytest.mark.parametrize("settings", [{}, {"clip_norm": None}, {"micro_batches": 2}], ids=str)
@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("bad", [LOSS, NAN], ids=["infinite", "nan"])
def test_a_bad_step_changes_nothing_and_is_counted(request, replicas, settings, bad):
    model = make(request.getfixturevalue("two_replicas") if replicas == 2 else None, **settings)
    model.fit(batches(Y, Y), verbose=0)
    before = state(model)
    metrics = {name: float(value) for name, value in model.get_metrics_result().items()}

    class Compare(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            assert math.isfinite(logs["loss"]) == (batch == 1)
            after = state(self.model)
            different = [name for name in before if not np.array_equal(before[name], after[name])]
            if batch == 0:
                # Keras has set the metrics to nothing at the epoch's beginning: so they must still be.
                assert [name for name in different if "metrics/" not in name or after[name].any()] == []
                assert after.keys() == before.keys() and logs["skipped_steps"] == 1
            else:
                assert len(different) > len(before) / 2

    history = model.fit(batches(bad, Y), verbose=0, callbacks=[Compare()]).history
    assert history["skipped_steps"] == [1]
    # The epoch's means are those of the good step alone.
    assert all(math.isfinite(history[name][0]) for name in metrics)
    record = model.optimizer.step_record
    assert [record.count(i) for i in range(4)] == [4, 1, 3, 0]
    assert any("classifier" in path for path in record.bad_variables())
    assert int(model.optimizer.iterations.numpy()) == 3


def test_without_bad_steps_the_numbers_are_those_of_the_optimizer_alone():
    """The step that may be skipped gives the weights of one that may not, to the bit."""
    model, plain = make(), make()
    model.fit(batches(Y, Y, Y), verbose=0)
    plain.build_to_train(batches(Y).element_spec)
    for _ in range(3):
        with tf.GradientTape() as tape:
            loss = plain.compute_loss(y=Y, y_pred=plain(X, training=True), sample_weight=W)
        gradients = tape.gradient(loss, [v.value for v in plain.trainable_variables])
        plain.optimizer.apply([tf.convert_to_tensor(g) for g in gradients], plain.trainable_variables)
    for ours, theirs in zip(model.trainable_variables, plain.trainable_variables):
        if "key/bias" not in ours.path:
            np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-5)


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_loss_scale_finds_its_value_apart(request, replicas):
    """Infinite scaled gradients are counted by themselves; a loss that is not finite is not the scale's doing."""
    model = make(request.getfixturevalue("two_replicas") if replicas == 2 else None, dtype="mixed_float16")
    model.build_to_train(batches(Y).element_spec)
    model.optimizer.dynamic_scale.assign(2.0**40)
    model.fit(batches(*[Y] * 30), verbose=0)
    record = model.optimizer.inner_optimizer.step_record
    steps, skipped, _, lowered = (record.count(i) for i in range(4))
    assert steps == 30 and skipped == 0 and lowered > 0
    assert float(model.optimizer.dynamic_scale.numpy()) == 2.0 ** (40 - lowered)
    assert int(model.optimizer.iterations.numpy()) == 30 - lowered
    model.fit(batches(LOSS), verbose=0)
    assert record.count(finite.SKIPPED) == 1 and record.count(finite.LOSS_SCALE) == lowered
    # Where the loss is not scaled up any more, a gradient that is not finite is the model's own.
    model.optimizer.dynamic_scale.assign(1.0)
    head = model.trainable_variables[-2]
    head.assign(np.full(head.shape, 1e30, "float32"))  # infinite in float16, and so is the loss
    model.fit(batches(Y), verbose=0)
    assert record.count(finite.SKIPPED) == 2 and float(model.optimizer.dynamic_scale.numpy()) == 1.0


def test_the_guard_bears_some_and_says_so(caplog):
    model, guard = make(), training.NanGuard(max_skipped_steps=2)
    history = model.fit(batches(NAN, Y, NAN, Y), verbose=0, callbacks=[guard]).history
    assert guard.skipped_steps == 2 and math.isfinite(history["loss"][0])
    said = [record.getMessage() for record in caplog.records if record.name == "tfllm"]
    assert said[1].startswith("step 3: loss=nan; it changed nothing and is skipped (2 so far, at most 2)")
    guard = training.NanGuard(max_skipped_steps=1)  # counts anew in another training
    with pytest.raises(UserError, match=r"loss=nan at step 4, learning rate 0.01 \(2 such steps, at most 1\)"):
        model.fit(batches(Y, NAN, Y, NAN, Y), verbose=0, callbacks=[guard])
    with pytest.raises(UserError, match="at least 0"):
        training.NanGuard(-1)
    with pytest.raises(UserError, match="needs the batches"):
        training.NanGuard(directory="somewhere")


def config(checkpoint, directory, **options) -> training.FinetuneConfig:
    return training.FinetuneConfig(
        model=str(checkpoint), run_dir=str(directory), batch_size=8, log_every=1, epochs=2, layout="padded", **options
    )


def task_with_bad_labels(*indices: int):
    task = toy_finetuning.score_task()
    labels = task.examples("train").labels
    labels[list(indices)] = np.float32(3e38)  # whose square is beyond float32
    return task


def test_a_run_counts_them_and_its_failure_leaves_the_batch(checkpoint, tmp_path):
    task = task_with_bad_labels(40)
    results = training.Trainer(config(checkpoint, tmp_path / "run"), task=task).run()
    assert results["status"] == "ok" and results["skipped_steps"] == 2  # once an epoch
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line]
    bad = [line["step"] for line in steps if line["loss"] is None]
    assert len(bad) == 2 and [steps[step - 1]["skipped_steps"] for step in bad] == [1, 2]
    assert not (tmp_path / "run" / "nan_batch").exists()

    task = task_with_bad_labels(40)
    options = config(checkpoint, tmp_path / "stopped", debug_nan=True)
    with pytest.raises(UserError, match=f"at step {bad[0]}, learning rate.*nan_batch"):
        training.Trainer(options, task=task).run()
    written = json.loads((tmp_path / "stopped" / "results.json").read_text())
    assert written["status"] == "failed" and f"at step {bad[0]}" in written["error"]
    report = json.loads((tmp_path / "stopped" / "nan_batch" / "batch.json").read_text())
    tensors = safetensors.numpy.load_file(tmp_path / "stopped" / "nan_batch" / "batch.safetensors")
    assert report["step"] == bad[0] and report["tensors"]["labels"]["greatest"] == pytest.approx(3e38)
    assert {"token_ids", "example_ids", "position_ids", "labels", "weights"} <= tensors.keys()
    (example,) = (example for example in report["examples"] if example["index"] == 40)
    assert example["texts"] == [task.examples("train").texts[0][40]] and example["id"] == "40"
    assert tensors["labels"][example["row"], example["slot"]] == np.float32(3e38) and len(report["examples"]) == 8


def test_a_resumed_run_counts_on(checkpoint, tmp_path):
    """Killed after the first bad step, it stops at the same later one, for the same reason."""
    from tfllm.training.callbacks.step_callback import StepCallback

    class Killed(training.Trainer):
        def _callbacks(self, *arguments):
            class Kill(StepCallback):
                def on_step_end(self, step, logs):
                    if step == 25:
                        raise KeyboardInterrupt

            return [Kill(), *super()._callbacks(*arguments)]

    def ends(trainer, error, **changes) -> str:
        keras.backend.clear_session()  # variables are named as in a process of its own
        with pytest.raises(error) as ended:
            trainer(options.replace(**changes), task=task_with_bad_labels(40)).run()
        return str(ended.value)

    options = config(checkpoint, tmp_path / "run", max_skipped_steps=1, checkpoint_every=24)
    whole = ends(training.Trainer, UserError, run_dir=str(tmp_path / "whole"))
    ends(Killed, KeyboardInterrupt)
    resumed = ends(training.Trainer, UserError)
    assert resumed.replace("/run/", "/whole/") == whole and "2 such steps" in whole
