"""Metrics as TensorBoard scalars."""

from __future__ import annotations

import os

import tensorflow as tf

from tfllm.training.callbacks.metrics_recorder import MetricsRecorder


class TensorBoardScalars(MetricsRecorder):
    """Writes what `JsonlMetrics` writes, by optimizer step, as TensorBoard events.

    `keras.callbacks.TensorBoard` has graphs and histograms besides; it draws evaluations by epoch, and this one by
    step.

    Args:
        directory: where the event files go.
        every: steps from one point to the next. Evaluations and the last step always get a point.

    Example:
        model.fit(data, callbacks=[training.TensorBoardScalars("tensorboard", every=10)])
    """

    def __init__(self, directory: str | os.PathLike, *, every: int = 1):
        super().__init__(every)
        self.directory = os.fspath(directory)
        self._writer = None

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._writer = tf.summary.create_file_writer(self.directory)

    def write(self, values):
        with self._writer.as_default(step=values["step"]):
            for name, value in values.items():
                if name != "step":
                    tf.summary.scalar(name, value)
        self._writer.flush()

    def on_train_end(self, logs=None):
        super().on_train_end(logs)
        self._writer.close()
