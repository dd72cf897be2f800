"""Stops training when the loss is no longer a number."""

from __future__ import annotations

import math

from tfllm.errors import UserError
from tfllm.training.callbacks.metrics_recorder import learning_rate
from tfllm.training.callbacks.step_callback import StepCallback


class NanGuard(StepCallback):
    """Ends `fit()` with one error when the loss becomes NaN or infinite.

    Raises:
        UserError: names the step, the learning rate, and what to try.

    Example:
        model.fit(data, callbacks=[training.NanGuard()])
    """

    def on_step_end(self, step, logs):
        loss = logs.get("loss")
        if loss is None or math.isfinite(loss):
            return
        half = (
            " In mixed_float16, mixed_bfloat16 or float32 has more range."
            if self.model.dtype_policy.name == "mixed_float16"
            else ""
        )
        raise UserError(
            f"the loss must be a finite number. Received: loss={loss} at step {step}, "
            f"learning rate {learning_rate(self.model):.3g}. Try a lower learning_rate, a longer warmup, or a smaller "
            f"clip_norm; look for wrong values among the labels.{half}"
        )
