"""Steps whose loss or gradient is not finite: they change nothing, and are counted.

Whether a step is one of them shows in the norm of its gradient, which clipping needs anyway: finding out costs nothing more. (A gradient
whose norm is beyond float32's range counts as not finite too.)
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence

import keras
import tensorflow as tf

STEPS, SKIPPED, LAST_SKIPPED, LOSS_SCALE = range(4)

_known_norm: contextvars.ContextVar[tf.Tensor | None] = contextvars.ContextVar("known_norm", default=None)


class StepRecord:
    """What an optimizer knows of the steps that it was asked for; saved with it, so that a resumed run counts on.

    Args:
        optimizer: in whose `build(variables)` this is made.
        variables: those that it updates.

    Attributes:
        counts: (4,) int64: steps; those that were skipped as loss or gradient was not finite; the number, from 1, of the last of
            them; those in which a loss scale was lowered instead.
        bad_gradients: (number of variables,) bool: in the last step that was skipped, which gradients were not finite (or their norm
            beyond float32).
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer, variables: Sequence[keras.Variable]):
        # Replicas write the same values, each into its own copy: that needs no word between them.
        own = {"initializer": "zeros", "aggregation": "none"}
        self.counts = optimizer.add_variable(shape=(4,), dtype="int64", name="step_counts", **own)
        self.bad_gradients = optimizer.add_variable(shape=(len(variables),), dtype="bool", name="bad_gradients", **own)
        self._paths = [variable.path for variable in variables]

    def count(self, which: int) -> int:
        """One of the counts: `STEPS`, `SKIPPED`, `LAST_SKIPPED` or `LOSS_SCALE`."""
        return int(self.counts.numpy()[which])

    def bad_variables(self) -> list[str]:
        """Paths of the variables whose gradient was not finite in the last step that was skipped."""
        return [path for path, bad in zip(self._paths, self.bad_gradients.numpy()) if bad]

    def write(self, skipped: tf.Tensor, scaling: tf.Tensor, squares: list[tf.Tensor]) -> tf.Tensor:
        """Counts a step; returns the number of skipped ones."""
        old = tf.convert_to_tensor(self.counts.value)
        one, scaled = tf.cast(skipped, old.dtype), tf.cast(scaling, old.dtype)
        number = old[STEPS] + 1
        new = tf.stack(
            [number, old[SKIPPED] + one, tf.where(skipped, number, old[LAST_SKIPPED]), old[LOSS_SCALE] + scaled]
        )
        self.counts.assign(new)
        bad = tf.logical_not(tf.math.is_finite(tf.stack(squares)))
        self.bad_gradients.assign(tf.where(skipped, bad, tf.convert_to_tensor(self.bad_gradients.value)))
        return new[SKIPPED]


def half_squares(gradients: Sequence[tf.Tensor | None]) -> list[tf.Tensor]:
    """Half the squared norm of each gradient, float32; 0 where there is none."""
    return [tf.constant(0.0) if g is None else tf.nn.l2_loss(tf.cast(g, tf.float32)) for g in gradients]


def norm_of(squares: list[tf.Tensor]) -> tf.Tensor:
    """The norm of all gradients together."""
    return tf.sqrt(tf.reduce_sum(tf.stack(squares)) * 2.0)


def global_norm(gradients: Sequence[tf.Tensor]) -> tf.Tensor:
    """The norm of all gradients together, for clipping: the one that the step has computed, where it has."""
    known = _known_norm.get()
    return norm_of(half_squares(gradients)) if known is None else known


@contextlib.contextmanager
def knowing(norm: tf.Tensor | None) -> Iterator[None]:
    """Inside, `global_norm` is `norm`, for this thread: under MirroredStrategy, for this replica."""
    token = _known_norm.set(norm)
    try:
        yield
    finally:
        _known_norm.reset(token)


def run_if(condition: tf.Tensor, function: Callable[..., None], *arguments) -> None:
    """`function(*arguments)` on all replicas if `condition`, which must be the same on all of them.

    A function that is to change mirrored variables cannot stand in a `tf.cond` of one replica, where replicas would have to meet
    (merge_call): the condition is asked for all of them together.
    """
    if tf.__internal__.distribute.strategy_supports_no_merge_call():
        tf.cond(condition, lambda: _nothing(function(*arguments)), _nothing)
        return

    def for_all(strategy, condition, *arguments):
        tf.cond(
            strategy.experimental_local_results(condition)[0],
            lambda: _nothing(strategy.extended.call_for_each_replica(function, args=arguments)),
            _nothing,
        )

    tf.distribute.get_replica_context().merge_call(for_all, args=(condition, *arguments))


def put_back(variables: Sequence[keras.Variable], before: Sequence[tf.Tensor], condition: tf.Tensor) -> None:
    """Gives small variables, such as a metric's, their values from before if `condition`."""
    for variable, value in zip(variables, before):
        variable.assign(tf.where(condition, value, tf.convert_to_tensor(variable.value)))


def _nothing(_=None) -> tf.Tensor:
    return tf.constant(0)
