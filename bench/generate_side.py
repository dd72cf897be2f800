"""The sides of generate.py: GPT-2 small's shape with random weights, greedy. Speaks the protocol of serving.py.

A step is one `generate` call: a prompt of `--prompt_length` tokens a row to `--new_tokens` more, the ids read back. The sides
`continuous` and `static` take `--batch_size` prompts of very different lengths, each with a limit of its own up to `--new_tokens`.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

import numpy as np
from serving import serve

VOCAB, WIDTH, LAYERS, HEADS, CONTEXT = 50257, 768, 12, 12, 1024
QUICK = {"VOCAB": 1000, "WIDTH": 96, "LAYERS": 2}  # for trying the bench


def tfllm_model():
    from tfllm import TransformerConfig
    from tfllm.models import CausalLM

    config = TransformerConfig(
        vocab_size=VOCAB,
        hidden_size=WIDTH,
        num_layers=LAYERS,
        num_heads=HEADS,
        intermediate_size=4 * WIDTH,
        max_positions=CONTEXT,
        causal=True,
        embedding_norm=False,
        norm_placement="pre",
        final_norm=True,
        activation="gelu_tanh",
        lm_head_transform=False,
        lm_head_bias=False,
        pad_id=None,
    )
    return CausalLM(config)


def tfllm_side(prompts: np.ndarray, flags: argparse.Namespace, weights: str = "float"):
    from tfllm.generation import Generator

    model, rows = tfllm_model(), prompts.tolist()
    generator = Generator(model, weights=weights)
    options = {"max_new_tokens": flags.new_tokens, "batch_size": len(rows)}
    return lambda: [result.token_ids for result in generator(rows, **options)], model.count_params()


def int8_side(prompts: np.ndarray, flags: argparse.Namespace):
    return tfllm_side(prompts, flags, "int8")


def mixed_lengths(flags: argparse.Namespace) -> tuple[list[int], list[int]]:
    """Lengths of the prompts and limits of what is generated, evenly spread in their logarithms, from 4 up."""
    random = np.random.default_rng(1)
    spread = np.linspace(0, 1, flags.batch_size)
    lengths, limits = (
        np.round(4 * (longest / 4) ** random.permutation(spread)).astype(int).tolist()
        for longest in (flags.prompt_length, flags.new_tokens)
    )
    return lengths, limits


def mixed_side(prompts: np.ndarray, flags: argparse.Namespace, *, continuous: bool):
    from tfllm.generation import Generator

    model, (lengths, limits) = tfllm_model(), mixed_lengths(flags)
    generator, rows = Generator(model), [row[:length].tolist() for row, length in zip(prompts, lengths)]
    size = flags.slots if continuous else len(rows)
    options = {"limits": limits, "batch_size": size, "continuous": continuous}
    return lambda: [result.token_ids for result in generator(rows, **options)], model.count_params()


def continuous_side(prompts: np.ndarray, flags: argparse.Namespace):
    return mixed_side(prompts, flags, continuous=True)


def static_side(prompts: np.ndarray, flags: argparse.Namespace):
    return mixed_side(prompts, flags, continuous=False)


def hf_side(prompts: np.ndarray, flags: argparse.Namespace):
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.set_num_threads(flags.threads)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=VOCAB, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS)).eval()
    ids = torch.from_numpy(prompts)
    options = {"max_new_tokens": flags.new_tokens, "min_new_tokens": flags.new_tokens, "do_sample": False}

    def run():
        with torch.inference_mode():
            return model.generate(ids, attention_mask=torch.ones_like(ids), pad_token_id=0, **options).tolist()

    return run, sum(parameter.numel() for parameter in model.parameters())


def kerashub_side(prompts: np.ndarray, flags: argparse.Namespace):
    import keras_hub

    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=VOCAB,
        num_layers=LAYERS,
        num_heads=HEADS,
        hidden_dim=WIDTH,
        intermediate_dim=4 * WIDTH,
        dropout=0.0,
        max_sequence_length=CONTEXT,
    )
    model = keras_hub.models.GPT2CausalLM(backbone=backbone, preprocessor=None)
    model.compile(sampler="greedy")
    length = flags.prompt_length + flags.new_tokens
    token_ids = np.zeros((len(prompts), length), "int32")
    token_ids[:, : flags.prompt_length] = prompts
    inputs = {"token_ids": token_ids, "padding_mask": np.arange(length) < flags.prompt_length}
    inputs["padding_mask"] = np.tile(inputs["padding_mask"], (len(prompts), 1))
    return lambda: model.generate(inputs, stop_token_ids=None)["token_ids"].tolist(), backbone.count_params()


def read_bandwidth(seconds: float = 2.0) -> float:
    """GB/s at which TensorFlow sums a matrix of the weights' size: the best pass."""
    import tensorflow as tf

    values = tf.ones((VOCAB, 4 * WIDTH))
    best, deadline = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        start = time.perf_counter()
        tf.reduce_sum(values).numpy()
        best = min(best, time.perf_counter() - start)
    return values.shape[0] * values.shape[1] * 4 / best / 1e9


SIDES = {
    "tfllm": tfllm_side,
    "hf": hf_side,
    "kerashub": kerashub_side,
    "int8": int8_side,
    "continuous": continuous_side,
    "static": static_side,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("--batch_size", type=int, required=True)
    parser.add_argument("--prompt_length", type=int, required=True)
    parser.add_argument("--new_tokens", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--slots", type=int, default=8, help="rows of continuous batching")
    parser.add_argument("--quick", action="store_true", help="a toy of the same kind")
    flags = parser.parse_args()
    if flags.quick:
        globals().update(QUICK)
    if flags.side == "kerashub":
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    prompts = np.random.default_rng(0).integers(1, VOCAB, (flags.batch_size, flags.prompt_length)).astype("int64")
    run, parameters = SIDES[flags.side](prompts, flags)
    facts = {} if flags.side in ("hf", "kerashub") else {"bandwidth": read_bandwidth()}
    start = time.perf_counter()
    run()
    facts["first_call"] = time.perf_counter() - start

    def steps(count: int) -> dict:
        for _ in range(count):
            run()
        return {}

    serve(steps, parameters=parameters, **facts)


if __name__ == "__main__":
    sys.exit(main())
