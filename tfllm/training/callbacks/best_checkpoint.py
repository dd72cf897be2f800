"""Keeps the weights of the best evaluation."""

from __future__ import annotations

import logging
import math
import os
from pathlib import Path

from tfllm.checkpoints.tensor_image import checksum_of
from tfllm.training.callbacks.step_callback import StepCallback
from tfllm.training.moving_averages import averaged_weights

_log = logging.getLogger("tfllm")


class BestCheckpoint(StepCallback):
    """Saves the weights whenever the monitored metric gets better, and puts the best ones back when training ends.

    Where the optimizer keeps moving averages of the weights, it is they that are saved, as it is they that `Evaluate` has scored.

    The file is replaced in one move, so a run killed at any moment leaves the weights of one whole evaluation. Where it is not what
    was written (its checksum is kept), that is logged as a warning and the last weights stay. A metric that is NaN counts as the worst
    there is. Of equal scores the first is kept.

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

    resumed = (*StepCallback.resumed, "best", "best_step", "_checksum")

    def __init__(self, path: str | os.PathLike, monitor: str, *, restore: bool = True, writes: bool = True):
        super().__init__()
        self.path, self.monitor, self.restore, self.writes = Path(path), monitor, restore, writes
        self.best: float | None = None
        self.best_step: int | None = None
        self._checksum: int | None = None

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self.best = self.best_step = self._checksum = None

    def on_step_end(self, step, logs):
        self._keep_if_better(logs)

    def on_epoch_end(self, epoch, logs=None):
        self._keep_if_better(logs or {})

    def on_train_end(self, logs=None):
        self._keep_if_better(logs or {})
        if not self.restore or self.best_step in (None, self.step):
            return
        if self.writes and (not self.path.exists() or checksum_of(self.path) != self._checksum):
            _log.warning(
                "%s is damaged or missing: the weights stay those of step %d, not of the best one, %d.",
                self.path,
                self.step,
                self.best_step,
            )
            self.best_step = self.step
            return
        self.model.load_weights(self.path)

    def _keep_if_better(self, logs: dict) -> None:
        if self.monitor not in logs:
            return
        value = -math.inf if math.isnan(logs[self.monitor]) else float(logs[self.monitor])
        if self.best is None or value > self.best:
            if self.writes:
                temporary = self.path.with_name("partial-" + self.path.name)
                with averaged_weights(self.model):
                    self.model.save_weights(temporary, overwrite=True)
                self._checksum = checksum_of(temporary)
                os.replace(temporary, self.path)
            self.best, self.best_step = value, self.step
