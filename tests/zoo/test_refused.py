"""What the zoo does not compute as transformers does is refused by name, not loaded to other numbers."""

from __future__ import annotations

import copy
import json
import re
import shutil
import sys
from pathlib import Path

import pytest

import tfllm
from tfllm.errors import CheckpointError, UserError

sys.path.insert(0, str(Path(__file__).parents[1] / "goldens"))
from golden_files import HF_TOYS, OF_FAMILY

CONFIGS = {family: json.loads((HF_TOYS / name / "config.json").read_text()) for family, name in OF_FAMILY.items()}
ACTIVATION_KEYS = (
    "activation",
    "activation_function",
    "classifier_activation",
    "feed_forward_proj",
    "hidden_act",
    "hidden_activation",
    "pooler_hidden_act",
)
SINGLE_VALUES = [
    ("albert", "inner_group_num", 2),
    ("albert", "position_embedding_type", "relative_key"),
    ("bert", "add_cross_attention", True),
    ("bert", "is_decoder", True),
    ("bert", "position_embedding_type", "relative_key_query"),
    ("bloom", "apply_residual_connection_post_layernorm", True),
    ("deberta-v2", "attention_head_size", 16),
    ("deberta-v2", "conv_kernel_size", 3),
    ("deberta-v2", "legacy", False),
    ("deberta-v2", "norm_rel_ebd", "batch_norm"),
    ("deberta-v2", "relative_attention", False),
    ("electra", "position_embedding_type", "relative_key"),
    ("electra", "summary_type", "mean"),
    ("gemma3_text", "use_bidirectional_attention", True),
    ("gpt2", "add_cross_attention", True),
    ("gpt2", "scale_attn_by_inverse_layer_idx", True),
    ("gpt2", "scale_attn_weights", False),
    ("marian", "share_encoder_decoder_embeddings", False),
    ("mistral", "layer_types", ["full_attention", "chunked_attention"]),
    ("modernbert", "classifier_pooling", "max"),
    ("opt", "layer_norm_elementwise_affine", False),
    ("roberta", "position_embedding_type", "relative_key"),
    ("stablelm", "qk_layernorm", True),
    ("stablelm", "use_parallel_residual", True),
]


def assert_refused(config: dict, what: str) -> None:
    with pytest.raises((CheckpointError, UserError), match=re.escape(what)):
        tfllm.zoo.get(config["model_type"]).read_config(config)


@pytest.mark.parametrize(("family", "key", "value"), SINGLE_VALUES, ids=lambda value: str(value))
def test_values_that_are_not_supported(family, key, value):
    assert_refused({**CONFIGS[family], key: value}, key)


@pytest.mark.parametrize(
    ("family", "key"),
    [(family, key) for family, config in CONFIGS.items() for key in ACTIVATION_KEYS if key in config],
)
def test_an_unknown_activation(family, key):
    assert_refused({**CONFIGS[family], key: "snake"}, "snake")


@pytest.mark.parametrize("kind", ["dynamic", "spiral"])
@pytest.mark.parametrize("family", [family for family, config in CONFIGS.items() if "rope_parameters" in config])
def test_an_unknown_scaling_of_rotary_positions(family, kind):
    config = copy.deepcopy(CONFIGS[family])
    rope = config["rope_parameters"]
    rope.get("full_attention", rope).update({"rope_type": kind, "factor": 2.0})
    assert_refused(config, kind)
    # As transformers 4 wrote it.
    old = {key: value for key, value in CONFIGS[family].items() if key != "rope_parameters"}
    assert_refused({**old, "rope_scaling": {"type": kind, "factor": 2.0}}, kind)


@pytest.fixture
def directory(tmp_path):
    return Path(shutil.copytree(HF_TOYS / "bert-masked_lm", tmp_path / "bert"))


def change_config(directory: Path, **changes) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_an_unknown_family(directory):
    change_config(directory, model_type="rwkv")
    with pytest.raises(CheckpointError, match=r"model_type.*'albert'.*Received: 'rwkv'"):
        tfllm.load(directory)


def test_an_unknown_architecture(directory):
    change_config(directory, architectures=["BertForNextSentencePrediction"])
    with pytest.raises(CheckpointError, match="BertForNextSentencePrediction.*BertForMaskedLM"):
        tfllm.load(directory)


def test_a_head_that_the_family_has_not(directory):
    with pytest.raises(CheckpointError, match="bert has the heads.*seq2seq_lm"):
        tfllm.load(directory, head="seq2seq_lm")
