"""A linear layer of theirs with a low-rank update, and the projections of ours that it is made of."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

from tfllm.checkpoints import Rule
from tfllm.config import TransformerConfig
from tfllm.errors import CheckpointError
from tfllm.layers import Dense


@dataclasses.dataclass(frozen=True)
class Update:
    """An update as PEFT stores it: `a` `(r, in)`, `b` `(out, r)`, scaled by `alpha / r`."""

    a: np.ndarray
    b: np.ndarray
    alpha: float


@dataclasses.dataclass(frozen=True)
class Module:
    """One linear layer of theirs.

    Args:
        name: its path in their model.
        rule: of its weight.
        widths: output widths of our projections in it.
        wide: their input width.
    """

    name: str
    rule: Rule
    widths: tuple[int, ...]
    wide: int

    @property
    def paths(self) -> tuple[str, ...]:
        """Our projections."""
        return tuple(path.removesuffix("/kernel") for path in self.rule.ours)

    def adapted(self, layers: Mapping[str, Dense]) -> bool:
        return any(path in layers for path in self.paths)

    def fan_in_fan_out(self, config: TransformerConfig) -> bool:
        """Their weight is `(in, out)`."""
        wide = sum(self.widths) + 1  # unlike the other side
        zero = [np.broadcast_to(np.float32(0), (wide, width)) for width in self.widths]
        return self.rule.transform.to_theirs(zero, config).shape[0] == wide

    def export(self, layers: Mapping[str, Dense], config: TransformerConfig) -> Update:
        """The updates of our projections as one of theirs: with several, each is a block of B, unless they have the same A."""
        parts = [layers.get(path) for path in self.paths]
        own = [_factors(part) for part in parts if part is not None]
        scale = next(part.lora_scale for part in parts if part is not None)
        shared = len(own) == len(parts) and all(np.array_equal(own[0][0], a) for a, _ in own)
        rank = own[0][0].shape[1] if shared else sum(a.shape[1] for a, _ in own)
        rows, start = [], 0
        for part, width in zip(parts, self.widths):
            block = np.zeros((rank, width), "float32")
            if part is not None:
                _, b = _factors(part)
                block[start : start + len(b)] = b * np.float32(part.lora_scale / scale)
                start += 0 if shared else len(b)
            rows.append(block)
        b = self.rule.transform.to_theirs(rows, config)
        a = own[0][0] if shared else np.concatenate([a for a, _ in own], axis=1)
        return Update(a.T, b.T if self.fan_in_fan_out(config) else b, scale * rank)

    def split(
        self, a: np.ndarray, b: np.ndarray, config: TransformerConfig, origin: str
    ) -> Iterable[tuple[str, np.ndarray, np.ndarray]]:
        """Their update, `(r, in)` and `(out, r)`, as ours: path, `(in, r)` and `(r, out)` of each projection that it changes."""
        out = sum(self.widths)
        if a.ndim != 2 or b.ndim != 2 or len(a) != b.shape[1] or len(b) != out or a.shape[1] != self.wide:
            raise CheckpointError(
                f"{origin}: the update of {self.name} must be lora_A (r, {self.wide}) and lora_B ({out}, r). "
                f"Received: {list(a.shape)} and {list(b.shape)}."
            )
        parts = self.rule.transform.to_ours(b.T if self.fan_in_fan_out(config) else b, config)
        used = [np.flatnonzero(part.any(axis=1)) for part in parts]
        together = np.concatenate(used)
        if len(parts) == 1 or not len(together) or len(together) != len(set(together.tolist())):
            return [(path, a.T, part) for path, part in zip(self.paths, parts)]
        # Blocks: each projection has ranks of its own, and one without any is not changed.
        return [(path, a[rows].T, part[rows]) for path, part, rows in zip(self.paths, parts, used) if len(rows)]


def of(rules: Iterable[Rule], layers: Mapping[str, Dense]) -> list[Module]:
    """The linear layers among the tensors of a weight table whose projections are all in `layers`."""
    modules = []
    for rule in rules:
        parts = [layers.get(path.removesuffix("/kernel")) for path in rule.ours if path.endswith("/kernel")]
        if len(parts) == len(rule.ours) and None not in parts:
            wide = int(parts[0].input_spec.axes[-1])
            modules.append(Module(rule.theirs.removesuffix(".weight"), rule, tuple(p.units for p in parts), wide))
    return modules


def by_pattern(patterns: Mapping[str, Any], name: str, default: Any) -> Any:
    """PEFT's `rank_pattern` and `alpha_pattern`: the value of the first key that the end of a module's name matches."""
    return next((value for key, value in patterns.items() if re.fullmatch(rf"(.*\.)?({key})", name)), default)


def _factors(layer: Dense) -> tuple[np.ndarray, np.ndarray]:
    return keras.ops.convert_to_numpy(layer.lora_a), keras.ops.convert_to_numpy(layer.lora_b)
