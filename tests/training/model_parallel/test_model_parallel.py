"""Training on JAX with split weights against one device and against TensorFlow, in processes of their own."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import on_jax
import pytest
import toy_finetuning
from jax_process import HERE, needs_jax, succeed

import tfllm

pytestmark = needs_jax


def classifier(directory: Path, dropout: float) -> Path:
    """A checkpoint that has its head, as a directory and as a `.keras` file beside it."""
    base = toy_finetuning.save_toy_checkpoint(directory, dropout)
    model = tfllm.load(base, head="classifier")
    tfllm.save(model, directory / "classifier")
    model.save(directory / "classifier.keras")
    return directory / "classifier"


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return {
        name: classifier(tmp_path_factory.mktemp(name), dropout) for name, dropout in (("plain", 0.0), ("dropout", 0.1))
    }


@pytest.fixture(scope="module")
def out(checkpoints, tmp_path_factory):
    """What one process on JAX has written: see on_jax.py."""
    directory = tmp_path_factory.mktemp("out")
    succeed(str(HERE / "on_jax.py"), *map(str, checkpoints.values()), str(directory), KERAS_BACKEND="jax")
    return directory


@pytest.fixture(scope="module")
def facts(out):
    return json.loads((out / "facts.json").read_text())


def difference(ours, theirs) -> float:
    """The largest of all weights and logits. Adam makes whole steps of a key's bias, whose gradient is rounding errors alone."""
    names = [name for name in ours if not name.endswith("key/bias")]
    return max(float(np.abs(ours[name] - theirs[name]).max()) for name in names)


@pytest.mark.parametrize(
    ("ours", "theirs", "limit"),
    [
        ("two", "one", 2e-5),
        ("four", "one", 2e-5),
        ("four-parts", "one", 2e-5),
    ],
)
def test_weights_are_those_of_one_device(out, facts, ours, theirs, limit):
    found, expected = np.load(out / f"{ours}.npz"), np.load(out / f"{theirs}.npz")
    assert difference(found, expected) < limit
    assert facts[ours]["losses"] == pytest.approx(facts[theirs]["losses"], abs=1e-5)
    assert facts[ours]["logs"] == pytest.approx(facts[theirs]["logs"], abs=1e-5)
    start = np.load(out / "opened-directory.npz")
    assert difference({name: found[name] for name in start}, start) > 1e-2  # it has learned


def test_dropout_draws_the_same_masks_on_any_mesh_and_when_blocks_are_computed_again(out, facts):
    assert difference(np.load(out / "four-sgd.npz"), np.load(out / "one-sgd.npz")) < 2e-6
    assert facts["four-sgd"]["losses"] == pytest.approx(facts["one-sgd"]["losses"], abs=1e-6)
    assert facts["one-sgd"]["losses"] != pytest.approx(facts["one"]["losses"], abs=1e-3)


@pytest.mark.parametrize(("name", "options"), [("one", {}), ("four-parts", {"micro_batches": 2})])
def test_training_gives_the_weights_of_tensorflow(checkpoints, out, facts, name, options):
    model, task, losses = on_jax.train(checkpoints["plain"], options)
    ours = {**on_jax.weights_of(model), "logits": task.predict(model, "validation")}
    assert losses == pytest.approx(facts[name]["losses"], abs=2e-5)
    assert difference(ours, np.load(out / f"{name}.npz")) < 1e-4


@pytest.mark.parametrize(("name", "devices", "share"), [("two", 2, 0.55), ("four", 4, 0.55), ("four-parts", 4, 0.3)])
def test_each_device_holds_its_share(facts, name, devices, share):
    held, whole = facts[name], facts[name]["whole"]
    assert len(held["model"]) == devices
    assert max(held["model"].values()) < share * whole
    assert max(held["optimizer"].values()) < share * 2 * whole  # Adam's two slots lie where the weights do
    assert sum(held["model"].values()) >= whole


def test_a_checkpoint_is_split_when_it_is_opened(facts, checkpoints):
    whole = facts["four"]["whole"]
    for kind in ("directory", "keras"):
        assert max(facts[f"opened-{kind}"].values()) < 0.3 * whole, kind


@pytest.mark.parametrize("kind", ["directory", "keras"])
def test_what_tensorflow_saved_is_the_same_on_jax_and_back(checkpoints, out, kind):
    again = tfllm.load(out / "again") if kind == "directory" else keras.saving.load_model(out / "again.keras")
    on_the_way, ours = np.load(out / f"opened-{kind}.npz"), on_jax.weights_of(again)
    first = on_jax.weights_of(tfllm.load(checkpoints["plain"]))
    assert first.keys() == set(on_the_way.files) == ours.keys()
    for name, weight in first.items():
        np.testing.assert_array_equal(on_the_way[name], weight)
        np.testing.assert_array_equal(ours[name], weight)
    if kind == "directory":
        files = [path / "model.safetensors" for path in (checkpoints["plain"], out / "again")]
        assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("name", ["four", "four.keras"])
def test_what_jax_trained_is_the_same_on_tensorflow(out, name):
    model = keras.saving.load_model(out / name) if name.endswith(".keras") else tfllm.load(out / name)
    trained = np.load(out / "four.npz")
    for path, weight in on_jax.weights_of(model).items():
        np.testing.assert_array_equal(weight, trained[path])
    tokenizer = tfllm.load(out / "four").tokenizer
    logits = toy_finetuning.sentiment_task().predict(model, "validation", tokenizer=tokenizer)
    np.testing.assert_allclose(logits, trained["logits"], atol=1e-5)
    if name.endswith(".keras"):
        assert type(model.optimizer) is tfllm.training.optimizers.AdamW
        assert int(model.optimizer.iterations) == on_jax.STEPS
        assert model.optimizer.step_record.count(0) == on_jax.STEPS
