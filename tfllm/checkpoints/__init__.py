"""Weights in and out: Hugging Face directories, PyTorch's `.bin` files and GGUF files in, safetensors out, by one table of names."""

from tfllm.checkpoints.directory import find_gguf, read_config, resolve_directory
from tfllm.checkpoints.gguf_file import GGUFFile
from tfllm.checkpoints.mapped_tensors import MappedTensors
from tfllm.checkpoints.opening import Checkpoint, open_checkpoint
from tfllm.checkpoints.safetensors_io import TensorFiles, write_tensors
from tfllm.checkpoints.weight_table import (
    ROW,
    SAME,
    TRANSPOSE,
    Rule,
    SplitColumns,
    SplitHeads,
    SplitRows,
    dense,
    embedding,
    fused,
    gate_up_widths,
    norm,
    qkv_widths,
)

__all__ = [
    "ROW",
    "SAME",
    "TRANSPOSE",
    "Checkpoint",
    "GGUFFile",
    "MappedTensors",
    "Rule",
    "SplitColumns",
    "SplitHeads",
    "SplitRows",
    "TensorFiles",
    "dense",
    "embedding",
    "find_gguf",
    "fused",
    "gate_up_widths",
    "norm",
    "open_checkpoint",
    "qkv_widths",
    "read_config",
    "resolve_directory",
    "write_tensors",
]
