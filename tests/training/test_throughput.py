from __future__ import annotations

import numpy as np
import pytest

import tfllm
from tfllm import training


@pytest.mark.parametrize("layout", ["packed", "bucketed"])
def test_real_tokens_are_counted_and_the_first_step_is_not(checkpoint, task, layout):
    model = tfllm.load(checkpoint, head="classifier", num_labels=2)
    batches = task.pipeline(
        "train", model.tokenizer, batch_size=48, layout=layout
    )  # 160 examples: the last of 4 is short
    model.compile(training.optimizer("adamw", 1e-3), **model.compile_defaults())
    throughput = training.Throughput(batches)
    history = model.fit(batches.dataset(), epochs=2, verbose=0, callbacks=[throughput])

    lengths = batches.tokenized.lengths
    first = batches.example_indices(0)
    counted = np.concatenate([lengths, lengths]).sum() - lengths[first[first >= 0]].sum()
    assert (throughput.steps, throughput.tokens) == (7, counted)
    assert throughput.examples == 2 * 160 - (first >= 0).sum()

    peak = 1e12
    summary = throughput.summary(peak)
    assert summary["tokens_per_second"] == pytest.approx(counted / summary["seconds"])
    assert summary["mfu"] == pytest.approx(throughput.model_flops() / summary["seconds"] / peak)
    assert summary["fill"] + summary["padding_waste"] == pytest.approx(1.0)
    assert "mfu" not in throughput.summary() and "loss" in history.history


def test_model_flops_are_three_times_the_forward_matrix_products(checkpoint, task):
    model = tfllm.load(checkpoint, head="classifier", num_labels=2)
    batches = task.pipeline("train", model.tokenizer, batch_size=80, shuffle=False)
    model.compile(training.optimizer("adamw", 1e-3), **model.compile_defaults())
    throughput = training.Throughput(batches)
    model.fit(batches.dataset(), verbose=0, callbacks=[throughput])
    width, inner, layers = 32, 64, 1  # of the toy checkpoint
    expected = 0
    for index in batches.example_indices(1).ravel():
        if index >= 0:
            tokens = int(batches.tokenized.lengths[index])
            per_token = layers * 2 * (4 * width * width + 2 * width * inner)
            attention = layers * 2 * 2 * tokens * width  # scores, and the values they weigh
            expected += 3 * tokens * (per_token + attention)
    assert throughput.model_flops() == pytest.approx(expected)
