"""Real processes on loopback that train one model together: `python -m pytest -m slow tests/training/test_workers.py`."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toy_finetuning
from test_resume import SCRIPT, losses, same_run

pytestmark = pytest.mark.slow


def ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    found = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return found


def start(checkpoint, run_dir: Path, *flags: str, workers: int = 2, of_worker: dict[int, list[str]] | None = None):
    """The processes of one run."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports(workers)]}
    command = [sys.executable, str(SCRIPT), str(checkpoint), str(run_dir), "--checkpoint_every=7", *flags]
    return [
        subprocess.Popen(
            [*command, "--strategy=multi_worker", *(of_worker or {}).get(index, [])],
            env={
                **os.environ,
                "TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}}),
            },
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        for index in range(workers)
    ]


def finish(processes, timeout: float = 300) -> list[tuple[int, str]]:
    result = []
    for process in processes:
        _, error = process.communicate(timeout=timeout)
        result.append((process.returncode, error))
    return result


@pytest.fixture(scope="module")
def plain_checkpoint(tmp_path_factory):
    """Without dropout, whose masks depend on how rows are divided."""
    return toy_finetuning.save_toy_checkpoint(tmp_path_factory.mktemp("plain"), dropout=0.0)


@pytest.mark.parametrize("flags", [(), ("--micro_batches=2",)], ids=["whole", "micro-batches"])
def test_two_workers_train_as_one_device(plain_checkpoint, tmp_path, flags):
    ended = finish(start(plain_checkpoint, tmp_path / "two", "--learning_rate=1e-3", *flags))
    assert [code for code, _ in ended] == [0, 0], [error[-1500:] for _, error in ended]
    one = [sys.executable, str(SCRIPT), str(plain_checkpoint), str(tmp_path / "one"), "--learning_rate=1e-3"]
    assert subprocess.run(one, capture_output=True, timeout=300).returncode == 0
    ours, theirs = losses(tmp_path / "two"), losses(tmp_path / "one")
    assert [step for step, *_ in ours] == [step for step, *_ in theirs]
    assert max(abs(a[1] - b[1]) for a, b in zip(ours, theirs)) < 1e-4
    results = [json.loads((tmp_path / name / "results.json").read_text()) for name in ("two", "one")]
    assert results[0]["scores"] == results[1]["scores"] and results[0]["replicas"] == 2


def test_a_lost_worker_stops_the_others_and_all_go_on_together(checkpoint, tmp_path):
    whole = finish(start(checkpoint, tmp_path / "whole"))
    assert [code for code, _ in whole] == [0, 0], [error[-1500:] for _, error in whole]

    processes = start(checkpoint, tmp_path / "run", of_worker={1: ["--kill_at=30"]})
    processes[1].wait(timeout=200)
    lost = time.monotonic()
    (chief, said), _ = finish(processes, timeout=120)
    assert processes[1].returncode == -signal.SIGKILL
    assert chief != 0 and time.monotonic() - lost < 90
    assert "another worker was lost" in said or "unhealthy" in said or "UNAVAILABLE" in said, said[-2000:]

    again = finish(start(checkpoint, tmp_path / "run"))
    assert [code for code, _ in again] == [0, 0], [error[-1500:] for _, error in again]
    # The running accuracy is a sum over the workers, which a checkpoint divides among them again: to rounding.
    same_run(tmp_path / "run", tmp_path / "whole", accuracy=1e-6)
