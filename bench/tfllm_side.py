"""The tfllm side of both benches: `train_step` and `examples`. Run by their drivers; speaks the protocol of serving.py.

A step is the compiled train function over the pipeline's iterator, as `fit()` calls it, and the loss read back.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from serving import serve

_JIT = {"auto": "auto", "true": True, "false": False}


def compile_model(model, jit_compile: str) -> None:
    import tfllm

    optimizer = tfllm.training.optimizer("adamw", 5e-5, schedule="constant", warmup=0, weight_decay=0.01, clip_norm=1.0)
    model.compile(optimizer, **model.compile_defaults(), jit_compile=_JIT[jit_compile])


def train_one(model, iterator: Iterator) -> float:
    return float(np.asarray(model.train_function(iterator)["loss"]))


def train_step(flags: argparse.Namespace) -> None:
    """A fixed batch without padding, a model of MiniLM-L6's shape."""
    import keras
    import tensorflow as tf

    from tfllm import TransformerConfig
    from tfllm.models import SequenceClassifier

    keras.utils.set_random_seed(0)
    config = TransformerConfig(
        vocab_size=30522, hidden_size=384, num_layers=6, num_heads=12, intermediate_size=1536, type_vocab_size=2
    )
    model = SequenceClassifier(config, num_labels=2)
    compile_model(model, flags.jit_compile)
    generator = np.random.default_rng(0)
    shape = (flags.batch_size, flags.length)
    x = {
        "token_ids": generator.integers(1000, config.vocab_size, shape).astype("int32"),
        "example_ids": np.ones(shape, "int32"),
        "position_ids": np.tile(np.arange(flags.length, dtype="int32"), (flags.batch_size, 1)),
        "type_ids": np.zeros(shape, "int32"),
        "head_positions": np.zeros((flags.batch_size, 1), "int32"),
    }
    y = generator.integers(0, 2, (flags.batch_size, 1)).astype("int32")
    batch = (x, y, np.ones(y.shape, "float32"))
    model.train_on_batch(*batch)  # builds and compiles
    iterator = iter(tf.data.Dataset.from_tensors(batch).repeat())

    def steps(count: int) -> dict:
        for _ in range(count):
            train_one(model, iterator)
        return {}

    steps(2)
    flops = 3 * config.flops_per_token(flags.length) * flags.batch_size * flags.length
    serve(steps, flops=flops, parameters=model.count_params())


def examples(flags: argparse.Namespace) -> None:
    """Consecutive steps of a task's shuffled training pipeline, from its first step on."""
    import keras

    import tfllm

    keras.utils.set_random_seed(0)
    task = tfllm.tasks.get(flags.task, data_dir=flags.data_dir)
    model = tfllm.load(
        flags.checkpoint, head="classifier", num_labels=task.num_outputs, regression=task.kind == "regression"
    )
    compile_model(model, flags.jit_compile)
    pipeline = task.pipeline(
        "train", model.tokenizer, batch_size=flags.batch_size, layout=flags.layout, max_length=flags.max_length
    )

    def first_step(shape: tuple[int, int]) -> int | None:
        steps = range(pipeline.steps_per_epoch)
        return next((step for step in steps if pipeline.batch(step)[0]["token_ids"].shape == tuple(shape)), None)

    # Each shape is compiled when it first comes: before the clock starts.
    starts = [step for step in map(first_step, pipeline.shapes) if step is not None]
    model.train_on_batch(*pipeline.batch(starts[0]))
    for start in [*starts, *starts]:
        iterator = iter(pipeline.dataset(start_step=start))
        train_one(model, iterator)
        train_one(model, iterator)
    iterator, position = iter(pipeline.dataset()), 2
    train_one(model, iterator)
    train_one(model, iterator)

    def steps(count: int) -> dict:
        nonlocal position
        for _ in range(count):
            train_one(model, iterator)
        position += count
        return {}

    def look_up(count: int) -> dict:
        return held_by(range(position - count, position))

    def held_by(steps: range) -> dict:
        return {
            "examples": sum(int((pipeline.example_indices(step) >= 0).sum()) for step in steps),
            "tokens": sum(pipeline.batch(step)[0]["token_ids"].size for step in steps),
        }

    epoch = held_by(range(pipeline.steps_per_epoch))
    serve(
        steps,
        look_up,
        epoch_tokens_an_example=epoch["tokens"] / epoch["examples"],
        examples_in_the_epoch=epoch["examples"],
        report=pipeline.report(),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True)
    for function in (train_step, examples):
        command = commands.add_parser(function.__name__, help=function.__doc__)
        command.set_defaults(function=function)
        command.add_argument("--batch_size", type=int, default=16)
        command.add_argument("--jit_compile", choices=_JIT, default="auto")
        if function is train_step:
            command.add_argument("--length", type=int, default=128)
        else:
            command.add_argument("--task", default="glue/sst2")
            command.add_argument("--data_dir", required=True)
            command.add_argument("--checkpoint", type=Path, required=True)
            command.add_argument("--layout", default="packed")
            command.add_argument("--max_length", type=int, default=128)
    flags = parser.parse_args()
    flags.function(flags)


if __name__ == "__main__":
    sys.exit(main())
