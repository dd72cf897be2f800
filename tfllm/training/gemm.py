"""The matrix-multiply speed of this machine, which model FLOP utilisation is measured against."""

from __future__ import annotations

import functools
import time

import tensorflow as tf


@functools.cache
def gemm_peak(dtype: str = "float32", seconds: float = 1.0) -> float:
    """FLOP/s of the fastest of several products of square matrices through TensorFlow, on one device.

    A process measures each `dtype` once, for about `seconds`. The matrices are 2048 wide, or smaller where that would
    take long (a processor without instructions for the dtype).

    Args:
        dtype: of the matrices.
        seconds: how long to go on.

    Example:
        >>> gemm_peak("float32") > 0
        True
    """

    @tf.function(reduce_retracing=True)
    def corner_of_product(a, b):
        return tf.matmul(a, b)[0, 0]

    def fastest(size: int, seconds: float) -> float:
        a, b = (tf.cast(tf.random.stateless_normal((size, size), seed), dtype) for seed in ([0, 0], [0, 1]))
        corner_of_product(a, b).numpy()  # fetching one number waits for the device
        best, end = float("inf"), time.perf_counter() + seconds
        while True:
            start = time.perf_counter()
            corner_of_product(a, b).numpy()
            now = time.perf_counter()
            best = min(best, now - start)
            if now >= end:
                return 2 * size**3 / best

    rough = fastest(256, 0.0)
    size = next((size for size in (2048, 1024, 512) if 2 * size**3 / rough < seconds / 2), 256)
    return fastest(size, seconds)
