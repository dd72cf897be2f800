"""Every family, head and variant against golden files made by transformers (tests/goldens), without PyTorch."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import tfllm

sys.path.insert(0, str(Path(__file__).parents[1] / "goldens"))
from comparison import by_their_names, difference_by_left_padding, read_tensors
from golden_files import HF_TOYS, NAMES, open_golden
from packing import outputs_of_examples, pack


@pytest.fixture(scope="module", params=NAMES)
def golden(request):
    """Each toy once for the tests that leave it as it is."""
    return open_golden(request.param)


def test_every_family_and_head_has_a_golden():
    wanted = {f"{family.name}-{head.kind}" for family in tfllm.zoo.families() for head in family.heads}
    assert not wanted - set(NAMES)


def test_outputs_are_those_of_transformers(golden):
    golden.assert_outputs()


def test_padding_on_the_left_changes_nothing(golden):
    outputs = by_their_names(golden.model, golden.output)
    assert difference_by_left_padding(golden.model, golden.expected, outputs) < 1e-4


def test_examples_packed_into_one_row_give_what_they_give_alone(golden):
    """Attention, positions and pooling stay inside of an example."""
    model = golden.model
    packed = pack(golden.batch, model.config.pooled)
    kind = type(model).__name__
    if kind not in ("SequenceClassifier", "MultipleChoice"):
        del packed["head_positions"]
    alone = outputs_of_examples(golden.output, kind, golden.mask, packed=False)
    together = outputs_of_examples(np.asarray(model(packed, training=False)), kind, golden.mask, packed=True)
    np.testing.assert_allclose(together, alone, atol=1e-4, rtol=0)


def test_tensors_and_config_come_back(golden, tmp_path):
    tfllm.save(golden.model, tmp_path / "saved")
    saved, original = read_tensors(tmp_path / "saved"), read_tensors(golden.directory)
    config, config_before = (
        json.loads((directory / "config.json").read_text()) for directory in (tmp_path / "saved", golden.directory)
    )
    assert config == config_before
    if not golden.name.endswith("-legacy"):
        assert saved == original
        return
    # Other names, the same tensors, and no old names.
    assert sorted(saved.values()) == sorted(original.values())
    assert not [name for name in saved if name.endswith((".gamma", ".beta"))]
    again = tfllm.load(tmp_path / "saved", tokenizer=False)
    assert again.config == golden.model.config
    golden.assert_outputs(again)


@pytest.mark.parametrize("name", ["bert-classifier", "roberta-masked_lm", "llama-causal_lm", "bart-backbone"])
def test_a_batch_may_leave_out_what_follows_from_the_pad_token(name):
    golden = open_golden(name)
    batch = golden.batch
    whole = np.asarray(golden.model(batch, training=False))
    short = {key: value for key, value in batch.items() if key.endswith(("token_ids", "type_ids"))}
    short_outputs = np.asarray(golden.model(short, training=False))
    if whole.shape[:2] == golden.mask.shape:
        whole, short_outputs = whole[golden.mask.astype(bool)], short_outputs[golden.mask.astype(bool)]
    np.testing.assert_array_equal(short_outputs, whole)


@pytest.mark.parametrize(
    "name", ["bert-backbone", "roberta-backbone", "xlm-roberta-backbone", "albert-backbone", "mpnet-backbone"]
)
def test_pooler(name):
    golden = open_golden(name)
    pooled = golden.model.pool(golden.model(golden.batch), np.zeros((2, 1), "int32"))
    np.testing.assert_allclose(np.asarray(pooled)[:, 0], golden.expected["pooler_output"], atol=1e-4, rtol=0)


def test_a_sharded_save_is_read_back(tmp_path):
    golden = open_golden("llama-causal_lm-sharded")
    tfllm.save(golden.model, tmp_path / "saved", max_shard_bytes=10_000)
    assert len(list((tmp_path / "saved").glob("*.safetensors"))) > 3
    assert read_tensors(tmp_path / "saved") == read_tensors(HF_TOYS / golden.name)
    golden.assert_outputs(tfllm.load(tmp_path / "saved", tokenizer=False))
