"""When a metric is recorded, whatever it is recorded to."""

from __future__ import annotations

import keras

from tfllm.errors import UserError
from tfllm.training.callbacks.step_callback import StepCallback


class MetricsRecorder(StepCallback):
    """Base of the callbacks that record metrics: calls `write(values)`.

    The values are `step`, `epoch` (a fraction), `learning_rate`, and all that is in Keras' logs. Training metrics come
    every `every` steps and at the last step; evaluations (`val_...`) come whenever there is one.

    Args:
        every: steps from one record to the next.
    """

    # A last step that no line was due for is written when training ends, be it by another process.
    resumed = (*StepCallback.resumed, "_latest", "_latest_written", "_evaluation_written")

    def __init__(self, every: int = 1):
        super().__init__()
        if every < 1:
            raise UserError(f"{type(self).__name__}: every must be at least 1. Received: every={every!r}.")
        self.every = every
        self._latest, self._latest_written, self._evaluation_written = None, True, None

    def write(self, values: dict[str, float]) -> None:
        """Records `values`; `values["step"]` is the step they belong to."""
        raise NotImplementedError

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._latest, self._latest_written, self._evaluation_written = None, True, None

    def on_step_end(self, step, logs):
        evaluated = any(name.startswith("val_") for name in logs)
        self._latest = {**self._position(), **logs}
        self._latest_written = evaluated or self.is_due(self.every)
        if self._latest_written:
            self.write(self._latest)
            self._evaluation_written = step if evaluated else self._evaluation_written

    def on_epoch_end(self, epoch, logs=None):
        self._write_evaluation(logs)

    def on_train_end(self, logs=None):
        if not self._latest_written:
            self.write(self._latest)
        self._write_evaluation(logs)

    def _write_evaluation(self, logs: dict | None) -> None:
        evaluation = {name: value for name, value in (logs or {}).items() if name.startswith("val_")}
        if evaluation and self._evaluation_written != self.step:
            self.write({**self._position(), **evaluation})
            self._evaluation_written = self.step

    def _position(self) -> dict[str, float]:
        steps = self.params.get("steps") or 0
        epoch = self.epoch + (self.step - self._steps_before_epoch) / steps if steps else self.epoch
        return {"step": self.step, "epoch": round(epoch, 4), "learning_rate": learning_rate(self.model)}


def learning_rate(model: keras.Model) -> float:
    """The value of the model's learning-rate schedule at its present step."""
    return float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
