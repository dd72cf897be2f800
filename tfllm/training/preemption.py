"""SIGTERM, which schedulers send before they take a machine away: finish the step, save, and leave with a code of its own."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

EXIT_CODE = 42
"""What a preempted run exits with; the same command goes on with it."""


class Preempted(SystemExit):
    """The run was asked to stop, and has saved a checkpoint: of that step, or before or after training (`None`) the last one."""

    def __init__(self, step: int | None = None):
        super().__init__(EXIT_CODE)
        self.step = step

    def __str__(self) -> str:
        if self.step is None:
            return "stopped by SIGTERM before or after training. The same command goes on from the last checkpoint."
        return f"stopped by SIGTERM after step {self.step}, with a checkpoint. The same command goes on from there."


class PreemptionNotice:
    """Raises `Preempted` at SIGTERM, while it is used as a context; within `noted()`, notes it alone. Outside of the main thread it
    does nothing.

    Attributes:
        received: whether there was one.

    Example:
        >>> with PreemptionNotice() as notice, notice.noted():
        ...     notice.received
        False
    """

    def __init__(self):
        self.received = False
        self._notes = False
        self._previous = None

    def __enter__(self) -> PreemptionNotice:
        self._previous = signal.getsignal(signal.SIGTERM)
        self.listen()
        return self

    def listen(self) -> None:
        """Takes the signal over (again): TensorFlow takes it for itself when several workers find each other."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._note)

    def __exit__(self, *error) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._previous or signal.SIG_DFL)

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Inside, whoever looks at `received` saves and raises. What nobody has looked at is raised at the end."""
        self._notes = True
        try:
            yield
        finally:
            self._notes = False
        if self.received:
            raise Preempted

    def _note(self, signum, frame) -> None:
        self.received = True
        if not self._notes:
            raise Preempted
