"""Tensors by name that are views of mapped files: nothing is read before it is used, and memory is given back when asked."""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tfllm.errors import CheckpointError

_BLOCK = 2**22  # bytes that are compared at a time


class MappedFile:
    """A file as an array of bytes that the system reads page by page.

    Args:
        path: the file.

    Example:
        >>> file = MappedFile("model.safetensors")                    # doctest: +SKIP
        >>> weights = file.bytes[1024:5120].view("float32")           # doctest: +SKIP
        >>> file.release(weights)                                     # doctest: +SKIP
    """

    def __init__(self, path: str | os.PathLike):
        with open(path, "rb") as file:
            empty = os.fstat(file.fileno()).st_size == 0  # an empty file cannot be mapped
            self._map = None if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.bytes = np.frombuffer(self._map or b"", np.uint8)

    def release(self, array: np.ndarray) -> None:
        """Gives the pages that hold `array` back to the system; reading them again reads the file again.

        An array that lies somewhere else (a copy) is left alone.
        """
        start = array.ctypes.data - self.bytes.ctypes.data
        if not array.size or not 0 <= start < len(self.bytes) or not hasattr(mmap, "MADV_DONTNEED"):
            return
        spans = sum((length - 1) * stride for length, stride in zip(array.shape, array.strides))
        begin = start - start % mmap.PAGESIZE
        end = min(start + spans + array.itemsize, len(self.bytes))
        self._map.madvise(mmap.MADV_DONTNEED, begin, end - begin)


class MappedTensors(Mapping):
    """The tensors of one or several files, by name, as read-only arrays.

    Args:
        path: the directory (or the file) that they are of, for messages.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = os.fspath(path)
        self._views: dict[str, np.ndarray] = {}
        self._files: list[MappedFile] = []

    def release(self, array: np.ndarray) -> None:
        """Gives the memory of an array that has been read, or of a part of one, back to the system."""
        for file in self._files:
            file.release(array)

    def equal(self, tensor: np.ndarray, other: Any) -> bool:
        """Whether a tensor and another array (or variable) hold the same numbers. What has been read is given back."""
        if tensor.shape != tuple(other.shape):
            return False
        if not tensor.shape:
            return bool(tensor == np.asarray(other))
        step = max(1, _BLOCK * len(tensor) // max(1, tensor.nbytes))
        for start in range(0, len(tensor), step):
            blocks = tensor[start : start + step], np.asarray(other[start : start + step])
            if not np.array_equal(*blocks):
                return False
            for block in blocks:
                self.release(block)
        return True

    def __getitem__(self, name: str) -> np.ndarray:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def _read(self, name: str) -> set[str]:
        """Maps one file of the directory; returns the names of its tensors."""
        raise NotImplementedError

    def _read_shards(self, index_name: str) -> None:
        """Maps every file that an index names.

        Raises:
            CheckpointError: the index is damaged, names a file outside of the directory or one that is missing, or does not agree
                with the files.
        """
        index_path = os.path.join(self.path, index_name)
        weight_map = _read_index(index_path)
        for shard in sorted(set(weight_map.values())):
            if shard != os.path.basename(shard) or shard in ("", ".", ".."):
                raise CheckpointError(
                    f"{index_path}: a shard must be a file name in the same directory. Received: {shard!r}."
                )
            if not os.path.exists(os.path.join(self.path, shard)):
                raise CheckpointError(
                    f"{index_path}: expected the shard {shard}, which is missing. Download the checkpoint again."
                )
            expected = {name for name, file in weight_map.items() if file == shard}
            found = self._read(shard)
            if found != expected:
                raise CheckpointError(
                    f"{index_path} and {shard} do not agree. Missing from the shard: {_some(expected - found)}; "
                    f"not in the index: {_some(found - expected)}."
                )


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


def _some(names: set[str]) -> str:
    return (
        ", ".join(sorted(names)[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "") if names else "nothing"
    )
