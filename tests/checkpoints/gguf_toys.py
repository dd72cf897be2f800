"""Writes toy models as GGUF files, as llama.cpp's converter does, with the `gguf` package's own writer and table of names."""

from __future__ import annotations

import json
import math
from pathlib import Path

import gguf
import numpy as np

from tfllm.checkpoints import TensorFiles

_ARCHITECTURES = {"gemma3_text": "gemma3", "mistral": "llama"}


def write(path: Path, architecture: str, metadata: dict, tensors: dict) -> Path:
    """A GGUF file with `metadata` (keys without the architecture's name get it) and `tensors`: arrays, or (bytes, kind)."""
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in metadata.items():
        key = key if key.startswith(("tokenizer.", "general.", "split.")) else f"{architecture}.{key}"
        add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
        add.get(type(value), writer.add_array)(key, value)
    for name, tensor in tensors.items():
        data, kind = tensor if isinstance(tensor, tuple) else (tensor, None)
        writer.add_tensor(name, np.ascontiguousarray(data) if data.ndim else data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def convert(directory: Path, path: Path, kind=None, **metadata) -> Path:
    """A Hugging Face directory as a GGUF file; matrices quantised as `kind`."""
    config = json.loads((directory / "config.json").read_text())
    architecture = _ARCHITECTURES.get(config["model_type"], config["model_type"])
    names = gguf.get_tensor_name_map(architecture_of(architecture), config["num_hidden_layers"])
    tensors = {}
    for name, tensor in TensorFiles(directory).items():
        tensor = tensor.astype("float32")
        if name.endswith("inv_freq"):
            continue
        if name == "lm_head.weight" and config.get("tie_word_embeddings"):
            continue
        theirs = names.get_name(name, (".weight", ".bias"))
        assert theirs is not None, name
        if architecture == "llama" and ("q_proj" in name or "k_proj" in name):
            tensor = permute(tensor, config["num_attention_heads" if "q_proj" in name else "num_key_value_heads"])
        if architecture.startswith("gemma") and name.endswith("norm.weight"):
            tensor = tensor + np.float32(1)
        if kind is not None and tensor.ndim > 1:
            tensor = (quantise(tensor, kind), kind)
        tensors[theirs] = tensor
    tensors.update(rope_tensors(config))
    return write(path, architecture, {**to_metadata(config), **metadata}, tensors)


def architecture_of(name: str):
    return next(number for number, known in gguf.MODEL_ARCH_NAMES.items() if known == name)


def permute(weights: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp's convert_hf_to_gguf.py, LlamaModel.permute."""
    return (
        weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
        .swapaxes(1, 2)
        .reshape(weights.shape)
    )


def quantise(values: np.ndarray, kind) -> np.ndarray:
    """Blocks of `kind`. The package cannot quantise to the K types: theirs are random bits with small scales."""
    if kind.name in ("F32", "F16"):
        return values.astype(f"float{kind.name[1:]}")
    if not kind.name.endswith("_K"):
        return gguf.quantize(values, kind)
    block, size = gguf.GGML_QUANT_SIZES[kind]
    generator = np.random.default_rng(values.size)
    blocks = generator.integers(0, 256, (values.size // block, size), np.uint8)
    scales = (generator.random((len(blocks), 2)) * 1e-3).astype("float16").view(np.uint8)
    if kind.name == "Q6_K":
        blocks[:, -2:] = scales[:, :2]
    else:
        blocks[:, :4] = scales
    return blocks.reshape(*values.shape[:-1], -1)


def head_dim(config: dict) -> int:
    return config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]


def rope_of(config: dict) -> dict:
    rope = config.get("rope_parameters") or {
        **(config.get("rope_scaling") or {}),
        "rope_theta": config.get("rope_theta", 10000.0),
    }
    return rope.get("full_attention", rope)


def to_metadata(config: dict) -> dict:
    rope, dim = rope_of(config), head_dim(config)
    metadata = {
        "block_count": config["num_hidden_layers"],
        "context_length": config["max_position_embeddings"],
        "embedding_length": config["hidden_size"],
        "feed_forward_length": config["intermediate_size"],
        "attention.head_count": config["num_attention_heads"],
        "attention.head_count_kv": config["num_key_value_heads"],
        "rope.dimension_count": int(dim * rope.get("partial_rotary_factor", 1.0)),
        "rope.freq_base": float(rope["rope_theta"]),
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.padding_token_id": 0,
    }
    if "head_dim" in config:
        metadata |= {"attention.key_length": dim, "attention.value_length": dim}
    if "norm_epsilon" in config:
        metadata["attention.layer_norm_epsilon"] = config["norm_epsilon"]
    else:
        metadata["attention.layer_norm_rms_epsilon"] = config["rms_norm_eps"]
    for ours, theirs in (
        ("attention.sliding_window", "sliding_window"),
        ("attn_logit_softcapping", "attn_logit_softcapping"),
        ("final_logit_softcapping", "final_logit_softcapping"),
    ):
        if config.get(theirs) is not None:
            metadata[ours] = config[theirs]
    if config["model_type"] == "gemma3_text":
        local = [kind == "sliding_attention" for kind in config["layer_types"]]
        metadata["attention.sliding_window_pattern"] = local
        metadata["rope.freq_base_swa"] = float(config["rope_parameters"]["sliding_attention"]["rope_theta"])
    if rope.get("rope_type") in ("linear", "yarn"):
        metadata |= {"rope.scaling.type": rope["rope_type"], "rope.scaling.factor": float(rope["factor"])}
    for ours, theirs in (
        ("original_context_length", "original_max_position_embeddings"),
        ("yarn_beta_fast", "beta_fast"),
        ("yarn_beta_slow", "beta_slow"),
    ):
        value = rope.get(theirs, config.get(theirs))
        if value is not None and rope.get("rope_type") != "llama3":
            metadata[f"rope.scaling.{ours}"] = value
    return metadata


def rope_tensors(config: dict) -> dict[str, np.ndarray]:
    """What llama.cpp's converter writes for frequencies that are not of the plain form."""
    rope = rope_of(config)
    if rope.get("rope_type") == "longrope":
        return {
            f"rope_factors_{kind}.weight": np.array(rope[f"{kind}_factor"], "float32") for kind in ("long", "short")
        }
    if rope.get("rope_type") != "llama3":
        return {}
    low, high, original = (
        rope[key] for key in ("low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
    )
    divisors = []
    for exponent in np.arange(0, head_dim(config), 2) / head_dim(config):
        wavelength = 2 * math.pi * rope["rope_theta"] ** exponent
        smooth = (original / wavelength - low) / (high - low)
        divisors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
        if wavelength < original / high:
            divisors[-1] = 1.0
        elif wavelength > original / low:
            divisors[-1] = rope["factor"]
    return {"rope_freqs.weight": np.array(divisors, "float32")}
