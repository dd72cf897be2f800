"""One run that is killed at 20 random moments: `python -m pytest -m slow -n 0 -s tests/training/test_soak.py` shows what was hit."""

from __future__ import annotations

import collections
import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_resume import SCRIPT, same_run

from tfllm.training.run_checkpoints import RunCheckpoints

KILLS = 20
FLAGS = ("--epochs=100", "--checkpoint_every=7", "--layout=packed", "--ema=0.9", "--learning_rate=1e-3")


def start(checkpoint, run_dir, phases: Path) -> subprocess.Popen:
    command = [sys.executable, str(SCRIPT), str(checkpoint), str(run_dir), f"--phases={phases}", *FLAGS]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.rglob("*") if not path.name.startswith("events.out")}


def wait_for_training(process: subprocess.Popen, phases: Path) -> float:
    """Seconds until the first step is done."""
    began = time.monotonic()
    while process.poll() is None:
        if phases.exists() and "train" in phases.read_text().splitlines():
            return time.monotonic() - began
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.01)
    pytest.fail(f"ended with {process.returncode}: {process.stderr.read()[-2000:]}")


@pytest.mark.slow
def test_a_run_killed_at_twenty_random_moments_is_the_one_that_was_left_alone(checkpoint, tmp_path):
    """Half of the moments are drawn from the time that starting takes, half from a twentieth of the time that training takes."""
    whole = start(checkpoint, tmp_path / "whole", tmp_path / "phases-of-whole")
    starting, began = wait_for_training(whole, tmp_path / "phases-of-whole"), time.monotonic()
    _, said = whole.communicate(timeout=900)
    assert whole.returncode == 0, said[-2000:]
    training = time.monotonic() - began

    draw, run_dir, phases = random.Random(0), tmp_path / "run", tmp_path / "phases"
    hit, newest = collections.Counter(), [0]
    while sum(hit.values()) < KILLS:
        phases.unlink(missing_ok=True)
        process = start(checkpoint, run_dir, phases)
        if draw.random() < 0.5:
            moment = draw.uniform(0, starting)
        else:
            starting, moment = wait_for_training(process, phases), draw.uniform(0, training / KILLS)
        try:
            _, said = process.communicate(timeout=moment)
            pytest.fail(f"ended before it was killed, with {process.returncode}: {said[-2000:]}")
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        assert process.returncode == -signal.SIGKILL
        phase = phases.read_text().splitlines()[-1] if phases.exists() else "import"
        checkpoints = RunCheckpoints(run_dir / "checkpoints")
        writing = any(checkpoints.directory.glob("partial-*"))
        hit["checkpoint write" if writing and phase in ("train", "evaluate") else phase] += 1
        newest.append(max(checkpoints.steps(), default=0))
    last = start(checkpoint, run_dir, phases)
    _, said = last.communicate(timeout=900)
    assert last.returncode == 0, said[-2000:]

    print(f"\n{dict(hit)}; newest checkpoints {newest[1:]}; {training:.0f} s of training")
    # No kill undid a checkpoint; training went on between them, and start-up and training were both hit.
    assert newest == sorted(newest) and len(set(newest)) > 5
    assert sum(step > 0 for step in newest) >= KILLS / 2
    assert (
        hit["import"] + hit["prepare"] + hit["first step"] >= 3
        and hit["train"] + hit["evaluate"] + hit["checkpoint write"] >= 3
    )
    assert json.loads((run_dir / "results.json").read_text())["resumed_after_step"] >= newest[-1] > 0
    same_run(run_dir, tmp_path / "whole")
    assert names(run_dir) == names(tmp_path / "whole")
