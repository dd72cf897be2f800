"""What several processes that train one model together must agree on: data, files, and what to do when one is lost."""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
from collections.abc import Callable, Iterator

import tensorflow as tf

from tfllm.errors import UserError
from tfllm.training.strategies import is_chief, worker_of


class WorkerLost(UserError):
    """Another process of this run is gone."""


class Workers:
    """The processes of a strategy. Of a strategy in one process, that one.

    Args:
        strategy: of this process.

    Attributes:
        index, count: this worker's number, and how many there are.
        is_chief: whether this one writes the run directory. All of them read it: it must be the same for all.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        self.strategy = strategy
        self.index, self.count = worker_of(strategy)
        self.is_chief = is_chief(strategy)

    def distributed(self, data: tf.data.Dataset) -> tf.data.Dataset | tf.distribute.DistributedDataset:
        """This worker's shard of each batch in the form that `fit()` wants; as it is where there is one worker."""
        if self.count == 1:
            return data
        local = self.strategy.num_replicas_in_sync // self.count
        parts = data if local == 1 else data.flat_map(lambda *batch: _rows_in(batch, local))
        return self.strategy.distribute_datasets_from_function(lambda context: parts)

    def agreed(self, step: int) -> int:
        """The chief's `step`, on every worker."""
        return step if self.count == 1 else self._total(step if self.is_chief else 0)

    def any(self, flag: bool) -> bool:
        """Whether `flag` is set on one of the workers. All of them must ask, and wait for each other."""
        return flag if self.count == 1 else self._total(int(flag)) > 0

    def _total(self, number: int) -> int:
        local = self.strategy.num_replicas_in_sync // self.count
        return int(self._sum(tf.constant(number, tf.int64)).numpy()) // local

    @functools.cached_property
    def _sum(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """Over all replicas."""

        @tf.function
        def total(mine):
            return self.strategy.reduce(tf.distribute.ReduceOp.SUM, self.strategy.run(lambda: mine), axis=None)

        return total

    @contextlib.contextmanager
    def directory(self, run_dir: str | os.PathLike) -> Iterator[str]:
        """`run_dir`; for others than the chief a directory of their own, which is removed in the end."""
        if self.is_chief:
            yield os.fspath(run_dir)
            return
        with tempfile.TemporaryDirectory(prefix="tfllm-worker-") as temporary:
            yield os.path.join(temporary, "run")

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Turns what TensorFlow raises when another worker is gone into one error that says what to do.

        Raises:
            WorkerLost: another worker was lost. TensorFlow notices within about 10 seconds of silence.
        """
        try:
            yield
        except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.InternalError) as error:
            if self.count == 1:
                raise
            raise WorkerLost(
                f"worker {self.index} of {self.count}: another worker was lost ({_reason(error)}). "
                "Start all workers again with the same command: they go on from the last checkpoint."
            ) from error


def _reason(error: tf.errors.OpError) -> str:
    """The line that says it, of many that say where in the graph it was noticed."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    saying = ("unhealthy", "aborted by", "unavailable", "connection", "closed")
    telling = [line for line in lines if any(word in line.lower() for word in saying)]
    return (telling or lines or [type(error).__name__])[0][:200]


def _rows_in(batch: tuple, parts: int) -> tf.data.Dataset:
    """One batch as `parts` batches of consecutive rows."""

    def split(tensor: tf.Tensor) -> tf.Tensor:
        rows = tensor.shape[0] // parts
        return tf.reshape(tensor, (parts, rows, *tf.unstack(tf.shape(tensor)[1:], num=tensor.shape.rank - 1)))

    return tf.data.Dataset.from_tensor_slices(tf.nest.map_structure(split, batch))
