"""Where a model trains: `tf.distribute` strategies by name."""

from __future__ import annotations

import functools

import tensorflow as tf

from tfllm.errors import UserError


@functools.cache
def strategy(name: str = "auto") -> tf.distribute.Strategy:
    """The strategy of that name. A process has one of each: two of a kind can hang their collectives.

    Args:
        name: `"auto"` (mirrored on several GPUs, else the default device), `"cpu"`, or `"mirrored"` over all visible
            GPUs, or over all logical CPU devices where there is no GPU.

    Raises:
        UserError: another name, or `"cpu"` after TensorFlow has taken hold of a GPU.
    """
    gpus = tf.config.list_logical_devices("GPU") if name != "cpu" else []
    if name == "cpu":
        try:
            tf.config.set_visible_devices([], "GPU")
        except RuntimeError:
            raise UserError(
                "strategy=cpu must be chosen before TensorFlow has used a GPU. Start a new process."
            ) from None
    if name in ("auto", "cpu"):
        return tf.distribute.MirroredStrategy() if len(gpus) > 1 else tf.distribute.get_strategy()
    if name == "mirrored":
        return tf.distribute.MirroredStrategy([device.name for device in gpus or tf.config.list_logical_devices("CPU")])
    raise UserError(
        f"strategy must be auto, cpu or mirrored; several machines and TPUs come later. Received: strategy={name!r}."
    )
