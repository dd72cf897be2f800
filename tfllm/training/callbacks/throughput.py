"""How fast training goes, in what counts: examples, real tokens, and the machine's peak."""

from __future__ import annotations

import collections
import time

import numpy as np

from tfllm.training.callbacks.step_callback import StepCallback


class Throughput(StepCallback):
    """Measures the train steps alone: not evaluations, and not the first step, in which the graph is made.

    Adds `examples_per_second` and `tokens_per_second` (of the last steps) to Keras' logs. Tokens are real ones; padding
    does not count as work done.

    Args:
        batches: the `tfllm.data.Batches` that `fit()` trains on.
        window: steps that the figures in the logs cover.

    Example:
        batches = task.pipeline("train", model.tokenizer)
        throughput = training.Throughput(batches)
        model.fit(batches.dataset(), callbacks=[throughput])
        print(throughput.summary())
    """

    resumed = (
        *StepCallback.resumed,
        "first_step_seconds",
        "seconds",
        "steps",
        "examples",
        "tokens",
        "_squared_lengths",
    )

    def __init__(self, batches, *, window: int = 20):
        super().__init__()
        self.batches = batches
        self._lengths = np.asarray(batches.tokenized.lengths)
        self._window = collections.deque(maxlen=window)
        self._reset()

    def _reset(self) -> None:
        self._window.clear()
        self._compiles = True  # the first step of this process makes the graph
        self.first_step_seconds = 0.0
        self.seconds = 0.0
        self.steps = self.examples = self.tokens = 0
        self._squared_lengths = 0

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._reset()

    def on_train_batch_begin(self, batch, logs=None):
        self._started = time.perf_counter()

    def on_step_end(self, step, logs):
        seconds = time.perf_counter() - self._started
        lengths = np.concatenate([self._lengths_of(index) for index in range(self._previous_step, step)])
        if self._compiles:
            self._compiles = False
            self.first_step_seconds = seconds
            return
        self.seconds += seconds
        self.steps += step - self._previous_step
        self.examples += len(lengths)
        self.tokens += int(lengths.sum())
        self._squared_lengths += int((lengths.astype(np.int64) ** 2).sum())
        self._window.append((seconds, len(lengths), int(lengths.sum())))
        window_seconds, examples, tokens = map(sum, zip(*self._window))
        logs["examples_per_second"] = examples / window_seconds
        logs["tokens_per_second"] = tokens / window_seconds

    def _lengths_of(self, step: int) -> np.ndarray:
        indices = self.batches.example_indices(step)
        return self._lengths[indices[indices >= 0]]

    def model_flops(self) -> float | None:
        """FLOPs that the measured steps needed: forward and backward (3 x forward) matrix products of real tokens.

        `None` for a model whose config does not tell them.
        """
        config = self.model.config
        if not hasattr(config, "flops_per_token"):
            return None
        without_attention = config.flops_per_token(0)
        attention_per_token = config.flops_per_token(1) - without_attention
        return 3.0 * (without_attention * self.tokens + attention_per_token * self._squared_lengths)

    def summary(self, peak: float | None = None) -> dict[str, float]:
        """Figures of the whole run.

        Args:
            peak: FLOP/s that the hardware can reach, such as `gemm_peak()`; without it there is no `mfu`.

        Returns:
            `steps`, `seconds`, `first_step_seconds`, `examples_per_second`, `tokens_per_second`, `fill` (real tokens /
            computed tokens), `padding_waste` (1 - fill), `model_flops_per_second`, `gemm_peak_flops_per_second` and
            `mfu` (these three where `model_flops` is known). A run of one step has only what does not need a second one.
        """
        result = {
            "steps": self.steps,
            "seconds": self.seconds,
            "first_step_seconds": self.first_step_seconds,
            "fill": float(self.batches.fill),
            "padding_waste": 1.0 - float(self.batches.fill),
        }
        if self.steps:
            result["examples_per_second"] = self.examples / self.seconds
            result["tokens_per_second"] = self.tokens / self.seconds
            flops = self.model_flops()
            if flops is None:
                return result
            result["model_flops_per_second"] = flops / self.seconds
            if peak:
                result["gemm_peak_flops_per_second"] = peak
                result["mfu"] = result["model_flops_per_second"] / peak
        return result
