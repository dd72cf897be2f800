"""Layers whose activations are computed again in the backward pass in place of being kept (Chen et al., 2016)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops, tree

from tfllm.layers.dropout import Dropout
from tfllm.layers.replica_seed import drawn_seeds, of_this_replica


def rematerialised(layer: keras.layers.Layer, x, training: bool | None = None, **inputs: Any):
    """`layer(x, training=training, **inputs)`, of which only the inputs are kept for the backward pass.

    The second computation is the first over again, dropout's masks included: their seeds are drawn here, once for both, in the order in
    which the layer would draw them.

    Args:
        layer: a built layer whose output is a tensor. What it reads besides its inputs are its own weights, and nothing else that
            gradients go to.
        x: its first argument.
        training: as the layer's.
        **inputs: its other arguments: tensors, tuples of them, or `None`.

    Example:
        >>> layer = keras.layers.Dense(3)
        >>> layer.build((None, 2))
        >>> rematerialised(layer, keras.ops.ones((1, 2))).shape
        TensorShape([1, 3])
    """
    seeds = _draw(layer) if training else {}
    given = (x, {name: value for name, value in inputs.items() if value is not None})
    accepted = {} if training is None else {"training": training}
    tensors = tree.flatten(given)
    # As arguments: of what a function merely closes over, TensorFlow's gradient knows nothing. Whole numbers have no gradient.
    differentiable = [place for place, tensor in enumerate(tensors) if keras.backend.is_float_dtype(_dtype(tensor))]

    def again(*floating):
        values = list(tensors)
        for place, value in zip(differentiable, floating, strict=True):
            values[place] = value
        y, others = tree.pack_sequence_as(given, values)
        with drawn_seeds({key: _not_before(y, seed) for key, seed in seeds.items()}):
            return layer(y, **others, **accepted)

    return keras.remat(again)(*(tensors[place] for place in differentiable))


def _not_before(tensor, seed):
    """The seed, which is known once the tensor is: else the masks of all layers would be drawn at the backward pass's beginning, and
    be kept until they are needed."""
    first = ops.reshape(tensor, (-1,))[0]
    return seed + ops.cast(ops.where(ops.equal(first, first), 0, 1), seed.dtype)  # 0 but for NaN


def _dtype(tensor) -> str:
    return keras.backend.standardize_dtype(tensor.dtype)


def _draw(layer: keras.layers.Layer) -> dict[int, Any]:
    """A seed for each dropout in a layer, by its generator's `id`."""
    return {
        id(part.seed_generator): of_this_replica(part.seed_generator).next()
        for part in layer._flatten_layers()
        if isinstance(part, Dropout) and part.rate > 0
    }
