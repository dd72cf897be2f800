"""Evaluation with the task's official metrics while training."""

from __future__ import annotations

import time

from tfllm.errors import UserError
from tfllm.training.callbacks.step_callback import StepCallback
from tfllm.training.moving_averages import averaged_weights


class Evaluate(StepCallback):
    """Scores the model on a split and puts `val_<metric>` into Keras' logs, for `History` and later callbacks.

    Where the optimizer keeps moving averages of the weights, it is they that are scored (see `training.averaged_weights`).

    Args:
        task: a `tfllm.tasks.Task`, or anything with `metrics`, their names, and `evaluate(model, split, **options) ->
            {name: value}`.
        split: the split to score.
        every: `None` for the end of each epoch, or a number of steps; the end of training is then scored too.
        **options: passed to `task.evaluate`, such as `batch_size`, `layout`, `max_length`.

    Attributes:
        history: list of `{"step": int, "epoch": int, <metric>: float, ...}`, one for each evaluation.
        seconds: time spent in evaluations.

    Example:
        model.fit(task.batches("train", model.tokenizer), callbacks=[training.Evaluate(task, "validation", every=100)])
    """

    resumed = (*StepCallback.resumed, "history", "seconds", "_done_at")

    def __init__(self, task, split: str = "validation", *, every: int | None = None, **options):
        super().__init__()
        if every is not None and every < 1:
            raise UserError(f"Evaluate: every must be None or at least 1. Received: every={every!r}.")
        self.task, self.split, self.every, self.options = task, split, every, options
        self.history: list[dict] = []
        self.seconds = 0.0
        self._done_at = 0

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._done_at = 0

    def on_step_end(self, step, logs):
        if self.every and self.is_due(self.every):
            self._evaluate(logs)

    def on_epoch_end(self, epoch, logs=None):
        if not self.every:
            self._evaluate(logs)

    def on_train_end(self, logs=None):
        # Training can end between two evaluations: the weights it ends with count too.
        if self._done_at != self.step:
            self._evaluate(logs)

    def _evaluate(self, logs: dict | None) -> None:
        start = time.perf_counter()
        with averaged_weights(self.model):
            scores = self.task.evaluate(self.model, self.split, **self.options)
        self.seconds += time.perf_counter() - start
        self._done_at = self.step
        metrics = {name: float(scores[name]) for name in self.task.metrics}
        self.history.append({"step": self.step, "epoch": self.epoch, **metrics})
        if logs is not None:
            logs.update({f"val_{name}": value for name, value in metrics.items()})
