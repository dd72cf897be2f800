"""Where a model trains: `tf.distribute` strategies by name."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import keras
import tensorflow as tf

from tfllm.errors import UserError

if TYPE_CHECKING:
    from tfllm.training.model_parallel.placement import Placement


@functools.cache
def strategy(
    name: str = "auto", tpu: str | None = None, tensor_parallel: int | None = None
) -> tf.distribute.Strategy | Placement:
    """The strategy of that name. A process has one of each: two of a kind can hang their collectives.

    Args:
        name: one of `STRATEGIES`:
            `"auto"`: several workers where TF_CONFIG names them, else mirrored on several GPUs, else the default device;
            `"cpu"`: no GPU; `"gpu"`: one GPU; `"mirrored"`: all visible GPUs, or all logical CPU devices where there is none;
            `"multi_worker"`: the processes that TF_CONFIG names (to be chosen before TensorFlow has been used);
            `"tpu"`: a Cloud TPU;
            `"model_parallel"`: weights split over the devices that JAX sees, where Keras runs on JAX (KERAS_BACKEND=jax), and there
            `"auto"` is one device.
        tpu: name or address of the TPU; `"local"` on its own VM.
        tensor_parallel: of `"model_parallel"`: devices that share a copy of the model; default: all.

    Raises:
        UserError: another name, there is no such device, or Keras runs on the wrong backend.
    """
    if name not in STRATEGIES:
        raise UserError(f"strategy must be one of {', '.join(STRATEGIES)}. Received: strategy={name!r}.")
    if tpu is not None and name != "tpu":
        raise UserError(f"tpu goes with strategy=tpu. Received: strategy={name!r}, tpu={tpu!r}.")
    if tensor_parallel is not None and name != "model_parallel":
        raise UserError(
            f"tensor_parallel goes with strategy=model_parallel. Received: strategy={name!r}, tensor_parallel={tensor_parallel}."
        )
    if name == "model_parallel":
        from tfllm.training.model_parallel import model_parallel

        return model_parallel(tensor_parallel)
    if keras.backend.backend() != "tensorflow":
        return _without_tensorflow(name)
    return STRATEGIES[name](tpu) if name == "tpu" else STRATEGIES[name]()


def _without_tensorflow(name: str) -> Placement:
    if name != "auto":
        raise UserError(
            f"strategy={name} is of TensorFlow, and Keras runs on {keras.backend.backend()} (KERAS_BACKEND). Give auto for one device or "
            "model_parallel for several, or take the TensorFlow backend."
        )
    from tfllm.training.model_parallel.placement import Placement

    return Placement()


def is_chief(chosen: tf.distribute.Strategy | Placement) -> bool:
    """Whether this process is the one that writes: the only one, or the first of several workers."""
    resolver = chosen.cluster_resolver
    return (
        resolver is None
        or not resolver.cluster_spec()
        or (resolver.task_type, resolver.task_id)
        in (
            ("chief", 0),
            ("worker", 0),
            (None, None),
        )
    )


def worker_of(chosen: tf.distribute.Strategy | Placement) -> tuple[int, int]:
    """`(this worker, workers)`."""
    extended = chosen.extended
    workers = getattr(extended, "_num_workers", 1)
    resolver = chosen.cluster_resolver
    return (0 if workers == 1 else resolver.task_id or 0), workers


def _auto() -> tf.distribute.Strategy:
    if len(_workers_of_tf_config()) > 1:
        return strategy("multi_worker")
    return strategy("mirrored") if len(tf.config.list_logical_devices("GPU")) > 1 else tf.distribute.get_strategy()


def _cpu() -> tf.distribute.Strategy:
    try:
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError:
        raise UserError("strategy=cpu must be chosen before TensorFlow has used a GPU. Start a new process.") from None
    return tf.distribute.get_strategy()


def _gpu() -> tf.distribute.Strategy:
    if not tf.config.list_logical_devices("GPU"):
        raise UserError("strategy=gpu needs a GPU that TensorFlow sees. Received: none. Give cpu or auto.")
    return tf.distribute.OneDeviceStrategy("GPU:0")


def _mirrored() -> tf.distribute.Strategy:
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def _multi_worker() -> tf.distribute.Strategy:
    workers = _workers_of_tf_config()
    if not workers:
        raise UserError(
            "strategy=multi_worker needs the environment variable TF_CONFIG, such as "
            '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}. Received: none.'
        )
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise UserError(f"strategy=multi_worker must be chosen before TensorFlow is used ({error}).") from None


def _tpu(name: str | None) -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name or "")
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, tf.errors.NotFoundError, tf.errors.InvalidArgumentError, tf.errors.UnavailableError) as error:
        raise UserError(
            "strategy=tpu found no TPU. Run it on a TPU VM with --tpu=local (and the package tensorflow-tpu), or give the TPU's name. "
            f"Received: tpu={name!r} ({str(error).splitlines()[0][:200]})."
        ) from None
    return tf.distribute.TPUStrategy(resolver)


def _workers_of_tf_config() -> list[str]:
    text = os.environ.get("TF_CONFIG")
    if not text:
        return []
    try:
        cluster = json.loads(text).get("cluster", {})
        return [*cluster.get("chief", []), *cluster.get("worker", [])]
    except (json.JSONDecodeError, AttributeError, TypeError):
        raise UserError(f"TF_CONFIG must be JSON with a cluster and a task. Received: {text[:200]!r}.") from None


STRATEGIES: dict[str, Callable[..., tf.distribute.Strategy]] = {
    "auto": _auto,
    "cpu": _cpu,
    "gpu": _gpu,
    "mirrored": _mirrored,
    "multi_worker": _multi_worker,
    "tpu": _tpu,
    "model_parallel": None,  # of JAX, and imported only then
}
