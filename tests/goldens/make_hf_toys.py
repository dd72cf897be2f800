"""Makes the golden toys in `hf_toys/`: tiny random Hugging Face models and what transformers computes with them.

    python tests/goldens/make_hf_toys.py [--out tests/goldens/hf_toys] [--only bert]

needs the extra `parity` (PyTorch and transformers). One directory a toy, named `<family>-<head>[-<variant>]`:

    config.json, model.safetensors   as `save_pretrained` writes them (or several shards and their index)
    expected.npz                     the inputs, and the outputs of transformers in float32 and eval mode

Every parameter is random, the biases and norm scales too, so that no weight can be dropped, swapped or left at its
initial value without a difference in the outputs. See README.md beside this file for the keys of `expected.npz`.

The functions are also used by tests/parity, which makes toys of other sizes and compares them live.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FAMILIES = ("bert", "roberta", "distilbert", "gpt2", "llama")

# Head -> the class's name in transformers after the family's prefix. A regression is a classifier of one label.
HEADS = {
    "backbone": "Model",
    "masked_lm": "ForMaskedLM",
    "causal_lm": "ForCausalLM",
    "pretraining": "ForPreTraining",
    "classifier": "ForSequenceClassification",
    "regression": "ForSequenceClassification",
    "token_classifier": "ForTokenClassification",
    "span_predictor": "ForQuestionAnswering",
}
FAMILY_HEADS = {
    "bert": ("backbone", "masked_lm", "classifier", "regression", "token_classifier", "span_predictor", "pretraining"),
    "roberta": ("backbone", "masked_lm", "classifier", "regression", "token_classifier", "span_predictor"),
    "distilbert": ("backbone", "masked_lm", "classifier", "regression", "token_classifier", "span_predictor"),
    "gpt2": ("backbone", "causal_lm", "classifier", "regression", "token_classifier", "span_predictor"),
    "llama": ("backbone", "causal_lm", "classifier", "regression", "token_classifier", "span_predictor"),
}
_PREFIX = {"bert": "Bert", "roberta": "Roberta", "distilbert": "DistilBert", "gpt2": "GPT2", "llama": "Llama"}
_PAD_ID = {"bert": 0, "roberta": 1, "distilbert": 0, "gpt2": 0, "llama": 0}
_NUM_LABELS = {"classifier": 3, "regression": 1, "token_classifier": 5}


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What a toy measures. The defaults are the goldens'."""

    hidden: int = 32
    layers: int = 2
    heads: int = 4
    kv_heads: int = 2  # llama
    intermediate: int = 37
    vocab: int = 99
    positions: int = 64
    batch: int = 2
    length: int = 11
    real_tokens: int = 7  # of the last row; the others are full


def make_config(family: str, head: str, sizes: Sizes = Sizes(), **overrides: Any):
    """A transformers config of toy size; `overrides` are in the family's own names."""
    import transformers

    common_names = {
        "hidden_size": sizes.hidden,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "intermediate_size": sizes.intermediate,
        "max_position_embeddings": sizes.positions,
    }
    own_names = {
        "bert": {**common_names, "type_vocab_size": 2},
        # RoBERTa numbers its positions from pad_token_id + 1, so its table is two rows longer.
        "roberta": {
            **common_names,
            "max_position_embeddings": sizes.positions + 2,
            "type_vocab_size": 1,
            "layer_norm_eps": 1e-5,
            "bos_token_id": 0,
            "eos_token_id": 2,
        },
        "distilbert": {
            "dim": sizes.hidden,
            "n_layers": sizes.layers,
            "n_heads": sizes.heads,
            "hidden_dim": sizes.intermediate,
            "max_position_embeddings": sizes.positions,
        },
        "gpt2": {
            "n_embd": sizes.hidden,
            "n_layer": sizes.layers,
            "n_head": sizes.heads,
            "n_inner": sizes.intermediate,
            "n_positions": sizes.positions,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
        "llama": {**common_names, "num_key_value_heads": sizes.kv_heads, "bos_token_id": 1, "eos_token_id": 2},
    }[family]
    arguments = {"vocab_size": sizes.vocab, "pad_token_id": _PAD_ID[family], **own_names}
    if head in _NUM_LABELS:
        arguments["num_labels"] = _NUM_LABELS[head]
    return getattr(transformers, _PREFIX[family] + "Config")(**{**arguments, **overrides})


def make_model(family: str, head: str, sizes: Sizes = Sizes(), seed: int = 0, **overrides: Any):
    """A transformers model in eval mode whose every parameter is drawn from `seed`."""
    import torch
    import transformers

    name = _PREFIX[family] + HEADS[head]
    if name == "GPT2ForCausalLM":
        name = "GPT2LMHeadModel"
    config = make_config(family, head, sizes, **overrides)
    model = getattr(transformers, name)(config).eval()
    model.set_attn_implementation("eager")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():  # a tied parameter is listed once
            is_norm = any(part in parameter_name.lower() for part in ("norm", "ln_"))
            if parameter_name.endswith("bias"):
                mean, deviation = 0.0, 0.5
            elif is_norm:
                mean, deviation = 1.0, 0.2
            else:
                mean, deviation = 0.0, 0.2
            parameter.normal_(mean, deviation, generator=generator)
    return model


def make_inputs(family: str, sizes: Sizes = Sizes(), seed: int = 0) -> dict[str, np.ndarray]:
    """Random ids (B, T), the last row padded on the right to `real_tokens`; int32, in the names of transformers."""
    generator = np.random.default_rng(seed)
    input_ids = generator.integers(5, sizes.vocab, (sizes.batch, sizes.length), dtype=np.int32)
    attention_mask = np.ones_like(input_ids)
    attention_mask[-1, sizes.real_tokens :] = 0
    input_ids[attention_mask == 0] = _PAD_ID[family]
    inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
    if family == "bert":
        second_segment = np.arange(sizes.length) >= sizes.real_tokens // 2
        inputs["token_type_ids"] = second_segment.astype(np.int32) * attention_mask
    return inputs


def compute_outputs(model, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a float32 model gives: the fields of transformers' output that are single tensors."""
    import torch

    with torch.no_grad():
        outputs = model(**{name: torch.from_numpy(value).long() for name, value in inputs.items()})
    return {name: value.float().numpy() for name, value in outputs.items() if isinstance(value, torch.Tensor)}


@dataclasses.dataclass(frozen=True)
class Toy:
    """One golden directory."""

    family: str
    head: str
    variant: str = ""
    overrides: dict = dataclasses.field(default_factory=dict)
    dtype: str = "float32"
    max_shard_size: str = "1GB"
    # Rewrites (config, tensors) into what an older transformers would have written.
    legacy: Callable[[dict, dict], tuple[dict, dict]] | None = None

    @property
    def name(self) -> str:
        return "-".join(filter(None, (self.family, self.head, self.variant)))


def _legacy_bert(config: dict, tensors: dict) -> tuple[dict, dict]:
    """bert-base-uncased's layout: TensorFlow's names for norms, and the position buffer stored."""
    import torch

    def rename(name: str) -> str:
        return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")

    tensors = {rename(name): value for name, value in tensors.items()}
    tensors["bert.embeddings.position_ids"] = torch.arange(config["max_position_embeddings"])[None]
    return _legacy_dtype(config), tensors


def _legacy_gpt2(config: dict, tensors: dict) -> tuple[dict, dict]:
    """gpt2's layout: no `transformer.` prefix, and the causal masks stored."""
    import torch

    tensors = {name.removeprefix("transformer."): value for name, value in tensors.items()}
    length = config["n_positions"]
    for layer in range(config["n_layer"]):
        tensors[f"h.{layer}.attn.bias"] = torch.tril(torch.ones(1, 1, length, length))
        tensors[f"h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    return _legacy_dtype(config), tensors


def _legacy_llama(config: dict, tensors: dict) -> tuple[dict, dict]:
    """The layout of Llama checkpoints made before transformers 5: rope_theta at the top level, inv_freq stored."""
    import torch

    config = _legacy_dtype(config)
    config["rope_theta"] = config.pop("rope_parameters")["rope_theta"]
    del config["head_dim"]
    head_dim = config["hidden_size"] // config["num_attention_heads"]
    inv_freq = config["rope_theta"] ** -(torch.arange(0, head_dim, 2).float() / head_dim)
    for layer in range(config["num_hidden_layers"]):
        tensors[f"model.layers.{layer}.self_attn.rotary_emb.inv_freq"] = inv_freq.clone()
    return config, tensors


def _legacy_dtype(config: dict) -> dict:
    config = {**config, "torch_dtype": config["dtype"], "transformers_version": "4.30.0"}
    del config["dtype"]
    return config


_LLAMA3_SCALING = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}

TOYS = (
    *(
        Toy(family, head)
        for family in ("bert", "roberta", "distilbert")
        for head in FAMILY_HEADS[family]
        if head != "regression"
    ),
    Toy("bert", "regression", overrides={"problem_type": "regression"}),
    # An epsilon this large shows whether it is read.
    Toy("bert", "masked_lm", "gelu_new", {"hidden_act": "gelu_new", "layer_norm_eps": 1e-2}),
    Toy("bert", "masked_lm", "legacy", legacy=_legacy_bert),
    Toy("gpt2", "backbone", overrides={"n_inner": None}),  # None: 4 x hidden
    Toy("gpt2", "causal_lm", overrides={"layer_norm_epsilon": 1e-2}),
    *(Toy("gpt2", head) for head in ("classifier", "regression", "token_classifier", "span_predictor")),
    Toy("gpt2", "causal_lm", "legacy", legacy=_legacy_gpt2),
    *(Toy("llama", head) for head in ("backbone", "classifier", "token_classifier", "span_predictor")),
    Toy("llama", "causal_lm"),
    Toy("llama", "causal_lm", "tied", {"tie_word_embeddings": True, "rms_norm_eps": 1e-2}),
    Toy("llama", "causal_lm", "biases", {"attention_bias": True, "mlp_bias": True}),
    Toy("llama", "causal_lm", "head_dim", {"head_dim": 12}),
    Toy("llama", "causal_lm", "rope_theta", {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}),
    Toy("llama", "causal_lm", "rope_llama3", {"rope_parameters": _LLAMA3_SCALING}),
    Toy("llama", "causal_lm", "sharded", max_shard_size="30KB"),
    Toy("llama", "causal_lm", "bf16", dtype="bfloat16"),
    Toy("llama", "causal_lm", "legacy", legacy=_legacy_llama),
)


def write_toy(toy: Toy, directory: Path, seed: int) -> None:
    """Writes one golden directory, and checks that transformers reads it back to the same outputs."""
    import torch
    from safetensors.torch import load_file, save_file

    shutil.rmtree(directory, ignore_errors=True)
    model = make_model(toy.family, toy.head, seed=seed, **toy.overrides)
    inputs = make_inputs(toy.family, seed=seed)
    made = compute_outputs(model, inputs)
    model.to(getattr(torch, toy.dtype)).save_pretrained(directory, max_shard_size=toy.max_shard_size)
    if toy.legacy:
        config, tensors = toy.legacy(
            json.loads((directory / "config.json").read_text()), load_file(directory / "model.safetensors")
        )
        (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    for unwanted in directory.glob("generation_config.json"):
        unwanted.unlink()

    reread = type(model).from_pretrained(directory, dtype=torch.float32, attn_implementation="eager").eval()
    outputs = compute_outputs(reread, inputs)
    for name, value in outputs.items():
        difference = np.abs(value - made[name]).max()
        # Not 0: the order of summation depends on the alignment of memory.
        if difference > 1e-5 and toy.dtype == "float32":
            sys.exit(f"{toy.name}: {name} differs by {difference} after reading the toy back")
    np.savez_compressed(directory / "expected.npz", **inputs, **outputs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "hf_toys")
    parser.add_argument("--only", default="", help="make only the toys whose name begins so")
    arguments = parser.parse_args()

    import transformers

    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    for seed, toy in enumerate(TOYS):
        if toy.name.startswith(arguments.only):
            write_toy(toy, arguments.out / toy.name, seed)
            size = sum(file.stat().st_size for file in (arguments.out / toy.name).iterdir())
            print(f"{toy.name:40s} {size / 1e3:8.1f} kB")


if __name__ == "__main__":
    main()
