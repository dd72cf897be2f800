"""What can be checked of a TPU without one: the complete train step compiles by XLA at static shapes, and holds nothing that a TPU lacks."""

from __future__ import annotations

import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfllm
from tfllm import training

TOYS = Path(__file__).resolve().parents[1] / "goldens" / "hf_toys"
B, T, K, VOCABULARY = 4, 16, 3, 30

# Strings, tables, Python, printing; and ops whose result has a size that depends on values.
_LACKING = re.compile(
    r"String|Regex|Lookup|HashTable|PyFunc|^Print|^Assert$|^Where$|^Unique|NonMaxSuppression|^Bincount|^DynamicPartition|TensorArrayV[12]$"
)


def ops_of(graph_def: tf.compat.v1.GraphDef) -> set[str]:
    """The ops of a graph and of all functions that it calls."""
    nodes = [*graph_def.node, *(node for function in graph_def.library.function for node in function.node_def)]
    return {node.op for node in nodes}


def lacking(function: tf.types.experimental.PolymorphicFunction, *arguments) -> tuple[list[str], list[str], set[str]]:
    """`(dynamic dimensions in the HLO, ops that a TPU lacks, all ops)`; raises where XLA cannot compile the function."""
    hlo = function.experimental_get_compiler_ir(*arguments)(stage="hlo")
    assert "ENTRY" in hlo
    ops = ops_of(function.get_concrete_function(*arguments).graph.as_graph_def())
    return re.findall(r"\w+\[[^\]]*<=[^\]]*\]", hlo), sorted(op for op in ops if _LACKING.search(op)), ops


def packed_rows(rng) -> dict[str, np.ndarray]:
    return {
        "token_ids": rng.integers(1, VOCABULARY, (B, T)),
        "example_ids": np.repeat([[1] * 5 + [2] * 5 + [3] * 4 + [0] * 2], B, 0),
        "position_ids": np.repeat([[*range(5), *range(5), *range(4), 0, 0]], B, 0),
    }


def classification(rng):
    x = {**packed_rows(rng), "head_positions": np.repeat([[0, 5, 10]], B, 0)}
    return x, rng.integers(0, 2, (B, K)), np.ones((B, K), "float32")


def language_modelling(rng):
    x = packed_rows(rng)
    return x, rng.integers(0, VOCABULARY, (B, T)), (x["example_ids"] > 0).astype("float32")


def translation(rng):
    x = {"token_ids": rng.integers(1, VOCABULARY, (B, T)), "decoder_token_ids": rng.integers(1, VOCABULARY, (B, 8))}
    return x, rng.integers(0, VOCABULARY, (B, 8)), np.ones((B, 8), "float32")


def tensors(batch):
    return tf.nest.map_structure(lambda a: tf.constant(a if a.dtype == "float32" else a.astype("int32")), batch)


MODELS = {
    "bert classifier": ("bert-classifier", {"head": "classifier", "num_labels": 2, "fresh_head": True}, classification),
    "causal language model": ("llama-causal_lm", {}, language_modelling),
    "t5": ("t5-seq2seq_lm", {}, translation),
}


@pytest.mark.parametrize(
    "name, settings",
    [
        ("bert classifier", {"micro_batches": 2}),
        ("causal language model", {"clip_norm": None, "dtype": "mixed_bfloat16"}),
        ("t5", {}),
    ],
)
def test_the_whole_step_is_static_and_of_ops_that_a_tpu_has(name, settings):
    directory, options, make = MODELS[name]
    settings = dict(settings)
    batch = tensors(make(np.random.default_rng(0)))
    keras.utils.set_random_seed(0)
    model = tfllm.load(TOYS / directory, dtype=settings.pop("dtype", None), **options)
    model.compile(training.optimizer("adamw", 1e-3, total_steps=9, **settings), **model.compile_defaults())
    model.build_to_train(tf.nest.map_structure(tf.TensorSpec.from_tensor, batch))

    @tf.function(jit_compile=True, autograph=False)
    def step(batch):
        return model.train_step(batch)

    dynamic, missing, ops = lacking(step, batch)
    assert dynamic == [] and missing == []
    assert "AssignVariableOp" in ops and ("If" in ops or "StatelessIf" in ops)  # the update, and its condition
    # It is the step that trains, too.
    logs = step(batch)
    assert np.isfinite(logs["loss"]) and int(logs["skipped_steps"]) == 0
    assert int(model.optimizer.iterations.numpy()) == 1
    # In the first step of a warm-up weights stay; Adam's slots do not.
    assert sum(np.array(slot).any() for slot in model.optimizer._momentums) > 5


def test_the_update_of_several_cores_compiles_too():
    """Where there are replicas, such as the cores of a TPU, variables are updated by TensorFlow's own op."""
    variable = keras.Variable(np.ones((4, 3), "float32"), name="kernel")
    optimizer = training.optimizer("adamw", 1e-2, warmup=0)
    optimizer.build([variable])

    @tf.function(jit_compile=True, autograph=False)
    def update(gradient):
        optimizer.update_step(gradient, variable.value, tf.constant(1e-2))

    gradient = tf.ones((4, 3))
    dynamic, missing, ops = lacking(update, gradient)
    assert dynamic == [] and missing == [] and "ResourceApplyAdam" in ops
    update(gradient)
    assert np.abs(variable.numpy() - 1).min() > 1e-3


def test_the_check_finds_what_it_looks_for():
    @tf.function(jit_compile=True)
    def masked(x):
        return tf.boolean_mask(x, x > 0)

    dynamic, missing, _ = lacking(masked, tf.constant([1.0, -1.0, 2.0]))
    assert dynamic and missing == ["Where"]

    @tf.function
    def strings(x):
        return tf.strings.length(tf.strings.as_string(x))

    assert any(
        _LACKING.search(op) for op in ops_of(strings.get_concrete_function(tf.constant(1.0)).graph.as_graph_def())
    )
