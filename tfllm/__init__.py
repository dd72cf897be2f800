"""tfllm: a model zoo, fine-tuning and benchmark kit for language models, in Keras 3 on TensorFlow.

Importing this package is cheap: TensorFlow and Keras are imported when something that needs them is first used.
"""

from __future__ import annotations

import importlib
import os

__version__ = "0.1.0"

# TensorFlow reads this once, when it is imported. It is off by default on AMD CPUs, where a BERT training step is about 1.5x as
# fast with it on. A value that the user has set is kept.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

_SUBMODULES = ("checkpoints", "data", "generation", "layers", "metrics", "models", "tasks", "text", "training", "zoo")
_NAMES = {
    "TransformerConfig": ("tfllm.config", "TransformerConfig"),
    "from_keras_hub": ("tfllm.checkpoints.kerashub", "from_keras_hub"),
    "load": ("tfllm.zoo", "load"),
    "load_adapter": ("tfllm.zoo.adapters", "load_adapter"),
    "save": ("tfllm.zoo", "save"),
    "save_adapter": ("tfllm.zoo.adapters", "save_adapter"),
}

__all__ = ["__version__", *_NAMES, *_SUBMODULES]


def __getattr__(name: str):
    if name in _SUBMODULES:
        return importlib.import_module(f"tfllm.{name}")
    if name in _NAMES:
        module, attribute = _NAMES[name]
        return getattr(importlib.import_module(module), attribute)
    raise AttributeError(f"module 'tfllm' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
