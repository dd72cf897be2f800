"""What a run on JAX does not have."""

from __future__ import annotations

import keras

from tfllm.checkpoints.kerashub import preset_of
from tfllm.errors import UserError
from tfllm.tasks import Task
from tfllm.training.demo_checkpoint import resolve_model
from tfllm.training.finetune_config import FinetuneConfig

# Options whose code is TensorFlow's: extra passes and gradients inside the train step.
_OF_TENSORFLOW = ("label_smoothing", "rdrop", "fgm", "freelb_steps", "smart", "teacher")


def check_supported(config: FinetuneConfig, task: Task) -> None:
    """Refuses, before anything is loaded, what a run does only on TensorFlow; does nothing where Keras runs on that.

    Raises:
        UserError: one of the options is such a one.
    """
    if keras.backend.backend() == "tensorflow":
        return
    for name in _OF_TENSORFLOW:
        value = getattr(config, name, None)
        if value is not None:
            raise UserError(
                f"{name} is implemented on TensorFlow only: leave it out, or take another strategy. Received: {name}={value} with Keras on "
                f"{keras.backend.backend()}."
            )
    if config.steps_per_call > 1:
        raise UserError(
            "steps_per_call is of TensorFlow: leave it out, as JAX does not wait for a step before it begins the next. "
            f"Received: steps_per_call={config.steps_per_call}."
        )
    if task.strategy.head == "generator":
        raise UserError(
            f"{task.name} is scored on texts that the model writes, which is implemented on TensorFlow only: take another strategy. "
            f"Received: strategy={config.strategy} with Keras on {keras.backend.backend()}."
        )
    if config.model and preset_of(resolve_model(config.model)) is not None:
        raise UserError(
            "On JAX give a Hugging Face directory, whose weights are known by name and can be split. "
            f"Received: model={config.model}, a KerasHub preset."
        )
    if config.dtype == "mixed_float16":
        raise UserError(
            "On JAX give dtype=mixed_bfloat16, which needs no loss scale. Received: dtype=mixed_float16 with "
            f"strategy={config.strategy}."
        )
