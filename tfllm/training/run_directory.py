"""The directory that a run leaves."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import fnmatch
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfllm.errors import UserError
from tfllm.metrics.json_scores import finite
from tfllm.tasks.predictions_file import write_new

_LOCK = ".lock"
_TO_GO_ON = ("best.weights.h5", "checkpoints")


class RunDirectory:
    """A new directory for a run, and writers that replace whole files.

    | name | content |
    | --- | --- |
    | `config.json` | the configuration, complete |
    | `results.json` | `"status"`: `"running"`, `"ok"`, `"interrupted"` or `"failed"` (both with `"error"`), and at the end all figures |
    | `metrics.jsonl` | metrics by step |
    | `tensorboard/` | the same as TensorBoard events |
    | `model/` | the best model, as a Hugging Face directory, or as a KerasHub preset where it came from one |
    | `adapter/` | with LoRA: the updates of that model and its head alone, as PEFT reads them |
    | `best.weights.h5` | while training, and after a failure: the best weights so far |
    | `<split>_predictions.tsv` | id, label, prediction and probabilities |
    | `<split>_predictions.json`, `<split>_nbest.json`, `<split>_null_odds.json` | for spans: as SQuAD's scorer reads them |
    | `learning_curve.png` | loss and score by step |
    | `README.md` | the model card |
    | `checkpoints/` | while training: all that the run needs to go on if it is killed |
    | `nan_batch/` | the batch of the step that ended the run, where loss or gradient was not finite |
    | `seed-<n>/` | with `seeds` > 1: a run directory for each seed |

    Args:
        path: the directory. It must not exist, or be empty.
        overwrite: if it holds an earlier run, remove what that run wrote. Other files in it are left alone.
        config: of the run: where the directory holds an unfinished run of the same configuration, it is left as it is, to go on
            with (`goes_on`).

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
        "adapter",
        "best.weights.h5",
        "checkpoints",
        "nan_batch",
        "wandb",
        "learning_curve.png",
        "README.md",
    )
    _PATTERNS = ("*_predictions.tsv", "*_predictions.json", "*_nbest.json", "*_null_odds.json", "partial-*", "seed-*")

    def __init__(self, path: str | os.PathLike, *, overwrite: bool = False, config: dict | None = None):
        self.path = Path(path)
        self.goes_on = self.check(self.path, overwrite=overwrite, config=config)
        if not self.goes_on:
            self.path.mkdir(parents=True, exist_ok=True)
            with self.locked():  # a run under way is not overwritten
                self.clear()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from going on with the run meanwhile. The lock is the system's, and ends with the process.

        Raises:
            UserError: another process has it.
        """
        path = self.path / _LOCK
        with contextlib.ExitStack() as opened:
            while True:
                lock = opened.enter_context(open(path, "w"))
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    raise UserError(f"another process is at work on this run. Received: run_dir={self.path}.") from None
                if path.exists() and os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                    break  # else the process that had it removed the file meanwhile
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    @staticmethod
    def check(path: str | os.PathLike, *, overwrite: bool = False, config: dict | None = None) -> bool:
        """Raises the error that making this run directory would raise, and touches nothing.

        Returns:
            Whether it holds an unfinished run of `config`, to go on with. (One that was killed when it had only to tidy up is one,
            too: see `finished`.)
        """
        path = Path(path)
        if path.exists() and not path.is_dir():
            raise UserError(f"run_dir must be a directory. Received: {path}, which is a file.")
        if not path.exists() or all(entry.name == _LOCK or _is_half_written(entry.name) for entry in path.iterdir()):
            return False  # or killed before it had said that it was running
        if not overwrite and config is not None and _is_unfinished(path):
            theirs = path / "config.json"  # the first thing after the status
            different = _differences(config, json.loads(theirs.read_text("utf-8"))) if theirs.exists() else []
            if different:
                raise UserError(
                    f"run_dir holds an unfinished run of another configuration: {'; '.join(different)}. Received: {path}. "
                    "Give the same options to go on with it, --overwrite, or another --run_dir."
                )
            return True
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
        return False

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def write_json(self, name: str, value: Any) -> None:
        """Writes a file in one move. NaN and infinity, which JSON lacks, become `null`."""
        self.write_text(name, json.dumps(finite(value), indent=2, allow_nan=False) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Writes a file in one move."""
        write_new(self.path / name, text.encode("utf-8"), overwrite=True)

    def clear(self) -> None:
        """Removes what a run wrote."""
        self.tidy()
        # The status last: a process killed here leaves what the next one takes for a run.
        names = sorted(self._NAMES, key=lambda name: name == "results.json")
        for path in [path for pattern in self._PATTERNS for path in self.path.glob(pattern)]:
            _remove(path)
        for name in names:
            _remove(self.path / name)

    def results(self) -> dict:
        """What `results.json` holds; nothing where it is not there."""
        return _results(self.path)

    def finished(self) -> dict | None:
        """The results, if the run is finished. Where it `goes_on` too, it was killed before it had tidied up."""
        results = self.results()
        return results if results.get("status") == "ok" else None

    def tidy(self) -> None:
        """Removes what a killed process had half written, and the batch that an earlier one failed at; of a finished run, also what
        it needed to go on."""
        for path in list(self.path.iterdir()):
            if _is_half_written(path.name) or path.name.startswith("partial-") or path.name == "nan_batch":
                _remove(path)
        if self.finished():
            for name in _TO_GO_ON:  # model/ holds the best weights, and there is nothing to go on with
                _remove(self.path / name)


def _results(path: Path) -> dict:
    try:
        return json.loads((path / "results.json").read_text("utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


def _is_unfinished(path: Path) -> bool:
    """Whether a run was killed there: it is still said to be running, has checkpoints to go on from, or has not tidied up."""
    status = _results(path).get("status")
    if status == "ok":
        return not is_tidy(path)
    return status in ("running", "interrupted") or any((path / "checkpoints").glob("step-*"))


def is_tidy(path: Path) -> bool:
    """Whether a finished run has nothing more there that it would need to go on."""
    return not any((path / name).exists() for name in _TO_GO_ON)


def _is_half_written(name: str) -> bool:
    """Whether that is a file which `write_new` had not yet moved to its place."""
    match = re.fullmatch(r"\.(.+)\.\w{8}", name)
    if match is None:
        return False
    known = (*RunDirectory._NAMES, *RunDirectory._PATTERNS)
    return any(fnmatch.fnmatchcase(match.group(1), pattern) for pattern in known)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _differences(ours: dict, theirs: dict) -> list[str]:
    """Options that make another run, `name: here x, there y`."""
    return [
        f"{name} is {theirs.get(name)!r} there and {ours.get(name)!r} now"
        for name in sorted(
            {*ours, *theirs}
            - {
                "run_dir",
                "overwrite",
                "strategy",  # the same numbers, to rounding
                "tpu",
                "checkpoint_every",
                "wandb_project",
                "mlflow_experiment",
                "max_skipped_steps",
                "debug_nan",
            }
        )
        if ours.get(name) != theirs.get(name)
    ]


def default_run_dir(task: str, model: str) -> str:
    """`runs/<time>-<task>-<model>`."""
    return f"runs/{datetime.datetime.now():%Y%m%d-%H%M%S}-" + re.sub(r"[^\w.-]+", "-", f"{task}-{model}")
