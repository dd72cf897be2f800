"""Real processes on loopback that train one model together: `python -m pytest -m slow -n 0 tests/training/test_workers.py`."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import toy_finetuning
from test_resume import SCRIPT, losses, same_run

from tfllm.training.preemption import EXIT_CODE
from tfllm.training.run_checkpoints import RunCheckpoints

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
    command = [sys.executable, str(SCRIPT), str(checkpoint), str(run_dir), "--checkpoint_every=7", *flags]
    return start_command(command, workers, of_worker)


def start_command(command: list[str], workers: int = 2, of_worker: dict[int, list[str]] | None = None):
    """The processes of one command, a worker each."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports(workers)]}
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


def codes(ended) -> list[int]:
    return [code for code, _ in ended]


def one_process(checkpoint, run_dir: Path, *flags: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(SCRIPT), str(checkpoint), str(run_dir), "--checkpoint_every=7", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def same_to_rounding(ours: Path, theirs: Path, tolerance: float) -> None:
    """Every step's loss, the scores, and the kept weights."""
    assert [step for step, *_ in losses(ours)] == [step for step, *_ in losses(theirs)]
    assert max(abs(a[1] - b[1]) for a, b in zip(losses(ours), losses(theirs))) < tolerance
    results = [json.loads((run_dir / "results.json").read_text()) for run_dir in (ours, theirs)]
    assert results[0]["scores"] == results[1]["scores"] and results[0]["best_step"] == results[1]["best_step"]
    weights = [safetensors.numpy.load_file(run_dir / "model" / "model.safetensors") for run_dir in (ours, theirs)]
    assert weights[0].keys() == weights[1].keys()
    for name in weights[0]:
        if not name.endswith("key.bias"):  # whose gradient is 0 but for rounding, which Adam makes whole steps of
            np.testing.assert_allclose(weights[0][name], weights[1][name], rtol=0, atol=tolerance, err_msg=name)


@pytest.fixture(scope="module")
def plain_checkpoint(tmp_path_factory):
    """Without dropout, whose masks depend on how rows are divided."""
    return toy_finetuning.save_toy_checkpoint(tmp_path_factory.mktemp("plain"), dropout=0.0)


@pytest.mark.parametrize(
    ("workers", "flags"),
    [(2, ()), (2, ("--micro_batches=2",)), (2, ("--ema=0.9",)), (4, ())],
    ids=["whole", "micro-batches", "averages", "four"],
)
def test_workers_train_as_one_device(plain_checkpoint, tmp_path, workers, flags):
    ended = finish(start(plain_checkpoint, tmp_path / "all", "--learning_rate=1e-3", *flags, workers=workers))
    assert codes(ended) == [0] * workers, [error[-1500:] for _, error in ended]
    averages = [flag for flag in flags if flag.startswith("--ema")]
    assert one_process(plain_checkpoint, tmp_path / "one", "--learning_rate=1e-3", *averages).returncode == 0
    same_to_rounding(tmp_path / "all", tmp_path / "one", 1e-4)
    results = json.loads((tmp_path / "all" / "results.json").read_text())
    assert results["replicas"] == workers
    # All the examples count, not those of the chief alone; the first step is not measured.
    throughput = results["throughput"]
    assert throughput["examples_per_second"] * throughput["seconds"] == pytest.approx(59 * 8)


@pytest.mark.parametrize(
    ("flags", "tolerance"),
    [
        (("--learning_rate=1e-3", "--ema=0.9"), 1e-4),
        (("--optimizer=sgd", "--learning_rate=1e-2"), 1e-5),
    ],
    ids=["AdamW, averages", "SGD"],
)
@pytest.mark.parametrize("first", [2, 1], ids=["two, then one", "one, then two"])
def test_a_run_goes_on_with_another_number_of_workers(plain_checkpoint, tmp_path, first, flags, tolerance):
    whole, run_dir = tmp_path / "whole", tmp_path / "run"
    assert one_process(plain_checkpoint, whole, *flags).returncode == 0
    if first == 2:
        killed = finish(start(plain_checkpoint, run_dir, *flags, "--kill_at=30"))
        assert codes(killed) == [-signal.SIGKILL] * 2
        again = one_process(plain_checkpoint, run_dir, *flags)
        assert again.returncode == 0, again.stderr[-1500:]
    else:
        assert one_process(plain_checkpoint, run_dir, *flags, "--kill_at=30").returncode == -signal.SIGKILL
        ended = finish(start(plain_checkpoint, run_dir, *flags))
        assert codes(ended) == [0, 0], [error[-1500:] for _, error in ended]
    assert json.loads((run_dir / "results.json").read_text())["resumed_after_step"] == 28
    same_to_rounding(run_dir, whole, tolerance)


@pytest.fixture(scope="module")
def whole(checkpoint, tmp_path_factory):
    """A run of two workers that was left alone."""
    run_dir = tmp_path_factory.mktemp("whole") / "run"
    ended = finish(start(checkpoint, run_dir))
    assert codes(ended) == [0, 0], [error[-1500:] for _, error in ended]
    return run_dir


def go_on(checkpoint, run_dir: Path, whole: Path) -> None:
    """The same command again, by both workers: the run ends as the one that was left alone."""
    again = finish(start(checkpoint, run_dir))
    assert codes(again) == [0, 0], [error[-1500:] for _, error in again]
    # The running accuracy is a sum over the workers, which a checkpoint divides among them again: to rounding.
    same_run(run_dir, whole, accuracy=1e-6)


@pytest.mark.parametrize(("lost", "step"), [(1, 30), (1, 3), (0, 30)], ids=["worker", "early", "chief"])
def test_a_lost_worker_stops_the_others_and_all_go_on_together(checkpoint, whole, tmp_path, lost, step):
    processes = start(checkpoint, tmp_path / "run", of_worker={lost: [f"--kill_at={step}"]})
    processes[lost].wait(timeout=300)
    since = time.monotonic()
    ended = finish(processes, timeout=240)  # 10 to 20 seconds on a machine that has nothing else to do
    print(f"the other worker stopped after {time.monotonic() - since:.0f} s")
    assert ended[lost][0] == -signal.SIGKILL
    code, said = ended[1 - lost]
    assert code != 0
    assert f"worker {1 - lost} of 2: another worker was lost" in said, said[-2000:]
    assert "Start all workers again with the same command" in said
    go_on(checkpoint, tmp_path / "run", whole)


def test_sigterm_to_one_worker_stops_all_after_the_same_step(checkpoint, whole, tmp_path):
    ended = finish(start(checkpoint, tmp_path / "run", of_worker={1: ["--kill_at=30", "--how=term"]}))
    assert codes(ended) == [EXIT_CODE, EXIT_CODE], [error[-1500:] for _, error in ended]
    said = "stopped by SIGTERM after step 30, with a checkpoint"
    assert all(said in error for _, error in ended)
    assert RunCheckpoints(tmp_path / "run" / "checkpoints").steps()[-1] == 30
    go_on(checkpoint, tmp_path / "run", whole)


def test_a_loss_on_one_worker_that_is_no_number_is_skipped_by_all(plain_checkpoint, tmp_path):
    flags = ("--bad_label=40", "--learning_rate=1e-3", "--layout=padded")
    ended = finish(start(plain_checkpoint, tmp_path / "two", *flags))
    assert codes(ended) == [0, 0], [error[-1500:] for _, error in ended]
    assert one_process(plain_checkpoint, tmp_path / "one", *flags).returncode == 0
    results = [json.loads((tmp_path / name / "results.json").read_text()) for name in ("two", "one")]
    assert results[0]["skipped_steps"] == results[1]["skipped_steps"] == 3  # once an epoch
    ours, theirs = losses(tmp_path / "two"), losses(tmp_path / "one")
    assert [loss is None for _, loss, _ in ours] == [loss is None for _, loss, _ in theirs]
    assert max(abs(a[1] - b[1]) for a, b in zip(ours, theirs) if a[1] is not None) < 1e-4

    ended = finish(start(plain_checkpoint, tmp_path / "stopped", *flags, "--debug_nan=true"))
    step = [loss for _, loss, _ in ours].index(None) + 1
    assert all(code == 1 and f"at step {step}, learning rate" in said for code, said in ended), ended
    report = json.loads((tmp_path / "stopped" / "nan_batch" / "batch.json").read_text())
    # The rows of both workers, whichever it was.
    assert len(report["examples"]) == 8 and 40 in [example["index"] for example in report["examples"]]
    assert report["step"] == step and report["tensors"]["labels"]["greatest"] == pytest.approx(3e38)


def test_the_command_ends_well_on_every_worker_and_wants_one_directory(plain_checkpoint, tmp_path):
    for name, seed in (("train", 0), ("dev", 1)):
        toy_finetuning.write_jsonl(tmp_path / f"{name}.jsonl", toy_finetuning.sentiment(32, seed))
    files = [f"--train_file={tmp_path}/train.jsonl", f"--validation_file={tmp_path}/dev.jsonl", "--text_columns=text"]
    command = [sys.executable, "-m", "tfllm.cli", "finetune", f"--model={plain_checkpoint}", *files, "--epochs=1"]
    ended = finish(start_command([*command, f"--run_dir={tmp_path}/run"]))
    assert codes(ended) == [0, 0], [error[-1500:] for _, error in ended]
    assert json.loads((tmp_path / "run" / "results.json").read_text())["replicas"] == 2
    for wrong, message in (([], "several workers need one run_dir"), (["--seeds=2"], "seeds=2, 2 workers")):
        ended = finish(start_command([*command, *wrong]))
        assert codes(ended) == [2, 2] and all(message in error for _, error in ended), ended
