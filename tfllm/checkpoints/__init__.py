"""Weights in and out: Hugging Face directories with safetensors files, by one table of names."""

from tfllm.checkpoints.directory import read_config, resolve_directory
from tfllm.checkpoints.safetensors_io import TensorFiles, write_tensors
from tfllm.checkpoints.weight_table import SAME, TRANSPOSE, Rule, SplitColumns, dense, embedding, norm

__all__ = [
    "SAME",
    "TRANSPOSE",
    "Rule",
    "SplitColumns",
    "TensorFiles",
    "dense",
    "embedding",
    "norm",
    "read_config",
    "resolve_directory",
    "write_tensors",
]
