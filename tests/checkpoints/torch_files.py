"""Writes `.bin` files as torch.save does, without PyTorch: honest ones and hostile ones."""

from __future__ import annotations

import collections
import io
import pickle
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np

_STORAGES = {
    "float64": "DoubleStorage",
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


class Named:
    """Something that is pickled by its name alone."""

    def __init__(self, module: str, name: str):
        self.module, self.name = module, name

    def __call__(self, *args):
        return Call(self, args)


class Call:
    """A call that unpickling makes."""

    def __init__(self, function: Named, arguments: tuple):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


class Storage:
    """A storage: its record in the archive, and how it is described."""

    def __init__(self, key: str, dtype: str, count: int):
        self.pid = ("storage", Named("torch", _STORAGES.get(dtype, dtype)), key, "cpu", count)


class _Pickler(pickle._Pickler):
    def persistent_id(self, obj):
        return obj.pid if isinstance(obj, Storage) else None

    def save(self, obj, *args, **kwargs):
        if isinstance(obj, Named):
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
        else:
            super().save(obj, *args, **kwargs)


REBUILD = Named("torch._utils", "_rebuild_tensor_v2")
PARAMETER = Named("torch._utils", "_rebuild_parameter")


def tensor(storage: Storage, shape: tuple, strides: tuple, offset: int = 0) -> Call:
    return REBUILD(storage, offset, shape, strides, False, collections.OrderedDict())


def write(path: Path, content, records: dict[str, bytes], compression=zipfile.ZIP_STORED, **others: bytes) -> Path:
    """An archive of a pickled `content` and the storages' bytes."""
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=2).dump(content)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("pytorch_model/data.pkl", buffer.getvalue())
        for name, data in others.items():
            archive.writestr(f"pytorch_model/{name}", data)
        for key, data in records.items():
            archive.writestr(f"pytorch_model/data/{key}", data)
    return path


def save(arrays: dict[str, np.ndarray], path: Path) -> Path:
    """A state_dict: each array with a storage of its own."""
    content, records = collections.OrderedDict(), {}
    for i, (name, array) in enumerate(arrays.items()):
        strides = tuple(stride // array.itemsize for stride in array.strides)
        content[name] = tensor(Storage(str(i), str(array.dtype), array.size), array.shape, strides)
        records[str(i)] = array.tobytes()
    return write(path, content, records, version=b"3\n", byteorder=b"little")
