"""Saves all that a run needs to go on, and goes on with it."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Callable, Sequence

import keras

from tfllm.checkpoints.tensor_image import TensorImage
from tfllm.training.callbacks.step_callback import StepCallback
from tfllm.training.preemption import Preempted, PreemptionNotice
from tfllm.training.run_checkpoints import RunCheckpoint, RunCheckpoints
from tfllm.training.train_state import read_state, write_state


class Checkpoint(StepCallback):
    """Writes checkpoints while training goes on, and resumes from one. It must be the last of the callbacks.

    The state is copied between two steps and written by a thread of its own. A step that ends an epoch, or training, is saved
    after the other callbacks have seen the epoch end, so that a resumed run need not do that again.

    Args:
        checkpoints: where to.
        every: steps from one to the next; `None` for none but that of a preemption.
        steps_per_epoch: of the run.
        others: the run's other callbacks, whose state is saved too: those that have `state()` and `resume()`.
        resumed: the checkpoint to go on with.
        notice: says whether the process has been asked to stop.
        writes: whether this process is the one that writes (the chief of several).
        any_worker: of a flag, whether it is set on one of the workers, which all ask at the same steps: all stop with the same one.

    Raises:
        Preempted: after a notice, when the checkpoint is on disk.

    Attributes:
        seconds: time that training stood still for checkpoints.
    """

    def __init__(
        self,
        checkpoints: RunCheckpoints,
        *,
        every: int | None,
        steps_per_epoch: int,
        others: Sequence[keras.callbacks.Callback] = (),
        resumed: RunCheckpoint | None = None,
        notice: PreemptionNotice | None = None,
        writes: bool = True,
        any_worker: Callable[[bool], bool] = bool,
    ):
        super().__init__()
        self.checkpoints, self.every, self.steps_per_epoch = checkpoints, every, steps_per_epoch
        self.others, self.resumed_from, self.notice, self.writes = others, resumed, notice, writes
        self.any_worker, self._stops = any_worker, False
        self.seconds = 0.0
        self._writer = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: concurrent.futures.Future | None = None
        self._image: TensorImage | None = None
        self._due_at_epoch_end = False

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        if self.resumed_from is None:
            return
        step = self.resumed_from.step
        done_in_epoch = step % self.steps_per_epoch
        states = self.resumed_from.state["callbacks"]
        for callback in (*self.others, self):
            if hasattr(callback, "resume"):
                callback.resume(step, done_in_epoch, states.get(type(callback).__name__, {}))

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        if self._skipped:
            # Keras has just reset the metrics of an epoch that is half done.
            write_state(self.model, self.resumed_from.arrays)
            self.resumed_from = None  # its arrays are as large as model and optimizer

    def on_step_end(self, step, logs):
        due = (self.every is not None and self.is_due(self.every)) or self._asked_to_stop()
        if due and (step % self.steps_per_epoch == 0 or self.model.stop_training):
            self._due_at_epoch_end = True
        elif due:
            self._save()

    def on_epoch_end(self, epoch, logs=None):
        if self._asked_to_stop() or self._due_at_epoch_end:
            self._due_at_epoch_end = False
            self._save()

    def on_train_end(self, logs=None):
        self.close()

    def close(self) -> None:
        """Waits for the last checkpoint; its error, if there was one, is raised here."""
        self._wait()
        self._writer.shutdown()

    def _asked_to_stop(self) -> bool:
        self._stops = self._stops or self.any_worker(self.notice is not None and self.notice.received)
        return self._stops

    def _save(self) -> None:
        started = time.perf_counter()
        self._wait()
        image = read_state(self.model, into=self._image)  # on every worker: the metrics are summed over them
        if self.writes:
            self._image = image  # as large as the state; who writes nothing need not keep it
            callbacks = {type(c).__name__: c.state() for c in (*self.others, self) if hasattr(c, "state")}
            # Training that was stopped (early, or at a bound) is not gone on with.
            state = {"callbacks": callbacks, "stopped": bool(self.model.stop_training)}
            checkpoint = RunCheckpoint(self.step, image, state)
            self._pending = self._writer.submit(self.checkpoints.write, checkpoint)
        if self._stops:
            self._wait()
            self.any_worker(True)  # others than the chief stay until it is written
            raise Preempted(self.step)
        self.seconds += time.perf_counter() - started

    def _wait(self) -> None:
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()
