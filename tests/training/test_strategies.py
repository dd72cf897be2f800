from __future__ import annotations

import json
import subprocess
import sys

import pytest

_SCRIPT = """
import json, sys
import tfllm, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import toy_finetuning
from tfllm import training
from pathlib import Path
checkpoint = toy_finetuning.save_toy_checkpoint(Path(sys.argv[1]), dropout=0.0)
for strategy in ("auto", "mirrored"):
    config = training.FinetuneConfig(
        model=str(checkpoint), run_dir=f"{sys.argv[1]}/{strategy}", strategy=strategy, max_steps=6, eval_every="3",
        log_every=1, learning_rate=1e-2
    )
    training.Trainer(config, task=toy_finetuning.sentiment_task()).run()
"""


def test_two_replicas_give_the_losses_of_one_device(tmp_path):
    # Logical devices must be made before TensorFlow starts, so this takes a process of its own.
    path = [entry for entry in sys.path if entry]
    subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}\n" + _SCRIPT, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
    )
    losses = {}
    for strategy in ("auto", "mirrored"):
        lines = map(json.loads, (tmp_path / strategy / "metrics.jsonl").read_text().splitlines())
        losses[strategy] = [line["loss"] for line in lines if "loss" in line]
    results = json.loads((tmp_path / "mirrored" / "results.json").read_text())
    assert results["status"] == "ok" and results["replicas"] == 2
    assert losses["mirrored"] == pytest.approx(losses["auto"], abs=1e-4) and len(losses["auto"]) == 6
