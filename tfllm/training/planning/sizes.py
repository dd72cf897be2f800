"""A model to plan for: a checkpoint's config, a shape by flags, or a size such as `7B`."""

from __future__ import annotations

import itertools
import math
import os
import re
from typing import Any

from tfllm.config import TransformerConfig
from tfllm.errors import UserError
from tfllm.training.planning.parameters import block_parameters, count_parameters

_UNITS = {"": 1, "K": 1e3, "M": 1e6, "B": 1e9, "G": 1e9, "T": 1e12}
SMALLEST, LARGEST = 10e6, 10e12
# Widths and depths of published decoders: GPT-3 (Brown et al., 2020) to 175 B, Narayanan et al. (2021) at 1 T, and one of 10 T.
_DEPTHS = ((256, 4), (768, 12), (2048, 24), (4096, 32), (12288, 96), (25600, 128), (65536, 192))

# What `decoder_shape` has in common with Llama.
_LLAMA = {
    "causal": True,
    "position": "rotary",
    "norm": "rms",
    "norm_placement": "pre",
    "final_norm": True,
    "embedding_norm": False,
    "gated": True,
    "activation": "silu",
    "attention_bias": False,
    "attention_output_bias": False,
    "feed_forward_bias": False,
    "lm_head_bias": False,
    "lm_head_transform": False,
    "tie_embeddings": False,
    "dropout": 0.0,
    "attention_dropout": 0.0,
}


def parse_count(text: str, name: str) -> float:
    """`"7B"` to 7e9; K, M, B (or G) and T.

    Raises:
        UserError: no number.

    Example:
        >>> parse_count("1.5T", "tokens")
        1500000000000.0
    """
    match = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([KMBGT]?)\s*", text, re.IGNORECASE)
    try:
        value = float(match.group(1)) * _UNITS[match.group(2).upper()]
    except (AttributeError, ValueError):
        value = 0.0
    if not 0 < value < math.inf:
        raise UserError(f"{name} must be a number such as 125M, 7B or 1.5T. Received: {name}={text!r}.")
    return value


def decoder_shape(
    *,
    layers: int,
    width: int,
    heads: int,
    vocab: int,
    kv_heads: int | None = None,
    inner: int | None = None,
    **other: Any,
) -> TransformerConfig:
    """A decoder as Llama is built (rotary positions, RMS norm, gated SiLU, no biases, untied head).

    Args:
        layers, width, heads, vocab: as `TransformerConfig` has them.
        kv_heads: key and value heads; default `heads`.
        inner: width of the feed-forward layer; default 8/3 of `width`, rounded up to a multiple of 64.
        **other: further properties, such as `num_experts`.
    """
    if width % heads:
        raise UserError(f"width must be a multiple of heads. Received: width={width}, heads={heads}.")
    return TransformerConfig(
        vocab_size=vocab,
        hidden_size=width,
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=kv_heads,
        intermediate_size=inner or 64 * math.ceil(8 * width / 3 / 64),
        max_positions=2**20,
        **{**_LLAMA, **other},
    )


def decoder_of_size(parameters: float, vocab: int = 32000, **other: Any) -> TransformerConfig:
    """The decoder of `decoder_shape` whose number of weights is nearest to `parameters`, of a usual depth for its width.

    Raises:
        UserError: outside of 10 M to 10 T.

    Example:
        >>> config = decoder_of_size(7e9)
        >>> config.hidden_size, config.num_layers
        (4096, 33)
    """
    if not SMALLEST <= parameters <= LARGEST:
        raise UserError(f"params must be between 10M and 10T. Received: params={parameters:.3g}.")
    best = None
    for width in _widths():
        config = decoder_shape(
            layers=1, width=width, heads=max(1, width // (128 if width >= 1024 else 64)), vocab=vocab, **other
        )
        once = count_parameters(config, "causal_lm").total
        block = block_parameters(config, 0)
        layers = round((parameters - once) / block) + 1
        usual = _usual_depth(width)
        if layers < 1:
            continue
        # Off in size or in shape: a percent of size weighs like three of depth.
        off = abs(once + (layers - 1) * block - parameters) / parameters * 3 + abs(math.log(layers / usual))
        if best is None or off < best[0]:
            best = (off, config.replace(num_layers=layers, num_layer_groups=None))
    if best is None:
        raise UserError(
            f"no usual shape has params={parameters:.3g} with a vocabulary of {vocab}. Give layers, width and heads."
        )
    return best[1]


def _widths() -> list[int]:
    return [*range(128, 1024, 64), *range(1024, 4096, 128), *range(4096, 16384, 256), *range(16384, 98305, 1024)]


def _usual_depth(width: int) -> float:
    for (w0, d0), (w1, d1) in itertools.pairwise(_DEPTHS):
        if width <= w1:
            break
    share = math.log(width / w0) / math.log(w1 / w0)
    return math.exp(math.log(d0) + share * (math.log(d1) - math.log(d0)))


def config_of_checkpoint(path_or_handle: str) -> tuple[TransformerConfig, str]:
    """The architecture of a checkpoint, and the head that it holds, from its `config.json` (or GGUF header) alone.

    Args:
        path_or_handle: a directory, a GGUF file or a hub handle, of which only `config.json` is fetched.

    Raises:
        UserError: there is none, or its family is not known.
    """
    from tfllm import zoo
    from tfllm.checkpoints import GGUFFile, find_gguf, read_config, resolve_directory
    from tfllm.checkpoints.gguf_config import read_gguf_config

    path = path_or_handle
    if not os.path.exists(path) and re.fullmatch(r"[\w][\w.-]*/[\w][\w.-]*(@[\w./-]+)?", path):
        path = _fetched_config(path)
    path = resolve_directory(path)
    gguf = find_gguf(path)
    hf_config = read_gguf_config(GGUFFile(gguf)) if gguf is not None else read_config(path)
    family = zoo.get(hf_config.get("model_type"))
    architecture = (hf_config.get("architectures") or [None])[0]
    head = family.head_of(architecture) if architecture else None
    head = head or family.heads[0]
    return head.config(family.read_config(hf_config)), head.kind


def _fetched_config(handle: str) -> str:
    import huggingface_hub

    name, _, revision = handle.partition("@")
    try:
        return os.path.dirname(huggingface_hub.hf_hub_download(name, "config.json", revision=revision or None))
    except Exception as error:  # the hub's client raises many kinds
        raise UserError(
            f"{handle!r} is no directory here, and fetching its config.json from the hub failed ({type(error).__name__}). "
            "Check the spelling and the network, or give a directory or --params."
        ) from error
