"""A callback that counts optimizer steps over all epochs."""

from __future__ import annotations

import keras


class StepCallback(keras.callbacks.Callback):
    """Base of the callbacks that act by the step.

    `self.step` is the number of optimizer steps since `fit()` began, over all epochs and also with
    `steps_per_execution` > 1; `self.epoch` is the epoch's index, from 0. A subclass overrides `on_step_end(step,
    logs)`. One that overrides `on_train_begin`, `on_epoch_begin` or `on_train_batch_end` calls `super()`.

    Example:
        >>> class Print(StepCallback):
        ...     def on_step_end(self, step, logs):
        ...         print(step, logs["loss"])
    """

    def __init__(self):
        super().__init__()
        self.step = self.epoch = self._previous_step = self._steps_before_epoch = 0

    def on_train_begin(self, logs=None):
        self.step = self.epoch = self._previous_step = self._steps_before_epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch, self._steps_before_epoch = epoch, self.step

    def on_train_batch_end(self, batch, logs=None):
        # With several steps an execution, Keras' last `batch` of an epoch lies beyond the epoch's end.
        in_epoch = min(batch + 1, self.params.get("steps") or batch + 1)
        self._previous_step, self.step = self.step, self._steps_before_epoch + in_epoch
        self.on_step_end(self.step, {} if logs is None else logs)

    def on_step_end(self, step: int, logs: dict) -> None:
        """Called after each step (after each `steps_per_execution` steps). What it puts into `logs`, later callbacks
        see."""

    def is_due(self, every: int) -> bool:
        """Whether this step, or one of the steps of this execution, is a multiple of `every`."""
        return self.step // every > self._previous_step // every
