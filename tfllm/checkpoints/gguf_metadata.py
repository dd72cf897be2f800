"""The keys of one architecture in a GGUF file, checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfllm.checkpoints.gguf_file import GGUFFile
from tfllm.errors import CheckpointError

# What this reader does not carry over, with the values that change nothing.
_UNSUPPORTED = {
    "expert_count": (0,),
    "attention.causal": (True,),
    "attention.max_alibi_bias": (0.0,),
    "attention.clamp_kqv": (0.0,),
    "attention.scale": (0.0,),
    "logit_scale": (0.0, 1.0),
    "residual_scale": (0.0, 1.0),
    "embedding_scale": (0.0, 1.0),
}


class GGUFMetadata:
    """The keys `<architecture>.<key>` of a file.

    Args:
        file: the file.
        architecture: its `general.architecture`.

    Example:
        >>> metadata = GGUFMetadata(GGUFFile("model.gguf"), "llama")        # doctest: +SKIP
        >>> metadata.number("embedding_length")                             # doctest: +SKIP
        576
    """

    def __init__(self, file: GGUFFile, architecture: str):
        self.path, self.all, self.architecture = file.path, file.metadata, architecture

    def number(self, key: str, default: Any = ...) -> Any:
        """The number under `<architecture>.<key>`, floats as the shortest decimal that is the same float32."""
        value = self.all.get(f"{self.architecture}.{key}", default)
        if value is ...:
            raise CheckpointError(
                f"{self.path}: expected the metadata {self.architecture}.{key}. It is missing: convert the model again."
            )
        if value is not default and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise CheckpointError(
                f"{self.path}: expected {self.architecture}.{key} to be one number for all layers. Received: {value!r:.80}."
            )
        return float(str(np.float32(value))) if isinstance(value, float) else value

    def refuse_unsupported(self) -> None:
        """Raises a `CheckpointError` for what would change the model's numbers and is not carried over."""
        for key, harmless in _UNSUPPORTED.items():
            value = self.all.get(f"{self.architecture}.{key}", harmless[0])
            if value not in harmless:
                raise CheckpointError(
                    f"{self.path}: {self.architecture}.{key}={value!r} is not supported. Loading it without that would give wrong numbers."
                )
        if self.all.get("split.count", 1) not in (0, 1):
            raise CheckpointError(
                f"{self.path}: expected a whole model. Received: one of {self.all['split.count']} parts; "
                "merge them with llama-gguf-split --merge."
            )
