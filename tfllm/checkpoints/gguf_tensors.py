"""The tensors of a GGUF file under their names and in their layout in a Hugging Face file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from tfllm.checkpoints.gguf_file import GGUFFile
from tfllm.checkpoints.mapped_tensors import MappedTensors
from tfllm.errors import CheckpointError

_OUTSIDE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_qkv": "self_attn.qkv_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "post_attention_norm": "post_attention_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
_SANDWICH = {"ffn_norm": "pre_feedforward_layernorm"}
_EXCEPTIONS = {
    "gemma2": _SANDWICH,
    "gemma3": _SANDWICH,
    "phi3": {"ffn_up": "mlp.gate_up_proj"},
    "starcoder2": {"ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj"},
}
# Rotary frequencies: what they say is in the config.
_IN_CONFIG = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")


class GGUFTensors(MappedTensors):
    """The tensors of a GGUF file by Hugging Face's names, each dequantised when it is asked for.

    llama.cpp's conversion is undone: the order of the rows of Llama's query and key projections, and the 1 that it adds to Gemma's norms.

    Args:
        file: the file.
        config: its `config.json`, from `read_gguf_config`.

    Raises:
        CheckpointError: a tensor that the architecture does not have.

    Example:
        >>> file = GGUFFile("model.gguf")                                   # doctest: +SKIP
        >>> tensors = GGUFTensors(file, read_gguf_config(file))             # doctest: +SKIP
        >>> tensors["model.embed_tokens.weight"].shape                      # doctest: +SKIP
        (49152, 576)
    """

    def __init__(self, file: GGUFFile, config: dict[str, Any]):
        super().__init__(file.path)
        self._file, self._files = file, [file.file]
        self._architecture = file.metadata["general.architecture"]
        self._heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
        self._names: dict[str, str] = {}  # theirs -> llama.cpp's
        unknown = []
        for name in file.tensors:
            theirs = _hugging_face_name(name, self._architecture)
            if theirs is not None:
                self._names[theirs] = name
            elif name not in _IN_CONFIG:
                unknown.append(name)
        if unknown:
            raise CheckpointError(
                f"{file.path}: tensors that {self._architecture} does not have: {', '.join(sorted(unknown)[:8])}"
                + (f" and {len(unknown) - 8} more." if len(unknown) > 8 else ".")
            )

    def __getitem__(self, name: str) -> np.ndarray:
        tensor = self._file.read(self._names[name])
        if self._architecture.startswith("gemma") and name.endswith("norm.weight"):
            return tensor.astype(np.float32) - 1
        projection = name.split(".")[-2]
        if self._architecture == "llama" and projection in self._heads:
            return _without_permutation(tensor, self._heads[projection], name, self.path)
        return tensor

    def __contains__(self, name: object) -> bool:
        return name in self._names  # Mapping's own would dequantise the tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _hugging_face_name(name: str, architecture: str) -> str | None:
    stem, _, kind = name.rpartition(".")
    layer = re.fullmatch(r"blk\.(\d+)\.(\w+)", stem)
    names = {**_LAYER, **_EXCEPTIONS.get(architecture, {})}
    if kind not in ("weight", "bias"):
        return None
    if stem in _OUTSIDE:
        return f"{_OUTSIDE[stem]}.{kind}"
    if layer and layer[2] in names:
        return f"model.layers.{layer[1]}.{names[layer[2]]}.{kind}"
    return None


def _without_permutation(tensor: np.ndarray, heads: int, name: str, path: str) -> np.ndarray:
    """llama.cpp pairs dimensions i and i + 1 for rotary positions where Hugging Face pairs i and i + head_dim / 2."""
    rows = tensor.shape[0]
    if not heads or rows % (2 * heads):
        raise CheckpointError(f"{path}: expected {name} to have rows for {heads} heads. Received: {rows} rows.")
    return tensor.reshape(heads, rows // heads // 2, 2, *tensor.shape[1:]).swapaxes(1, 2).reshape(tensor.shape)
