"""Fields of a `config.json` that need more than a key: scaled rotary positions, layers of several kinds, derived values."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from tfllm.errors import CheckpointError
from tfllm.zoo.family import Field

_ROPE_TYPES = ("linear", "llama3", "yarn", "longrope")
_ROPE_NUMBERS = (
    "factor",
    "original_max_position_embeddings",
    "low_freq_factor",
    "high_freq_factor",
    "attention_factor",
    "beta_fast",
    "beta_slow",
    "mscale",
    "mscale_all_dim",
    "truncate",
    "short_factor",
    "long_factor",
)


@dataclasses.dataclass(frozen=True)
class Derived(Field):
    """A property that follows from keys which other fields write.

    Args:
        function: a `config.json` to the property's value.
    """

    theirs: str = ""
    function: Callable[[Mapping[str, Any]], Any] = None

    def read(self, hf_config):
        return self.function(hf_config)

    def write(self, hf_config, value):
        pass


class RopeTheta(Field):
    """The base of the rotary frequencies, which has moved into `rope_parameters`."""

    def __init__(
        self, default: float = 10000.0, ours: str = "rope_theta", layer_type: str | None = None, legacy=("rope_theta",)
    ):
        inner = f"rope_parameters/{layer_type}/rope_theta" if layer_type else "rope_parameters/rope_theta"
        super().__init__(ours, (inner, *legacy), default)


@dataclasses.dataclass(frozen=True)
class RopeScaling(Field):
    """How the rotary frequencies are stretched: `rope_parameters`, or `rope_scaling` in older files.

    Args:
        layer_type: key inside of `rope_parameters` for families whose kinds of layers have their own.
    """

    ours: str = "rope_scaling"
    theirs: str = "rope_parameters"
    layer_type: str | None = None

    def read(self, hf_config):
        given = hf_config.get("rope_parameters") or {}
        given = given.get(self.layer_type, {}) if self.layer_type in given else given
        given = given if "rope_type" in given else hf_config.get("rope_scaling") or given
        kind = given.get("rope_type", given.get("type", "default"))
        kind = "longrope" if kind == "su" else kind
        if kind == "default":
            return None
        if kind not in _ROPE_TYPES:
            raise CheckpointError(
                f"config.json: rope_type must be one of {('default', *_ROPE_TYPES)}. Received: {kind!r}. "
                "Loading it without that would give wrong numbers."
            )
        numbers = {key: given[key] for key in _ROPE_NUMBERS if given.get(key) is not None}
        original = hf_config.get("original_max_position_embeddings")
        if "original_max_position_embeddings" not in numbers and original is not None:
            numbers["original_max_position_embeddings"] = original
        return {"rope_type": kind, **numbers}

    def write(self, hf_config, value):
        if self.read(hf_config) == value:
            return
        given = hf_config.setdefault("rope_parameters", {})
        given = given.setdefault(self.layer_type, {}) if self.layer_type else given
        given.update(value or {"rope_type": "default"})


@dataclasses.dataclass(frozen=True)
class LocalLayers(Field):
    """Which layers attend within a window.

    Args:
        rule: whether layer i is local by a `config.json` that does not list its `layer_types`.
        window: key of the window; no layer is local if it is null.
    """

    ours: str = "local_layers"
    theirs: str = "layer_types"
    rule: Callable[[Mapping[str, Any], int], bool] = lambda hf_config, i: True
    window: str = "sliding_window"

    def read(self, hf_config):
        if hf_config.get(self.window) is None:
            return ()
        types = hf_config.get("layer_types")
        count = hf_config.get("num_hidden_layers", 0)
        if types is None:
            return tuple(i for i in range(count) if self.rule(hf_config, i))
        known = ("sliding_attention", "full_attention")
        if len(types) != count or any(kind not in known for kind in types):
            raise CheckpointError(f"config.json: layer_types must be {count} of {known}. Received: {types!r}.")
        return tuple(i for i, kind in enumerate(types) if kind == "sliding_attention")

    def write(self, hf_config, value):
        if self.read(hf_config) != value and hf_config.get(self.window) is not None:
            layers = range(hf_config["num_hidden_layers"])
            hf_config["layer_types"] = ["sliding_attention" if i in value else "full_attention" for i in layers]


def rotary_dim(default: float, legacy: str = "partial_rotary_factor") -> Callable[[Mapping[str, Any]], int]:
    """How a `config.json` tells the number of rotated dimensions of a head: as a share of its width.

    Args:
        default: the share where the file has none.
        legacy: key of the share outside of `rope_parameters`.
    """

    def read(hf_config: Mapping[str, Any]) -> int:
        head_dim = hf_config.get("head_dim") or hf_config["hidden_size"] // hf_config["num_attention_heads"]
        share = (hf_config.get("rope_parameters") or {}).get("partial_rotary_factor")
        return int(head_dim * (share or hf_config.get(legacy, default)))

    return read
