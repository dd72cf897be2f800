"""The encoder of an encoder-decoder by itself: taken out of a whole checkpoint, saved, and made from nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import tfllm
from tfllm import models

TOYS = Path(__file__).resolve().parents[1] / "goldens" / "hf_toys"
BATCH = {"token_ids": np.array([[5, 9, 7, 1]], "int32")}


def test_it_is_taken_out_of_a_whole_checkpoint(tmp_path):
    whole = tfllm.load(TOYS / "t5-seq2seq_lm")
    encoder = tfllm.load(TOYS / "t5-seq2seq_lm", head="encoder")
    hidden = np.asarray(encoder(BATCH))
    np.testing.assert_allclose(hidden, np.asarray(whole.backbone.encode(BATCH)), atol=1e-6)

    tfllm.save(encoder, tmp_path / "encoder")
    again = tfllm.load(tmp_path / "encoder")
    assert type(again) is models.Encoder
    np.testing.assert_array_equal(np.asarray(again(BATCH)), hidden)


def test_a_fresh_token_classifier_stands_on_it(tmp_path):
    model = tfllm.load(TOYS / "t5-seq2seq_lm", head="token_classifier", num_labels=3)
    assert model(BATCH).shape == (1, 4, 3)
    tfllm.save(model, tmp_path / "tagger")
    np.testing.assert_array_equal(np.asarray(tfllm.load(tmp_path / "tagger")(BATCH)), np.asarray(model(BATCH)))


def test_backbones_of_both_kinds_are_saved_from_nothing(tmp_path):
    config = tfllm.load(TOYS / "t5-backbone").config
    for name, model in {"whole": models.EncoderDecoder(config), "encoder": models.Encoder(config.encoder())}.items():
        tfllm.save(model, tmp_path / name, family="t5")
        again = tfllm.load(tmp_path / name)
        assert type(again) is type(model)
        for ours, theirs in zip(again.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
