"""Which Keras backend a run needs. Imports neither Keras nor JAX, as the choice comes before both."""

from __future__ import annotations

import importlib.util
import os
import sys

from tfllm.errors import UserError


def choose_backend(strategy: str) -> None:
    """Makes Keras run on JAX where the strategy is `"model_parallel"`; does nothing for the others.

    Keras reads `KERAS_BACKEND` once, when it is imported: call this before.

    Args:
        strategy: name of the strategy, as `--strategy` takes it.

    Raises:
        UserError: JAX is not installed, or Keras has been imported with another backend.

    Example:
        >>> choose_backend("auto")
    """
    if strategy != "model_parallel":
        return
    if importlib.util.find_spec("jax") is None:
        raise UserError(
            "strategy=model_parallel needs JAX: install tfllm with its extra `jax`, as in `pip install tfllm[jax]` (on a GPU or a TPU "
            "also `jax[cuda12]` or `jax[tpu]`). Received: no package jax."
        )
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "jax"
    check_backend()


def check_backend() -> None:
    """Imports Keras.

    Raises:
        UserError: it is there with another backend than JAX, on which its distributions do nothing.
    """
    import keras

    if keras.backend.backend() != "jax":
        raise UserError(
            "strategy=model_parallel needs Keras on its JAX backend: set KERAS_BACKEND=jax in the environment before Keras is imported, "
            f"or use `tfllm finetune --strategy=model_parallel`. Received: Keras imported on {keras.backend.backend()}."
        )
