"""What the trainer takes in place of a `tf.distribute` strategy where Keras runs on JAX."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

from tfllm.errors import UserError
from tfllm.training.model_parallel.distribution import ModelParallel


class Placement:
    """One process that computes on JAX: on its default device, or on a distribution's mesh.

    It answers what the trainer asks a `tf.distribute.Strategy`. A distribution of Keras' is one for the whole process and, unlike a
    strategy, must also be set while `fit()` runs: `scope()` leaves it set.

    Args:
        distribution: `None` for one device.
    """

    cluster_resolver = None  # one process
    extended = None

    def __init__(self, distribution: ModelParallel | None = None):
        self.distribution = distribution

    @property
    def num_replicas_in_sync(self) -> int:
        """Parts that the rows of a batch are divided into."""
        return 1 if self.distribution is None else self.distribution.num_model_replicas

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """Models, optimizers and data made from here on are distributed."""
        if self.distribution is not None:
            keras.distribution.set_distribution(self.distribution)
        yield


def model_parallel(tensor_parallel: int | None = None) -> Placement:
    """Weights split over all devices that JAX sees: `--strategy=model_parallel`.

    Args:
        tensor_parallel: devices that share a copy of the model; default: all. The others have copies, and examples, of their own.

    Raises:
        UserError: Keras does not run on JAX, or the devices do not divide.

    Example:
        >>> with model_parallel(tensor_parallel=2).scope():          # doctest: +SKIP
        ...     model = tfllm.load("path/to/llama")
    """
    distribution = ModelParallel(tensor_parallel)
    try:
        tf.config.set_visible_devices(
            [], "GPU"
        )  # TensorFlow only reads the data; it would take the accelerators' memory
    except RuntimeError:
        raise UserError(
            "strategy=model_parallel must be chosen before TensorFlow has used a GPU. Start a new process."
        ) from None
    return Placement(distribution)
