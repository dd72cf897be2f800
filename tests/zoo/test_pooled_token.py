"""Plain `task.batches(...)` points a model's head at the token that the model reads."""

from __future__ import annotations

import numpy as np
import pytest
import toy_finetuning

import tfllm
from tfllm import models, text


@pytest.mark.parametrize("family, pooled", [("bert", "first"), ("llama", "last")])
def test_batches_fit_the_model(family, pooled, tmp_path):
    toy_finetuning.save_toy_checkpoint(tmp_path)
    tokenizer = text.load(tmp_path / "vocabulary")
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "num_key_value_heads": 2,
    }
    config = tfllm.zoo.get(family).read_config({**sizes, "vocab_size": tokenizer.vocab_size})
    model = models.SequenceClassifier(config, 2)
    model.tokenizer = tokenizer
    tfllm.save(model, tmp_path / "model", family=family)

    model = tfllm.load(tmp_path / "model")
    task = toy_finetuning.sentiment_task()
    x, y, w = next(iter(task.batches("validation", model.tokenizer, batch_size=40)))
    examples, tokens = x["example_ids"].numpy(), x["token_ids"].numpy()
    for row, slot in zip(*np.nonzero(w.numpy())):
        own = np.flatnonzero(examples[row] == slot + 1)
        assert x["head_positions"][row, slot] == (own[0] if pooled == "first" else own[-1])
    logits = task.predict(model, "validation")
    first = model.tokenizer.encode(task.examples("validation").texts[0][0])
    np.testing.assert_allclose(logits[0], model({"token_ids": np.array([first])})[0, 0], atol=1e-5)
    assert tokens.max() < tokenizer.vocab_size
