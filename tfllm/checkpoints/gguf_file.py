"""One GGUF file: its metadata, and its tensors, dequantised when they are asked for."""

from __future__ import annotations

import dataclasses
import math
import os
from typing import Any

import ml_dtypes
import numpy as np

from tfllm.checkpoints.mapped_tensors import MappedFile
from tfllm.errors import CheckpointError, UserError

# Stored as numbers: read as they are. What is stored in blocks becomes float32.
_PLAIN = {"F32": np.dtype("float32"), "F16": np.dtype("float16"), "BF16": np.dtype(ml_dtypes.bfloat16)}
_BLOCKS = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K")
_STEP = 2**22  # bytes that are dequantised at a time


@dataclasses.dataclass(frozen=True)
class _Tensor:
    kind: Any  # gguf.GGMLQuantizationType
    shape: tuple[int, ...]  # rows first, as in PyTorch
    data: np.ndarray  # bytes of the mapped file


class GGUFFile:
    """A model in llama.cpp's file format, read by the `gguf` package.

    Args:
        path: the file.

    Attributes:
        path: the file.
        metadata: its key-value pairs: numbers, strings, booleans and lists of these.
        tensors: the shape of each of its tensors, by llama.cpp's name.

    Raises:
        CheckpointError: no GGUF file, a damaged one, or a type of quantisation that is not known.
        UserError: the package `gguf` is not installed.

    Example:
        >>> file = GGUFFile("model.gguf")                                   # doctest: +SKIP
        >>> file.metadata["general.architecture"], file.read("token_embd.weight").shape   # doctest: +SKIP
        ('llama', (49152, 576))
    """

    def __init__(self, path: str | os.PathLike):
        self.path = os.fspath(path)
        self.file = MappedFile(self.path)
        reader = self._reader()
        self.metadata: dict[str, Any] = {}
        self._tensors: dict[str, _Tensor] = {}
        try:
            for name, field in reader.fields.items():
                self.metadata[name] = field.contents()
            for tensor in reader.tensors:
                self._tensors[tensor.name] = self._locate(tensor, int(reader.data_offset))
        except (ValueError, IndexError, OverflowError) as error:
            raise CheckpointError(f"{self.path}: {_DAMAGED} ({error}). Download it again.") from None
        self.tensors = {name: tensor.shape for name, tensor in self._tensors.items()}

    def _reader(self):
        """The package's reader. It makes several objects for each token of the vocabulary, so it does not live on."""
        try:
            import gguf
        except ImportError:
            raise UserError(
                f"{self.path}: GGUF files are read with the package `gguf`, which is not installed: pip install gguf."
            ) from None

        class Reader(gguf.GGUFReader):
            def __setattr__(self, name, value):
                # A slice of np.memmap takes several times as long as that of a plain array.
                super().__setattr__(name, value.view(np.ndarray) if name == "data" else value)

        magic = self.file.bytes[:4].tobytes()
        if magic != b"GGUF":
            raise CheckpointError(f"{self.path}: expected a GGUF file, which begins with 'GGUF'. Received: {magic!r}.")
        try:
            reader = Reader(self.path)
        except Exception as error:  # a damaged file fails in as many ways as numpy has
            raise CheckpointError(
                f"{self.path}: {_DAMAGED} ({type(error).__name__}: {error}). Download it again."
            ) from None
        if reader.byte_order != "I":
            raise CheckpointError(
                f"{self.path}: expected little-endian numbers. Received: a big-endian file; convert it with gguf-convert-endian."
            )
        return reader

    def _locate(self, tensor, first_byte: int) -> _Tensor:
        import gguf

        kind = tensor.tensor_type
        if kind.name not in (*_PLAIN, *_BLOCKS):
            raise CheckpointError(
                f"{self.path}: tensor {tensor.name!r} is quantised as {kind.name}; readable are {', '.join((*_PLAIN, *_BLOCKS))}."
            )
        shape = tuple(int(length) for length in reversed(tensor.shape))
        block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
        size = math.prod(shape) // block * block_bytes
        start = int(tensor.data_offset)
        if (
            min(shape, default=0) < 1
            or shape[-1] % block
            or not first_byte <= start <= start + size <= len(self.file.bytes)
        ):
            raise ValueError(f"tensor {tensor.name!r} of shape {shape} at byte {start} does not fit the file")
        return _Tensor(kind, shape, self.file.bytes[start : start + size])

    def read(self, name: str) -> np.ndarray:
        """A tensor: a view of the file if it is stored as plain numbers, else its dequantised numbers, float32."""
        if name not in self._tensors:
            raise CheckpointError(f"{self.path}: expected a tensor {name}. It is missing: convert the model again.")
        tensor = self._tensors[name]
        if tensor.kind.name in _PLAIN:
            return tensor.data.view(_PLAIN[tensor.kind.name]).reshape(tensor.shape)
        import gguf

        rows = tensor.data.reshape(math.prod(tensor.shape[:-1]), -1)
        values = np.empty((len(rows), tensor.shape[-1]), np.float32)
        step = max(1, _STEP // (4 * tensor.shape[-1]))
        for start in range(0, len(rows), step):
            values[start : start + step] = gguf.dequantize(rows[start : start + step], tensor.kind)
            self.file.release(rows[start : start + step])
        return values.reshape(tensor.shape)


_DAMAGED = "expected a GGUF file of version 2 or 3; it is damaged or cut short"
