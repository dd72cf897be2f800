"""What a `FinetuneConfig` says about which weights are trained and by what extra losses."""

from __future__ import annotations

import os
from collections.abc import Callable

import keras

from tfllm.errors import UserError
from tfllm.models import adaptation
from tfllm.training.finetune_config import FinetuneConfig
from tfllm.training.freezing import freeze
from tfllm.training.low_rank import TARGETS, lora, merge_lora, quantize
from tfllm.training.regularizers import FGM, SMART, Distillation, FreeLB, LabelSmoothing, RDrop, regularize
from tfllm.zoo.adapters import save_adapter


def prepare(model: keras.Model, config: FinetuneConfig, load: Callable[[str], keras.Model]) -> keras.Model:
    """Quantizes, adapts and freezes a model, and attaches its regularizers, as the configuration says; before `compile()`.

    Args:
        model: changed in place.
        config: the run.
        load: a checkpoint's name to a model with the task's head, for the teacher.

    Raises:
        UserError: see `lora`, `quantize`, `freeze`; or the teacher's head is not trained.
    """
    if config.quantize is not None:
        quantize(model, config.quantize)
    if config.lora_rank is not None:
        targets = TARGETS if config.lora_targets is None else config.lora_targets
        lora(model, config.lora_rank, config.lora_alpha, targets, config.lora_dropout)
    if config.freeze is not None:
        freeze(model, config.freeze)
    regularizers = [
        make(value)
        for make, value in (
            (LabelSmoothing, config.label_smoothing),
            (RDrop, config.rdrop),
            (FGM, config.fgm),
            (FreeLB, config.freelb_steps),
            (SMART, config.smart),
        )
        if value is not None
    ]
    if config.teacher is not None:
        teacher = load(config.teacher)
        fresh = (teacher.checkpoint or {}).get("fresh")
        if fresh:
            raise UserError(
                f"a teacher needs a trained head for this task. Received: {config.teacher}, which has none ({', '.join(fresh)})."
            )
        regularizers.append(Distillation(teacher, config.distill_temperature, config.distill_weight))
    return regularize(model, *regularizers) if regularizers else model


def write_adapter(model: keras.Model, directory: str | os.PathLike) -> None:
    """Writes the low-rank updates of a trained model, if it has some, and merges them, so that it can be saved as a plain one."""
    if adaptation.adapted(model):
        save_adapter(model, directory, overwrite=True)
    if adaptation.record(model):
        merge_lora(model)
