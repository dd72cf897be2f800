"""`save`: a model to a Hugging Face directory that transformers opens."""

from __future__ import annotations

import json
import os
import shutil
import tempfile

import keras
import ml_dtypes
import numpy as np

from tfllm import models, zoo
from tfllm.checkpoints import write_tensors
from tfllm.checkpoints.directory import GENERATION_CONFIG
from tfllm.errors import UserError
from tfllm.models import adaptation
from tfllm.zoo.loading import active_rules

_DTYPES = {"float32": np.dtype("float32"), "float16": np.dtype("float16"), "bfloat16": np.dtype(ml_dtypes.bfloat16)}


def save(
    model: models.TransformerModel,
    directory: str | os.PathLike,
    *,
    family: str | None = None,
    dtype: str | None = None,
    overwrite: bool = False,
    max_shard_bytes: int = 5 * 10**9,
) -> None:
    """Writes `config.json`, `model.safetensors`, the tokenizer's files, and `generation_config.json` if there was one.

    Args:
        model: a tfllm model with a head of the family, or a backbone.
        directory: where to; made if it is missing, in one step: it is complete or not there.
        family: the `model_type` of a model that was not loaded from a checkpoint; default: the one it was loaded from.
        dtype: `"float32"`, `"bfloat16"` or `"float16"` for all tensors. Default: each in the dtype that it was loaded in if that
            loses nothing (so that an untouched model comes back bit for bit), else in float32.
        overwrite: replace the model files in a directory that is not empty.
        max_shard_bytes: largest file.

    Raises:
        UserError: the directory is not empty, or the family is not known.

    Example:
        >>> save(load("path/to/bert"), "copy/")                                   # doctest: +SKIP
    """
    hint = getattr(model, "save_hint", None)  # a KerasHub model says where to it can be saved
    if hint is not None:
        raise UserError(hint)
    if adaptation.record(model):
        raise UserError(
            "This model has low-rank updates or quantized kernels, which a Hugging Face directory does not hold. "
            "tfllm.training.merge_lora(model) makes it a plain one; tfllm.save_adapter writes the updates alone; "
            "model.save('file.keras') keeps all as it is."
        )
    directory = os.path.abspath(os.fspath(directory))
    if os.path.exists(directory) and not os.path.isdir(directory):
        raise UserError(f"Expected a directory to save to. Received a file: {directory}.")
    if os.path.isdir(directory) and os.listdir(directory) and not overwrite:
        raise UserError(
            f"{directory} is not empty. Give another directory, or overwrite=True to replace the model in it."
        )
    if dtype is not None and dtype not in _DTYPES:
        raise UserError(f"dtype must be one of {sorted(_DTYPES)}. Received: {dtype!r}.")
    checkpoint = model.checkpoint or _new_checkpoint(model, family)
    tensors = export_tensors(model, checkpoint, dtype)
    parent = os.path.dirname(directory)
    os.makedirs(parent, exist_ok=True)
    staging = tempfile.mkdtemp(prefix=f".{os.path.basename(directory)}-", dir=parent)
    try:
        write_tensors(tensors, staging, max_shard_bytes)
        _write_json(os.path.join(staging, "config.json"), export_config(model, checkpoint, tensors))
        if checkpoint.get("generation_config") is not None:
            _write_json(os.path.join(staging, GENERATION_CONFIG), checkpoint["generation_config"])
        if model.tokenizer is not None:
            model.tokenizer.save(staging)
        _move_into_place(staging, directory)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write_json(path: str, content: dict) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2, sort_keys=True)
        file.write("\n")


def export_tensors(model: models.TransformerModel, checkpoint: dict, dtype: str | None = None) -> dict[str, np.ndarray]:
    """The model's weights under their names in a Hugging Face file."""
    family = zoo.get(checkpoint["family"])
    head = family.head(checkpoint["head"])
    own_base = head.base if head.base is not None else family.base
    base = "" if head.kind == "backbone" else own_base
    variables = model.named_weights()
    tensors = {}
    for rule, _ in active_rules(family, head, model, base):
        if rule.theirs in checkpoint.get("absent", ()):
            continue
        arrays = [_array(variables[path], rule.index) for path in rule.ours]
        tensor = rule.transform.to_theirs(arrays, model.config)
        tensors[rule.theirs] = _cast(tensor, dtype, checkpoint.get("dtypes", {}).get(rule.theirs))
    aliases = family.aliases(head)
    for name, tensor in (model.carried_tensors or {}).items():
        # A tied tensor that the file wrote out follows the variable that it repeats.
        if name in aliases:
            tensor = _cast(keras.ops.convert_to_numpy(variables[aliases[name]]), dtype, str(tensor.dtype))
        tensors[name] = tensor
    return tensors


def _array(variable: keras.Variable, index: int | None) -> np.ndarray:
    array = keras.ops.convert_to_numpy(variable)
    return array if index is None else array[index]


def _cast(tensor: np.ndarray, dtype: str | None, loaded: str | None) -> np.ndarray:
    if dtype is not None:
        return tensor.astype(_DTYPES[dtype])
    if loaded in _DTYPES and loaded != str(tensor.dtype):
        narrow = tensor.astype(_DTYPES[loaded])
        if np.array_equal(narrow.astype(tensor.dtype), tensor, equal_nan=True):
            return narrow
    return tensor


def export_config(model: models.TransformerModel, checkpoint: dict, tensors: dict[str, np.ndarray]) -> dict:
    """The `config.json` of the directory."""
    config = zoo.get(checkpoint["family"]).write_config(model.config, checkpoint.get("hf_config"))
    config["architectures"] = [checkpoint["architecture"]]
    floating = {str(tensor.dtype) for tensor in tensors.values() if str(tensor.dtype) in _DTYPES}
    kind = floating.pop() if len(floating) == 1 else "float32"
    config["dtype" if "torch_dtype" not in config else "torch_dtype"] = kind
    return config


def _new_checkpoint(model: models.TransformerModel, family_name: str | None) -> dict:
    if family_name is None:
        raise UserError(
            f"This model was not loaded from a checkpoint: give family=..., one of {[family.name for family in zoo.families()]}."
        )
    family = zoo.get(family_name)
    written = family.read_config(family.write_config(model.config))
    backbone = models.backbone_class(written)
    head = next((h for h in family.heads if (h.model_class or backbone) is type(model)), None)
    if head is None:
        raise UserError(f"{family.name} has no head for a {type(model).__name__}.")
    expected = head.config(written)
    if expected != model.config:
        different = [name for name, value in model.config.to_dict().items() if getattr(expected, name) != value]
        raise UserError(f"{family.name} cannot express this config: {', '.join(different)} would come back different.")
    config: dict = {}
    labels = getattr(model, "num_labels", 2)
    if labels != 2:
        config["id2label"] = {str(i): f"LABEL_{i}" for i in range(labels)}
        config["label2id"] = {f"LABEL_{i}": i for i in range(labels)}
    if getattr(model, "regression", False):
        config["problem_type"] = "regression"
    return {
        "family": family.name,
        "head": head.kind,
        "architecture": head.architectures[0],
        "hf_config": {**family.write_config(model.config), **config},
    }


def _move_into_place(staging: str, directory: str) -> None:
    if not os.path.isdir(directory) or not os.listdir(directory):
        os.chmod(staging, 0o777 & ~_umask())  # mkdtemp makes it private
        if os.path.isdir(directory):
            os.rmdir(directory)
        os.replace(staging, directory)
        return
    # Weights of another shard count must not stay beside the new ones.
    new = set(os.listdir(staging))
    for name in sorted(new):
        os.replace(os.path.join(staging, name), os.path.join(directory, name))
    for name in os.listdir(directory):
        if name not in new and name.startswith("model") and name.endswith((".safetensors", ".safetensors.index.json")):
            os.remove(os.path.join(directory, name))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
