"""The flags that say what is trained, through a whole run."""

from __future__ import annotations

import numpy as np
import pytest
from keras_features import NEEDS_QUANTIZED_KERNELS

import tfllm
from tfllm import training
from tfllm.errors import UserError

IDS = np.random.default_rng(0).integers(5, 20, (3, 6)).astype("int32")


def config(checkpoint, directory, **options):
    return training.FinetuneConfig(
        model=str(checkpoint), run_dir=str(directory), epochs=1, max_steps=4, learning_rate=1e-2, **options
    )


@NEEDS_QUANTIZED_KERNELS
def test_a_run_leaves_adapter_and_merged_model(checkpoint, task, tmp_path):
    options = {"lora_rank": 3, "lora_alpha": 5, "lora_targets": "attention/", "quantize": "int8"}
    results = training.Trainer(config(checkpoint, tmp_path / "run", **options), task=task).run()
    assert results["status"] == "ok"
    merged = tfllm.load(tmp_path / "run" / "model", tokenizer=False)
    base = tfllm.load(checkpoint, head="classifier", tokenizer=False)
    before = {path: np.array(weight) for path, weight in base.named_weights().items()}
    adapted = tfllm.load_adapter(training.quantize(base, "int8"), tmp_path / "run" / "adapter")
    np.testing.assert_allclose(adapted(IDS), merged(IDS), atol=1e-5)
    after = {path: np.array(weight) for path, weight in merged.named_weights().items()}
    changed = {path for path in before if not np.array_equal(before[path], after[path])}
    kernels = {path for path in before if "block_" in path and path.endswith("/kernel")}
    # Every kernel has been rounded.
    assert changed - {"pooler/bias", "pooler/kernel"} == kernels | {"classifier/kernel", "classifier/bias"}


def test_freezing_by_flag(checkpoint, task, tmp_path):
    training.Trainer(config(checkpoint, tmp_path / "run", freeze="^(embedding|encoder)/"), task=task).run()
    base, tuned = (
        tfllm.load(path, head="classifier", tokenizer=False) for path in (checkpoint, tmp_path / "run" / "model")
    )
    for path, weight in base.named_weights().items():
        if path.startswith(("embedding/", "encoder/")):
            np.testing.assert_array_equal(weight, tuned.named_weights()[path], err_msg=path)


def test_regularizers_by_flag(checkpoint, task, tmp_path):
    training.Trainer(config(checkpoint, tmp_path / "teacher"), task=task).run()
    losses = {}
    teacher = str(tmp_path / "teacher" / "model")
    for name, options in {
        "plain": {},
        "all": {"label_smoothing": 0.2, "rdrop": 1.0, "fgm": 0.5, "freelb_steps": 2, "smart": 1.0, "teacher": teacher},
    }.items():
        training.Trainer(config(checkpoint, tmp_path / name, log_every=1, **options), task=task).run()
        losses[name] = (tmp_path / name / "metrics.jsonl").read_text()
    assert losses["plain"] != losses["all"]


def test_flags_that_do_not_go_together(checkpoint, task, tmp_path):
    with pytest.raises(UserError, match="go with lora_rank"):
        config(checkpoint, tmp_path / "run", quantize="int8")
    with pytest.raises(UserError, match="trained head"):
        training.Trainer(config(checkpoint, tmp_path / "run", teacher=str(checkpoint)), task=task).run()
    with pytest.raises(UserError, match="There are: "):
        training.Trainer(config(checkpoint, tmp_path / "run", freeze="embeding/tokens"), task=task).run()
    assert not (tmp_path / "run").exists()
