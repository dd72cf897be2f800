"""Early stopping by evaluations rather than by epochs."""

from __future__ import annotations

import math

import keras


class EarlyStopping(keras.callbacks.EarlyStopping):
    """Keras' `EarlyStopping`, whose patience counts evaluations: `Evaluate(every=N)` makes several of them in an epoch.

    Args: as for `keras.callbacks.EarlyStopping`, but `mode` is `"max"` by default, as benchmark metrics are.

    Example:
        callbacks=[training.Evaluate(task, every=100), training.EarlyStopping(monitor="val_f1", patience=3)]
    """

    def __init__(self, monitor: str, patience: int = 0, *, mode: str = "max", **options):
        super().__init__(monitor=monitor, patience=patience, mode=mode, **options)
        self._evaluations = 0

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._evaluations = 0

    def state(self) -> dict:
        """What `resume` needs, JSON-ready."""
        # Before the first evaluation `best` is an infinity, which JSON has not.
        best = None if self.best is None or math.isinf(self.best) else float(self.best)
        return {"wait": self.wait, "best": best, "best_epoch": self.best_epoch, "_evaluations": self._evaluations}

    def resume(self, step: int, done_in_epoch: int, state: dict) -> None:
        """See `StepCallback.resume`."""
        for name, value in state.items():
            if value is not None:
                setattr(self, name, value)

    def on_train_batch_end(self, batch, logs=None):
        self._count(logs)

    def on_epoch_end(self, epoch, logs=None):
        self._count(logs)

    def _count(self, logs: dict | None) -> None:
        if logs and self.monitor in logs:
            super().on_epoch_end(self._evaluations, logs)
            self._evaluations += 1
