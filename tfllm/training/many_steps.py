"""What `fit()` calls for its steps: one or several of them in one call of TensorFlow, on one device or several replicas."""

from __future__ import annotations

import logging

import keras
import tensorflow as tf

from tfllm.errors import UserError
from tfllm.training.xla_step import why_not_compiled

_log = logging.getLogger("tfllm")


class TrainFunction:
    """`train_function(iterator)` of a model whose optimizer brings its own step: makes `model.steps_per_execution` steps.

    Keras' own makes its steps in conditions on whether there is a batch, which fails under MirroredStrategy. This one is told how
    many there are: at the end of an epoch it makes as many steps as are left. XLA (`model.jit_compile`) compiles forward and backward
    inside the step, not the whole of it.

    Args:
        model: compiled, with an optimizer of `tfllm.training.optimizer`.
    """

    def __init__(self, model: keras.Model):
        self._model, self._left, self._steps = model, None, None
        self._checked = not model.jit_compile
        self._make()

    def _make(self) -> None:
        model, strategy = self._model, self._model.distribute_strategy

        def on_replica(data):
            # What does not depend on the data (a seed's next state, the number of updates) must not happen where there were none any more.
            with tf.control_dependencies([part for part in tf.nest.flatten(data) if tf.is_tensor(part)]):
                return model.train_step(_without_optionals(data))

        def on_batch(batch):
            logs = strategy.run(on_replica, args=(batch,))
            return tf.nest.map_structure(lambda value: _of_all_replicas(strategy, value), logs)

        def one(iterator):
            return on_batch(iterator.get_next())

        if not model.run_eagerly:
            on_batch, one = (tf.function(f, reduce_retracing=True, autograph=False) for f in (on_batch, one))

        def several(iterator, count):
            def body(i):
                one(iterator)
                return (i + 1,)

            tf.while_loop(lambda i: i < count - 1, body, (tf.constant(0),), parallel_iterations=1)
            return one(iterator)

        self._on_batch, self._one = on_batch, one
        self._several = several if model.run_eagerly else tf.function(several, reduce_retracing=True, autograph=False)

    def begin(self, data, steps_per_epoch: int | None):
        """Called by `fit()` with its data.

        Returns:
            The data, as `fit()` should take them.

        Raises:
            UserError: several steps a call, and nothing says how many steps there are.
        """
        model, count = self._model, self._model.steps_per_execution
        spec = getattr(data, "element_spec", None)
        if not self._checked and spec is not None:
            self._checked = True
            reason = why_not_compiled(model, spec)
            if reason:
                _log.warning("jit: XLA cannot compile forward and backward (%s); training goes on uncompiled", reason)
                model.jit_compile = False
                self._make()
        if count == 1:
            return data
        cardinality = _cardinality(data)
        self._steps = steps_per_epoch or cardinality
        if self._steps is None:
            raise UserError(
                "steps_per_execution above 1 needs to know how many steps an epoch has: give fit() a tf.data.Dataset whose cardinality is "
                f"known, or steps_per_epoch. Received: steps_per_execution={count}, {type(data).__name__}."
            )
        self._left = self._steps
        if steps_per_epoch and cardinality is not None and steps_per_epoch % count:
            # Keras counts whole calls, and would take the data for used up too early where it knew how many there are.
            if cardinality % steps_per_epoch or not hasattr(data, "repeat"):
                raise UserError(
                    "steps_per_execution must divide steps_per_epoch, or the data must be whole epochs. Received: "
                    f"steps_per_execution={count}, steps_per_epoch={steps_per_epoch}, {cardinality} batches."
                )
            return data.repeat()
        return data

    def __call__(self, iterator):
        model = self._model
        if not isinstance(iterator, (tf.data.Iterator, tf.distribute.DistributedIterator)):  # train_on_batch
            for _, batch in zip(range(model.steps_per_execution), iterator):
                logs = self._on_batch(batch)
            return logs
        if model.steps_per_execution == 1:
            return self._one(iterator)
        count = min(model.steps_per_execution, self._left)
        # As if they were done, also if the data are at an end: Keras goes on with the next epoch then.
        self._left = self._left - count or self._steps
        try:
            return self._several(iterator, tf.constant(count))
        except tf.errors.OutOfRangeError:
            self._left = self._steps
            raise


def check_steps_per_call(count: int, steps_per_epoch: int, *, max_steps: int | None, eval_every: int | None) -> None:
    """Says where calls of several steps end. They begin anew with each epoch, whose last call may be shorter.

    Raises:
        UserError: training would not end with a call.
    """
    if max_steps is not None and max_steps % steps_per_epoch % count:
        raise UserError(
            "max_steps must be where a call ends: whole epochs and a multiple of steps_per_call. Received: "
            f"max_steps={max_steps}, steps_per_call={count}, {steps_per_epoch} steps an epoch."
        )
    if eval_every is not None and (eval_every % count or (steps_per_epoch % count and steps_per_epoch % eval_every)):
        _log.warning(
            "steps_per_call=%d does not divide eval_every=%d (or the %d steps of an epoch): an evaluation comes with the end of the call that "
            "it is due in, up to %d steps later",
            count,
            eval_every,
            steps_per_epoch,
            count - 1,
        )


def _cardinality(data) -> int | None:
    """Batches of a dataset; `None` where it does not know, or has no end."""
    cardinality = getattr(data, "cardinality", None)
    if cardinality is None:
        return None
    number = int(cardinality() if callable(cardinality) else cardinality)
    return number if number >= 0 else None


def _without_optionals(data):
    """Keras' data adapters give an empty `tf.experimental.Optional` for a part that is not there."""
    return keras.tree.map_structure(lambda part: None if isinstance(part, tf.experimental.Optional) else part, data)


def _of_all_replicas(strategy: tf.distribute.Strategy, value):
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return strategy.reduce(tf.distribute.ReduceOp.MEAN, value, axis=0)
    local = strategy.experimental_local_results(value)
    if len(local) == 1 or isinstance(strategy, tf.distribute.TPUStrategy):
        return local[0]
    return tf.reduce_mean(tf.stack(local), axis=0)
