"""Everything that the next step depends on, as arrays: weights, dropout's seeds, the optimizer's slots, metrics so far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import keras
import numpy as np

from tfllm.checkpoints.tensor_image import TensorImage
from tfllm.errors import UserError


def read_state(model: keras.Model, *, into: TensorImage | None = None) -> TensorImage:
    """A copy of the state of a compiled model, by names that say where each variable belongs.

    Args:
        model: whose state is read. On several workers all of them must call this, as metrics are summed over them.
        into: what an earlier call gave, to be filled again, which is faster than memory that is new. Made anew where the model's
            variables are others since.

    Example:
        >>> state = read_state(model)                                            # doctest: +SKIP
        >>> write_state(model, state)                                            # doctest: +SKIP
    """
    variables = dict(_variables(model))
    shapes = {name: (tuple(variable.shape), variable.dtype) for name, variable in variables.items()}
    if into is None or shapes != {name: (array.shape, array.dtype.name) for name, array in into.items()}:
        into = TensorImage(shapes)
    for name, variable in variables.items():
        np.copyto(into[name], _value(variable))
    return into


def write_state(model: keras.Model, state: Mapping[str, np.ndarray]) -> None:
    """Sets the variables of a compiled model, whose optimizer is built, to what `read_state` gave.

    Raises:
        UserError: the state is of another model or optimizer.
    """
    variables = dict(_variables(model))
    shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
    received = {name: array.shape for name, array in state.items()}
    if shapes != received:
        different = sorted(name for name in {*shapes, *received} if shapes.get(name) != received.get(name))
        raise UserError(
            f"the checkpoint is of another model or optimizer: {len(different)} variables differ, such as {different[0]}: "
            f"expected {shapes.get(different[0])}. Received: {received.get(different[0])}."
        )
    for name, variable in variables.items():
        variable.assign(state[name])


def _variables(model: keras.Model) -> Iterator[tuple[str, keras.Variable]]:
    # An optimizer's variables have names that begin with those of models, whose count in a process is no matter.
    counted = {v.path.split("/", 1)[0] + "_" for v in model.trainable_variables}
    # Paths alone are not unique (every dropout's seed has the same), and places alone say nothing to a reader.
    for part, variables in (
        ("model", [v for v in model.variables if not _is_metric(v, model)]),
        ("optimizer", model.optimizer.variables),
        ("metrics", model.metrics_variables),
    ):
        for place, variable in enumerate(variables):
            name = _below_the_model(variable.path)
            yield f"{part}/{place:04d}/{_without(counted, name) if part == 'optimizer' else name}", variable


def _is_metric(variable: keras.Variable, model: keras.Model) -> bool:
    return any(variable is metric for metric in model.metrics_variables)


def _below_the_model(path: str) -> str:
    """The first part of a path counts the models of a process (`sequence_classifier_1`)."""
    return path.split("/", 1)[-1]


def _without(prefixes: set[str], name: str) -> str:
    return name.removeprefix(next((prefix for prefix in prefixes if name.startswith(prefix)), ""))


def _value(variable: keras.Variable) -> np.ndarray:
    # A tensor first: TensorFlow's conversion sums what the replicas of a metric have counted, JAX's brings a split variable together.
    # (`cast` and not `convert_to_tensor`, which gives TensorFlow's mirrored metrics back as they are; `copy`, as the array of a tensor is
    # a view and that of one of TensorFlow's variables another copy.)
    return np.asarray(keras.ops.copy(keras.ops.cast(variable.value, variable.dtype)))
