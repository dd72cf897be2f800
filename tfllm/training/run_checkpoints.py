"""Checkpoints of a run on disk: whole or not there, checksummed, the newest few kept."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from tfllm.checkpoints.tensor_image import TensorImage, checksum_of
from tfllm.errors import UserError

_log = logging.getLogger("tfllm")
_ARRAYS, _STATE = "arrays.safetensors", "state.json"
_NAME = re.compile(r"step-(\d{8})")


@dataclasses.dataclass(frozen=True)
class RunCheckpoint:
    """One checkpoint: arrays by name, and a dictionary that JSON can hold (NaN and infinity, as Python writes them, too).

    Arrays in a `TensorImage` are written as they lie; of others a copy is made.
    """

    step: int
    arrays: Mapping[str, np.ndarray]
    state: dict[str, Any]


class RunCheckpoints:
    """The checkpoints in one directory, `step-<step>/` each.

    A checkpoint is written beside its place, synchronised with the disk and renamed, so a process killed at any moment leaves
    whole ones only. What a disk damages later is found by its checksum, and the one before is taken.

    Args:
        directory: where they are; made when the first is written.
        keep: how many of the newest stay.

    Example:
        >>> checkpoints = RunCheckpoints("run/checkpoints", keep=2)                          # doctest: +SKIP
        >>> checkpoints.write(RunCheckpoint(100, {"w": np.zeros(3)}, {"epoch": 0}))          # doctest: +SKIP
        >>> checkpoints.newest().step                                                        # doctest: +SKIP
        100
    """

    def __init__(self, directory: str | os.PathLike, *, keep: int = 2):
        if keep < 1:
            raise UserError(f"keep must be at least 1. Received: keep={keep}.")
        self.directory, self.keep = Path(directory), keep

    def steps(self) -> list[int]:
        """Steps of the checkpoints that are there, ascending."""
        if not self.directory.is_dir():
            return []
        names = (_NAME.fullmatch(path.name) for path in self.directory.iterdir())
        return sorted(int(name.group(1)) for name in names if name)

    def write(self, checkpoint: RunCheckpoint) -> None:
        """Writes one, and removes those that are no longer among the newest."""
        self.directory.mkdir(parents=True, exist_ok=True)
        target = self._path(checkpoint.step)
        staging = self.directory / f"partial-{target.name}"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        arrays = checkpoint.arrays
        image = arrays if isinstance(arrays, TensorImage) else TensorImage.of(arrays)
        content = {"step": checkpoint.step, "crc32": image.write(staging / _ARRAYS), **checkpoint.state}
        text = json.dumps(content)  # a score may be NaN, the best one so far -inf
        digest = hashlib.sha256(text.encode()).hexdigest()
        (staging / _STATE).write_text(f"{text}\n{digest}\n", "utf-8")
        for path in (staging / _STATE, staging):
            _synchronize(path)
        shutil.rmtree(target, ignore_errors=True)  # a damaged one that was passed over
        os.replace(staging, target)
        _synchronize(self.directory)
        for step in self.steps()[: -self.keep]:
            shutil.rmtree(self._path(step))

    def newest(self) -> RunCheckpoint | None:
        """The newest that is undamaged; `None` where there is none. Each that is passed over is logged as a warning."""
        if self.directory.is_dir():
            for partial in self.directory.glob("partial-*"):
                shutil.rmtree(partial)
        steps = self.steps()
        for step in reversed(steps):
            try:
                return self.read(step)
            except (OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
                before = "taking the checkpoint before it" if step > steps[0] else "there is none before it"
                _log.warning("%s is damaged (%s): %s.", self._path(step), error, before)
        return None

    def read(self, step: int) -> RunCheckpoint:
        """The checkpoint of a step.

        Raises:
            OSError, ValueError, KeyError, SafetensorError: it is not there, or is damaged.
        """
        path = self._path(step)
        lines = (path / _STATE).read_text("utf-8").splitlines()
        if len(lines) != 2 or hashlib.sha256(lines[0].encode()).hexdigest() != lines[1]:
            raise ValueError(f"the checksum of {_STATE} differs")
        state = json.loads(lines[0])
        if checksum_of(path / _ARRAYS) != state.pop("crc32"):
            raise ValueError(f"the checksum of {_ARRAYS} differs")
        return RunCheckpoint(state.pop("step"), safetensors.numpy.load_file(path / _ARRAYS), state)

    def _path(self, step: int) -> Path:
        return self.directory / f"step-{step:08d}"


def _synchronize(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
