"""Rotary positions (Su et al., 2021), plain and stretched to longer contexts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from keras import ops


def rotary_table(
    positions, dim: int, theta: float = 10000.0, scaling: dict[str, Any] | None = None, max_positions: int = 0
):
    """Cosines and sines for rotary positions.

    Args:
        positions: `(B, T)` int.
        dim: dimensions that are rotated, even.
        theta: base of the frequencies.
        scaling: `TransformerConfig.rope_scaling`.
        max_positions: `TransformerConfig.max_positions`, which some scalings start from.

    Returns:
        `(cos, sin)`, each `(B, T, dim)` float32; the halves repeat, as in Llama's layout in Hugging Face files.

    Example:
        >>> cos, sin = rotary_table(keras.ops.arange(5)[None], 8)
        >>> cos.shape
        TensorShape([1, 5, 8])
    """
    scaling = scaling or {"rope_type": "default"}
    # Frequencies in float32, like the reference: their rounding shows in the logits at large positions.
    exponents = np.arange(0, dim, 2, dtype="float32") / np.float32(dim)
    plain = (1.0 / np.power(np.float32(theta), exponents)).astype("float32")
    magnitude = 1.0
    if scaling["rope_type"] == "longrope":
        original = scaling["original_max_position_embeddings"]
        short, long = (plain / np.asarray(scaling[key], "float32") for key in ("short_factor", "long_factor"))
        # Every position of a batch turns at the rate that its longest one needs.
        inverse = ops.where(
            ops.max(positions) + 1 > original, ops.convert_to_tensor(long), ops.convert_to_tensor(short)
        )
        magnitude = _longrope_magnitude(scaling, max_positions)
    elif scaling["rope_type"] == "yarn":
        inverse, magnitude = _yarn(plain, dim, theta, scaling, max_positions)
    elif scaling["rope_type"] == "llama3":
        inverse = _llama3(plain, scaling)
    elif scaling["rope_type"] == "linear":
        inverse = plain / np.float32(scaling["factor"])
    else:
        inverse = plain
    angle = ops.expand_dims(ops.cast(positions, "float32"), -1) * ops.convert_to_tensor(inverse, "float32")
    angle = ops.concatenate([angle, angle], axis=-1)
    cos, sin = ops.cos(angle), ops.sin(angle)
    return (cos, sin) if magnitude == 1.0 else (cos * magnitude, sin * magnitude)


def apply_rotary(x, cos, sin):
    """Rotates the first dimensions of each head of `x` by its position.

    Args:
        x: `(B, T, H, head_dim)`.
        cos, sin: `(B, T, dim)` from `rotary_table`, `dim <= head_dim`.
    """
    cos = ops.cast(ops.expand_dims(cos, 2), x.dtype)
    sin = ops.cast(ops.expand_dims(sin, 2), x.dtype)
    dim = cos.shape[-1]
    rest = None
    if dim < x.shape[-1]:
        x, rest = x[..., :dim], x[..., dim:]
    first, second = ops.split(x, 2, axis=-1)
    rotated = x * cos + ops.concatenate([-second, first], axis=-1) * sin
    return rotated if rest is None else ops.concatenate([rotated, rest], axis=-1)


def _llama3(plain: np.ndarray, scaling: dict[str, Any]) -> np.ndarray:
    """Llama 3.1: low frequencies are divided by `factor`, high ones kept, those between blended."""
    factor, original = scaling["factor"], scaling["original_max_position_embeddings"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    wavelength = 2 * np.float32(math.pi) / plain
    smooth = (original / wavelength - low) / (high - low)
    blended = (1 - smooth) * plain / factor + smooth * plain
    result = np.where(wavelength > original / low, plain / factor, plain)
    between = (wavelength >= original / high) & (wavelength <= original / low)
    return np.where(between, blended, result).astype("float32")


def _yarn(plain: np.ndarray, dim: int, theta: float, scaling: dict[str, Any], max_positions: int):
    """YaRN (Peng et al., 2023): frequencies by how often they turn within the original context, and a larger magnitude."""
    factor = scaling["factor"]
    original = scaling.get("original_max_position_embeddings") or max_positions

    def magnitude_of(scale: float, weight: float = 1.0) -> float:
        return 1.0 if scale <= 1 else 0.1 * weight * math.log(scale) + 1.0

    magnitude = scaling.get("attention_factor")
    if magnitude is None:
        weights = scaling.get("mscale"), scaling.get("mscale_all_dim")
        magnitude = (
            magnitude_of(factor, weights[0]) / magnitude_of(factor, weights[1])
            if all(weights)
            else magnitude_of(factor)
        )

    def dimension(rotations: float) -> float:
        return dim * math.log(original / (rotations * 2 * math.pi)) / (2 * math.log(theta))

    low, high = dimension(scaling.get("beta_fast") or 32), dimension(scaling.get("beta_slow") or 1)
    if scaling.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    ramp = np.clip((np.arange(dim // 2, dtype="float32") - low) / (high - low or 0.001), 0, 1)
    return (plain / factor * ramp + plain * (1 - ramp)).astype("float32"), magnitude


def _longrope_magnitude(scaling: dict[str, Any], max_positions: int) -> float:
    if scaling.get("attention_factor") is not None:
        return scaling["attention_factor"]
    original = scaling["original_max_position_embeddings"]
    factor = max_positions / original
    return 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(original))
