"""Adapters of PEFT (tests/goldens/peft_toys), without PEFT; what is wrong with one is said."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import tfllm
from tfllm import training
from tfllm.errors import CheckpointError, UserError
from tfllm.models import adaptation

sys.path.insert(0, str(Path(__file__).parents[1] / "goldens"))
from comparison import largest_difference, our_outputs
from golden_files import open_golden

PEFT_TOYS = Path(__file__).parents[1] / "goldens" / "peft_toys"
NAMES = sorted(path.name for path in PEFT_TOYS.iterdir())


@pytest.fixture(scope="module", params=NAMES)
def adapted(request):
    """A toy with its adapter, and what PEFT computes."""
    golden = open_golden(request.param)
    tfllm.load_adapter(golden.model, PEFT_TOYS / request.param)
    with np.load(PEFT_TOYS / request.param / "expected.npz") as file:
        return golden, dict(file)


def difference(golden, model, expected) -> float:
    outputs = our_outputs(model, golden.expected)
    return max(largest_difference(outputs[name], expected[name], golden.mask) for name in outputs)


def test_an_adapter_of_peft_computes_the_same_here(adapted):
    golden, expected = adapted
    assert difference(golden, golden.model, expected) < 1e-5
    assert difference(golden, golden.model, golden.expected) > 1e-2


def test_the_tensors_come_back_bit_for_bit(adapted, tmp_path):
    golden, _ = adapted
    tfllm.save_adapter(golden.model, tmp_path / "adapter")
    written, original = (
        load_file(directory / "adapter_model.safetensors")
        for directory in (tmp_path / "adapter", PEFT_TOYS / golden.name)
    )
    assert sorted(written) == sorted(original)
    for name, tensor in original.items():
        np.testing.assert_array_equal(written[name], tensor, err_msg=name)
    config, theirs = (
        json.loads((directory / "adapter_config.json").read_text())
        for directory in (tmp_path / "adapter", PEFT_TOYS / golden.name)
    )
    for key in ("peft_type", "r", "lora_alpha", "lora_dropout", "rank_pattern", "fan_in_fan_out"):
        assert config[key] == theirs[key], key
    assert set(config["modules_to_save"] or []) <= set(theirs["modules_to_save"] or [])


def test_merged_it_is_a_plain_model_that_computes_the_same(adapted, tmp_path):
    name = adapted[0].name
    golden = open_golden(name)
    model = training.merge_lora(tfllm.load_adapter(golden.model, PEFT_TOYS / name))
    assert difference(golden, model, adapted[1]) < 1e-5
    tfllm.save(model, tmp_path / "merged")
    assert difference(golden, tfllm.load(tmp_path / "merged", tokenizer=False), adapted[1]) < 1e-5


def test_updates_of_parts_of_one_tensor_are_blocks(tmp_path):
    """GPT-2's query, key and value are one tensor: query and value alone, of unlike scale, come back as they were."""
    golden = open_golden("gpt2-causal_lm")
    model = training.lora(golden.model, rank=2, alpha=6)
    generator = np.random.default_rng(0)
    for weight in model.trainable_variables:
        weight.assign(generator.normal(0, 0.3, weight.shape))
    tfllm.save_adapter(model, tmp_path / "adapter")
    tensors = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    b = tensors["base_model.model.transformer.h.0.attn.c_attn.lora_B.weight"]
    width = len(b) // 3
    assert b.shape == (3 * width, 4)
    assert not b[width : 2 * width].any() and not b[:width, 2:].any() and not b[2 * width :, :2].any()
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["fan_in_fan_out"]) == (4, 12, True)

    again = tfllm.load_adapter(open_golden("gpt2-causal_lm").model, tmp_path / "adapter")
    layers = adaptation.adapted(model)
    assert {path: layer.lora for path, layer in adaptation.adapted(again).items()} == {
        path: layer.lora for path, layer in layers.items()
    }
    expected = our_outputs(model, golden.expected)["logits"]
    np.testing.assert_allclose(our_outputs(again, golden.expected)["logits"], expected, atol=1e-6)


def copy(name: str, directory: Path, *, config=None, tensors=None) -> Path:
    """A golden adapter with other entries in its config, or other tensors."""
    shutil.copytree(PEFT_TOYS / name, directory)
    file = directory / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **(config or {})}))
    if tensors is not None:
        path = directory / "adapter_model.safetensors"
        save_file(tensors(load_file(path)), path)
    return directory


QUERY = "base_model.model.bert.encoder.layer.0.attention.self.query."


@pytest.mark.parametrize(
    ("config", "tensors", "message"),
    [
        ({"peft_type": "IA3"}, None, 'peft_type="IA3" is not supported'),
        ({"use_dora": True}, None, "use_dora=true is not supported"),
        ({"bias": "all"}, None, 'bias="all" is not supported'),
        ({"init_lora_weights": "pissa"}, None, "init_lora_weights"),
        (None, lambda t: {**t, QUERY + "lora_magnitude_vector": t[QUERY + "lora_A.weight"]}, "magnitude_vector"),
        (None, lambda t: {k: v for k, v in t.items() if k != QUERY + "lora_B.weight"}, "lora_B.weight is missing"),
        (
            None,
            lambda t: {**t, QUERY + "lora_A.weight": t[QUERY + "lora_A.weight"][:, 1:]},
            r"must be lora_A \(r, 24\)",
        ),
        (None, lambda t: {**t, "base_model.model.classifier.bias": np.zeros(7, "float32")}, "number of labels"),
        (None, lambda t: {k.replace("query", "q_proj"): v for k, v in t.items()}, "no place for: bert.encoder.layer.0"),
    ],
)
def test_what_is_wrong_with_an_adapter_is_said_and_the_model_left_alone(config, tensors, message, tmp_path):
    model = open_golden("bert-classifier").model
    before = [np.array(weight) for weight in model.weights]
    directory = copy("bert-classifier", tmp_path / "adapter", config=config, tensors=tensors)
    with pytest.raises(CheckpointError, match=message):
        tfllm.load_adapter(model, directory)
    assert not adaptation.record(model)
    for weight, value in zip(model.weights, before):
        np.testing.assert_array_equal(weight, value)


def test_an_adapter_needs_its_files_and_a_directory_of_its_own(tmp_path):
    model = open_golden("bert-classifier").model
    with pytest.raises(CheckpointError, match="adapter_config.json"):
        tfllm.load_adapter(model, tmp_path)
    with pytest.raises(UserError, match="without"):
        tfllm.save_adapter(model, tmp_path / "adapter")
    training.lora(model)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        tfllm.save_adapter(model, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(UserError, match="merge_lora"):
        tfllm.save(model, tmp_path / "model")
    with pytest.raises(UserError, match="updates already"):
        tfllm.load_adapter(model, PEFT_TOYS / "bert-classifier")
