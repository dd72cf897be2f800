"""Runs that are killed and started again by the same command, against the run that was left alone."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tfllm import training
from tfllm.errors import UserError
from tfllm.training.preemption import EXIT_CODE, Preempted, PreemptionNotice
from tfllm.training.run_checkpoints import RunCheckpoint, RunCheckpoints

SCRIPT = Path(__file__).with_name("killed_run.py")


def start(checkpoint, run_dir, *flags: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(SCRIPT), str(checkpoint), str(run_dir), "--checkpoint_every=7", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def losses(run_dir: Path) -> list[tuple[int, float, float]]:
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"], line.get("accuracy")) for line in lines if "loss" in line]


def same_run(ours: Path, theirs: Path, accuracy: float = 0.0) -> None:
    """To the bit: every step's loss and running accuracy (unless told otherwise), evaluations, the kept weights."""
    assert [line[:2] for line in losses(ours)] == [line[:2] for line in losses(theirs)]
    assert [line[2] for line in losses(ours)] == pytest.approx(
        [line[2] for line in losses(theirs)], rel=0, abs=accuracy
    )
    results = [json.loads((path / "results.json").read_text()) for path in (ours, theirs)]
    for name in ("steps", "best_step", "evaluations", "scores"):
        assert results[0][name] == results[1][name], name
    weights = [(path / "model" / "model.safetensors").read_bytes() for path in (ours, theirs)]
    assert weights[0] == weights[1]


@pytest.fixture(scope="module")
def undisturbed(checkpoint, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("undisturbed") / "run"
    assert start(checkpoint, run_dir).returncode == 0
    return run_dir


@pytest.mark.parametrize(
    ("how", "kill_at"),
    [
        pytest.param("step", 3, id="before the first checkpoint", marks=pytest.mark.slow),
        pytest.param("step", 37, id="between two"),
        pytest.param("write", 28, id="while one is written", marks=pytest.mark.slow),
        pytest.param("term", 33, id="SIGTERM", marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_goes_on_as_if_nothing_had_happened(checkpoint, undisturbed, tmp_path, how, kill_at):
    run_dir = tmp_path / "run"
    killed = start(checkpoint, run_dir, f"--how={how}", f"--kill_at={kill_at}")
    assert killed.returncode == (EXIT_CODE if how == "term" else -signal.SIGKILL), killed.stderr[-2000:]
    if how == "term":
        assert RunCheckpoints(run_dir / "checkpoints").steps()[-1] == kill_at
        assert json.loads((run_dir / "results.json").read_text())["status"] == "interrupted"
    again = start(checkpoint, run_dir)
    assert again.returncode == 0, again.stderr[-2000:]
    same_run(run_dir, undisturbed)
    # What is left is what a run leaves.
    assert {path.name for path in run_dir.iterdir()} == {path.name for path in undisturbed.iterdir()}


@pytest.mark.slow
def test_it_goes_on_from_an_epochs_end(checkpoint, undisturbed, tmp_path):
    """The evaluation there has been done; the next one has not."""
    run_dir = tmp_path / "run"
    assert start(checkpoint, run_dir, "--checkpoint_every=20", "--kill_at=23").returncode == -signal.SIGKILL
    assert RunCheckpoints(run_dir / "checkpoints").steps() == [20]
    assert start(checkpoint, run_dir).returncode == 0
    same_run(run_dir, undisturbed)


@pytest.mark.slow
def test_a_damaged_checkpoint_is_passed_over(checkpoint, undisturbed, tmp_path):
    run_dir = tmp_path / "run"
    assert start(checkpoint, run_dir, "--kill_at=34").returncode == -signal.SIGKILL
    *_, before, step = RunCheckpoints(run_dir / "checkpoints").steps()
    newest = run_dir / "checkpoints" / f"step-{step:08d}" / "arrays.safetensors"
    content = bytearray(newest.read_bytes())
    content[-5] ^= 1
    newest.write_bytes(content)
    again = start(checkpoint, run_dir)
    assert again.returncode == 0 and f"step-{step:08d} is damaged" in again.stderr
    assert f"going on after step {before}\n" in again.stderr
    same_run(run_dir, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        ("--steps_per_call=6", "--ema=0.9"),
        ("--jit=on",),
        ("--jit=on", "--steps_per_call=6", "--micro_batches=2"),
        ("--dtype=mixed_float16",),
        ("--optimizer=muon", "--learning_rate=1e-3"),
        ("--optimizer=adafactor",),
        ("--layout=bucketed", "--rdrop=1"),
    ],
    ids=" ".join,
)
def test_it_goes_on_however_it_trains(checkpoint, tmp_path, flags):
    """To the bit, as compared with the run that trained in the same way."""
    whole = start(checkpoint, tmp_path / "whole", *flags)
    assert whole.returncode == 0, whole.stderr[-2000:]
    assert start(checkpoint, tmp_path / "killed", *flags, "--kill_at=38").returncode == -signal.SIGKILL
    again = start(checkpoint, tmp_path / "killed", *flags)
    assert again.returncode == 0, again.stderr[-2000:]
    results = json.loads((tmp_path / "killed" / "results.json").read_text())
    assert results["resumed_after_step"] in (32, 35) and results["compiled_by_xla"] == ("--jit=on" in flags)
    same_run(tmp_path / "killed", tmp_path / "whole")


@pytest.mark.slow
def test_two_replicas_go_on_too(checkpoint, tmp_path):
    flags = ("--devices=2", "--strategy=mirrored")
    for name, kill in (("whole", ()), ("killed", ("--kill_at=30",))):
        start(checkpoint, tmp_path / name, *flags, *kill)
    assert start(checkpoint, tmp_path / "killed", *flags).returncode == 0
    # The running accuracy is a sum over the replicas, which a checkpoint divides among them again: to rounding.
    same_run(tmp_path / "killed", tmp_path / "whole", accuracy=1e-6)


@pytest.mark.slow
def test_another_configuration_is_refused_and_overwrite_begins_anew(checkpoint, undisturbed, tmp_path):
    run_dir = tmp_path / "run"
    start(checkpoint, run_dir, "--kill_at=17")
    refused = start(checkpoint, run_dir, "--batch_size=16")
    assert refused.returncode == 1
    assert re.search(r"unfinished run of another configuration: batch_size is 8 there and 16 now", refused.stderr)
    finished = start(checkpoint, undisturbed)
    assert finished.returncode == 1 and "must not exist or be empty" in finished.stderr


def test_checkpoints_are_whole_or_not_there(tmp_path):
    checkpoints = RunCheckpoints(tmp_path / "c", keep=2)
    assert checkpoints.newest() is None
    for step in (1, 2, 3):
        arrays = {"a": np.arange(step, dtype="float32"), "seed": np.array([1, 2], "uint32"), "n": np.array(step)}
        checkpoints.write(RunCheckpoint(step, arrays, {"callbacks": {"x": 0.1}}))
    assert checkpoints.steps() == [2, 3]
    (tmp_path / "c" / "partial-step-00000009").mkdir()
    newest = checkpoints.newest()
    assert newest.step == 3 and newest.state == {"callbacks": {"x": 0.1}}
    np.testing.assert_array_equal(newest.arrays["a"], [0, 1, 2])
    assert newest.arrays["n"].shape == () and newest.arrays["seed"].dtype == "uint32"
    for file in ("state.json", "arrays.safetensors"):
        (tmp_path / "c" / "step-00000003" / file).write_bytes(b"x")
        assert checkpoints.newest().step == 2
    checkpoints.write(newest)  # in the place of the damaged one
    assert checkpoints.newest().step == 3
    with pytest.raises(UserError, match="keep must be at least 1"):
        RunCheckpoints(tmp_path, keep=0)


def test_what_was_half_written_is_no_obstacle_and_is_removed(tmp_path):
    """Of files that are moved to their place: one killed at its very first, one later, one while it began anew."""
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / ".results.json.ab12_xyz").write_text("{")
    run = training.RunDirectory(run_dir, config={"seed": 1})
    assert not run.goes_on and not list(run_dir.iterdir())
    run.write_json("results.json", {"status": "running"})
    for name in (
        ".metrics.jsonl.ab12_xyz",
        ".validation_predictions.tsv.ab12_xyz",
        "partial-best.weights.h5",
        "nan_batch",
        ".mine",
    ):
        (run_dir / name).write_text("")
    run.tidy()
    assert {path.name for path in run_dir.iterdir()} == {"results.json", ".mine"}
    (run_dir / "tensorboard").mkdir()

    class Killed(Exception):
        pass

    def killed(path):
        raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr("shutil.rmtree", killed)
        run.clear()
    assert training.RunDirectory(run_dir, config={"seed": 1}).goes_on


def test_sigterm_outside_of_training_ends_a_run_at_once_and_within_it_when_it_has_saved():
    with PreemptionNotice():
        with pytest.raises(Preempted, match="before or after training") as ended:
            signal.raise_signal(signal.SIGTERM)
        assert ended.value.code == EXIT_CODE
    with PreemptionNotice() as notice, pytest.raises(Preempted):
        with notice.noted():
            signal.raise_signal(signal.SIGTERM)
            assert notice.received  # nobody looks at it: the last step was done
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_run_under_way_is_not_gone_on_with(tmp_path):
    run = training.RunDirectory(tmp_path / "run")
    run.write_json("config.json", {"seed": 1})
    run.write_json("results.json", {"status": "running"})
    with run.locked():
        other = training.RunDirectory(tmp_path / "run", config={"seed": 1})
        assert other.goes_on
        with pytest.raises(UserError, match="another process is at work"), other.locked():
            pass
        with pytest.raises(UserError, match="another process is at work"):
            training.RunDirectory(tmp_path / "run", overwrite=True)
        assert (run / "results.json").exists()
    with other.locked():
        assert other.goes_on
