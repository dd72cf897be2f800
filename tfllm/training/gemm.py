"""The matrix-multiply speed of this machine, which model FLOP utilisation is measured against."""

from __future__ import annotations

import functools
import time

import tensorflow as tf


@functools.cache
def gemm_peak(dtype: str = "float32", size: int = 2048, seconds: float = 1.0) -> float:
    """FLOP/s of the fastest of several `size` x `size` matrix products through TensorFlow, on one device.

    It takes about `seconds` the first time; a process measures each `dtype` and `size` once.

    Args:
        dtype: of the matrices.
        size: rows and columns.
        seconds: how long to go on.

    Example:
        >>> gemm_peak("float32") > 0
        True
    """

    @tf.function
    def corner_of_product(a, b):
        return tf.matmul(a, b)[0, 0]

    a, b = (tf.cast(tf.random.stateless_normal((size, size), seed), dtype) for seed in ([0, 0], [0, 1]))
    corner_of_product(a, b).numpy()  # traces
    best, end = float("inf"), time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        corner_of_product(a, b).numpy()  # fetching one number waits for the device
        now = time.perf_counter()
        best = min(best, now - start)
        if now >= end:
            return 2 * size**3 / best
