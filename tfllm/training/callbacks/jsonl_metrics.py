"""Metrics as JSON lines."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

from tfllm.tasks.predictions_file import write_new
from tfllm.training.callbacks.metrics_recorder import MetricsRecorder


class JsonlMetrics(MetricsRecorder):
    """Writes one JSON object a line: `step`, `epoch` (a fraction), `learning_rate`, and all that is in Keras' logs.

    `loss` and the training metrics are what Keras reports: their means since the epoch began.

    Every line reaches the file at once, so a killed run keeps what it had. Numbers that JSON lacks (NaN, infinity) are
    written as `null`. An existing file is added to.

    Args:
        path: file to write.
        every: steps from one line to the next. Evaluations and the last step always get a line.

    Example:
        model.fit(data, callbacks=[training.JsonlMetrics("metrics.jsonl", every=10)])
    """

    resumed = (*MetricsRecorder.resumed, "_lines")

    def __init__(self, path: str | os.PathLike, *, every: int = 1):
        super().__init__(every)
        self.path = Path(path)
        self._file, self._lines = None, 0

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._open()
        self._lines = len(self._read())

    def resume(self, step, done_in_epoch, state):
        """What was written after the checkpoint is taken out: it is about to be done again."""
        super().resume(step, done_in_epoch, state)
        kept = [line for line in self._read()[: self._lines] if _step_of(line) <= step]
        self._file.close()
        write_new(self.path, "".join(f"{line}\n" for line in kept).encode(), overwrite=True)
        self._lines = len(kept)
        self._open()

    def write(self, values):
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._file.write(json.dumps(finite, allow_nan=False) + "\n")
        self._lines += 1

    def _open(self) -> None:
        self._file = open(self.path, "a", encoding="utf-8", buffering=1)  # flushed at every line

    def _read(self) -> list[str]:
        return self.path.read_text("utf-8").splitlines()

    def on_train_end(self, logs=None):
        super().on_train_end(logs)
        self._file.close()


def _step_of(line: str) -> float:
    """The step of a line; infinity for one that was cut off while it was written."""
    try:
        return json.loads(line)["step"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return math.inf
