"""Every family and head against golden files made by transformers (tests/goldens), without PyTorch."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import tfllm
from tfllm.errors import CheckpointError

GOLDENS = Path(__file__).parents[1] / "goldens"
sys.path.insert(0, str(GOLDENS))
from comparison import largest_difference, our_outputs, read_tensors, to_our_batch

TOYS = sorted(path.name for path in (GOLDENS / "hf_toys").iterdir())
# Scaled rotary positions are refused: see the last test.
SUPPORTED = [name for name in TOYS if not name.endswith("rope_llama3")]


def read_expected(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDENS / "hf_toys" / name / "expected.npz") as file:
        expected = dict(file)
    if "prediction_logits" in expected:  # ForPreTraining: masked LM and next sentence; the first is what we load
        expected["logits"] = expected.pop("prediction_logits")
    return expected


def assert_outputs(model, expected: dict[str, np.ndarray]) -> None:
    for name, value in our_outputs(model, expected).items():
        assert largest_difference(value, expected[name], expected["attention_mask"]) < 1e-4, name


def test_every_family_and_head_has_a_golden():
    held = {tuple(name.split("-")[:2]) for name in TOYS}
    wanted = {(family.name, head.kind) for family in tfllm.zoo.families() for head in family.heads}
    assert wanted <= held


@pytest.mark.parametrize("name", SUPPORTED)
def test_outputs_are_those_of_transformers(name):
    assert_outputs(tfllm.load(GOLDENS / "hf_toys" / name), read_expected(name))


@pytest.mark.parametrize("name", SUPPORTED)
def test_two_examples_packed_into_one_row_give_what_they_give_alone(name):
    """Attention, positions and pooling stay inside of an example."""
    expected = read_expected(name)
    model = tfllm.load(GOLDENS / "hf_toys" / name)
    batch, real = to_our_batch(expected), expected["attention_mask"].astype(bool)
    packed = {key: np.concatenate([value[0][real[0]], value[1][real[1]], [0, 0]])[None] for key, value in batch.items()}
    counts = real.sum(axis=1)
    packed["example_ids"] = np.repeat([1, 2, 0], [*counts, 2])[None].astype("int32")
    ends = np.cumsum(counts)
    is_classifier = type(model).__name__ == "SequenceClassifier"
    if is_classifier:
        packed["head_positions"] = (np.array([0, ends[0]]) if model.pooled == "first" else ends - 1)[None].astype(
            "int32"
        )
    outputs = np.asarray(model(packed, training=False))[0]
    if type(model).__name__ == "SpanPredictor":
        wanted = np.stack([expected["start_logits"], expected["end_logits"]], axis=-1)[real]
    elif is_classifier:
        wanted = expected["logits"]
    else:
        wanted = expected.get("last_hidden_state", expected.get("logits"))[real]
    np.testing.assert_allclose(outputs if is_classifier else outputs[: len(wanted)], wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", SUPPORTED)
def test_a_batch_may_leave_out_what_follows_from_the_pad_token(name):
    expected = read_expected(name)
    model = tfllm.load(GOLDENS / "hf_toys" / name)
    batch, mask = to_our_batch(expected), expected["attention_mask"]
    whole = np.asarray(model(batch, training=False))
    del batch["example_ids"], batch["position_ids"]
    assert largest_difference(np.asarray(model(batch, training=False)), whole, mask) == 0


@pytest.mark.parametrize("name", ["bert-backbone", "roberta-backbone"])
def test_pooler(name):
    expected = read_expected(name)
    model = tfllm.load(GOLDENS / "hf_toys" / name)
    pooled = model.pool(model(to_our_batch(expected)), np.zeros((2, 1), "int32"))
    np.testing.assert_allclose(np.asarray(pooled)[:, 0], expected["pooler_output"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", [name for name in SUPPORTED if not name.endswith("legacy")])
def test_tensors_come_back_bit_for_bit(name, tmp_path):
    model = tfllm.load(GOLDENS / "hf_toys" / name)
    tfllm.save(model, tmp_path / "saved")
    assert read_tensors(tmp_path / "saved") == read_tensors(GOLDENS / "hf_toys" / name)
    again = tfllm.load(tmp_path / "saved")
    assert again.config == model.config
    assert type(again) is type(model)


@pytest.mark.parametrize("name", [name for name in SUPPORTED if name.endswith("legacy")])
def test_older_layouts_are_saved_in_the_present_one(name, tmp_path):
    tfllm.save(tfllm.load(GOLDENS / "hf_toys" / name), tmp_path / "saved")
    saved, original = read_tensors(tmp_path / "saved"), read_tensors(GOLDENS / "hf_toys" / name)
    assert sorted(saved.values()) == sorted(original.values())  # other names, the same tensors
    assert not [name for name in saved if name.endswith((".gamma", ".beta"))]
    assert_outputs(tfllm.load(tmp_path / "saved"), read_expected(name))


@pytest.mark.parametrize("name", [name for name in SUPPORTED if name.count("-") == 1])
def test_a_keras_file_keeps_the_model_and_its_way_back(name, tmp_path):
    import keras

    model = tfllm.load(GOLDENS / "hf_toys" / name)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert_outputs(again, read_expected(name))
    tfllm.save(again, tmp_path / "saved")
    assert read_tensors(tmp_path / "saved") == read_tensors(GOLDENS / "hf_toys" / name)


def test_a_sharded_save_is_read_back(tmp_path):
    name = "llama-causal_lm-sharded"
    tfllm.save(tfllm.load(GOLDENS / "hf_toys" / name), tmp_path / "saved", max_shard_bytes=20_000)
    assert len(list((tmp_path / "saved").glob("*.safetensors"))) > 3
    assert read_tensors(tmp_path / "saved") == read_tensors(GOLDENS / "hf_toys" / name)
    assert_outputs(tfllm.load(tmp_path / "saved"), read_expected(name))


def test_scaled_rotary_positions_are_refused_by_name():
    with pytest.raises(CheckpointError, match="llama3"):
        tfllm.load(GOLDENS / "hf_toys" / "llama-causal_lm-rope_llama3")
