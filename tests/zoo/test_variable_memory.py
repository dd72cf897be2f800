"""Loading writes straight into variables: the same numbers, and little memory beside them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfllm.zoo.variable_memory import VariableMemory

ROWS, COLUMNS = 700, 3000  # several blocks, none of them full


def made(memory: VariableMemory, shape, dtype="float32") -> keras.Variable:
    return keras.Variable(memory.zeros, shape=shape, dtype=dtype)


def numbers(*shape, dtype="float32"):
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("source_dtype", ["float32", "float16", "bfloat16", "float64"])
@pytest.mark.parametrize("transposed", [False, True])
def test_values_in_every_layout_and_type(dtype, source_dtype, transposed):
    memory = VariableMemory()
    variable = made(memory, (ROWS, COLUMNS), dtype)
    assert not np.asarray(variable.value).any()
    array = numbers(COLUMNS, ROWS, dtype=source_dtype).T if transposed else numbers(ROWS, COLUMNS, dtype=source_dtype)
    released = []
    memory.write(variable, array, None, released.append)
    np.testing.assert_array_equal(np.asarray(variable.value), array.astype(dtype))
    assert sum(part.size for part in released) == array.size and (len(released) > 1 or dtype != "float32")


def test_it_is_the_variables_own_memory():
    memory = VariableMemory()
    variable = made(memory, (ROWS, COLUMNS))
    variable.value.assign = None  # would fail
    memory.write(variable, numbers(ROWS, COLUMNS), None, lambda array: None)
    assert np.asarray(variable.value).any()


def test_parts_of_fused_tensors_and_rows():
    memory = VariableMemory()
    fused = numbers(ROWS, 3 * COLUMNS)
    for part in np.split(fused, 3, axis=-1):
        variable = made(memory, (ROWS, COLUMNS))
        memory.write(variable, part, None, lambda array: None)
        np.testing.assert_array_equal(np.asarray(variable.value), part)
    stack = made(memory, (3, ROWS, COLUMNS))
    memory.write(stack, numbers(COLUMNS, ROWS).T, 1, lambda array: None)
    np.testing.assert_array_equal(np.asarray(stack.value)[1], numbers(COLUMNS, ROWS).T)
    assert not np.asarray(stack.value)[::2].any()


def test_small_and_foreign_variables_are_assigned():
    memory = VariableMemory()
    for variable in (made(memory, (3, 4)), keras.Variable(np.zeros((ROWS, COLUMNS), "float32"))):
        array = numbers(*variable.shape, dtype="float16")
        memory.write(variable, array, None, lambda array: None)
        np.testing.assert_array_equal(np.asarray(variable.value), array.astype("float32"))
    stack = made(memory, (3, 4))
    memory.write(stack, np.ones(4, "float32"), 2, lambda array: None)
    np.testing.assert_array_equal(np.asarray(stack.value), [[0] * 4, [0] * 4, [1] * 4])


def test_variables_of_several_replicas(two_replicas):
    with two_replicas.scope():
        memory = VariableMemory()
        variable = made(memory, (ROWS, COLUMNS))
        memory.write(variable, numbers(ROWS, COLUMNS), None, lambda array: None)
    for replica in variable.value.values:
        np.testing.assert_array_equal(replica, numbers(ROWS, COLUMNS))


def test_variables_are_trained_as_others():
    memory = VariableMemory()
    variable = made(memory, (ROWS, COLUMNS))
    memory.write(variable, numbers(ROWS, COLUMNS), None, lambda array: None)
    del memory
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build([variable])
    before = np.array(variable)

    @tf.function
    def step():
        optimizer.apply([tf.ones((ROWS, COLUMNS))])

    step()
    np.testing.assert_allclose(np.array(variable), before - 0.1, atol=1e-5)
    np.testing.assert_array_equal(before, numbers(ROWS, COLUMNS))


MEASURE = """
import sys
import tfllm, tensorflow
from tfllm.zoo.loading import load

def status(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key)) / 1024

load(sys.argv[1], tokenizer=False)  # what TensorFlow allocates once
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
before = status("VmRSS")
model = load(sys.argv[2], tokenizer=False)
print("MB", status("VmHWM") - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's account of memory")
@pytest.mark.parametrize("tied_head", [False, True])
def test_loading_peaks_little_above_the_file(tied_head, tmp_path):
    """Half of the file is one table, which two copies of it would show; also where it is there twice."""
    from safetensors.numpy import save_file

    toy = Path(__file__).parents[1] / "goldens" / "hf_toys" / "llama-causal_lm-tied"
    config = json.loads((toy / "config.json").read_text())
    width, inner, vocab = 512, 1536, 30000
    config |= {"hidden_size": width, "intermediate_size": inner, "vocab_size": vocab, "head_dim": 128}
    shapes = {"model.embed_tokens": (vocab, width), "model.norm": (width,)}
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        shapes |= {f"{layer}{norm}_layernorm": (width,) for norm in ("input", "post_attention")}
        shapes |= {f"{layer}self_attn.{part}_proj": (width, width) for part in "qo"}
        shapes |= {f"{layer}self_attn.{part}_proj": (width // 2, width) for part in "kv"}
        shapes |= {f"{layer}mlp.{part}_proj": (inner, width) for part in ("gate", "up")}
        shapes[f"{layer}mlp.down_proj"] = (width, inner)
    generator = np.random.default_rng(0)
    tensors = {f"{name}.weight": generator.random(shape, "float32") for name, shape in shapes.items()}
    if tied_head:
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].copy()
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    (tmp_path / "config.json").write_text(json.dumps(config))
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(toy), str(tmp_path)], capture_output=True, text=True, check=True
    )
    peak = next(float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("MB"))
    assert peak * 2**20 < 1.3 * (tmp_path / "model.safetensors").stat().st_size
