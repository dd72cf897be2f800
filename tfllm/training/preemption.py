"""SIGTERM, which schedulers send before they take a machine away: finish the step, save, and leave with a code of its own."""

from __future__ import annotations

import signal
import threading

EXIT_CODE = 42
"""What a preempted run exits with; the same command goes on with it."""


class Preempted(SystemExit):
    """The run was asked to stop, and has saved a checkpoint."""

    def __init__(self, step: int):
        super().__init__(EXIT_CODE)
        self.step = step

    def __str__(self) -> str:
        return f"stopped by SIGTERM after step {self.step}, with a checkpoint. The same command goes on from there."


class PreemptionNotice:
    """Notes SIGTERM instead of dying of it, while it is used as a context. Outside of the main thread it notes nothing.

    Example:
        >>> with PreemptionNotice() as notice:
        ...     notice.received
        False
    """

    def __init__(self):
        self.received = False
        self._previous = None

    def __enter__(self) -> PreemptionNotice:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *error) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)
            self._previous = None

    def _note(self, signum, frame) -> None:
        self.received = True
