"""Which tensors of the forward pass a gradient reads, from the graph that TensorFlow makes of a training step."""

from __future__ import annotations

import math

import tensorflow as tf

_SAME_MEMORY = ("Reshape", "Identity", "IdentityN", "Squeeze", "ExpandDims", "StopGradient")
_NO_ACTIVATIONS = ("Placeholder", "Const", "ReadVariableOp")
_OF_SHAPES = ("Shape", "ShapeN", "Size", "Rank")


def kept_bytes(model, x, y, weight) -> dict[str, int]:
    """`{name: bytes}` of the tensors that the gradients of the trainable variables need from the forward pass."""
    forward: set[str] = set()

    @tf.function
    def gradients(x):
        with tf.GradientTape() as tape:
            loss = model.compute_loss(x=x, y=y, y_pred=model(x, training=True), sample_weight=weight, training=True)
        forward.update(op.name for op in tf.compat.v1.get_default_graph().get_operations())
        found = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
        return [tf.convert_to_tensor(gradient) for gradient in found if gradient is not None]

    todo = [output.op for output in gradients.get_concrete_function(x).outputs]
    seen: set[str] = set()
    kept: dict[str, int] = {}
    while todo:
        op = todo.pop()
        if op.name in seen or op.name in forward:
            continue
        seen.add(op.name)
        for tensor in op.inputs:
            if tensor.op.name not in forward:
                todo.append(tensor.op)
            elif op.type not in _OF_SHAPES:
                source = _source(tensor)
                if source.op.type not in _NO_ACTIVATIONS and not _is_weight_copy(source):
                    kept[source.name] = math.prod(source.shape) * source.dtype.size
    return kept


def _source(tensor):
    """The tensor whose memory it shares."""
    while tensor.op.type in _SAME_MEMORY:
        place = [output.name for output in tensor.op.outputs].index(tensor.name) if tensor.op.type == "IdentityN" else 0
        tensor = tensor.op.inputs[place]
    return tensor


def _is_weight_copy(tensor) -> bool:
    """A variable cast or transposed: no activation."""
    while tensor.op.type in ("Cast", "Transpose"):
        tensor = _source(tensor.op.inputs[0])
    return tensor.op.type == "ReadVariableOp"
