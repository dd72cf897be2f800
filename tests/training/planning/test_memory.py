"""Memory: shares, rematerialisation, suggestions; and real runs with `-m slow`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from keras_features import NEEDS_MUON

from tfllm import models, training
from tfllm.config import TransformerConfig
from tfllm.errors import UserError
from tfllm.training.planning import Setup, count_parameters, memory, suggest
from tfllm.training.planning.sizes import decoder_of_size, decoder_shape

BENCH = Path(__file__).parents[3] / "bench"
SMALL = decoder_shape(layers=8, width=512, heads=8, vocab=8000)
BASE = Setup(batch=32, length=256, dtype="mixed_bfloat16")


def need(**changes):
    return memory(SMALL, "causal_lm", BASE.replace(**changes))


def test_the_state_is_weights_copies_and_slots():
    count = count_parameters(SMALL, "causal_lm").total
    base = need()
    assert (base.weights, base.weight_copies, base.optimizer) == (4 * count, 2 * count, 8 * count)
    single = need(dtype="float32")
    assert single.weight_copies == 0 and single.activations > 1.3 * base.activations
    assert need(optimizer="lion").optimizer == need(optimizer="sgd").optimizer == 4 * count
    assert need(ema=True).optimizer == 12 * count
    assert need(batch=1, length=1).peak_at == "update" and need(batch=1, length=1).gradients == 4 * count


@pytest.mark.parametrize(
    "name, ema",
    [
        ("adamw", False),
        ("adamw", True),
        ("adafactor", False),
        ("lion", True),
        pytest.param("muon", False, marks=NEEDS_MUON),
        ("sgd", False),
    ],
)
@pytest.mark.parametrize("experts", [0, 4])
def test_slots_are_those_that_the_optimizer_makes(name, ema, experts):
    sizes = {"num_experts": experts, "expert_intermediate_size": 96, "experts_per_token": 2} if experts else {}
    config = decoder_shape(layers=2, width=64, heads=4, vocab=300).replace(**sizes)
    model = models.CausalLM(config)
    model({"token_ids": np.ones((1, 4), "int32")})
    made = training.optimizer(name, 1e-3, ema_momentum=0.9 if ema else None)
    made.build(model.trainable_variables)
    held = 4 * sum(int(np.prod(v.shape)) for v in made.variables if len(v.shape) > 1 or v.shape == (64,))
    planned = memory(config, "causal_lm", Setup(optimizer=name, ema=ema)).optimizer
    assert planned == pytest.approx(held, rel=0.05)  # Adafactor's factors, and Muon's vectors, are not counted


def test_shares_divide_what_they_should():
    base, data, tensor = need(), need(data=4), need(tensor=4)
    assert data.activations == base.activations / 4 and data.weights == base.weights
    assert need(data=4, shard_state=True).optimizer == base.optimizer / 4
    assert tensor.weights == base.weights / 4 and base.activations / 4 < tensor.activations < base.activations
    assert need(tensor=4, sequence_parallel=True).activations < tensor.activations
    pipeline = need(pipeline=4, accumulation=8)
    assert base.weights / 4 < pipeline.weights < base.weights / 2  # a quarter of the blocks, and a table
    parts = need(accumulation=8)
    assert (
        parts.activations == base.activations / 8 and parts.gradients == 4 * count_parameters(SMALL, "causal_lm").total
    )
    # 1F1B: of 8 parts at most 4 are on their way, each through a quarter of the layers.
    assert pipeline.activations == pytest.approx(parts.activations, rel=0.01)


def test_rematerialisation_trades_activations_for_a_workspace():
    none, selective, full = (need(remat=remat) for remat in ("none", "selective", "full"))
    assert none.activations > selective.activations > full.activations
    assert none.workspace == 0 < selective.workspace < full.workspace
    assert full.activations < none.activations / 8


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"batch": 30, "data": 4}, "multiple of data shares x accumulation. Received: batch=30, 4 data shares"),
        ({"tensor": 3}, "tensor shares must divide the heads"),
        ({"pipeline": 9}, "must not outnumber the layers"),
    ],
)
def test_shares_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        need(**changes)


def test_rows_longer_than_the_position_table_and_shared_layers_are_refused():
    bert = TransformerConfig(99, 32, 4, 4, 64)
    with pytest.raises(UserError, match="length must be at most 512"):
        memory(bert, "backbone", Setup(length=513))
    with pytest.raises(UserError, match="layers that share weights"):
        memory(bert.replace(num_layer_groups=1), "backbone", Setup(pipeline=2))


def test_every_suggestion_fits_and_changes_something():
    capacity = 0.4 * need().total
    found = suggest(SMALL, "causal_lm", BASE, capacity)
    assert {"accumulation"} in [set(suggestion.changes) for suggestion in found]
    assert any("remat" in suggestion.changes for suggestion in found)
    assert any(suggestion.setup.devices > 1 for suggestion in found)
    for suggestion in found:
        assert suggestion.changes and memory(SMALL, "causal_lm", suggestion.setup).total <= capacity
        assert BASE.replace(**suggestion.changes) == suggestion.setup


def test_what_no_setup_can_hold_has_no_suggestions():
    assert suggest(SMALL, "causal_lm", BASE, 1000.0) == []


def test_a_model_of_10_trillion_finds_devices():
    huge = decoder_of_size(10e12)
    assert count_parameters(huge, "causal_lm").total == pytest.approx(10e12, rel=0.05)
    found = suggest(huge, "causal_lm", Setup(batch=4096, length=4096, dtype="mixed_bfloat16"), 80e9)
    assert found and found[0].setup.devices >= 1000  # 100 TB of state alone


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["minilm", "bert-wide", "gpt2", "gpt2-one-row", "llama"])
def test_real_runs_are_within_15_percent(shape, monkeypatch):
    if not sys.platform.startswith("linux"):
        pytest.skip("resident memory is read from Linux' /proc")
    monkeypatch.syspath_prepend(str(BENCH))
    command = [sys.executable, str(BENCH / "memory.py"), "--side", shape, "--steps", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    import memory as bench

    assert bench.plan(shape).total == pytest.approx(json.loads(done.stdout.splitlines()[-1])["peak"], rel=0.15)
