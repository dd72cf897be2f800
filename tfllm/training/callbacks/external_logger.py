"""What the loggers of other libraries share: a run that is found again on resuming, and ended however training ends."""

from __future__ import annotations

from tfllm.training.callbacks.metrics_recorder import MetricsRecorder


class ExternalLogger(MetricsRecorder):
    """Base of the callbacks that log to another library's run. The run is opened with the first record.

    Attributes:
        run_id: the library's name of the run; a resumed training goes on with it.
    """

    resumed = (*MetricsRecorder.resumed, "run_id")

    def __init__(self, every: int = 1):
        super().__init__(every)
        self.run_id: str | None = None
        self._is_open = False

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self.run_id = None

    def write(self, values):
        if not self._is_open:
            self.run_id = self.open(self.run_id)
            self._is_open = True
        self.log(values)

    def open(self, run_id: str | None) -> str:
        """Opens that run again, or with `None` a new one; returns its name."""
        raise NotImplementedError

    def log(self, values: dict[str, float]) -> None:
        """Records `values` in the open run."""
        raise NotImplementedError

    def end(self, failed: bool) -> None:
        """Ends the open run."""
        raise NotImplementedError

    def on_train_end(self, logs=None):
        super().on_train_end(logs)
        self.close()

    def close(self, failed: bool = False) -> None:
        """Ends the run, if there is one open; `fit()` does it when it ends, and the caller if `fit()` fails."""
        if self._is_open:
            self._is_open = False
            self.end(failed)
