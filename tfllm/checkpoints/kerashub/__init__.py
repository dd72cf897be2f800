"""KerasHub's presets and models behind tfllm's batch contract: one adapter, for the tasks and for the trainer.

KerasHub is imported when it is first used; `pip install keras-hub` brings it.
"""

from __future__ import annotations

import importlib

_NAMES = {
    "KerasHubClassifier": "tfllm.checkpoints.kerashub.model",
    "KerasHubTokenizer": "tfllm.checkpoints.kerashub.tokenizer",
    "from_keras_hub": "tfllm.checkpoints.kerashub.loading",
    "preset_of": "tfllm.checkpoints.kerashub.preset",
}

__all__ = list(_NAMES)


def __getattr__(name: str):
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
