"""What fine-tuning changes in the make-up of a model: low-rank updates, quantized kernels, frozen weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras

from tfllm.errors import UserError
from tfllm.layers.dense import Dense


def projections(model: keras.Model) -> dict[str, Dense]:
    """The layers that can be adapted and quantized, by their path below the model, e.g. `encoder/block_0/attention/query`."""
    found = (layer for layer in model._flatten_layers() if isinstance(layer, Dense))
    return {layer.path.split("/", 1)[1]: layer for layer in found}


def adapted(model: keras.Model) -> dict[str, Dense]:
    """Those with a low-rank update."""
    return {path: layer for path, layer in projections(model).items() if layer.lora is not None}


def quantized(model: keras.Model) -> dict[str, Dense]:
    """Those with a quantized kernel."""
    return {path: layer for path, layer in projections(model).items() if layer.quantization_mode is not None}


def additions(model: keras.Model) -> set[str]:
    """Paths of the weights that a plain model has not: factors of updates, scales and zero points."""
    return {
        f"{path}/{weight.name}"
        for path, layer in projections(model).items()
        for weight in layer.weights
        if weight.name not in ("kernel", "bias")
    }


def add_updates(model: keras.Model, updates: Mapping[str, Mapping[str, Any]], trained: Callable[[str], bool]) -> None:
    """Adds low-rank updates and freezes every other weight but those that are `trained`.

    Args:
        model: changed in place.
        updates: path of a projection to `{"rank", "alpha", "dropout"}`.
        trained: whether a weight, by its path below the model, is trained beside the updates.
    """
    layers = projections(model)
    for path, update in updates.items():
        layers[path].enable_lora(update["rank"], update["alpha"], update["dropout"])
    own = {id(weight) for path in updates for weight in (layers[path].lora_a, layers[path].lora_b)}
    for path, weight in model.named_weights().items():
        if id(weight) not in own and not trained(path):
            weight.trainable = False


def quantize(model: keras.Model, mode: str) -> None:
    """Quantizes every projection.

    Raises:
        UserError: another mode, one after the other, updates that are there already, or a Keras that is too old.
    """
    if mode not in ("int8", "int4"):
        raise UserError(f"quantize takes int8 or int4. Received: {mode!r}.")
    if not hasattr(keras.quantizers, "Int4QuantizationConfig"):
        raise UserError(f"Quantized kernels need Keras 3.15 or later. Received: Keras {keras.__version__}.")
    if not projections(model):
        raise UserError(f"Expected a model of tfllm's own layers to quantize. Received: a {type(model).__name__}.")
    if quantized(model) or adapted(model):
        raise UserError("This model is quantized or adapted already: quantize first, then add low-rank updates.")
    if model.compute_dtype == "float16":
        raise UserError("Quantized kernels need float32 or mixed_bfloat16. Received: a model that computes in float16.")
    for layer in projections(model).values():
        layer.quantize_weights(mode)


def record(model: keras.Model) -> dict:
    """What a model made anew needs to be told so that its weights fit: empty for a plain model."""
    layers = projections(model)
    if not any(layer.lora or layer.quantization_mode for layer in layers.values()):
        return {}
    return {
        "lora": {path: layer.lora for path, layer in layers.items() if layer.lora},
        "quantized": {path: layer.quantization_mode for path, layer in layers.items() if layer.quantization_mode},
        "frozen": [path for path, weight in model.named_weights().items() if not weight.trainable],
    }


def restore(model: keras.Model, made: Mapping) -> None:
    """Makes a new model what `record` says."""
    layers = projections(model)
    for path, mode in made["quantized"].items():
        layers[path].quantize_weights(mode)
    frozen = set(made["frozen"])
    add_updates(model, made["lora"], trained=lambda path: path not in frozen)
