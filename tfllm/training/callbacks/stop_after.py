"""An upper bound on the number of steps."""

from __future__ import annotations

from tfllm.training.callbacks.step_callback import StepCallback


class StopAfter(StepCallback):
    """Ends `fit()` after `max_steps` optimizer steps, in the middle of an epoch if need be.

    Example:
        model.fit(data, epochs=3, callbacks=[training.StopAfter(1000)])
    """

    def __init__(self, max_steps: int):
        super().__init__()
        self.max_steps = max_steps

    def on_step_end(self, step, logs):
        if step >= self.max_steps:
            self.model.stop_training = True
