"""Metrics to MLflow, through its own library."""

from __future__ import annotations

import math
import time
from typing import Any

from tfllm.training.callbacks.external_logger import ExternalLogger
from tfllm.training.optional_library import import_optional

_LONGEST = 500  # characters of a parameter that every MLflow server takes


class MlflowLogger(ExternalLogger):
    """Logs what `JsonlMetrics` writes as a run of an MLflow experiment (extra `mlflow`).

    Where the run goes is the library's business: `MLFLOW_TRACKING_URI` names a server or a database.

    Args:
        experiment: name of the experiment; made if it is not there.
        name: of the run; default: the library's choice.
        settings: values to record as the run's parameters, such as `FinetuneConfig.to_dict()`.
        every: steps from one record to the next. Evaluations and the last step always get one.

    Raises:
        UserError: the library is not installed.

    Example:
        model.fit(data, callbacks=[training.MlflowLogger("my-experiment", every=10)])
    """

    def __init__(
        self, experiment: str, *, name: str | None = None, settings: dict[str, Any] | None = None, every: int = 1
    ):
        super().__init__(every)
        self._mlflow = import_optional("mlflow", extra="mlflow", wanted_by="mlflow_experiment")
        self.experiment, self.name, self.settings = experiment, name, settings or {}
        self._client = None

    def open(self, run_id):
        # The client, and not the module's functions: those share one active run with whatever else the process logs.
        self._client = self._mlflow.MlflowClient()
        if run_id is not None:
            self._client.set_terminated(run_id, "RUNNING")
            return run_id
        found = self._client.get_experiment_by_name(self.experiment)
        number = found.experiment_id if found is not None else self._client.create_experiment(self.experiment)
        run_id = self._client.create_run(number, run_name=self.name).info.run_id
        settings = [self._mlflow.entities.Param(key, str(value)[:_LONGEST]) for key, value in self.settings.items()]
        self._client.log_batch(run_id, params=settings)
        return run_id

    def log(self, values):
        now, step = int(1000 * time.time()), values["step"]
        metrics = [
            self._mlflow.entities.Metric(key, value, now, step)
            for key, value in values.items()
            if key != "step" and math.isfinite(value)
        ]
        self._client.log_batch(self.run_id, metrics=metrics)

    def end(self, failed):
        self._client.set_terminated(self.run_id, "FAILED" if failed else "FINISHED")
