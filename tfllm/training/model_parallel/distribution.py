"""The distribution of weights and batches over a mesh of devices."""

from __future__ import annotations

import keras
import numpy as np

from tfllm.errors import UserError
from tfllm.training.model_parallel.backend import check_backend
from tfllm.training.model_parallel.layout import split_axis


class ModelParallel(keras.distribution.ModelParallel):
    """`keras.distribution.ModelParallel` for tfllm's models: a mesh of `data` x `tensor` devices.

    The `tensor` devices of a row share the weights (see `split_axis`), the optimizer's slots with them, and the work on the same
    examples; the `data` rows have a copy each and share the examples of a batch. A weight's layout follows from its path and its shape,
    so one distribution fits every architecture.

    Args:
        tensor_parallel: devices that share a copy of the model; default: all.
        devices: names of the devices; default: all that JAX sees.

    Raises:
        UserError: Keras runs on another backend, or the devices do not divide.

    Example:
        >>> keras.distribution.set_distribution(ModelParallel(tensor_parallel=2))  # doctest: +SKIP
        >>> model = tfllm.load("path/to/llama")                                    # doctest: +SKIP
        >>> bytes_per_device(model)                                                # doctest: +SKIP
        {'cpu:0': 550_000, 'cpu:1': 550_000}
    """

    def __init__(self, tensor_parallel: int | None = None, devices: list[str] | None = None):
        check_backend()
        devices = keras.distribution.list_devices() if devices is None else devices
        tensor = len(devices) if tensor_parallel is None else tensor_parallel
        if not isinstance(tensor, int) or tensor < 1 or len(devices) % tensor:
            raise UserError(
                f"tensor_parallel must divide the number of devices. Received: tensor_parallel={tensor_parallel}, {len(devices)} "
                f"devices ({', '.join(map(str, devices[:8]))})."
            )
        mesh = keras.distribution.DeviceMesh((len(devices) // tensor, tensor), ("data", "tensor"), devices)
        super().__init__(layout_map=keras.distribution.LayoutMap(mesh), batch_dim_name="data")

    @property
    def tensor_parallel(self) -> int:
        """Devices that share a copy of the model."""
        return self.device_mesh.shape[1]

    def get_variable_layout(self, variable) -> keras.distribution.TensorLayout:
        """The layout of a variable, by its path and shape."""
        axes: list[str | None] = [None] * len(variable.shape)
        axis = split_axis(variable.path, tuple(variable.shape), self.tensor_parallel)
        if axis is not None:
            axes[axis] = "tensor"
        return keras.distribution.TensorLayout(axes, self.device_mesh)


def bytes_per_device(variables) -> dict[str, int]:
    """Bytes of variables that each device holds, by its name.

    Args:
        variables: a model, an optimizer, or a list of `keras.Variable`s.
    """
    held: dict[str, int] = {}
    for variable in getattr(variables, "variables", variables):
        value = variable.value
        for shard in getattr(value, "addressable_shards", ()):
            name = f"{shard.device.platform}:{shard.device.id}"
            held[name] = held.get(name, 0) + int(np.prod(shard.data.shape)) * value.dtype.itemsize
    return held
