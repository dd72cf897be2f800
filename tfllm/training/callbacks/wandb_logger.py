"""Metrics to Weights & Biases, through its own library."""

from __future__ import annotations

import os
from typing import Any

from tfllm.training.callbacks.external_logger import ExternalLogger
from tfllm.training.optional_library import import_optional


class WandbLogger(ExternalLogger):
    """Logs what `JsonlMetrics` writes as a run of a Weights & Biases project (extra `wandb`).

    Where the run goes is the library's business: `WANDB_MODE=offline` keeps it in `directory`, to be sent by `wandb sync`.

    Args:
        project: name of the project.
        name: of the run; default: the library's choice.
        settings: JSON-ready values to record with the run, such as `FinetuneConfig.to_dict()`.
        directory: where the library keeps its files; default: the working directory.
        every: steps from one record to the next. Evaluations and the last step always get one.

    Raises:
        UserError: the library is not installed.

    Example:
        model.fit(data, callbacks=[training.WandbLogger("my-project", every=10)])
    """

    def __init__(
        self,
        project: str,
        *,
        name: str | None = None,
        settings: dict[str, Any] | None = None,
        directory: str | os.PathLike | None = None,
        every: int = 1,
    ):
        super().__init__(every)
        self._wandb = import_optional("wandb", extra="wandb", wanted_by="wandb_project")
        self.project, self.name, self.settings = project, name, settings or {}
        self.directory = None if directory is None else os.fspath(directory)
        self._run = None

    def open(self, run_id):
        # A run of its own, also where the process has another one open.
        self._run = self._wandb.init(
            project=self.project,
            name=self.name,
            config=self.settings,
            dir=self.directory,
            id=run_id,
            resume="allow" if run_id else None,
            reinit="create_new",
        )
        return self._run.id

    def log(self, values):
        self._run.log({key: value for key, value in values.items() if key != "step"}, step=values["step"])

    def end(self, failed):
        self._run.finish(exit_code=1 if failed else 0)
