"""Memory of training: the peak that real runs reach on a CPU beside what `tfllm plan` says beforehand.

    python bench/memory.py [--shapes minilm,gpt2] [--out result.json]

Each shape trains a few steps in float32 with AdamW in a process of its own. What is compared is the growth of resident memory: its
peak (the kernel's high-water mark, reset after the imports) less what the process holds once TensorFlow is imported and has run its
first operation. So weights, optimizer, gradients, activations, temporary tensors, what malloc keeps of freed ones, the graphs and
compiled programs count; the libraries do not. Linux only.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import harness

_GPT = {
    "causal": True,
    "norm_placement": "pre",
    "final_norm": True,
    "embedding_norm": False,
    "activation": "gelu_tanh",
    "lm_head_transform": False,
    "lm_head_bias": False,
}
_LLAMA = {
    **_GPT,
    "activation": "silu",
    "gated": True,
    "norm": "rms",
    "position": "rotary",
    "attention_bias": False,
    "attention_output_bias": False,
    "feed_forward_bias": False,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "tie_embeddings": False,
}


def _sizes(width: int, layers: int, heads: int, inner: int, vocab: int) -> dict:
    names = ("hidden_size", "num_layers", "num_heads", "intermediate_size", "vocab_size")
    return dict(zip(names, (width, layers, heads, inner, vocab), strict=True))


# Head, batch, length, config.
SHAPES = {
    "minilm": ("classifier", 16, 128, {**_sizes(384, 6, 12, 1536, 30522), "type_vocab_size": 2}),
    "minilm-32": ("classifier", 32, 128, {**_sizes(384, 6, 12, 1536, 30522), "type_vocab_size": 2}),
    "bert-wide": ("classifier", 8, 128, {**_sizes(768, 4, 12, 3072, 30522), "type_vocab_size": 2}),
    "gpt2": ("causal_lm", 8, 128, {**_sizes(512, 4, 8, 2048, 8000), **_GPT}),
    "gpt2-vocabulary": ("causal_lm", 8, 128, {**_sizes(512, 2, 8, 2048, 30000), **_GPT}),
    "gpt2-one-row": ("causal_lm", 1, 16, {**_sizes(512, 2, 8, 2048, 30000), **_GPT}),
    "llama": ("causal_lm", 8, 128, {**_sizes(512, 4, 8, 1408, 8000), **_LLAMA}),
    "llama-long": ("causal_lm", 2, 512, {**_sizes(256, 4, 8, 704, 8000), **_LLAMA}),
    "bert-long": ("classifier", 4, 512, {**_sizes(384, 6, 12, 1536, 8000), "type_vocab_size": 2}),
    "llama-deep": ("causal_lm", 4, 512, {**_sizes(256, 8, 8, 704, 2000), **_LLAMA}),
}
REMAT = "-remat"  # behind a shape's name: blocks compute their activations again
SHAPES |= {name + REMAT: SHAPES[name] for name in ("minilm", "gpt2", "bert-long", "llama-deep")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shapes", default=",".join(SHAPES), help="which to train (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--side", choices=SHAPES, help="train one shape in this process and print one JSON line")
    parser.add_argument("--out", type=Path, help="also write the result there, as JSON")
    parser.add_argument("--overwrite", action="store_true", help="replace --out if it exists")
    flags = parser.parse_args()
    if flags.side:
        print(json.dumps(train(flags.side, flags.steps)))
        return
    names = flags.shapes.split(",")
    if set(names) - set(SHAPES):
        parser.error(f"--shapes must name any of {list(SHAPES)}. Received: {flags.shapes}.")
    if flags.out and flags.out.exists() and not flags.overwrite:
        parser.error(f"--out={flags.out} exists. Give another name, or --overwrite.")
    rows, result = [], {}
    for name in names:
        try:
            command = [__file__, "--side", name, "--steps", str(flags.steps)]
            measured = harness.run_once(command, flags.threads)["peak"]
        except harness.BenchError as error:
            parser.exit(1, f"{error}\n")
        planned = plan(name)
        off = planned.total / measured - 1
        result[name] = {"measured": measured, "planned": planned.total, "off": off, "peak_at": planned.peak_at}
        head, batch, length, _ = SHAPES[name]
        sizes = (measured, planned.total, planned.activations + planned.logits, planned.runtime)
        rows.append([name, head, f"{batch} x {length}", *(f"{size / 1e6:,.0f}" for size in sizes), f"{off:+.1%}"])
        print(
            f"{name}: measured {measured / 1e6:.0f} MB, planned {planned.total / 1e6:.0f} MB",
            file=sys.stderr,
            flush=True,
        )
    header = ["shape", "head", "batch", "measured, MB", "planned, MB", "of which activations", "runtime", "off"]
    harness.print_table(header, rows)
    facts = harness.machine()
    harness.print_machine(facts)
    if flags.out:
        harness.write_json(flags.out, {"bench": "memory", "threads": flags.threads, "machine": facts, "shapes": result})


def plan(name: str):
    """What the formulas say of that shape."""
    from tfllm import TransformerConfig
    from tfllm.training.planning import Setup, memory

    head, batch, length, config = SHAPES[name]
    remat = "full" if name.endswith(REMAT) else "none"
    return memory(TransformerConfig(**config), head, Setup(batch=batch, length=length, remat=remat, on_cpu=True))


def train(name: str, steps: int) -> dict:
    """Trains that shape for some steps; its peak of resident memory above the imports, in bytes."""
    import tfllm  # isort: skip  (it sets TensorFlow's environment)
    import keras
    import numpy as np
    import tensorflow as tf

    from tfllm import TransformerConfig, models

    tf.reduce_sum(tf.ones((64, 64)) @ tf.ones((64, 64))).numpy()
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    head, batch, length, config = SHAPES[name]
    config = TransformerConfig(**config)
    keras.utils.set_random_seed(0)
    is_classifier = head == "classifier"
    model = models.SequenceClassifier(config, num_labels=2) if is_classifier else models.CausalLM(config)
    model.remat = name.endswith(REMAT)
    optimizer = tfllm.training.optimizer("adamw", 5e-5, schedule="constant", warmup=0, clip_norm=1.0)
    model.compile(optimizer, **model.compile_defaults())
    generator = np.random.default_rng(0)
    shape = (batch, length)
    x = {
        "token_ids": generator.integers(1, config.vocab_size, shape).astype("int32"),
        "example_ids": np.ones(shape, "int32"),
        "position_ids": np.tile(np.arange(length, dtype="int32"), (batch, 1)),
    }
    if is_classifier:
        x["head_positions"] = np.zeros((batch, 1), "int32")
        y = generator.integers(0, 2, (batch, 1)).astype("int32")
    else:
        y = np.roll(x["token_ids"], -1, axis=1)
    data = tf.data.Dataset.from_tensors((x, y, np.ones(y.shape, "float32"))).repeat(steps)
    model.fit(data, verbose=0)
    return {"peak": _resident("VmHWM") - before, "imports": before, "parameters": model.count_params()}


def _resident(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {name}")


if __name__ == "__main__":
    main()
