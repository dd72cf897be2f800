"""What a family of checkpoints declares: how its `config.json` reads, and a table of weight names for each head."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfllm.checkpoints import Rule
from tfllm.config import TransformerConfig
from tfllm.errors import CheckpointError

if TYPE_CHECKING:
    from tfllm.models import TransformerModel

# Their names of activation functions; the first that maps to ours is the one written.
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "silu": "silu",
    "swish": "silu",
    "relu": "relu",
    "tanh": "tanh",
}

# Kinds of heads and the models that have them.
HEAD_CLASSES = {
    "encoder": "Encoder",
    "masked_lm": "MaskedLM",
    "causal_lm": "CausalLM",
    "seq2seq_lm": "Seq2SeqLM",
    "discriminator": "ReplacedTokenDetector",
    "classifier": "SequenceClassifier",
    "token_classifier": "TokenClassifier",
    "span_predictor": "SpanPredictor",
    "multiple_choice": "MultipleChoice",
}

_MISSING = object()


@dataclasses.dataclass(frozen=True)
class Field:
    """A property of `TransformerConfig` and its key(s) in a `config.json`.

    Args:
        ours: the property's name.
        theirs: key, `outer/inner` for a nested one; several when the key has changed its name, the newest first.
        default: what their library takes for a key that is not there.
        values: their values to ours, for closed sets.
    """

    ours: str
    theirs: str | tuple[str, ...]
    default: Any = None
    values: Mapping[Any, Any] | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.theirs,) if isinstance(self.theirs, str) else self.theirs

    def read(self, hf_config: Mapping[str, Any]) -> Any:
        value = next((v for v in (_get(hf_config, key) for key in self.keys) if v is not _MISSING), self.default)
        if self.values is None:
            return value
        if not isinstance(value, (str, bool)) or value not in self.values:
            raise CheckpointError(
                f"config.json: {self.keys[0]} must be one of {list(self.values)}. Received: {value!r}."
            )
        return self.values[value]

    def write(self, hf_config: dict[str, Any], value: Any) -> None:
        if self.values is not None:
            value = next(theirs for theirs, ours in self.values.items() if ours == value)
        present = [key for key in self.keys if _get(hf_config, key) is not _MISSING]
        for key in present or self.keys[:1]:
            *outer, inner = key.split("/")
            place = hf_config
            for part in outer:
                place = place.setdefault(part, {})
            place[inner] = value


def _get(config: Mapping[str, Any], key: str) -> Any:
    for part in key.split("/"):
        if not isinstance(config, Mapping) or part not in config:
            return _MISSING
        config = config[part]
    return config


@dataclasses.dataclass(frozen=True)
class Head:
    """A model class and the tensors that it has beyond the backbone.

    Args:
        kind: `"backbone"` or a key of `HEAD_CLASSES`.
        architectures: names in `config.json`'s `architectures`; the first is written for a head that was not in the directory.
        rules: the head's part of the weight table.
        base: prefix of the backbone's tensors in such a directory, where it is not the family's.
        carried: patterns of tensors of these architectures that our model has no variables for; they are kept as they are and
            written back (BERT's next-sentence head).
        aliases: tensors that repeat a variable (tied weights) where a file writes them out: their name to our path.
        encoder_alone: the model reads with the encoder of an encoder-decoder, and has no decoder.
    """

    kind: str
    architectures: tuple[str, ...]
    rules: Sequence[Rule] = ()
    base: str | None = None
    carried: tuple[str, ...] = ()
    aliases: Mapping[str, str] = dataclasses.field(default_factory=dict)
    encoder_alone: bool = False

    def config(self, config: TransformerConfig) -> TransformerConfig:
        """What a model with this head is made of, by the family's config."""
        return config.encoder() if self.encoder_alone else config

    @property
    def model_class(self) -> type[TransformerModel] | None:
        """The class; `None` for the bare backbone, which the config decides."""
        from tfllm import models  # imports TensorFlow: a table of families needs none

        return None if self.kind == "backbone" else getattr(models, HEAD_CLASSES[self.kind])


@dataclasses.dataclass(frozen=True)
class Family:
    """One family of checkpoints.

    Args:
        name: `model_type` in `config.json`.
        base: prefix of the backbone's tensors under a head.
        fields: how `config.json` reads.
        fixed: properties of `TransformerConfig` that all of the family share.
        required: keys of `config.json` with the values that are supported; anything else is refused by name.
        defaults: what their library takes for keys that are not there, where that is not the fields' own default.
        backbone: weight table of the backbone.
        heads: what its directories can hold.
        buffers: patterns of tensors that are no weights (precomputed masks, position numbers): kept and written back.
        repeated: tensors of the backbone that repeat a variable, as a head's `aliases`; their names may have a `{base}`.
    """

    name: str
    base: str
    fields: Sequence[Field]
    fixed: Mapping[str, Any]
    backbone: Sequence[Rule]
    heads: Sequence[Head]
    required: Mapping[str, tuple] = dataclasses.field(default_factory=dict)
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    buffers: tuple[str, ...] = ()
    repeated: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def aliases(self, head: Head) -> dict[str, str]:
        """Every tensor that may repeat a variable of a model with that head: its name to our path."""
        bases = {head.base if head.base is not None else self.base, self.base, ""}
        repeated = {name.format(base=base): ours for name, ours in self.repeated.items() for base in bases}
        return {**repeated, **head.aliases}

    def head(self, kind: str) -> Head:
        """The head of that kind.

        Raises:
            CheckpointError: the family has none.
        """
        wanted = ("seq2seq_lm", "causal_lm") if kind == "generator" else (kind,)
        for head in self.heads:
            if head.kind in wanted:
                return head
        raise CheckpointError(
            f"{self.name} has the heads {[head.kind for head in self.heads]}. Received: head={kind!r}."
        )

    def head_of(self, architecture: str) -> Head | None:
        """The head that a directory with this `architectures` entry holds."""
        return next((head for head in self.heads if architecture in head.architectures), None)

    def read_config(self, hf_config: Mapping[str, Any]) -> TransformerConfig:
        """`config.json` to a `TransformerConfig`.

        Raises:
            CheckpointError: a value that is not supported.
        """
        hf_config = {**self.defaults, **hf_config}
        for key, allowed in self.required.items():
            value = _get(hf_config, key)
            if value is not _MISSING and value not in allowed:
                raise CheckpointError(
                    f"config.json: {key}={json.dumps(value)} is not supported for {self.name} (supported: {json.dumps(allowed)}). "
                    "Loading it without that would give wrong numbers."
                )
        values = {field.ours: field.read(hf_config) for field in self.fields}
        try:
            return TransformerConfig(**{**self.fixed, **values})
        except TypeError as error:
            raise CheckpointError(f"config.json: {error}.") from None

    def write_config(self, config: TransformerConfig, hf_config: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """A `TransformerConfig` to `config.json`, on top of the one it was read from."""
        result = json.loads(json.dumps(dict(hf_config))) if hf_config else {"model_type": self.name}
        said = self.read_config(hf_config) if hf_config else None
        for field in self.fields:
            value = getattr(config, field.ours)
            # What theirs says already, in these words or in others, is left as it is.
            if said is None or getattr(said, field.ours) != value:
                field.write(result, value)
        return result

    def is_buffer(self, name: str) -> bool:
        return any(re.fullmatch(pattern, name) for pattern in self.buffers)
