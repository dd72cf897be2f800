"""How a GGUF file says that rotary positions are stretched, as `rope_scaling` in Hugging Face's `config.json`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tfllm.checkpoints.gguf_file import GGUFFile
from tfllm.checkpoints.gguf_metadata import GGUFMetadata
from tfllm.errors import CheckpointError


def rope_scaling(file: GGUFFile, metadata: GGUFMetadata, head_dim: int) -> dict[str, Any] | None:
    """The value of `rope_scaling`; `None` where positions are not stretched.

    Raises:
        CheckpointError: a kind of scaling that would be lost.
    """
    factor = metadata.number("rope.scaling.factor", metadata.number("rope.scale_linear", 0.0))
    kind = file.metadata.get(f"{metadata.architecture}.rope.scaling.type", "linear" if factor else "none")
    original = metadata.number("rope.scaling.original_context_length", None)
    if "rope_freqs.weight" in file.tensors:
        return _llama3(file, metadata, head_dim)
    if "rope_factors_long.weight" in file.tensors:
        scaling = {
            "rope_type": "longrope",
            "long_factor": file.read("rope_factors_long.weight").tolist(),
            "short_factor": file.read("rope_factors_short.weight").tolist(),
            "attention_factor": metadata.number("rope.scaling.attn_factor", None),
        }
    elif kind == "none" or (kind == "linear" and factor in (0.0, 1.0)):
        return None
    elif kind == "linear":
        scaling = {"rope_type": "linear", "factor": factor}
    elif kind == "yarn" and metadata.number("rope.scaling.yarn_attn_factor", 1.0) == 1.0:
        scaling = {
            "rope_type": "yarn",
            "factor": factor,
            "original_max_position_embeddings": original,
            "beta_fast": metadata.number("rope.scaling.yarn_beta_fast", None),
            "beta_slow": metadata.number("rope.scaling.yarn_beta_slow", None),
        }
    else:
        raise CheckpointError(
            f"{file.path}: rotary scaling of type {kind!r} is not supported (supported: linear, yarn, longrope and Llama 3's). "
            "Loading it without that would give wrong numbers."
        )
    return {key: value for key, value in scaling.items() if value is not None}


def _llama3(file: GGUFFile, metadata: GGUFMetadata, head_dim: int) -> dict[str, Any] | None:
    """Llama 3.1's scaling: llama.cpp writes what each frequency is divided by; transformers what these follow from.

    They follow from four numbers, of which all published models share two (1 and 4). The other two are solved for.
    """
    divisors = file.read("rope_freqs.weight").astype("float64")
    theta = metadata.number("rope.freq_base", 10000.0)
    wavelengths = 2 * math.pi * theta ** (np.arange(0, head_dim, 2) / head_dim)
    if divisors.shape != wavelengths.shape:
        raise CheckpointError(
            f"{file.path}: expected rope_freqs.weight of {len(wavelengths)} numbers. Received: {divisors.shape}."
        )
    factor = float(divisors.max())
    if np.all(divisors == 1.0):
        return None

    def divisors_of(original: float) -> np.ndarray:
        smooth = np.clip((original / wavelengths - 1) / 3, 0, 1)
        return 1 / ((1 - smooth) / factor + smooth)

    between = (divisors > 1) & (divisors < factor)
    smooth = (1 / divisors[between] - 1 / factor) / (1 - 1 / factor)
    solved = np.median((3 * smooth + 1) * wavelengths[between]) if between.any() else 8192
    original = (
        float(np.round(solved)) if np.allclose(divisors_of(np.round(solved)), divisors, rtol=1e-4) else float(solved)
    )
    if not np.allclose(divisors_of(original), divisors, rtol=1e-4):
        raise CheckpointError(
            f"{file.path}: expected rope_freqs.weight of Llama 3's form (low_freq_factor 1, high_freq_factor 4). Received: others. "
            "Loading it without them would give wrong numbers."
        )
    return {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": int(original) if original == int(original) else original,
    }
