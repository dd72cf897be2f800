"""`load`: a checkpoint to a `keras.Model`."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import re
from collections.abc import Callable

import keras
import numpy as np

from tfllm import models, zoo
from tfllm.checkpoints import Checkpoint, MappedTensors, Rule, open_checkpoint
from tfllm.config import TransformerConfig
from tfllm.errors import CheckpointError, UserError
from tfllm.layers.initializers import WeightInitializer, zero_weights
from tfllm.models import adaptation
from tfllm.zoo.family import Family, Head
from tfllm.zoo.variable_memory import VariableMemory

_log = logging.getLogger("tfllm")
TOKEN_TABLE = "embedding/token/embeddings"


def load(
    path_or_handle: str | os.PathLike,
    head: str | None = None,
    *,
    num_labels: int | None = None,
    regression: bool | None = None,
    label_names: tuple[str, ...] | None = None,
    fresh_head: bool = False,
    dtype: str | None = None,
    tokenizer: bool = True,
    remat: bool = False,
) -> models.TransformerModel:
    """Loads a checkpoint.

    Args:
        path_or_handle: a Hugging Face directory (safetensors, or PyTorch's `.bin` files, which are read without running what they
            say), a GGUF file or a directory with just one, or a hub handle `owner/name[@revision]`.
        head: `"classifier"`, `"token_classifier"`, `"span_predictor"`, `"masked_lm"`, `"causal_lm"`, `"seq2seq_lm"`,
            `"generator"` (whichever of the last two the family has), `"backbone"` or `"embedder"` (a backbone that gives a vector a
            text, and is trained to retrieve);
            default: the one that the directory's `architectures` names.
        num_labels: outputs of a classifier; default: what the directory says, or 2.
        regression: a classifier with one output, trained on the squared error; default: what the directory says, or False.
        label_names: names of the classes, for the saved `config.json`.
        fresh_head: start the head anew even if the directory has one (for another set of labels).
        dtype: a Keras dtype policy such as `"mixed_bfloat16"`; default: the global policy.
        tokenizer: also load the directory's tokenizer, where it has one.
        remat: in training, compute blocks again in the backward pass in place of keeping their activations; see `model.remat`.

    Returns:
        The model, with `.tokenizer` (or `None`) and `.checkpoint`, a record of where it comes from. A head that the directory does
        not have is freshly initialised: this is logged as a warning and recorded in `.checkpoint["fresh"]`.

    Raises:
        CheckpointError: the directory is missing, damaged, hostile, of an unknown family, or does not hold what its config says.
        UserError: the head or the number of labels does not fit.

    Example:
        >>> model = load("path/to/bert", head="classifier", num_labels=3)          # doctest: +SKIP
        >>> model.fit(...)                                                         # doctest: +SKIP
    """
    if head == "embedder":
        return models.TextEmbedder.around(load(path_or_handle, "backbone", dtype=dtype, tokenizer=tokenizer, remat=remat))
    opened = open_checkpoint(path_or_handle)
    hf_config, tensors = opened.config, opened.tensors
    family = zoo.get(hf_config.get("model_type"))
    architecture = (hf_config.get("architectures") or [None])[0]
    held = family.head_of(architecture) if architecture else None
    if head is None:
        if held is None:
            raise CheckpointError(
                f"{opened.path}: architectures={hf_config.get('architectures')!r} names no head of {family.name} that is known "
                f"({[name for h in family.heads for name in h.architectures]}). Give head=... "
            )
        wanted = held
    else:
        wanted = family.head(head)
    same_head = held is wanted and not fresh_head
    config = wanted.config(family.read_config(hf_config))
    config = _untie_if_different(config, tensors, family, wanted)
    options = _head_options(wanted, hf_config, num_labels, regression, label_names, same_head)

    memory = VariableMemory()
    with zero_weights(memory.zeros):
        model = _make(config, wanted, family, options, dtype)
    model.checkpoint = {
        "family": family.name,
        "head": wanted.kind,
        "architecture": architecture if same_head else wanted.architectures[0],
        "hf_config": _labelled_config(hf_config, options, same_head),
        "generation_config": opened.generation_config,
    }
    _fill(model, tensors, family, wanted, same_head, functools.partial(memory.write, release=tensors.release))
    if tokenizer:
        model.tokenizer = _tokenizer(opened, model)
    model.remat = remat
    return model


def _untie_if_different(
    config: TransformerConfig, tensors: MappedTensors, family: Family, head: Head
) -> TransformerConfig:
    """Some files (T5's) hold a language-model head of its own although their config says it is tied: the file is right."""
    heads = [name for name, path in head.aliases.items() if path == TOKEN_TABLE and name in tensors]
    if not config.tie_embeddings or not heads:
        return config
    base = find_base(tensors, family, head, config)
    table = next(rule.expand(config, base)[0].theirs for rule in family.backbone if rule.ours == (TOKEN_TABLE,))
    if table not in tensors or tensors.equal(tensors[table], tensors[heads[0]]):
        return config
    _log.info("%s: %s differs from %s, so they are not tied", tensors.path, heads[0], table)
    return config.replace(tie_embeddings=False)


def _head_options(head: Head, hf_config: dict, num_labels, regression, label_names, same_head: bool) -> dict:
    if head.kind not in ("classifier", "token_classifier"):
        if num_labels not in (None, 2) or regression:
            raise UserError(
                f"num_labels and regression are for classifiers. Received: head={head.kind!r}, {num_labels=}, {regression=}."
            )
        return {}
    stated = len(hf_config.get("id2label") or {}) or hf_config.get("num_labels") or 2
    if label_names is not None and num_labels is None:
        num_labels = len(label_names)
    if same_head:
        if num_labels is not None and num_labels != stated:
            raise UserError(
                f"The checkpoint's head has {stated} labels. Received: num_labels={num_labels}. Give fresh_head=True to start a new head."
            )
        num_labels = stated
        if regression is None:
            regression = hf_config.get("problem_type") == "regression" or (
                num_labels == 1 and head.kind == "classifier"
            )
    options = {"num_labels": num_labels if num_labels is not None else (1 if regression else 2)}
    if label_names is not None and len(label_names) != options["num_labels"]:
        raise UserError(f"label_names must have {options['num_labels']} names. Received: {list(label_names)}.")
    if head.kind == "classifier":
        options["regression"] = bool(regression)
    options["label_names"] = label_names
    return options


def _labelled_config(hf_config: dict, options: dict, same_head: bool) -> dict:
    """The directory's config with the labels of this head."""
    config = dict(hf_config)
    if "num_labels" not in options or (same_head and options.get("label_names") is None):
        return config
    names = options.get("label_names") or [f"LABEL_{i}" for i in range(options["num_labels"])]
    config["id2label"] = {str(i): name for i, name in enumerate(names)}
    config["label2id"] = {name: i for i, name in enumerate(names)}
    config.pop("num_labels", None)
    if "regression" in options:
        config["problem_type"] = "regression" if options["regression"] else "single_label_classification"
    return config


def _make(config, head: Head, family: Family, options: dict, dtype) -> models.TransformerModel:
    arguments = {key: value for key, value in options.items() if key != "label_names"}
    if head.model_class is not None:
        return head.model_class(config, dtype=dtype, **arguments)
    backbone_class = models.backbone_class(config)
    if backbone_class is not models.Encoder:
        return backbone_class(config, dtype=dtype)
    with_pooler = any(path.startswith("pooler/") for rule in head.rules for path in rule.ours)
    return models.Encoder(config, with_pooler=with_pooler, dtype=dtype)


@dataclasses.dataclass
class _Problems:
    missing: list[str] = dataclasses.field(default_factory=list)
    unknown: list[str] = dataclasses.field(default_factory=list)
    shapes: list[str] = dataclasses.field(default_factory=list)
    untied: list[str] = dataclasses.field(default_factory=list)

    def check(self, directory: str):
        parts = [
            f"{title}: {'; '.join(lines[:8])}" + (f"; and {len(lines) - 8} more" if len(lines) > 8 else "")
            for title, lines in (
                ("tensors that the model needs and the file has not", self.missing),
                ("tensors in the file that the model has no place for", self.unknown),
                ("tensors of another shape", self.shapes),
                ("tensors that the config says are tied but that differ", self.untied),
            )
            if lines
        ]
        if parts:
            raise CheckpointError(f"{directory} does not hold what its config says. " + ". ".join(parts) + ".")


def _fill(
    model: models.TransformerModel, tensors: MappedTensors, family: Family, head: Head, same_head: bool, write: Callable
) -> None:
    """Assigns every variable from its tensor, and accounts for every tensor."""
    variables = model.named_weights()
    base = find_base(tensors, family, head, model.config)
    used: dict[str, str] = {}
    fresh: list[str] = []
    absent: list[str] = []
    dtypes: dict[str, str] = {}
    problems = _Problems()
    for rule, is_head_rule in active_rules(family, head, model, base):
        name = next((name for name in (rule.theirs, *rule.legacy) if name in tensors), None)
        if name is None:
            if is_head_rule and not same_head:
                fresh.extend(rule.ours)
            elif rule.optional:
                absent.append(rule.theirs)
            else:
                problems.missing.append(rule.theirs)
            continue
        used[name] = rule.theirs
        if is_head_rule and not same_head and not rule.shared:
            fresh.extend(rule.ours)
            continue
        tensor = tensors[name]
        dtypes[rule.theirs] = str(tensor.dtype)
        _assign(rule, tensor, [variables[path] for path in rule.ours], model.config, name, write, problems)
    carried = _account_for_rest(tensors, used, variables, family, head, same_head, problems)
    problems.check(tensors.path)
    for path in fresh:
        if len(variables[path].shape) > 1:
            variables[path].assign(
                WeightInitializer(stddev=model.config.initializer_range)(variables[path].shape, variables[path].dtype)
            )
    unused = sorted(set(tensors) - set(used) - set(carried))
    aliases = family.aliases(head)
    model.carried_tensors = {
        # Of a tensor that repeats a variable only the type is needed: the variable is written in its place.
        name: np.zeros(0, tensors[name].dtype) if aliases.get(name) in variables else np.array(tensors[name])
        for name in carried
    }
    model.checkpoint = {
        **model.checkpoint,
        "dtypes": dtypes,
        "fresh": sorted(fresh),
        "absent": absent,
        "unused": unused,
    }
    if fresh:
        _log.warning("%s: freshly initialised, to be trained: %s", tensors.path, ", ".join(sorted(fresh)))
    if unused:
        _log.info("%s: not used by this head: %s", tensors.path, ", ".join(unused))


def active_rules(family: Family, head: Head, model: models.TransformerModel, base: str) -> list[tuple[Rule, bool]]:
    """The rules whose variables the model has, with their names filled in; True for the head's own."""
    variables = model.named_weights()
    rules = [
        (expanded, is_head_rule)
        for table, is_head_rule in ((family.backbone, False), (head.rules, True))
        for rule in table
        for expanded in rule.expand(model.config, base)
        if all(path in variables for path in expanded.ours)
    ]
    covered = {path for rule, _ in rules for path in rule.ours} | adaptation.additions(model)
    if covered != set(variables):
        raise CheckpointError(f"The weight table of {family.name} has no rule for {sorted(set(variables) - covered)}.")
    return rules


def find_base(tensors: MappedTensors, family: Family, head: Head, config: TransformerConfig) -> str:
    """The prefix that this file puts before the backbone's tensors: the head's, the family's, or none."""
    own = head.base if head.base is not None else family.base
    candidates = dict.fromkeys([own, family.base, "", *(h.base for h in family.heads if h.base)])

    def hits(base: str) -> int:
        return sum(rule.theirs in tensors for line in family.backbone for rule in line.expand(config, base))

    return max(candidates, key=hits)


def _assign(
    rule: Rule,
    tensor: np.ndarray,
    variables: list,
    config: TransformerConfig,
    name: str,
    write: Callable[[keras.Variable, np.ndarray, int | None], None],
    problems: _Problems,
) -> None:
    shapes = [tuple(variable.shape) if rule.index is None else tuple(variable.shape)[1:] for variable in variables]
    try:
        arrays = rule.transform.to_ours(tensor, config)
    except ValueError as error:
        problems.shapes.append(f"{name} {list(tensor.shape)} ({error})")
        return
    for variable, shape, array in zip(variables, shapes, arrays):
        if shape != array.shape:
            expected = rule.transform.to_theirs(
                [np.broadcast_to(np.float32(0), shape) for shape in shapes], config
            ).shape
            problems.shapes.append(f"{name} expected {list(expected)}, received {list(tensor.shape)}")
            return
        if not np.issubdtype(array.dtype, np.floating) and str(array.dtype) != "bfloat16":
            problems.shapes.append(f"{name} expected floating point, received {array.dtype}")
            return
        write(variable, array, rule.index)


def _account_for_rest(
    tensors, used, variables, family: Family, head: Head, same_head: bool, problems: _Problems
) -> list[str]:
    """Tensors that no variable takes: returns those to carry along, and notes those that are wrong."""
    carried = []
    aliases = family.aliases(head)
    others = _other_heads(family, head.kind if same_head else None)
    if head.encoder_alone and not same_head:  # the decoder is left behind
        others += [rule.pattern(base) for rule in family.backbone for base in dict.fromkeys((family.base, ""))]
    for name in sorted(set(tensors) - set(used)):
        if name in aliases and aliases[name] in variables:
            if not tensors.equal(tensors[name], variables[aliases[name]]):
                problems.untied.append(name)
            carried.append(name)
        elif family.is_buffer(name) or (same_head and any(re.fullmatch(pattern, name) for pattern in head.carried)):
            carried.append(name)
        elif not any(pattern.fullmatch(name) for pattern in others):
            problems.unknown.append(name)
    return carried


def _other_heads(family: Family, without: str | None) -> list[re.Pattern]:
    """Names that belong to heads other than the one being loaded."""
    patterns = []
    for head in family.heads:
        if head.kind == without:
            continue
        bases = dict.fromkeys((family.base, head.base or family.base, ""))
        patterns += [rule.pattern(base) for base in bases for rule in head.rules]
        patterns += [re.compile(carried) for carried in head.carried]
        patterns += [re.compile(re.escape(alias)) for alias in head.aliases]
    return patterns


def _tokenizer(opened: Checkpoint, model: models.TransformerModel):
    """The checkpoint's tokenizer, which knows what batches for the model look like; `None` for a checkpoint of weights alone."""
    from tfllm.text.target_form import TargetForm  # a room above this one

    tokenizer = _read_tokenizer(opened)
    if tokenizer is not None:
        tokenizer.pooled = model.pooled
        tokenizer.target_form = TargetForm.of(model.config, opened.config)
    return tokenizer


def _read_tokenizer(opened: Checkpoint):
    from tfllm import text
    from tfllm.text import files, gguf_tokenizer

    if opened.gguf is not None:
        if gguf_tokenizer.has_tokenizer(opened.gguf):
            return gguf_tokenizer.read_gguf_tokenizer(opened.gguf)
    else:
        names = (files.TOKENIZER_JSON, files.VOCAB_TXT, files.VOCAB_JSON)
        if any(name in names or name.endswith(".model") for name in files.read_files(opened.path)):
            return text.load(opened.path)
    _log.warning("%s: no tokenizer there; model.tokenizer is None", opened.path)
    return None
