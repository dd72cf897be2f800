"""Keeps the weights of the best evaluation."""

from __future__ import annotations

import math
import os
from pathlib import Path

from tfllm.training.callbacks.step_callback import StepCallback


class BestCheckpoint(StepCallback):
    """Saves the weights whenever the monitored metric gets better, and puts the best ones back when training ends.

    The file is replaced in one move, so a run killed at any moment leaves the weights of one whole evaluation. A metric
    that is NaN counts as the worst there is. Of equal scores the first is kept.

    Args:
        path: file to write; Keras wants it to end in `.weights.h5`.
        monitor: name in the logs, such as `"val_f1"`; more is better.
        restore: put the best weights into the model at the end of training.
        writes: whether this process is the one that writes the file (the chief of several).

    Attributes:
        best: the best value, or `None` before the first evaluation.
        best_step: the step of that evaluation.

    Example:
        callbacks=[training.Evaluate(task), training.BestCheckpoint("best.weights.h5", monitor="val_accuracy")]
    """

    resumed = ("best", "best_step")

    def __init__(self, path: str | os.PathLike, monitor: str, *, restore: bool = True, writes: bool = True):
        super().__init__()
        self.path, self.monitor, self.restore, self.writes = Path(path), monitor, restore, writes
        self.best: float | None = None
        self.best_step: int | None = None

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self.best = self.best_step = None

    def on_step_end(self, step, logs):
        self._keep_if_better(logs)

    def on_epoch_end(self, epoch, logs=None):
        self._keep_if_better(logs or {})

    def on_train_end(self, logs=None):
        self._keep_if_better(logs or {})
        if self.restore and self.best_step not in (None, self.step):
            self.model.load_weights(self.path)

    def _keep_if_better(self, logs: dict) -> None:
        if self.monitor not in logs:
            return
        value = -math.inf if math.isnan(logs[self.monitor]) else float(logs[self.monitor])
        if self.best is None or value > self.best:
            if self.writes:
                temporary = self.path.with_name("partial-" + self.path.name)
                self.model.save_weights(temporary, overwrite=True)
                os.replace(temporary, self.path)
            self.best, self.best_step = value, self.step
