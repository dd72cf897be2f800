"""The one door to checkpoints of every format: a config, and tensors by Hugging Face's names."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from tfllm.checkpoints import safetensors_io, torch_bin
from tfllm.checkpoints.directory import find_gguf, read_config, read_generation_config, resolve_directory
from tfllm.checkpoints.gguf_config import read_gguf_config
from tfllm.checkpoints.gguf_file import GGUFFile
from tfllm.checkpoints.gguf_tensors import GGUFTensors
from tfllm.checkpoints.mapped_tensors import MappedTensors
from tfllm.errors import CheckpointError


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint. Nothing but headers has been read.

    Attributes:
        path: its directory, or its GGUF file.
        config: what its `config.json` says, or would say.
        tensors: its tensors by name; `tensors.release(array)` gives the memory of what has been read back.
        gguf: the GGUF file, which has the tokenizer within it; `None` for a directory, where it is in files of its own.
        generation_config: what its `generation_config.json` says, if there is one.
    """

    path: str
    config: dict[str, Any]
    tensors: MappedTensors
    gguf: GGUFFile | None = None
    generation_config: dict[str, Any] | None = None


def open_checkpoint(path_or_handle: str | os.PathLike) -> Checkpoint:
    """Opens a checkpoint, whatever its format.

    Args:
        path_or_handle: a Hugging Face directory with safetensors files or PyTorch's `.bin` files, a GGUF file or a directory with just
            one, or a hub handle.

    Raises:
        CheckpointError: there is none, or it is damaged, hostile or of a kind that is not known.

    Example:
        >>> checkpoint = open_checkpoint("path/to/llama")                   # doctest: +SKIP
        >>> checkpoint.config["model_type"], len(checkpoint.tensors)        # doctest: +SKIP
        ('llama', 290)
    """
    path = resolve_directory(path_or_handle)
    gguf_path = find_gguf(path)
    if gguf_path is not None:
        file = GGUFFile(gguf_path)
        config = read_gguf_config(file)
        return Checkpoint(gguf_path, config, GGUFTensors(file, config), file)
    config = read_config(path)
    for reader, names in (
        (safetensors_io.TensorFiles, (safetensors_io.SINGLE, safetensors_io.INDEX)),
        (torch_bin.TorchTensorFiles, (torch_bin.SINGLE, torch_bin.INDEX)),
    ):
        if any(os.path.exists(os.path.join(path, name)) for name in names):
            return Checkpoint(path, config, reader(path), generation_config=read_generation_config(path))
    raise CheckpointError(_nothing_to_read(path))


def _nothing_to_read(directory: str) -> str:
    files = sorted(os.listdir(directory))
    expected = f"{directory}: expected {safetensors_io.SINGLE}, {torch_bin.SINGLE}, the index of their shards, or one .gguf file."
    pickles = [file for file in files if file.endswith((".bin", ".pt", ".pth", ".pkl", ".ckpt"))]
    if pickles:
        return (
            f"{expected} Found {pickles[0]}, a pickle of another name. If it is a model's weights, name it {torch_bin.SINGLE}. "
            + torch_bin.how_to_convert(pickles[0])
        )
    return f"{expected} Found: {files[:20]}."
