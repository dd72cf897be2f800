"""The directory that a run leaves."""

from __future__ import annotations

import datetime
import json
import math
import os
import re
import shutil
from pathlib import Path
from typing import Any

from tfllm.errors import UserError
from tfllm.tasks.predictions_file import write_new


class RunDirectory:
    """A new directory for a run, and writers that replace whole files.

    | name | content |
    | --- | --- |
    | `config.json` | the configuration, complete |
    | `results.json` | `"status"`: `"running"`, `"ok"` or `"failed"` (with `"error"`), and at the end all figures |
    | `metrics.jsonl` | metrics by step |
    | `tensorboard/` | the same as TensorBoard events |
    | `model/` | the best model, as a Hugging Face directory, or as a KerasHub preset where it came from one |
    | `best.weights.h5` | while training, and after a failure: the best weights so far |
    | `<split>_predictions.tsv` | id, label, prediction and probabilities |
    | `<split>_predictions.json`, `<split>_nbest.json`, `<split>_null_odds.json` | for spans: as SQuAD's scorer reads them |
    | `learning_curve.png` | loss and score by step |
    | `README.md` | the model card |
    | `seed-<n>/` | with `seeds` > 1: a run directory for each seed |

    Args:
        path: the directory. It must not exist, or be empty.
        overwrite: if it holds an earlier run, remove what that run wrote. Other files in it are left alone.

    Raises:
        UserError: the directory exists and is not empty (with `overwrite`: and is not a run directory), or is a file.

    Example:
        >>> run = RunDirectory("runs/first")                       # doctest: +SKIP
        >>> run.write_json("config.json", {"seed": 0})             # doctest: +SKIP
    """

    _NAMES = (
        "config.json",
        "results.json",
        "metrics.jsonl",
        "tensorboard",
        "model",
        "best.weights.h5",
        "learning_curve.png",
        "README.md",
    )
    _PATTERNS = ("*_predictions.tsv", "*_predictions.json", "*_nbest.json", "*_null_odds.json", "partial-*", "seed-*")

    def __init__(self, path: str | os.PathLike, *, overwrite: bool = False):
        self.path = Path(path)
        self.check(self.path, overwrite=overwrite)
        self._clear()
        self.path.mkdir(parents=True, exist_ok=True)

    @staticmethod
    def check(path: str | os.PathLike, *, overwrite: bool = False) -> None:
        """Raises the error that making this run directory would raise, and touches nothing."""
        path = Path(path)
        if path.exists() and not path.is_dir():
            raise UserError(f"run_dir must be a directory. Received: {path}, which is a file.")
        if not path.exists() or not any(path.iterdir()):
            return
        if not overwrite:
            raise UserError(
                f"run_dir must not exist or be empty, so that no result is lost. Received: {path}. "
                "Use --overwrite or another --run_dir."
            )
        if not (path / "results.json").is_file():
            raise UserError(
                f"overwrite replaces an earlier run only, and there is none (no results.json). Received: {path}. "
                "Use another --run_dir."
            )

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def write_json(self, name: str, value: Any) -> None:
        """Writes a file in one move. NaN and infinity, which JSON lacks, become `null`."""
        self.write_text(name, json.dumps(_finite(value), indent=2, allow_nan=False) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Writes a file in one move."""
        write_new(self.path / name, text.encode("utf-8"), overwrite=True)

    def _clear(self) -> None:
        for path in [self.path / name for name in self._NAMES] + [
            path for pattern in self._PATTERNS for path in self.path.glob(pattern)
        ]:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def default_run_dir(task: str, model: str) -> str:
    """`runs/<time>-<task>-<model>`."""
    return f"runs/{datetime.datetime.now():%Y%m%d-%H%M%S}-" + re.sub(r"[^\w.-]+", "-", f"{task}-{model}")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
