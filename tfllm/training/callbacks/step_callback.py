"""A callback that counts optimizer steps over all epochs."""

from __future__ import annotations

from typing import Any

import keras


class StepCallback(keras.callbacks.Callback):
    """Base of the callbacks that act by the step.

    `self.step` is the number of optimizer steps since `fit()` began, over all epochs and also with
    `steps_per_execution` > 1, and since the run began where `fit()` goes on with one; `self.epoch` is the epoch's index,
    from 0. A subclass overrides `on_step_end(step, logs)`. One that overrides `on_train_begin`, `on_epoch_begin` or
    `on_train_batch_end` calls `super()`.

    Example:
        >>> class Print(StepCallback):
        ...     def on_step_end(self, step, logs):
        ...         print(step, logs["loss"])
    """

    resumed: tuple[str, ...] = ("epoch", "_steps_before_epoch")
    """Attributes that a resumed run goes on with; their values are JSON-ready. A subclass adds its own to these."""

    def __init__(self):
        super().__init__()
        self._begin()

    def _begin(self) -> None:
        self.step = self.epoch = self._previous_step = self._steps_before_epoch = 0
        self._done_in_epoch = self._skipped = 0  # steps of the present epoch that an earlier process did

    def on_train_begin(self, logs=None):
        self._begin()

    def on_epoch_begin(self, epoch, logs=None):
        self._skipped, self._done_in_epoch = self._done_in_epoch, 0
        self.epoch, self._steps_before_epoch = epoch, self.step - self._skipped

    def on_train_batch_end(self, batch, logs=None):
        # With several steps an execution, Keras' last `batch` of an epoch lies beyond the epoch's end.
        in_epoch = self._skipped + batch + 1
        in_epoch = min(in_epoch, self.params.get("steps") or in_epoch)
        self._previous_step, self.step = self.step, self._steps_before_epoch + in_epoch
        self.on_step_end(self.step, {} if logs is None else logs)

    def on_step_end(self, step: int, logs: dict) -> None:
        """Called after each step (after each `steps_per_execution` steps). What it puts into `logs`, later callbacks
        see."""

    def is_due(self, every: int) -> bool:
        """Whether this step, or one of the steps of this execution, is a multiple of `every`."""
        return self.step // every > self._previous_step // every

    def state(self) -> dict[str, Any]:
        """What `resume` needs, JSON-ready."""
        return {name: getattr(self, name) for name in self.resumed}

    def resume(self, step: int, done_in_epoch: int, state: dict[str, Any]) -> None:
        """Goes on where another process stopped. Called after `on_train_begin`.

        Args:
            step: optimizer steps done.
            done_in_epoch: those of them that belong to the epoch that is about to begin.
            state: what `state` gave there.
        """
        self.step = self._previous_step = step
        self._done_in_epoch = done_in_epoch
        for name, value in state.items():
            setattr(self, name, value)
