"""Tensors of a checkpoint directory: mapped from its safetensors files, and written to new ones."""

from __future__ import annotations

import json
import math
import os

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy

from tfllm.checkpoints.mapped_tensors import MappedFile, MappedTensors
from tfllm.errors import CheckpointError

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_DTYPES = {
    "F64": np.dtype("float64"),
    "F32": np.dtype("float32"),
    "F16": np.dtype("float16"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype("int64"),
    "I32": np.dtype("int32"),
    "I16": np.dtype("int16"),
    "I8": np.dtype("int8"),
    "U8": np.dtype("uint8"),
    "BOOL": np.dtype("bool"),
}


class TensorFiles(MappedTensors):
    """The tensors of a directory, by name, as read-only views of the mapped files: nothing is copied until it is used.

    Reads `model.safetensors`, or the shards that `model.safetensors.index.json` names. The `safetensors` library checks each header
    (sizes, offsets that overlap or leave holes, a file cut short) before anything is mapped.

    Args:
        directory: a Hugging Face directory.

    Raises:
        CheckpointError: no safetensors file, a damaged or hostile one, a missing shard, a shard outside of the directory, a dtype that
            is not known, or an index that does not agree with the shards.

    Example:
        >>> tensors = TensorFiles("path/to/checkpoint")                     # doctest: +SKIP
        >>> tensors["embeddings.word_embeddings.weight"].shape              # doctest: +SKIP
        (30522, 384)
    """

    def __init__(self, directory: str | os.PathLike):
        super().__init__(directory)
        if os.path.exists(os.path.join(self.path, SINGLE)):
            self._read(SINGLE)
        elif os.path.exists(os.path.join(self.path, INDEX)):
            self._read_shards(INDEX)
        else:
            raise CheckpointError(
                f"{self.path}: expected {SINGLE} or {INDEX}. Found: {sorted(os.listdir(self.path))[:20]}."
            )

    def _read(self, name: str) -> set[str]:
        path = os.path.join(self.path, name)
        try:
            with safetensors.safe_open(path, framework="numpy"):
                pass
        except (safetensors.SafetensorError, OSError, ValueError) as error:
            raise CheckpointError(f"{path}: not a valid safetensors file ({error}). Download it again.") from None
        file = MappedFile(path)
        self._files.append(file)
        header_size = int.from_bytes(file.bytes[:8].tobytes(), "little")
        header = json.loads(file.bytes[8 : 8 + header_size].tobytes())
        data = file.bytes[8 + header_size :]
        names = set(header) - {"__metadata__"}
        for name in names:
            dtype = _DTYPES.get(header[name]["dtype"])
            if dtype is None:
                raise CheckpointError(
                    f"{path}: tensor {name!r} has the dtype {header[name]['dtype']}; readable are {sorted(_DTYPES)}."
                )
            start, stop = header[name]["data_offsets"]
            shape = tuple(header[name]["shape"])
            if stop - start != math.prod(shape) * dtype.itemsize:
                raise CheckpointError(
                    f"{path}: tensor {name!r} of shape {shape} and {dtype} does not fit its {stop - start} bytes."
                )
            self._views[name] = data[start:stop].view(dtype).reshape(shape)
        return names


def write_tensors(tensors: dict[str, np.ndarray], directory: str, max_shard_bytes: int = 5 * 10**9) -> list[str]:
    """Writes `model.safetensors`, or shards with an index when there is more than `max_shard_bytes`.

    Args:
        tensors: arrays by name.
        directory: an existing directory; the caller makes the write atomic.

    Returns:
        The file names written.
    """
    shards: list[dict[str, np.ndarray]] = [{}]
    room = max_shard_bytes
    for name in sorted(tensors):
        if shards[-1] and tensors[name].nbytes > room:
            shards.append({})
            room = max_shard_bytes
        shards[-1][name] = np.asarray(tensors[name], order="C")
        room -= tensors[name].nbytes
    metadata = {"format": "pt"}  # transformers refuses a file that does not say so
    if len(shards) == 1:
        safetensors.numpy.save_file(shards[0], os.path.join(directory, SINGLE), metadata)
        return [SINGLE]
    files = [f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors" for i in range(len(shards))]
    for file, shard in zip(files, shards):
        safetensors.numpy.save_file(shard, os.path.join(directory, file), metadata)
    index = {
        "metadata": {"total_size": sum(tensor.nbytes for tensor in tensors.values())},
        "weight_map": {name: file for file, shard in zip(files, shards) for name in shard},
    }
    with open(os.path.join(directory, INDEX), "w", encoding="utf-8") as file:
        json.dump(index, file, indent=2, sort_keys=True)
    return [*files, INDEX]
