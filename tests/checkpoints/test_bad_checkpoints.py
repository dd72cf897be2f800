"""A wrong, truncated or hostile checkpoint is one clear error."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import tfllm
from tfllm.errors import CheckpointError, UserError

TOYS = Path(__file__).parents[1] / "goldens" / "hf_toys"


@pytest.fixture
def bert(tmp_path):
    return Path(shutil.copytree(TOYS / "bert-classifier", tmp_path / "bert"))


@pytest.fixture
def sharded(tmp_path):
    return Path(shutil.copytree(TOYS / "llama-causal_lm-sharded", tmp_path / "llama"))


def change_config(directory, **changes):
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def change_tensors(directory, change):
    tensors = load_file(directory / "model.safetensors")
    change(tensors)
    save_file(tensors, directory / "model.safetensors", {"format": "pt"})


def write_raw(path, header, data=b""):
    text = json.dumps(header).encode() if isinstance(header, dict) else header
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def tensor(start, stop, shape, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


@pytest.mark.parametrize(
    "header, data",
    [
        (b"{not json", b""),
        ({"a": tensor(0, 16, [4]), "b": tensor(8, 24, [4])}, bytes(24)),  # overlap
        ({"a": tensor(0, 16, [4]), "b": tensor(32, 48, [4])}, bytes(48)),  # a hole
        ({"a": tensor(0, 16, [4])}, bytes(8)),  # cut short
        ({"a": tensor(0, 16, [5])}, bytes(16)),  # shape and bytes differ
        ({"a": tensor(0, 16, [4], "F99")}, bytes(16)),
        ({"a": tensor(0, 2**62, [2**60])}, bytes(16)),
        ({"a": tensor(16, 0, [4])}, bytes(16)),
    ],
)
def test_bad_header(bert, header, data):
    write_raw(bert / "model.safetensors", header, data)
    with pytest.raises(CheckpointError, match="model.safetensors: "):
        tfllm.load(bert)


@pytest.mark.parametrize("content", [b"", b"\x01", struct.pack("<Q", 2**60) + b"{}"])
def test_no_header(bert, content):
    (bert / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="not a valid safetensors file"):
        tfllm.load(bert)


def test_truncated_file(bert):
    path = bert / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="not a valid safetensors file"):
        tfllm.load(bert)


def test_missing_tensor_is_named(bert):
    change_tensors(bert, lambda tensors: tensors.pop("bert.encoder.layer.0.output.dense.weight"))
    with pytest.raises(CheckpointError, match=r"has not: bert\.encoder\.layer\.0\.output\.dense\.weight"):
        tfllm.load(bert)


def test_unknown_tensor_is_named(bert):
    change_tensors(bert, lambda tensors: tensors.update({"bert.extra.weight": np.ones(3, "float32")}))
    with pytest.raises(CheckpointError, match=r"no place for: bert\.extra\.weight"):
        tfllm.load(bert)


def test_wrong_shape_is_named(bert):
    change_tensors(bert, lambda tensors: tensors.update({"classifier.weight": np.ones((3, 31), "float32")}))
    with pytest.raises(CheckpointError, match=r"classifier\.weight expected \[3, 24\], received \[3, 31\]"):
        tfllm.load(bert)


def test_integers_are_no_weights(bert):
    change_tensors(bert, lambda tensors: tensors.update({"classifier.bias": np.ones(3, "int64")}))
    with pytest.raises(CheckpointError, match="floating point"):
        tfllm.load(bert)


def test_tied_tensors_that_differ_are_not_tied(tmp_path):
    directory = Path(shutil.copytree(TOYS / "llama-causal_lm-tied", tmp_path / "llama"))
    change_tensors(
        directory, lambda tensors: tensors.update({"lm_head.weight": tensors["model.embed_tokens.weight"] + 1})
    )
    weights = tfllm.load(directory).named_weights()
    table = next(weight for name, weight in weights.items() if name.endswith("token/embeddings"))
    np.testing.assert_array_equal(weights["lm_kernel"], np.array(table) + 1)


def test_missing_shard(sharded):
    next(sharded.glob("*-00002-of-*")).unlink()
    with pytest.raises(CheckpointError, match="00002-of-.*missing"):
        tfllm.load(sharded)


@pytest.mark.parametrize("evil", ["../model.safetensors", "/etc/passwd", "sub/x.safetensors", ".."])
def test_a_shard_outside_of_the_directory(sharded, evil):
    path = sharded / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"] = {name: evil for name in index["weight_map"]}
    path.write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="same directory"):
        tfllm.load(sharded)


@pytest.mark.parametrize("content", ["{", "{}", '{"weight_map": {"a": 3}}', "[]"])
def test_bad_index(sharded, content):
    (sharded / "model.safetensors.index.json").write_text(content)
    with pytest.raises(CheckpointError, match="index.json"):
        tfllm.load(sharded)


def test_index_and_shard_disagree(sharded):
    path = sharded / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"]["invented"] = next(iter(index["weight_map"].values()))
    path.write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="do not agree.*invented"):
        tfllm.load(sharded)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"model_type": "alexnet"}, "model_type.*alexnet"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ({"is_decoder": True}, "is_decoder"),
        ({"hidden_act": "mish"}, "hidden_act.*mish"),
        ({"num_hidden_layers": 2}, r"encoder\.layer\.1"),
        ({"num_hidden_layers": 0}, "num_layers"),
        ({"hidden_size": 26}, "hidden_size"),
        ({"num_attention_heads": "4"}, "num_heads"),
        ({"architectures": ["BertLMHeadModel"]}, "BertLMHeadModel"),
    ],
)
def test_config_that_does_not_fit(bert, changes, message):
    change_config(bert, **changes)
    with pytest.raises(UserError, match=message):
        tfllm.load(bert)


def test_unknown_rotary_scaling_is_refused_by_name(tmp_path):
    directory = Path(shutil.copytree(TOYS / "llama-causal_lm", tmp_path / "llama"))
    change_config(directory, rope_parameters={"rope_type": "dynamic", "factor": 4.0})
    with pytest.raises(CheckpointError, match="rope_type.*dynamic"):
        tfllm.load(directory)


@pytest.mark.parametrize("content", ["", "[1]", "{", "\x00"])
def test_bad_config_json(bert, content):
    (bert / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match="config.json"):
        tfllm.load(bert)


def test_paths(tmp_path, bert):
    with pytest.raises(CheckpointError, match="neither"):
        tfllm.load(tmp_path / "nothing" / "here" / "at-all")
    with pytest.raises(CheckpointError, match="Received a file"):
        tfllm.load(bert / "config.json")
    with pytest.raises(CheckpointError, match="config.json"):
        tfllm.load(tmp_path)


def test_head_and_labels(bert, tmp_path):
    with pytest.raises(CheckpointError, match="heads"):
        tfllm.load(bert, head="causal_lm")
    with pytest.raises(UserError, match="3 labels.*num_labels=2.*fresh_head"):
        tfllm.load(bert, num_labels=2)
    model = tfllm.load(bert, num_labels=2, fresh_head=True)
    assert model.checkpoint["fresh"] == ["classifier/bias", "classifier/kernel"]
    tfllm.save(model, tmp_path / "two")
    assert tfllm.load(tmp_path / "two").num_labels == 2


def test_a_fresh_head_is_said(caplog):
    model = tfllm.load(TOYS / "bert-masked_lm", head="classifier", num_labels=2)
    assert model.checkpoint["fresh"] == ["classifier/bias", "classifier/kernel", "pooler/bias", "pooler/kernel"]
    assert "freshly initialised" in caplog.text and "classifier/kernel" in caplog.text
    assert all(name.startswith("cls.predictions.") for name in model.checkpoint["unused"])


def test_save_never_overwrites_unasked(bert, tmp_path):
    model = tfllm.load(bert)
    target = tmp_path / "out"
    target.mkdir()
    (target / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        tfllm.save(model, target)
    tfllm.save(model, target, overwrite=True)
    assert (target / "notes.txt").read_text() == "mine"
    tfllm.save(model, target, overwrite=True, max_shard_bytes=20_000)
    assert not (target / "model.safetensors").exists() and len(list(target.glob("model-*.safetensors"))) > 1
    again = tfllm.load(target)
    for name, weight in model.named_weights().items():
        np.testing.assert_array_equal(weight, again.named_weights()[name])
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_dtypes_are_kept_where_nothing_is_lost(tmp_path):
    model = tfllm.load(TOYS / "llama-causal_lm-bf16")
    name = next(name for name in model.named_weights() if name.endswith("final_norm/scale"))
    weight = model.named_weights()[name]
    weight.assign(weight + 1e-4)  # no longer a bfloat16 number
    tfllm.save(model, tmp_path / "out")
    again = tfllm.load(tmp_path / "out")
    np.testing.assert_array_equal(again.named_weights()[name], weight)
    tfllm.save(model, tmp_path / "narrow", dtype="bfloat16")
    assert (tmp_path / "narrow" / "model.safetensors").stat().st_size < (
        tmp_path / "out" / "model.safetensors"
    ).stat().st_size
    with pytest.raises(UserError, match="dtype"):
        tfllm.save(model, tmp_path / "other", dtype="int8")


def test_a_model_of_no_checkpoint_needs_a_family(tmp_path):
    from tfllm import models

    config = tfllm.zoo.get("bert").read_config(
        {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "vocab_size": 30}
    )
    model = models.SequenceClassifier(config, 3)
    with pytest.raises(UserError, match="family"):
        tfllm.save(model, tmp_path / "out")
    tfllm.save(model, tmp_path / "out", family="bert")
    again = tfllm.load(tmp_path / "out")
    assert again.config == config and again.num_labels == 3
    with pytest.raises(UserError, match="cannot express"):
        tfllm.save(models.SequenceClassifier(config.replace(norm_placement="pre")), tmp_path / "pre", family="bert")
