"""Tensors of PyTorch's `.bin` files, read without PyTorch and without running anything that they say.

Such a file is a zip archive: `data.pkl`, a pickle of names and of where each tensor lies, and `data/0`, `data/1`, ..., the numbers, not
compressed. A pickle may call any function; this reader knows the handful that a dictionary of tensors needs, and no other.
"""

from __future__ import annotations

import collections
import dataclasses
import io
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import ml_dtypes
import numpy as np

from tfllm.checkpoints.mapped_tensors import MappedFile, MappedTensors
from tfllm.errors import CheckpointError

SINGLE, INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
_STORAGES = {
    "DoubleStorage": np.dtype("float64"),
    "FloatStorage": np.dtype("float32"),
    "HalfStorage": np.dtype("float16"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("int64"),
    "IntStorage": np.dtype("int32"),
    "ShortStorage": np.dtype("int16"),
    "CharStorage": np.dtype("int8"),
    "ByteStorage": np.dtype("uint8"),
    "BoolStorage": np.dtype("bool"),
}
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, lengths of the name and of the extra field


class TorchTensorFiles(MappedTensors):
    """The tensors of `pytorch_model.bin`, or of the shards that `pytorch_model.bin.index.json` names, as views of the mapped files.

    Args:
        directory: a Hugging Face directory.

    Raises:
        CheckpointError: a file that is damaged, that is in PyTorch's format from before 1.6, that asks for anything but tensors of a
            known kind, or whose tensors reach out of their storage; a missing shard or one outside of the directory.

    Example:
        >>> tensors = TorchTensorFiles("path/to/checkpoint")                # doctest: +SKIP
        >>> tensors["embeddings.word_embeddings.weight"].shape              # doctest: +SKIP
        (30522, 384)
    """

    def __init__(self, directory: str | os.PathLike):
        super().__init__(directory)
        if os.path.exists(os.path.join(self.path, SINGLE)):
            self._read(SINGLE)
        else:
            self._read_shards(INDEX)

    def _read(self, name: str) -> set[str]:
        path = os.path.join(self.path, name)
        file = MappedFile(path)
        self._files.append(file)
        tensors = _unpickle(_records(file, path), path)
        self._views.update(tensors)
        return set(tensors)


def _records(file: MappedFile, path: str) -> dict[str, np.ndarray]:
    """The archive's records, as bytes of the mapped file, by their names without the archive's own."""
    if file.bytes[:4].tobytes() != b"PK\x03\x04":
        kind = (
            "a pickle, as PyTorch wrote them before version 1.6"
            if file.bytes[:1].tobytes() == b"\x80"
            else "another kind of file"
        )
        raise CheckpointError(
            f"{path}: expected a zip archive, as torch.save writes. Received: {kind}. {how_to_convert(path)}"
        )
    records = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if info.compress_type != zipfile.ZIP_STORED:
                    raise ValueError(f"{info.filename} is compressed")
                start = info.header_offset + _LOCAL_HEADER.size
                signature, name_size, extra_size = _LOCAL_HEADER.unpack(
                    file.bytes[info.header_offset : start].tobytes()
                )
                start += name_size + extra_size
                if signature != b"PK\x03\x04" or start + info.file_size > len(file.bytes):
                    raise ValueError(f"{info.filename} is cut short")
                records[info.filename.partition("/")[2]] = file.bytes[start : start + info.file_size]
    except (zipfile.BadZipFile, struct.error, ValueError, NotImplementedError) as error:
        raise CheckpointError(
            f"{path}: expected an archive as torch.save writes it ({error}). Download it again."
        ) from None
    if records.get("byteorder", np.frombuffer(b"little", np.uint8)).tobytes() != b"little":
        raise CheckpointError(
            f"{path}: expected little-endian numbers. Received: another byte order. {how_to_convert(path)}"
        )
    if "data.pkl" not in records:
        raise CheckpointError(
            f"{path}: expected a data.pkl in the archive. Found: {sorted(records)[:5]}. Download it again."
        )
    return records


def _unpickle(records: dict[str, np.ndarray], path: str) -> dict[str, np.ndarray]:
    try:
        result = _TensorUnpickler(records, path).load()
    except CheckpointError:
        raise
    except Exception as error:  # a damaged pickle fails in as many ways as Python has
        raise CheckpointError(
            f"{path}: its data.pkl is damaged ({type(error).__name__}: {error}). Download it again."
        ) from None
    if not isinstance(result, Mapping) or not all(
        isinstance(name, str) and isinstance(tensor, np.ndarray) for name, tensor in result.items()
    ):
        found = list(result)[:5] if isinstance(result, Mapping) else type(result).__name__
        raise CheckpointError(
            f"{path}: expected a dictionary of tensors (a model's state_dict()). Received: {found}. Save the state_dict alone."
        )
    return dict(result)


@dataclasses.dataclass(frozen=True)
class _Known:
    """A function that a pickle may call. It never gets hold of the function itself."""

    function: Callable

    def __call__(self, *args):
        return self.function(*args)


@dataclasses.dataclass(frozen=True)
class _StorageType:
    """What stands for `torch.FloatStorage` and the like."""

    dtype: np.dtype


class _TensorUnpickler(pickle.Unpickler):
    """Resolves the names that a dictionary of tensors needs, to functions of this module."""

    def __init__(self, records: dict[str, np.ndarray], path: str):
        super().__init__(io.BytesIO(records["data.pkl"].tobytes()))
        self._records, self._path = records, path

    def find_class(self, module: str, name: str) -> Any:
        known = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
        }
        if (module, name) in known:
            return _Known(known[module, name])
        if module == "torch" and name in _STORAGES:
            return _StorageType(_STORAGES[name])
        raise CheckpointError(
            f"{self._path}: it asks for {module}.{name}, which is not needed to read weights and may run code; nothing was run. "
            f"{how_to_convert(self._path)}"
        )

    def persistent_load(self, pid: Any) -> np.ndarray:
        """A storage: `("storage", dtype, record, device, number of elements)`."""
        _, kind, key, _, count = pid
        record = self._records.get(f"data/{key}")
        if not isinstance(kind, _StorageType) or record is None:
            raise ValueError(f"there is no storage {key!r} of a known type")
        if count * kind.dtype.itemsize != len(record):
            raise ValueError(f"storage {key!r} has {len(record)} bytes for {count} numbers of {kind.dtype}")
        return record.view(kind.dtype)


def _rebuild_tensor(storage: np.ndarray, offset: int, shape: tuple, strides: tuple, *_) -> np.ndarray:
    """A view of a storage; `offset` and `strides` count elements."""
    if not isinstance(storage, np.ndarray) or len(shape) != len(strides) or min((offset, *shape, *strides)) < 0:
        raise ValueError(f"a tensor of {offset=}, {shape=}, {strides=}")
    last = offset + sum((length - 1) * stride for length, stride in zip(shape, strides))
    if 0 not in shape and last >= len(storage):
        raise ValueError(f"a tensor of {offset=}, {shape=}, {strides=} reaches out of its storage of {len(storage)}")
    return np.lib.stride_tricks.as_strided(
        storage[offset:], shape, [stride * storage.itemsize for stride in strides], writeable=False
    )


def how_to_convert(path: str) -> str:
    """What to do with a file of pickles, where it can be trusted."""
    name = os.path.basename(path)
    return (
        "If you trust where it comes from, convert it with PyTorch: import torch, safetensors.torch; "
        f"safetensors.torch.save_file({{name: tensor.contiguous().clone() for name, tensor in torch.load({name!r}).items()}}, "
        "'model.safetensors', {'format': 'pt'})"
    )
