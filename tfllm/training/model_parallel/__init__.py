"""Training on Keras' JAX backend, for models that outgrow one device: each weight is split over devices.

The same task, launcher and callbacks as on TensorFlow. Importing this package is cheap: each name is imported when it is first used.
"""

from __future__ import annotations

import importlib

_NAMES = {
    "ModelParallel": "distribution",
    "bytes_per_device": "distribution",
    "choose_backend": "backend",
    "model_parallel": "placement",
    "split_axis": "layout",
}

__all__ = list(_NAMES)


def __getattr__(name: str):
    if name in _NAMES:
        return getattr(importlib.import_module(f"tfllm.training.model_parallel.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'tfllm.training.model_parallel' has no attribute {name!r}")
