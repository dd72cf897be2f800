"""The driver's end: starts each side as a process of its own and times them in turn, round by round.

Ratios between implementations are only fair within one run: a machine's speed drifts with heat and with its neighbours.
So all sides are alive at once, only one works at a time, and every round times each of them once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from serving import busy_seconds

PACKAGES = ("tfllm", "tensorflow", "keras", "keras-hub", "torch", "transformers", "numpy")


class BenchError(Exception):
    """A side could not be run; the message says which, and shows the end of what it wrote."""


@dataclasses.dataclass
class Side:
    """One implementation.

    Args:
        name: as in the table.
        command: the script and its arguments, run by this Python.
        steps: how many steps it does in one round.
        environment: variables of its own; `None` unsets one.
    """

    name: str
    command: Sequence[str]
    steps: int = 1
    environment: dict[str, str | None] = dataclasses.field(default_factory=dict)
    facts: dict = dataclasses.field(default_factory=dict)  # what it said when it was ready
    replies: list[dict] = dataclasses.field(default_factory=list)  # one a round
    _process: subprocess.Popen | None = dataclasses.field(default=None, init=False, repr=False)
    _errors: IO[str] | None = dataclasses.field(default=None, init=False, repr=False)

    def start(self, threads: int) -> None:
        environment = {**os.environ, **common_environment(threads)}
        for name, value in self.environment.items():
            environment.pop(name, None)
            if value is not None:
                environment[name] = value
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (stop() closes it)
        self._process = subprocess.Popen(
            [sys.executable, *self.command],
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        self.facts = self._read()

    def run(self, steps: int) -> dict:
        """Times `steps` steps."""
        try:
            self._process.stdin.write(f"{steps}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self._fail()
        return self._read()

    def _read(self) -> dict:
        for line in self._process.stdout:
            if line.startswith("{"):  # libraries print other things too
                return json.loads(line)
        self._fail()

    def _fail(self):
        status = self._process.wait()
        self._errors.seek(0)
        tail = "".join(self._errors.readlines()[-15:])
        raise BenchError(f"{self.name} ended with status {status}. Its command: {' '.join(self.command)}\n{tail}")

    def stop(self) -> None:
        if self._process is None:
            return
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()


def common_environment(threads: int) -> dict[str, str]:
    """What every side gets: the same number of threads, no GPU, no network, no chatter."""
    return {
        "OMP_NUM_THREADS": str(threads),
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KERAS_BACKEND": "tensorflow",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "false",
    }


def pin(threads: int) -> None:
    """Keeps this process and those that it starts to `threads` cores, so that no side can take more than another."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def wait_until_quiet(limit: float = 20.0, allowed: float = 0.2, interval: float = 0.25) -> None:
    """Sleeps until the machine uses less than `allowed` cores, for at most `limit` seconds."""
    deadline = time.monotonic() + limit
    while (before := busy_seconds()) is not None and time.monotonic() < deadline:
        time.sleep(interval)
        if (busy_seconds() - before) / interval < allowed:
            return


@contextlib.contextmanager
def started(sides: Iterable[Side], threads: int) -> Iterator[list[Side]]:
    """Starts the sides one after another, and stops them all at the end."""
    sides = list(sides)
    pin(threads)
    try:
        for side in sides:
            start = time.monotonic()
            side.start(threads)
            print(f"{side.name}: ready in {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
        yield sides
    finally:
        for side in sides:
            side.stop()


def interleave(sides: Sequence[Side], rounds: int) -> None:
    """`rounds` times: each side in turn, beginning with another one each time."""
    for number in range(rounds):
        first = number % len(sides)
        for side in [*sides[first:], *sides[:first]]:
            wait_until_quiet()
            side.replies.append(side.run(side.steps))
        latest = ", ".join(f"{side.name} {1e3 * side.replies[-1]['t']:.0f} ms" for side in sides)
        print(f"round {number + 1} of {rounds}: {latest}", file=sys.stderr, flush=True)


def run_once(command: Sequence[str], threads: int, environment: dict[str, str] | None = None) -> dict:
    """Runs a script that prints one JSON line, and returns it."""
    pin(threads)
    done = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, **common_environment(threads), **(environment or {})},
        text=True,
        capture_output=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        raise BenchError(f"{' '.join(command)} ended with status {done.returncode}.\n{done.stderr[-2000:]}")
    return json.loads(lines[-1])


def disturbance(sides: Iterable[Side]) -> float | None:
    """The largest median, over the sides, of cores used by other processes during a round."""
    medians = [
        statistics.median(seen)
        for side in sides
        if (seen := [reply["ext"] for reply in side.replies if reply.get("ext") is not None])
    ]
    return max(medians, default=None)


def machine() -> dict:
    """Processor, system and versions."""
    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        processor = names[0].split(":", 1)[1].strip() if names else processor
    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {"processor": processor, "system": platform.platform(), "python": platform.python_version(), **versions}


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A Markdown table, to be pasted into the notes."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, ["-" * width for width in widths], *rows]:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")


def print_machine(facts: dict) -> None:
    print("\n" + ", ".join(f"{name} {value}" for name, value in facts.items()))


def warn_if_disturbed(sides: Iterable[Side], allowed: float = 0.15) -> None:
    used = disturbance(sides)
    if used is not None and used > allowed:
        print(f"\nWARNING: other processes used {used:.2f} cores meanwhile: measure again on a quiet machine.")


def write_json(path: Path, result: dict) -> None:
    """Writes the result at once, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(result, indent=2) + "\n")
    os.replace(temporary, path)
