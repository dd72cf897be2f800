"""The KerasHub side of examples_per_second.py: fine-tuning `BertTextClassifier` on text, with its own preprocessor.

Every example is padded to `--sequence_length`, whose default in KerasHub is 512. A step is the compiled train
function over a tf.data pipeline (shuffle, batch, preprocess in parallel, prefetch), as `fit()` calls it, and the loss
read back.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
import keras
import keras_hub
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from serving import serve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--examples", type=Path, required=True, help="JSONL: one [[text, ...], label] a line")
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--num_outputs", type=int, default=2)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--sequence_length", type=int, default=512)
    flags = parser.parse_args()
    keras.utils.set_random_seed(0)

    rows = [json.loads(line) for line in flags.examples.read_text(encoding="utf-8").splitlines()]
    texts = tuple(list(column) for column in zip(*(texts for texts, _ in rows), strict=True))
    labels = np.array([label for _, label in rows])

    regression = flags.num_outputs == 1
    model = keras_hub.models.BertTextClassifier.from_preset(
        flags.checkpoint, num_classes=flags.num_outputs, dropout=0.1
    )
    preprocessor = model.preprocessor
    preprocessor.sequence_length = flags.sequence_length
    model.preprocessor = None  # it runs in the pipeline, where fit() would put it
    model.compile(
        optimizer=keras.optimizers.AdamW(5e-5, weight_decay=0.01, global_clipnorm=1.0),
        loss=keras.losses.MeanSquaredError()
        if regression
        else keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    dataset = (
        tf.data.Dataset.from_tensor_slices((texts if len(texts) > 1 else texts[0], labels))
        .shuffle(len(rows), seed=0)
        .repeat()
        .batch(flags.batch_size, drop_remainder=True)
        .map(preprocessor, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )
    for x, y in dataset.take(1):
        if x["token_ids"].shape != (flags.batch_size, flags.sequence_length):
            sys.exit(f"expected a sequence length of {flags.sequence_length}. Received: {x['token_ids'].shape}.")
        model.train_on_batch(x, y)  # builds and compiles
    iterator = iter(dataset)

    def steps(count: int) -> dict:
        for _ in range(count):
            float(np.asarray(model.train_function(iterator)["loss"]))
        examples = count * flags.batch_size
        return {"examples": examples, "tokens": examples * flags.sequence_length}

    steps(1)
    serve(steps, epoch_tokens_an_example=flags.sequence_length, parameters=model.count_params())


if __name__ == "__main__":
    main()
