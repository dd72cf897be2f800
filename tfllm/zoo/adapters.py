"""`save_adapter` and `load_adapter`: low-rank updates alone, as PEFT writes and reads them."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping

import keras
import numpy as np
import safetensors.numpy

from tfllm import models, zoo
from tfllm.checkpoints import MappedTensors, Rule, TensorFiles
from tfllm.errors import CheckpointError, UserError
from tfllm.models import adaptation
from tfllm.zoo import adapter_modules as modules
from tfllm.zoo.adapter_modules import Module, Update
from tfllm.zoo.family import Family, Head
from tfllm.zoo.loading import active_rules
from tfllm.zoo.saving import _move_into_place, _write_json

_log = logging.getLogger("tfllm")
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_A, _B = ".lora_A.weight", ".lora_B.weight"
_TASK_TYPES = {
    "classifier": "SEQ_CLS",
    "token_classifier": "TOKEN_CLS",
    "causal_lm": "CAUSAL_LM",
    "seq2seq_lm": "SEQ_2_SEQ_LM",
    "span_predictor": "QUESTION_ANS",
    "backbone": "FEATURE_EXTRACTION",
}
# What an adapter may say only in this way: anything else is another method, which would be read wrongly.
_REQUIRED = {
    "peft_type": ("LORA",),
    "bias": ("none", None),
    "use_dora": (False, None),
    "lora_bias": (False, None),
    "alora_invocation_tokens": (None,),
    "target_parameters": (None, []),
    "trainable_token_indices": (None,),
    "megatron_config": (None,),
    "use_bdlora": (False, None),
    "use_qalora": (False, None),
    "layer_replication": (None,),
    "arrow_config": (None,),
    "kasa_config": (None,),
    "monteclora_config": (None,),
    # The others change the checkpoint itself before training.
    "init_lora_weights": (True, False, None, "gaussian", "eva", "orthogonal"),
}


def save_adapter(model: models.TransformerModel, directory: str | os.PathLike, *, overwrite: bool = False) -> None:
    """Writes the low-rank updates of a model, and the other weights that are trained with them, as PEFT does.

    `adapter_config.json` and `adapter_model.safetensors`, which `PeftModel.from_pretrained` opens over the checkpoint that the model was
    loaded from. A projection that is several of ours (GPT-2's fused query, key and value) gets one update of which each of ours is a
    block: its rank is the sum of theirs, which `rank_pattern` says. Weights beside the updates (a classifier's) are `modules_to_save`.

    Args:
        model: a model of the zoo with updates, from `tfllm.training.lora` or `load_adapter`.
        directory: where to; made if it is missing, in one step.
        overwrite: replace the adapter in a directory that is not empty.

    Raises:
        UserError: no updates, a model that was not loaded from a checkpoint, or a directory that is not empty.

    Example:
        >>> model = tfllm.training.lora(tfllm.load("path/to/bert", head="classifier"))       # doctest: +SKIP
        >>> save_adapter(model, "adapter/")                                                  # doctest: +SKIP
    """
    layers = adaptation.adapted(model)
    if not layers:
        raise UserError("Expected a model with low-rank updates, from tfllm.training.lora. Received: one without.")
    family, head = _family_of(model)
    directory = os.path.abspath(os.fspath(directory))
    if os.path.exists(directory) and not os.path.isdir(directory):
        raise UserError(f"Expected a directory to save to. Received a file: {directory}.")
    if os.path.isdir(directory) and os.listdir(directory) and not overwrite:
        raise UserError(f"{directory} is not empty. Give another directory, or overwrite=True to replace the adapter.")
    rules = [rule for rule, _ in active_rules(family, head, model, _own_base(family, head))]
    every = modules.of(rules, adaptation.projections(model))
    written = {module: module.export(layers, model.config) for module in every if module.adapted(layers)}
    tensors, to_save = _other_weights(model, rules)
    for module, update in written.items():
        tensors[_PREFIX + module.name + _A] = update.a
        tensors[_PREFIX + module.name + _B] = update.b
    config = _config(model, head, written, to_save, rules)
    parent = os.path.dirname(directory)
    os.makedirs(parent, exist_ok=True)
    staging = tempfile.mkdtemp(prefix=f".{os.path.basename(directory)}-", dir=parent)
    try:
        arrays = {name: np.asarray(tensor, order="C") for name, tensor in sorted(tensors.items())}
        safetensors.numpy.save_file(arrays, os.path.join(staging, WEIGHTS), {"format": "pt"})
        _write_json(os.path.join(staging, CONFIG), config)
        _move_into_place(staging, directory)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def load_adapter(model: models.TransformerModel, directory: str | os.PathLike) -> models.TransformerModel:
    """Puts an adapter that PEFT or `save_adapter` wrote on a model, by name.

    The model has its updates then, beside its own kernels: it can be trained on, and `tfllm.training.merge_lora` adds them to the
    kernels. As after `tfllm.training.lora`, the updates and the adapter's `modules_to_save` are trained and nothing else.

    Args:
        model: a model of the zoo, loaded from the checkpoint that the adapter belongs to, with the same head; changed in place.
        directory: with `adapter_config.json` and `adapter_model.safetensors`.

    Returns:
        The model.

    Raises:
        CheckpointError: a file is missing or damaged, the adapter is of another kind than LoRA on linear layers, or its tensors do not
            fit the model.
        UserError: the model has updates already.

    Example:
        >>> model = tfllm.load("path/to/bert", head="classifier")      # doctest: +SKIP
        >>> model = load_adapter(model, "path/to/adapter")             # doctest: +SKIP
    """
    directory = os.fspath(directory)
    config, tensors = _read_config(directory), _AdapterTensors(directory)
    if adaptation.adapted(model):
        raise UserError("This model has low-rank updates already: merge them (tfllm.training.merge_lora) first.")
    family, head = _family_of(model)
    names = {name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items()}
    factors = {name.removesuffix(_A): name for name in names if name.endswith(_A)}
    factors |= {name.removesuffix(_B): name for name in names if name.endswith(_B)}
    rules = max((_rules(family, head, model, base) for base in _bases(family, head)), key=lambda r: _hits(r, names))
    known = {module.name: module for module in modules.of(rules, adaptation.projections(model))}
    others = {rule.theirs: rule for rule in rules if len(rule.ours) == 1 and rule.index is None}
    unknown = [name for name in factors if name not in known]
    unknown += [name for name in names if not name.endswith((_A, _B)) and name not in others]
    if unknown:
        raise CheckpointError(
            f"{directory}: the adapter has tensors for modules that the model has no place for: {'; '.join(sorted(unknown)[:8])}"
            + (f"; and {len(unknown) - 8} more" if len(unknown) > 8 else "")
            + ". Load the checkpoint that the adapter belongs to, with the head that it was trained with. "
            f"Updates can be of {'; '.join(sorted(known)[:4])} ..."
        )
    updates: dict[str, dict] = {}
    values: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name in sorted(factors):
        a, b = (_factor(directory, names, name + suffix) for suffix in (_A, _B))
        alpha = _alpha(config, name, len(a))
        for path, part_a, part_b in known[name].split(a, b, model.config, directory):
            rank = part_a.shape[1]
            updates[path] = {"rank": rank, "alpha": alpha * rank / len(a), "dropout": config.get("lora_dropout") or 0.0}
            values[path] = part_a, part_b
    arrays = _other_arrays(directory, names, others, model)
    adaptation.add_updates(model, updates, trained=lambda path: path in arrays)
    layers, weights = adaptation.projections(model), model.named_weights()
    for path, (a, b) in values.items():
        layers[path].lora_a.assign(a)
        layers[path].lora_b.assign(b)
    for path, array in arrays.items():
        weights[path].assign(array)
    fresh = model.checkpoint["fresh"]
    model.checkpoint = {**model.checkpoint, "fresh": [path for path in fresh if path not in arrays]}
    if model.checkpoint["fresh"]:
        _log.warning("%s: not in the adapter, and not trained: %s", directory, ", ".join(model.checkpoint["fresh"]))
    return model


class _AdapterTensors(TensorFiles):
    def __init__(self, directory: str):
        MappedTensors.__init__(self, directory)
        if not os.path.exists(os.path.join(directory, WEIGHTS)):
            raise CheckpointError(f"{directory}: expected {WEIGHTS}. Found: {sorted(os.listdir(directory))[:20]}.")
        self._read(WEIGHTS)


def _read_config(directory: str) -> dict:
    path = os.path.join(directory, CONFIG)
    if not os.path.isfile(path):
        raise CheckpointError(f"Expected a directory with {CONFIG}, as PEFT writes it. Received: {directory}.")
    try:
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: expected JSON ({error}).") from None
    if not isinstance(config, dict):
        raise CheckpointError(f"{path}: expected a JSON object. Received: {type(config).__name__}.")
    for key, allowed in _REQUIRED.items():
        if config.get(key, allowed[0]) not in allowed:
            raise CheckpointError(
                f"{path}: {key}={json.dumps(config[key])} is not supported (supported: {json.dumps(allowed)}). "
                "Loading it without that would give wrong numbers."
            )
    return config


def _alpha(config: Mapping, name: str, rank: int) -> float:
    """The `alpha` of `alpha / rank` for a module."""
    alpha = modules.by_pattern(config.get("alpha_pattern") or {}, name, config.get("lora_alpha", 8))
    return float(alpha) * (rank**0.5 if config.get("use_rslora") else 1.0)


def _factor(directory: str, names: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in names:
        raise CheckpointError(
            f"{directory}: {WEIGHTS} has one factor of an update and not the other: {name} is missing."
        )
    return np.asarray(names[name], "float32")


def _other_arrays(directory: str, names, others: Mapping[str, Rule], model) -> dict[str, np.ndarray]:
    """The adapter's whole weights, by our path."""
    variables, arrays = model.named_weights(), {}
    for name in (name for name in names if not name.endswith((_A, _B))):
        path = others[name].ours[0]
        (array,) = others[name].transform.to_ours(names[name], model.config)
        if array.shape != tuple(variables[path].shape):
            raise CheckpointError(
                f"{directory}: {name} has shape {list(names[name].shape)}; the model's {path} wants {list(variables[path].shape)}. "
                "Load the model with the number of labels that the adapter was trained with."
            )
        arrays[path] = array
    return arrays


def _family_of(model) -> tuple[Family, Head]:
    checkpoint = getattr(model, "checkpoint", None)
    if not isinstance(model, models.TransformerModel) or checkpoint is None:
        raise UserError(
            "An adapter belongs to a checkpoint: expected a model of tfllm.load. Received: "
            f"a {type(model).__name__} that was not loaded from one. Save it (tfllm.save) and load it first."
        )
    family = zoo.get(checkpoint["family"])
    return family, family.head(checkpoint["head"])


def _own_base(family: Family, head: Head) -> str:
    return "" if head.kind == "backbone" else head.base if head.base is not None else family.base


def _bases(family: Family, head: Head) -> list[str]:
    return list(dict.fromkeys([_own_base(family, head), family.base, "", *(h.base for h in family.heads if h.base)]))


def _rules(family: Family, head: Head, model, base: str) -> list[Rule]:
    return [rule for rule, _ in active_rules(family, head, model, base)]


def _hits(rules: list[Rule], names: Mapping) -> int:
    return sum(f"{rule.theirs.removesuffix('.weight')}{_A}" in names or rule.theirs in names for rule in rules)


def head_paths(model: models.TransformerModel) -> set[str]:
    """Paths of the weights that are trained whole beside updates: those of a labelled head, and those that are freshly initialised."""
    weights, checkpoint = model.named_weights(), model.checkpoint
    if not hasattr(model, "num_labels"):
        return set() if checkpoint is None else set(checkpoint["fresh"])
    if checkpoint is None:
        return {path for path in weights if path.startswith(("classifier/", "pooler/", "pooler_norm/"))}
    family, head = _family_of(model)
    own = active_rules(family, head, model, _own_base(family, head))
    return set(checkpoint["fresh"]) | {p for rule, of_head in own if of_head and not rule.shared for p in rule.ours}


def _other_weights(model, rules: list[Rule]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Tensors and names of the modules that are trained whole."""
    variables = model.named_weights()
    trained = {path for path, weight in variables.items() if weight.trainable} - {
        f"{path}/{factor}" for path in adaptation.adapted(model) for factor in ("lora_a", "lora_b")
    }
    names = {rule.theirs for rule in rules if trained.intersection(rule.ours)}
    found = {name.rpartition(".")[0] for name in names}
    # A head of several layers is one module, as PEFT has it, if all of it is trained.
    for top in {name.partition(".")[0] for name in found}:
        if all(rule.theirs in names for rule in rules if rule.theirs.startswith(top + ".")):
            found = {name for name in found if name.partition(".")[0] != top} | {top}
    tensors = {}
    for rule in rules:
        if any(rule.theirs.startswith(name + ".") for name in found):
            arrays = [keras.ops.convert_to_numpy(variables[path]) for path in rule.ours]
            tensors[_PREFIX + rule.theirs] = rule.transform.to_theirs(arrays, model.config)
    return tensors, sorted(found)


def _config(model, head: Head, written: Mapping[Module, Update], to_save: list[str], rules: list[Rule]) -> dict:
    """`adapter_config.json`."""
    ranks = [len(update.a) for update in written.values()]
    rank = max(set(ranks), key=ranks.count)
    alphas = [update.alpha for update in written.values() if len(update.a) == rank]
    alpha = max(set(alphas), key=alphas.count)
    dropouts = {layer.lora["dropout"] for layer in adaptation.adapted(model).values()}
    names = {module.name for module in written}
    suffixes = {name.rpartition(".")[2] for name in names}
    # Their last names alone, if no other module has one of them.
    others = {rule.theirs.rpartition(".")[0] for rule in rules} - names
    alone = suffixes.isdisjoint(name.rpartition(".")[2] for name in others)
    whole = isinstance(alpha, float) and alpha.is_integer()
    return {
        "peft_type": "LORA",
        "task_type": _TASK_TYPES.get(head.kind),
        "base_model_name_or_path": (model.checkpoint.get("hf_config") or {}).get("_name_or_path"),
        "r": rank,
        "lora_alpha": int(alpha) if whole else alpha,
        "lora_dropout": max(dropouts),
        "target_modules": sorted(suffixes if alone else names),
        "rank_pattern": {m.name: len(update.a) for m, update in written.items() if len(update.a) != rank},
        "alpha_pattern": {m.name: update.alpha for m, update in written.items() if update.alpha != alpha},
        "modules_to_save": to_save or None,
        "fan_in_fan_out": any(m.fan_in_fan_out(model.config) for m in written),
        "bias": "none",
        "inference_mode": True,
        "init_lora_weights": True,
        "use_dora": False,
        "use_rslora": False,
    }
