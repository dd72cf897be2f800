"""`tfllm finetune --strategy=model_parallel`."""

from __future__ import annotations

import json
import signal

import numpy as np
import pytest
import toy_finetuning
from jax_process import HERE, needs_jax, run, succeed
from keras_features import NEEDS_DISTRIBUTION

import tfllm
from tfllm.errors import UserError


def lines(run_dir) -> list[dict]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    directory = tmp_path_factory.mktemp("files")
    for seed, (name, size) in enumerate({"train": 64, "validation": 24}.items()):
        toy_finetuning.write_jsonl(directory / f"{name}.jsonl", toy_finetuning.sentiment(size, seed))
    return [f"--{name}_file={directory / name}.jsonl" for name in ("train", "validation")] + ["--text_columns=text"]


@needs_jax
def test_a_run_split_over_four_devices(checkpoint, files, tmp_path):
    run_dir = tmp_path / "run"
    ended = succeed(
        *("-m", "tfllm.cli", "finetune", "--strategy=model_parallel", "--tensor_parallel=2", "--micro_batches=2"),
        *(f"--model={checkpoint}", f"--run_dir={run_dir}", *files, "--batch_size=16", "--max_length=10", "--epochs=2"),
        *("--learning_rate=1e-2", "--log_every=1", "--eval_every=3", "--checkpoint_every=2"),
        KERAS_BACKEND="tensorflow",  # the launcher chooses for itself
    )
    assert "validation" in ended.stdout
    results = json.loads((run_dir / "results.json").read_text())
    assert results["status"] == "ok" and results["steps"] == 8 and results["skipped_steps"] == 0
    assert results["replicas"] == 2 and [e["step"] for e in results["evaluations"]] == [3, 6, 8]
    steps = [line for line in lines(run_dir) if "loss" in line]
    assert [line["step"] for line in steps] == list(range(1, 9)) and steps[0]["learning_rate"] > 0
    assert not (run_dir / "checkpoints").exists()
    # What it left is a plain directory: here, on TensorFlow, it has the scores that were reported there.
    model = tfllm.load(run_dir / "model")
    examples = toy_finetuning.sentiment(24, 1)
    task = tfllm.tasks.from_memory(validation=examples, labels=("negative", "positive"))
    scores = task.evaluate(model, max_length=10)
    assert scores["accuracy"] == pytest.approx(results["scores"]["validation"]["accuracy"])
    assert max(e["accuracy"] for e in results["evaluations"]) == pytest.approx(scores["accuracy"])


@needs_jax
@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_nothing_had_happened(checkpoint, tmp_path):
    script = [str(HERE.parent / "killed_run.py"), str(checkpoint)]
    flags = ["--checkpoint_every=7", "--strategy=model_parallel", "--tensor_parallel=2", "--optimizer=adamw"]
    succeed(*script, str(tmp_path / "whole"), *flags, KERAS_BACKEND="jax")
    killed = run(*script, str(tmp_path / "run"), *flags, "--kill_at=37", KERAS_BACKEND="jax")
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    succeed(*script, str(tmp_path / "run"), *flags, KERAS_BACKEND="jax")
    ours, theirs = lines(tmp_path / "run"), lines(tmp_path / "whole")
    timings = {"examples_per_second", "tokens_per_second"}
    strip = [[{k: v for k, v in line.items() if k not in timings} for line in part] for part in (ours, theirs)]
    assert strip[0] == strip[1]
    weights = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("run", "whole")]
    assert weights[0] == weights[1]


@needs_jax
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--tensor_parallel=3"], "must divide the number of devices"),
        (["--steps_per_call=2"], "steps_per_call is of TensorFlow"),
        (["--rdrop=1"], "rdrop is implemented on TensorFlow only"),
        (["--dtype=mixed_float16"], "dtype=mixed_bfloat16"),
        (["--optimizer=muon"], "optimizer name must be one of"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
@pytest.mark.slow
def test_what_jax_has_not_is_refused(checkpoint, files, tmp_path, flags, message):
    ended = run(
        *("-m", "tfllm.cli", "finetune", "--strategy=model_parallel", f"--model={checkpoint}", *files),
        *(f"--run_dir={tmp_path / 'run'}", "--max_length=10", *flags),
    )
    assert ended.returncode == 2 and message in ended.stderr, ended.stderr[-2000:]
    assert "Traceback" not in ended.stderr


def test_keras_on_tensorflow_is_refused(checkpoint, task):
    from tfllm import training

    config = training.FinetuneConfig(model=str(checkpoint), strategy="model_parallel")
    with pytest.raises(UserError, match="KERAS_BACKEND=jax in the environment before Keras is imported"):
        training.Trainer(config, task=task).run()


def test_without_jax_the_extra_is_named(monkeypatch):
    import sys

    from tfllm.training.model_parallel import choose_backend

    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(UserError, match=r"pip install tfllm\[jax\]"):
        choose_backend("model_parallel")
    choose_backend("mirrored")  # needs none


@NEEDS_DISTRIBUTION
def test_a_distribution_on_tensorflow_is_refused():
    import keras

    from tfllm import models

    config = tfllm.TransformerConfig(vocab_size=9, hidden_size=8, num_layers=1, num_heads=2, intermediate_size=8)
    distribution = keras.distribution.DataParallel(devices=["cpu:0"])
    with distribution.scope(), pytest.raises(UserError, match="does nothing on this backend"):
        models.Encoder(config)
    assert np.isfinite(keras.ops.convert_to_numpy(models.Encoder(config).weights[0])).all()


def test_tensor_parallel_goes_with_its_strategy():
    from tfllm.training.strategies import strategy

    with pytest.raises(UserError, match="goes with strategy=model_parallel"):
        strategy("auto", None, 2)
