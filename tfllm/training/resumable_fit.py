"""`fit()` from any step of a run on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras

from tfllm.training.moving_averages import training_goes_on


def fit_from(
    model: keras.Model,
    dataset: Callable[[int, int], object],
    *,
    start_step: int,
    steps_per_epoch: int,
    epochs: int,
    callbacks: Sequence[keras.callbacks.Callback],
    stopped: bool = False,
) -> None:
    """Plain `fit()` of the steps from `start_step` on, as if the ones before had just been done.

    Keras' `fit()` begins with a whole epoch. The rest of an epoch is therefore a `fit()` of its own, and callbacks see the two as
    one training.

    Args:
        model: compiled, and in the state that it has after `start_step` steps.
        dataset: `dataset(start, stop)` gives the batches of those global steps.
        start_step: steps that are done.
        steps_per_epoch, epochs: of the whole run.
        callbacks: see the training begin once and end once.
        stopped: whether a callback had training stop with `start_step`: only the end of it is left to do.
    """
    epoch, done = divmod(start_step, steps_per_epoch)
    listed = _OneTraining(callbacks, model=model, add_history=True, epochs=epochs, steps=steps_per_epoch, verbose=0)
    parts = [(epoch, epoch + 1, steps_per_epoch - done)] if done else []
    following = epoch + 1 if done else epoch
    if following < epochs:
        parts.append((following, epochs, steps_per_epoch))
    parts = [] if stopped else parts
    if not parts:  # everything but the end was done
        listed.on_train_begin()
    for first, end, steps in parts:
        begin = start_step if done and first == epoch else first * steps_per_epoch
        data = dataset(begin, end * steps_per_epoch)
        with training_goes_on(model):
            model.fit(data, initial_epoch=first, epochs=end, steps_per_epoch=steps, verbose=0, callbacks=listed)
        if model.stop_training:
            break
    model.optimizer.finalize_variable_values(model.trainable_weights)  # as `fit()` does at its end
    listed.finish()


class _OneTraining(keras.callbacks.CallbackList):
    """A list of callbacks for several calls of `fit()`, which begin and end once."""

    _begun = False
    _logs = None

    def on_train_begin(self, logs=None):
        if not self._begun:
            self._begun = True
            super().on_train_begin(logs)

    def on_train_end(self, logs=None):
        self._logs = logs

    def finish(self) -> None:
        super().on_train_end(self._logs)
