"""A toy checkpoint and toy tasks for the tests of training and of the command line."""

from __future__ import annotations

import json
import random
from pathlib import Path

import tfllm

WORDS = "a the film was is very not rather quite story actor scene end plot music".split()
GOOD, BAD = "good fine great lovely".split(), "bad awful dull poor".split()


def save_toy_checkpoint(directory: Path, dropout: float = 0.1) -> Path:
    """A BERT of one layer, 32 wide, with its WordPiece vocabulary, as a Hugging Face directory without a classifier."""
    import keras

    from tfllm import models, text

    keras.utils.set_random_seed(0)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *GOOD, *BAD]
    source = directory / "vocabulary"
    source.mkdir(parents=True)
    (source / "vocab.txt").write_text("".join(f"{word}\n" for word in vocabulary))
    config = tfllm.TransformerConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_layers=1,
        num_heads=4,
        intermediate_size=64,
        max_positions=32,
        type_vocab_size=2,
        initializer_range=0.2,
        dropout=dropout,
        attention_dropout=dropout,
    )
    model = models.MaskedLM(config)
    model.tokenizer = text.load(source)
    tfllm.save(model, directory / "bert", family="bert")
    return directory / "bert"


def sentiment(size: int, seed: int) -> dict[str, list]:
    """Columns `text` and `label`: word salads with one good or bad word in them."""
    draw = random.Random(seed)
    columns: dict[str, list] = {"text": [], "label": []}
    for _ in range(size):
        label = draw.choice(["negative", "positive"])
        words = draw.choices(WORDS, k=draw.randint(1, 8))
        words.insert(draw.randrange(len(words) + 1), draw.choice(GOOD if label == "positive" else BAD))
        columns["text"].append(" ".join(words))
        columns["label"].append(label)
    return columns


def sentiment_task(**details):
    from tfllm import tasks

    return tasks.from_memory(
        sentiment(160, 0), sentiment(40, 1), {"text": sentiment(10, 2)["text"]}, name="toy/sentiment", **details
    )


def score_task():
    """A regression: how many good words minus how many bad ones."""
    from tfllm import tasks

    def columns(seed: int) -> dict[str, list]:
        data = sentiment(160, seed)
        return {"text": data["text"], "label": [1.5 if label == "positive" else -0.5 for label in data["label"]]}

    return tasks.from_memory(columns(0), columns(1), kind="regression", name="toy/score")


def write_jsonl(path: Path, columns: dict[str, list]) -> Path:
    rows = [dict(zip(columns, values)) for values in zip(*columns.values())]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
