"""What a person sees while a model trains."""

from __future__ import annotations

import datetime
import sys
import time

from tfllm.training.callbacks.step_callback import StepCallback


class Progress(StepCallback):
    """A progress bar on a terminal; elsewhere a line every few seconds. Each evaluation gets a line.

    Use it with `fit(..., verbose=0)`, which switches Keras' own bar off.

    Args:
        max_steps: where training stops if before the last epoch's end.
        seconds: time from one line to the next where there is no terminal.
        stream: where to write; default: standard error.

    Example:
        model.fit(data, verbose=0, callbacks=[training.Progress()])
    """

    def __init__(self, *, max_steps: int | None = None, seconds: float = 10.0, stream=None):
        super().__init__()
        self.max_steps, self.seconds, self.stream = max_steps, seconds, stream
        self._bar = None

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._stream = self.stream or sys.stderr
        total = (self.params.get("steps") or 0) * self.params.get("epochs", 1)
        self._total = min(total, self.max_steps) if self.max_steps and total else total or self.max_steps
        self._started = self._said = time.perf_counter()
        self._began_at = 0
        self._last: dict = {}
        self._evaluation_said = None
        if self._stream.isatty():
            self._start_bar()

    def resume(self, step, done_in_epoch, state):
        """See `StepCallback.resume`."""
        super().resume(step, done_in_epoch, state)
        self._began_at = step
        self._say(f"going on after step {step}")

    def on_step_end(self, step, logs):
        self._last = {name: value for name, value in logs.items() if not name.startswith("val_")}
        if self._bar is not None:
            self._bar.update(self._bar_id, completed=step, facts=self._facts())
        elif time.perf_counter() - self._said >= self.seconds:
            self._say(self._position())
        self._say_evaluation(logs)

    def on_epoch_end(self, epoch, logs=None):
        self._say_evaluation(logs or {})

    def on_train_end(self, logs=None):
        self._say_evaluation(logs or {})
        self.close()

    def close(self) -> None:
        """Takes the bar off the terminal; `fit()` does it when it ends, and the caller if `fit()` fails."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _start_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(file=self._stream)
        columns = (
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[facts]}"),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=console, transient=True)
        self._bar_id = self._bar.add_task("train", total=self._total, facts="")
        self._bar.start()

    def _say_evaluation(self, logs: dict) -> None:
        scores = {name: value for name, value in logs.items() if name.startswith("val_")}
        if scores and self._evaluation_said != self.step:
            self._evaluation_said = self.step
            self._say(f"step {self.step}  " + "  ".join(f"{name} {value:.4f}" for name, value in scores.items()))

    def _say(self, line: str) -> None:
        if self._bar is not None:
            self._bar.console.print(line, highlight=False)
        else:
            print(line, file=self._stream, flush=True)
        self._said = time.perf_counter()

    def _position(self) -> str:
        of_total = f"/{self._total}" if self._total else ""
        left = ""
        if self._total:
            seconds = (time.perf_counter() - self._started) / (self.step - self._began_at) * (self._total - self.step)
            left = f"  left {datetime.timedelta(seconds=round(seconds))}"
        return f"step {self.step}{of_total}  epoch {self.epoch + 1}  {self._facts()}{left}"

    def _facts(self) -> str:
        facts = [f"loss {self._last['loss']:.4f}"] if "loss" in self._last else []
        if "examples_per_second" in self._last:
            facts.append(f"{self._last['examples_per_second']:.0f} examples/s")
        return "  ".join(facts)
