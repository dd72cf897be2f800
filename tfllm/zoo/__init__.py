"""The zoo: one file a family, and `load` and `save` for all of them."""

from __future__ import annotations

import importlib

# Modules of this package, one a family, by the `model_type` that their checkpoints carry.
_MODULES = {
    name: name.replace("-", "_")
    for name in (
        "albert",
        "bart",
        "bert",
        "bloom",
        "deberta-v2",
        "distilbert",
        "electra",
        "gemma",
        "gemma2",
        "gemma3_text",
        "gpt2",
        "gpt_neox",
        "llama",
        "m2m_100",
        "marian",
        "mbart",
        "mistral",
        "mixtral",
        "modernbert",
        "mpnet",
        "mt5",
        "olmo2",
        "opt",
        "pegasus",
        "phi3",
        "qwen2",
        "qwen3",
        "qwen3_moe",
        "roberta",
        "smollm3",
        "stablelm",
        "starcoder2",
        "t5",
        "xlm-roberta",
    )
}

__all__ = ["families", "get", "load", "save"]


def families() -> list:
    """Every `Family` of the zoo, sorted by name."""
    return [get(name) for name in sorted(_MODULES)]


def get(model_type: str):
    """The `Family` of a `model_type`.

    Raises:
        CheckpointError: the zoo has none of that name.
    """
    if model_type not in _MODULES:
        from tfllm.errors import CheckpointError

        raise CheckpointError(
            f"config.json: expected model_type to be one of {sorted(_MODULES)}. Received: {model_type!r}."
        )
    return importlib.import_module(f"tfllm.zoo.{_MODULES[model_type]}").FAMILY


def __getattr__(name: str):
    if name == "load":
        from tfllm.zoo.loading import load

        return load
    if name == "save":
        from tfllm.zoo.saving import save

        return save
    raise AttributeError(f"module 'tfllm.zoo' has no attribute {name!r}")
