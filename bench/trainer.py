"""What the trainer's own work costs: two processes against one, checkpoints, and the start of a run that goes on.

    python bench/trainer.py [--parts workers,checkpoints,resume] [--rounds 2] [--out result.json]

The runs are `experiments/finetune.py` as a user starts it, on made-up sentences, watched from outside: a step is over when its line is in
the run's metrics.jsonl, so whatever happens between two steps counts.

- workers: examples a second of one process with two threads and of two processes with one thread each (multi_worker, TF_CONFIG on
  loopback, each on a core of its own), same global batch; runs alternate.
- checkpoints: one run that writes one every 50 steps. Steps from one checkpoint to the next are compared with those that lie clear of
  its writing, the second half of the same stretch: two runs drift further apart than what is to be measured.
- resume: seconds from the start of the process to its first step, of a new run and of one killed after step 10,000, on 100,000 examples.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import harness

PARTS = ("workers", "checkpoints", "resume")
LAUNCHER = Path(__file__).resolve().parents[1] / "experiments" / "finetune.py"
WORDS = (
    "the of and to in is that it was for on are as with his they at be this from have or by one had not but what all were when we there "
    "can an your which their said if do will each about how up out them then she many some so these would other into has more her two "
    "like him see time could no make than first been its who now people my made over did down only way find use may water long little"
).split()


def write_examples(path: Path, count: int, words: int) -> None:
    """JSON lines of `count` texts of half to one and a half times `words` words, with a label that a word gives away."""
    draw = random.Random(0)
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(count):
            label = draw.randrange(2)
            text = " ".join([*draw.choices(WORDS, k=draw.randint(words // 2, words + words // 2)), ("bad", "good")[label]])
            file.write(json.dumps({"text": text, "label": str(label)}) + "\n")


def write_small_bert(directory: Path) -> None:
    """A random BERT of 2 layers, 128 wide, with MiniLM's tokenizer: 10,000 steps of it take minutes, not hours."""
    code = (
        "import sys, tfllm; from tfllm import models; from tfllm.training.demo_checkpoint import resolve_model; "
        "model = tfllm.load(resolve_model('demo'), head='backbone'); "
        "small = models.Encoder(model.config.replace(hidden_size=128, num_layers=2, num_heads=2, intermediate_size=512, head_dim=64)); "
        "small.tokenizer = model.tokenizer; tfllm.save(small, sys.argv[1], family='bert')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(directory)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise harness.BenchError(f"the small model could not be made:\n{done.stderr[-2000:]}")


class Run:
    """One run of the launcher, of one or several processes, watched through its metrics.jsonl.

    Args:
        run_dir: the run's.
        flags: of the command, but for --run_dir.
        cores: for each process, the cores that it may use; it has as many threads.
    """

    def __init__(self, run_dir: Path, flags: Sequence[str], cores: Sequence[Sequence[int]]):
        self._metrics = run_dir / "metrics.jsonl"
        self._offset, self._rest = 0, b""
        command = [sys.executable, str(LAUNCHER), f"--run_dir={run_dir}", "--log_every=1", "--seed=1", *flags]
        workers = [f"127.0.0.1:{port}" for port in _ports(len(cores))]
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (stop() closes it)
        self.started = time.perf_counter()
        self._processes = []
        for index, own in enumerate(cores):
            environment = {**os.environ, **harness.common_environment(len(own))}
            strategy = "--strategy=cpu"
            if len(cores) > 1:
                task = {"type": "worker", "index": index}
                environment["TF_CONFIG"] = json.dumps({"cluster": {"worker": workers}, "task": task})
                strategy = "--strategy=multi_worker"
            process = subprocess.Popen([*command, strategy], env=environment, stdout=subprocess.DEVNULL, stderr=self.errors)
            os.sched_setaffinity(process.pid, own)  # before it has begun to import anything
            self._processes.append(process)

    def seconds_of(self, first: int, last: int) -> dict[int, float]:
        """Waits for the lines of the steps from `first` to `last`; when each of them was seen, from the start of the process."""
        seen: dict[int, float] = {}
        while last not in seen:
            if any(process.poll() for process in self._processes):
                self.errors.seek(0)
                raise harness.BenchError(f"a run failed:\n{self.errors.read()[-3000:]}")
            now = time.perf_counter() - self.started
            for step in self._new_steps():
                if first <= step <= last:
                    seen[step] = now
            time.sleep(0.001)
        return seen

    def _new_steps(self) -> list[int]:
        if not self._metrics.exists():
            return []
        size = self._metrics.stat().st_size
        if size < self._offset:  # the lines of steps that are to be done again were taken out
            self._offset, self._rest = 0, b""
        if size == self._offset:
            return []
        with open(self._metrics, "rb") as file:
            file.seek(self._offset)
            content = file.read()
        self._offset += len(content)
        *lines, self._rest = (self._rest + content).split(b"\n")
        return [json.loads(line)["step"] for line in lines if b'"loss"' in line]

    def stop(self) -> None:
        for process in self._processes:
            process.send_signal(signal.SIGKILL)
        for process in self._processes:
            process.wait()
        self.errors.close()


def _ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def workers(temporary: Path, rounds: int, batch: int, words: int, cores: Sequence[int]) -> dict:
    """Two processes with a core each, and one with both."""
    examples = temporary / "workers.jsonl"
    write_examples(examples, 40 * batch, words)
    flags = [*_flags("demo", examples), f"--batch_size={batch}", "--max_length=160", "--checkpoint_every=1000"]
    first, last = 5, 20  # each of a packed set's few shapes has been compiled by then
    speeds: dict[str, list[float]] = {"one": [], "two": []}
    sides = {"one": [cores], "two": [[core] for core in cores]}
    for number in range(rounds):
        for name in sorted(sides, reverse=number % 2 == 1):
            harness.wait_until_quiet()
            run = Run(temporary / f"{name}-{number}", flags, sides[name])
            try:
                seen = run.seconds_of(first, last)
            finally:
                run.stop()
            speeds[name].append(batch * (last - first) / (seen[last] - seen[first]))
            print(f"workers, round {number + 1}: {name} {speeds[name][-1]:.1f} examples/s", file=sys.stderr, flush=True)
    ratios = [two / one for one, two in zip(speeds["one"], speeds["two"])]
    return {"batch": batch, "words": words, "examples_per_second": speeds, "ratios": ratios}


def checkpoints(temporary: Path, batch: int, words: int, cores: Sequence[int]) -> dict:
    """What a checkpoint every 50 steps adds to a step."""
    every, stretches = 50, 6
    examples = temporary / "checkpoints.jsonl"
    write_examples(examples, (every * (stretches + 1) + 10) * batch, words)
    flags = [*_flags("demo", examples), f"--batch_size={batch}", "--max_length=160", f"--checkpoint_every={every}"]
    harness.wait_until_quiet()
    run = Run(temporary / "checkpoints", flags, [cores])
    try:
        seen = run.seconds_of(every - 1, every * (stretches + 1))
    finally:
        run.stop()
    shares = []
    for start in range(every, every * (stretches + 1), every):
        # A step's line is written before its checkpoint is begun.
        clear = (seen[start + every - 1] - seen[start + every // 2]) / (every - 1 - every // 2)
        with_checkpoint = (seen[start + every - 1] - seen[start - 1]) / every
        shares.append(with_checkpoint / clear - 1)
        print(f"checkpoints: {1e3 * clear:.0f} ms a step, {shares[-1]:+.2%}", file=sys.stderr, flush=True)
    return {"batch": batch, "words": words, "every": every, "shares": shares, "ms": 1e3 * clear}


def resume(temporary: Path, rounds: int, cores: Sequence[int]) -> dict:
    """From the start of the process to the first step: of a new run, and of one that goes on after step 10,000."""
    model, examples, at = temporary / "small", temporary / "resume.jsonl", 10_000
    write_small_bert(model)
    write_examples(examples, 100_000, 10)
    flags = [*_flags(str(model), examples), "--batch_size=8", "--max_length=32", f"--checkpoint_every={at // 2}"]
    run = Run(temporary / "whole", flags, [cores])
    try:
        seen = run.seconds_of(1, at + 50)
        print(f"resume: {at} steps after {seen[at]:.0f} s", file=sys.stderr, flush=True)
        while not (temporary / "whole" / "checkpoints" / f"step-{at:08d}").exists():
            time.sleep(0.1)
    finally:
        run.stop()
    seconds: dict[str, list[float]] = {"plain": [], "resumed": []}
    for number in range(rounds):
        for name in sorted(seconds, reverse=number % 2 == 1):
            run_dir, step = temporary / f"{name}-start-{number}", 1
            if name == "resumed":
                shutil.copytree(temporary / "whole", run_dir)
                _drop_lines_after(at, run_dir / "metrics.jsonl")  # the run was killed a little later than this
                step = at + 1
            harness.wait_until_quiet()
            run = Run(run_dir, flags, [cores])
            try:
                seconds[name].append(run.seconds_of(step, step)[step])
            finally:
                run.stop()
            shutil.rmtree(run_dir)
            print(f"resume, round {number + 1}: {name} {seconds[name][-1]:.2f} s", file=sys.stderr, flush=True)
    later = [resumed - plain for plain, resumed in zip(seconds["plain"], seconds["resumed"])]
    return {"examples": 100_000, "step": at, "seconds": seconds, "later": later}


def _drop_lines_after(step: int, metrics: Path) -> None:
    lines = metrics.read_text("utf-8").splitlines(keepends=True)
    metrics.write_text("".join(line for line in lines if json.loads(line)["step"] <= step), "utf-8")


def _flags(model: str, examples: Path) -> list[str]:
    validation = examples.with_name("validation.jsonl")
    write_examples(validation, 8, 10)
    return [
        *(f"--model={model}", f"--train_file={examples}", f"--validation_file={validation}"),
        *("--text_columns=text", "--label_column=label", "--epochs=1"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parts", default=",".join(PARTS), help="which to measure (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32, help="examples an optimizer step, in workers and checkpoints")
    parser.add_argument("--words", type=int, default=90, help="words a text has on average there")
    parser.add_argument("--out", type=Path, help="also write the result there, as JSON")
    parser.add_argument("--overwrite", action="store_true", help="replace --out if it exists")
    flags = parser.parse_args()
    parts = flags.parts.split(",")
    if set(parts) - set(PARTS):
        parser.error(f"--parts must name any of {list(PARTS)}. Received: {flags.parts}.")
    if flags.out and flags.out.exists() and not flags.overwrite:
        parser.error(f"--out={flags.out} exists. Give another name, or --overwrite.")
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        parser.error(f"two cores are needed. Received: {len(cores)}.")
    rows, result = [], {}
    try:
        with tempfile.TemporaryDirectory() as temporary:
            if "workers" in parts:
                found = result["workers"] = workers(Path(temporary), flags.rounds, flags.batch, flags.words, cores)
                one, two = (statistics.median(found["examples_per_second"][name]) for name in ("one", "two"))
                rows.append(["two processes : one", f"{two:.1f} : {one:.1f} examples/s", *_spread(found["ratios"], "{:.2f}")])
            if "checkpoints" in parts:
                found = result["checkpoints"] = checkpoints(Path(temporary), flags.batch, flags.words, cores)
                rows.append(["a checkpoint every 50 steps", f"{found['ms']:.0f} ms a step", *_spread(found["shares"], "{:+.2%}")])
            if "resume" in parts:
                found = result["resume"] = resume(Path(temporary), flags.rounds, cores)
                plain, resumed = (statistics.median(found["seconds"][name]) for name in ("plain", "resumed"))
                rows.append(["resumed at 10,000 - plain", f"{resumed:.1f} - {plain:.1f} s", *_spread(found["later"], "{:+.2f} s")])
    except harness.BenchError as error:
        parser.exit(1, f"{error}\n")
    harness.print_table(["what", "measured", "median", "least to most"], rows)
    facts = harness.machine()
    harness.print_machine(facts)
    if flags.out:
        harness.write_json(flags.out, {"bench": "trainer", "machine": facts, **result})


def _spread(values: Sequence[float], form: str) -> list[str]:
    return [form.format(statistics.median(values)), f"{form.format(min(values))} to {form.format(max(values))}"]


if __name__ == "__main__":
    main()
