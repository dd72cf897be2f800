"""Tensors of a checkpoint directory: mapped from its safetensors files, and written to new ones."""

from __future__ import annotations

import json
import math
import mmap
import os
from collections.abc import Mapping

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy

from tfllm.errors import CheckpointError

_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"
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


class TensorFiles(Mapping):
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
        self.directory = os.fspath(directory)
        self._views: dict[str, np.ndarray] = {}
        self._places: dict[str, tuple[np.ndarray, int, int]] = {}  # name -> (map of the file, first byte, bytes)
        index_path = os.path.join(self.directory, _INDEX)
        if os.path.exists(os.path.join(self.directory, _SINGLE)):
            self._map(_SINGLE)
        elif os.path.exists(index_path):
            self._map_shards(index_path)
        else:
            raise CheckpointError(_nothing_to_read(self.directory))

    def _map_shards(self, index_path: str):
        weight_map = _read_index(index_path)
        for shard in sorted(set(weight_map.values())):
            if shard != os.path.basename(shard) or shard in ("", ".", ".."):
                raise CheckpointError(
                    f"{index_path}: a shard must be a file name in the same directory. Received: {shard!r}."
                )
            if not os.path.exists(os.path.join(self.directory, shard)):
                raise CheckpointError(
                    f"{index_path}: expected the shard {shard}, which is missing. Download the checkpoint again."
                )
            expected = {name for name, file in weight_map.items() if file == shard}
            found = self._map(shard)
            if found != expected:
                raise CheckpointError(
                    f"{index_path} and {shard} do not agree. Missing from the shard: {_some(expected - found)}; "
                    f"not in the index: {_some(found - expected)}."
                )

    def _map(self, file_name: str) -> set[str]:
        path = os.path.join(self.directory, file_name)
        try:
            with safetensors.safe_open(path, framework="numpy"):
                pass
        except (safetensors.SafetensorError, OSError, ValueError) as error:
            raise CheckpointError(f"{path}: not a valid safetensors file ({error}). Download it again.") from None
        with open(path, "rb") as file:
            header_size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(header_size))
        names = set(header) - {"__metadata__"}
        # One map a file; an empty file section cannot be mapped.
        data = (
            np.memmap(path, mode="r", offset=8 + header_size)
            if os.path.getsize(path) > 8 + header_size
            else np.zeros(0, "uint8")
        )
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
            self._places[name] = (data, 8 + header_size + start, stop - start)
        return names

    def release(self, name: str) -> None:
        """Gives the memory of a tensor that has been read back to the system; reading it again reads the file again."""
        data, start, size = self._places[name]
        if isinstance(data, np.memmap) and hasattr(mmap, "MADV_DONTNEED"):
            # numpy maps from the page that holds its offset; whole pages only, so that no neighbour is dropped while in use.
            first = data.offset - data.offset % mmap.ALLOCATIONGRANULARITY
            begin = -(-(start - first) // mmap.PAGESIZE) * mmap.PAGESIZE
            end = (start - first + size) // mmap.PAGESIZE * mmap.PAGESIZE
            if end > begin:
                data._mmap.madvise(mmap.MADV_DONTNEED, begin, end - begin)

    def __getitem__(self, name: str) -> np.ndarray:
        return self._views[name]

    def __iter__(self):
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)


def _read_index(path: str) -> dict[str, str]:
    try:
        with open(path, encoding="utf-8") as file:
            weight_map = json.load(file)["weight_map"]
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: expected JSON with a weight_map ({type(error).__name__}: {error}).") from None
    if (
        not isinstance(weight_map, dict)
        or not all(isinstance(file, str) for file in weight_map.values())
        or not weight_map
    ):
        raise CheckpointError(f"{path}: expected weight_map to name a file for each tensor.")
    return weight_map


def _nothing_to_read(directory: str) -> str:
    files = sorted(os.listdir(directory))
    pickles = [file for file in files if file.endswith((".bin", ".pt", ".pth", ".pkl", ".ckpt"))]
    if pickles:
        return (
            f"{directory}: expected {_SINGLE}. Found {pickles[0]}, a pickle, which can run code when it is opened and is not read. "
            "Convert it where you trust it: load it with transformers and call save_pretrained(..., safe_serialization=True)."
        )
    return f"{directory}: expected {_SINGLE} or {_INDEX}. Found: {files[:20]}."


def _some(names: set[str]) -> str:
    return (
        ", ".join(sorted(names)[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "") if names else "nothing"
    )


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
        safetensors.numpy.save_file(shards[0], os.path.join(directory, _SINGLE), metadata)
        return [_SINGLE]
    files = [f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors" for i in range(len(shards))]
    for file, shard in zip(files, shards):
        safetensors.numpy.save_file(shard, os.path.join(directory, file), metadata)
    index = {
        "metadata": {"total_size": sum(tensor.nbytes for tensor in tensors.values())},
        "weight_map": {name: file for file, shard in zip(files, shards) for name in shard},
    }
    with open(os.path.join(directory, _INDEX), "w", encoding="utf-8") as file:
        json.dump(index, file, indent=2, sort_keys=True)
    return [*files, _INDEX]
