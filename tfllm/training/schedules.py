"""Learning-rate schedules with warm-up, as functions of the step."""

from __future__ import annotations

import math

import keras
from keras import ops

from tfllm.errors import UserError

SCHEDULES = ("linear", "cosine", "constant")


@keras.saving.register_keras_serializable("tfllm")
class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up from 0 to `learning_rate`, then linear or cosine decay to 0 at `total_steps`, or no decay.

    The same values as transformers' `get_linear_schedule_with_warmup`, `get_cosine_schedule_with_warmup` and
    `get_constant_schedule_with_warmup`: at step s of w warm-up steps the rate is `learning_rate * s / w`, so the first is 0.

    Args:
        learning_rate: the peak.
        total_steps: steps of the whole run; not needed for `"constant"`.
        warmup_steps: steps of the warm-up.
        decay: `"linear"`, `"cosine"` or `"constant"`.

    Example:
        >>> schedule = WarmupSchedule(1e-3, total_steps=100, warmup_steps=10)
        >>> [round(float(schedule(step)), 6) for step in (0, 5, 10, 55, 100)]
        [0.0, 0.0005, 0.001, 0.0005, 0.0]
    """

    def __init__(
        self, learning_rate: float, total_steps: int | None = None, warmup_steps: int = 0, decay: str = "linear"
    ):
        if decay not in SCHEDULES:
            raise UserError(f"schedule must be one of {SCHEDULES}. Received: {decay!r}.")
        if decay != "constant" and (total_steps is None or total_steps < 1):
            raise UserError(f"A {decay} schedule needs total_steps >= 1. Received: total_steps={total_steps!r}.")
        self.learning_rate, self.total_steps, self.warmup_steps, self.decay = (
            learning_rate,
            total_steps,
            warmup_steps,
            decay,
        )

    def __call__(self, step):
        step = ops.cast(step, "float32")
        warm = ops.minimum(step / max(self.warmup_steps, 1), 1.0) if self.warmup_steps else 1.0
        if self.decay == "constant":
            return ops.cast(self.learning_rate * warm * ops.ones_like(step), "float32")
        progress = ops.clip((step - self.warmup_steps) / max(self.total_steps - self.warmup_steps, 1), 0.0, 1.0)
        left = 1.0 - progress if self.decay == "linear" else 0.5 * (1.0 + ops.cos(math.pi * progress))
        return self.learning_rate * warm * left

    def get_config(self):
        return {
            "learning_rate": self.learning_rate,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
            "decay": self.decay,
        }
