"""Counts the steps whose loss or gradient is not finite, and stops training when there are too many."""

from __future__ import annotations

import logging
import math
import os

from tfllm.errors import UserError
from tfllm.training import finite
from tfllm.training.callbacks.metrics_recorder import learning_rate
from tfllm.training.callbacks.step_callback import StepCallback
from tfllm.training.nan_batch import save_nan_batch

_log = logging.getLogger("tfllm")


class NanGuard(StepCallback):
    """Ends `fit()` with one error when more than `max_skipped_steps` steps had a loss or gradient that is NaN or infinite.

    The train step that the optimizers of `tfllm.training.optimizer` bring has skipped these steps: nothing has changed in them. With
    another optimizer weights are spoilt by then, and the first such loss ends training.

    Puts `skipped_steps` into the logs: their number since training began, over resumptions too.

    Args:
        max_skipped_steps: how many such steps are borne; 0 stops at the first.
        batches: the `tfllm.data.Batches` that `fit()` trains on.
        examples: the `tfllm.data.Examples` behind them.
        directory: where the batch of the step that ended training is written to (see `save_nan_batch`); needs `batches`.

    Attributes:
        skipped_steps: their number.

    Raises:
        UserError: names the step, what was not finite, the learning rate, and what to try.

    Example:
        model.fit(data, callbacks=[training.NanGuard(max_skipped_steps=3)])
    """

    resumed = (*StepCallback.resumed, "skipped_steps")

    def __init__(
        self,
        max_skipped_steps: int = 10,
        *,
        batches=None,
        examples=None,
        directory: str | os.PathLike | None = None,
    ):
        super().__init__()
        if max_skipped_steps < 0:
            raise UserError(f"max_skipped_steps must be at least 0. Received: {max_skipped_steps}.")
        if directory is not None and batches is None:
            raise UserError(f"NanGuard needs the batches to save one. Received: directory={directory}, batches=None.")
        self.max_skipped_steps, self.batches, self.examples = max_skipped_steps, batches, examples
        self.directory = directory
        self.skipped_steps = self._counted = 0

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        record = self._record
        self.skipped_steps, self._counted = 0, 0 if record is None else record.count(finite.SKIPPED)

    def on_step_end(self, step, logs):
        counted = logs.get("skipped_steps")
        if counted is None:  # another train step than ours
            if not math.isfinite(logs.get("loss", 0.0)):
                raise self._error(step, f"loss={logs['loss']}")
            return
        new, self._counted = int(counted) - self._counted, int(counted)
        self.skipped_steps += new
        logs["skipped_steps"] = self.skipped_steps
        if not new:
            return
        record = self._record
        # Several steps may have been made in one call.
        last = record.count(finite.LAST_SKIPPED) - (record.count(finite.STEPS) - step)
        bad = record.bad_variables()
        received = f"loss={logs['loss']}" if last == step and not math.isfinite(logs["loss"]) else _gradients(bad)
        if self.skipped_steps <= self.max_skipped_steps:
            _log.warning(
                "step %d: %s; it changed nothing and is skipped (%d so far, at most %d)",
                last,
                received,
                self.skipped_steps,
                self.max_skipped_steps,
            )
            return
        raise self._error(last, received, bad)

    @property
    def _record(self) -> finite.StepRecord | None:
        own = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        return getattr(own, "step_record", None)

    def _error(self, step: int, received: str, bad: list[str] = ()) -> UserError:
        rate, saved = learning_rate(self.model), ""
        if self.directory is not None:
            facts = {"received": received, "learning_rate": rate, "gradients_not_finite": bad}
            save_nan_batch(self.directory, self.batches, step, examples=self.examples, facts=facts)
            saved = f" The batch of that step is in {self.directory}."
        half = (
            " In mixed_float16, mixed_bfloat16 or float32 has more range."
            if self.model.dtype_policy.name == "mixed_float16"
            else ""
        )
        count = f" ({self.skipped_steps} such steps, at most {self.max_skipped_steps})" if self.skipped_steps else ""
        return UserError(
            f"loss and gradient must be finite numbers. Received: {received} at step {step}, learning rate {rate:.3g}{count}. "
            f"Try a lower learning_rate, a longer warmup, or a smaller clip_norm; look for wrong values among the labels.{half}{saved}"
        )


def _gradients(paths: list[str]) -> str:
    """Says whose gradients are not finite."""
    if not paths:
        return "a gradient whose norm is beyond float32"
    shown = ", ".join(paths[:3]) + (", ..." if len(paths) > 3 else "")
    return f"gradients of {len(paths)} variables not finite ({shown})"
