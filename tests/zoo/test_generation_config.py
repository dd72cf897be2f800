"""`generation_config.json` comes along: what it says of the text's form is followed, and it is written back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import tfllm
from tfllm.errors import CheckpointError
from tfllm.generation import generator_of

TOYS = Path(__file__).resolve().parents[1] / "goldens" / "hf_toys"
# Llama 3 has several end tokens; the temperature is the author's preference, which nobody asked for.
GENERATION_CONFIG = {"eos_token_id": [7, 11], "bad_words_ids": [[5], [8, 9]], "temperature": 0.6, "do_sample": True}


@pytest.fixture
def checkpoint(tmp_path):
    directory = tmp_path / "toy"
    shutil.copytree(TOYS / "llama-causal_lm", directory)
    (directory / "generation_config.json").write_text(json.dumps(GENERATION_CONFIG))
    return directory


def test_it_is_followed_and_written_back(checkpoint, tmp_path):
    model = tfllm.load(checkpoint)
    special = generator_of(model).special
    assert special.eos == (7, 11)
    assert special.bad_words == ((5,), (8, 9))

    tfllm.save(model, tmp_path / "copy")
    assert json.loads((tmp_path / "copy" / "generation_config.json").read_text()) == GENERATION_CONFIG
    model.save(tmp_path / "model.keras")
    import keras

    assert generator_of(keras.saving.load_model(tmp_path / "model.keras")).special == special


def test_a_text_ends_at_any_of_its_end_tokens(checkpoint):
    """The token that greedy decoding takes third becomes an end token."""
    (checkpoint / "generation_config.json").unlink()
    plain = tfllm.load(checkpoint).generate([12, 13, 14], max_new_tokens=8)
    third = plain.token_ids[2]
    (checkpoint / "generation_config.json").write_text(json.dumps({"eos_token_id": [52, third]}))
    ended = tfllm.load(checkpoint).generate([12, 13, 14], max_new_tokens=8)
    first = plain.token_ids.index(third)
    assert ended.token_ids == plain.token_ids[: first + 1]
    assert ended.finish_reason == "eos"


@pytest.mark.parametrize("content", ["[1, 2]", "{"])
def test_a_broken_one_is_refused(checkpoint, content):
    (checkpoint / "generation_config.json").write_text(content)
    with pytest.raises(CheckpointError, match="generation_config.json: expected"):
        tfllm.load(checkpoint)


def test_a_directory_without_one_gets_none(tmp_path):
    tfllm.save(tfllm.load(TOYS / "llama-causal_lm"), tmp_path / "copy")
    assert not (tmp_path / "copy" / "generation_config.json").exists()
