"""Exponential moving averages of the weights: used for a while, or for good."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras

_IN_USE, _GOES_ON = "_averages_in_use", "_training_goes_on"


@contextlib.contextmanager
def averaged_weights(model: keras.Model) -> Iterator[keras.Model]:
    """Inside, a model has the moving averages of its weights; afterwards, also after an error, its own again, to the bit.

    Nothing happens where the optimizer keeps no averages, or has made no step yet. What is trained inside is lost. Right under
    tf.distribute, where each replica has averages of its own, to be called outside of `strategy.run`. It costs one pass over the
    trained weights each way.

    Args:
        model: compiled with `tfllm.training.optimizer(..., ema_momentum=0.999)`, or an optimizer of Keras' with `use_ema=True`.

    Example:
        >>> with averaged_weights(model):                                    # doctest: +SKIP
        ...     print(task.evaluate(model, "validation"))
        ...     tfllm.save(model, "averaged/")
    """
    optimizer = _keeping_averages(model)
    if optimizer is None or getattr(optimizer, _IN_USE, False):
        yield model
        return
    getattr(model, "jax_state_sync", lambda: None)()  # on JAX, fit() keeps the values elsewhere
    copies = _copies(optimizer)
    own = [_value(variable) for variable, _ in copies]
    setattr(optimizer, _IN_USE, True)
    try:
        for variable, average in copies:
            variable.assign(_value(average))
        yield model
    finally:
        for (variable, _), value in zip(copies, own):
            variable.assign(value)
        setattr(optimizer, _IN_USE, False)


@contextlib.contextmanager
def training_goes_on(model: keras.Model) -> Iterator[None]:
    """Inside, the end of a `fit()` is not the end of training: it leaves the weights as they are, where it would take the averages."""
    optimizer = _keeping_averages(model, built=False)
    if optimizer is not None:
        setattr(optimizer, _GOES_ON, True)
    try:
        yield
    finally:
        if optimizer is not None:
            setattr(optimizer, _GOES_ON, False)


def keeps_averages(model: keras.Model) -> bool:
    """Whether a compiled model's optimizer keeps averages of the weights."""
    return _keeping_averages(model, built=False) is not None


def overwrite_with_averages(optimizer: keras.optimizers.Optimizer) -> None:
    """Gives the trained variables the averages for good, if there are some, unless training goes on."""
    if not getattr(optimizer, _GOES_ON, False) and _has_averages(optimizer):
        for variable, average in _copies(optimizer):
            variable.assign(_value(average))


def _keeping_averages(model: keras.Model, built: bool = True) -> keras.optimizers.Optimizer | None:
    optimizer = getattr(model, "optimizer", None)
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # without the loss scale
    if not getattr(optimizer, "use_ema", False):
        return None
    return optimizer if not built or _has_averages(optimizer) else None


def _has_averages(optimizer: keras.optimizers.Optimizer) -> bool:
    # Before the first step they are 0.
    return optimizer.use_ema and optimizer.built and int(keras.ops.convert_to_numpy(optimizer.iterations)) > 0


def _copies(optimizer: keras.optimizers.Optimizer) -> list[tuple]:
    """Pairs of a trained variable and its average; on several replicas, the pairs of each."""
    pairs = zip(optimizer._trainable_variables, optimizer._model_variables_moving_average)
    pairs = [(variable, average) for variable, average in pairs if average is not None]
    strategy = getattr(optimizer, "_distribution_strategy", None)
    if strategy is None:
        return pairs
    local = strategy.experimental_local_results
    return [copies for v, a in pairs for copies in zip(local(v.value), local(a.value))]


def _value(variable):
    if not isinstance(variable, keras.Variable):
        return variable.read_value()
    return keras.ops.copy(variable.value)  # on JAX a step gives the memory of its variables away
