"""`from_keras_hub`: a KerasHub preset, backbone or task to a `KerasHubClassifier`."""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
import os
from typing import Any

from tfllm.checkpoints.kerashub.preset import PREFIX, preset_file, preset_json, read_details
from tfllm.errors import CheckpointError, UserError

_log = logging.getLogger("tfllm")


def from_keras_hub(
    source,
    head: str = "classifier",
    num_labels: int | None = None,
    tokenizer=None,
    *,
    regression: bool | None = None,
    label_names: tuple[str, ...] | None = None,
    fresh_head: bool = False,
    dtype: str | None = None,
):
    """A KerasHub model for tfllm's tasks and trainer.

    Args:
        source: a preset (its directory, or a name or handle that `keras_hub`'s `from_preset` takes), a `keras_hub.models.Backbone`, or a
            task such as a `keras_hub.models.TextClassifier`. A text classifier keeps its head; of another task the backbone is taken.
        head: `"classifier"`.
        num_labels: number of classes, 1 for a regression; default: those of the classifier that is there, or 2.
        tokenizer: a KerasHub tokenizer; default: the preset's or the task's.
        regression: train the one output on the squared error; default: what the preset says, or whether `num_labels` is 1.
        label_names: names of the classes.
        fresh_head: start the classifier anew even if there is one.
        dtype: a Keras dtype policy for a preset; default: the global policy.

    Returns:
        A `KerasHubClassifier`. A new head is KerasHub's own for that backbone where it has one. That it is freshly initialised is logged
        as a warning and recorded in `.fresh`.

    Raises:
        UserError: KerasHub is not installed, or what was given does not fit.
        CheckpointError: KerasHub cannot load the preset.

    Example:
        >>> model = tfllm.from_keras_hub("path/to/preset", num_labels=3)                       # doctest: +SKIP
        >>> model = tfllm.from_keras_hub(keras_hub.models.BertTextClassifier(...))             # doctest: +SKIP
    """
    if importlib.util.find_spec("keras_hub") is None:
        raise UserError("KerasHub's models need the package keras-hub, which is not installed: pip install keras-hub")
    if head != "classifier":
        raise UserError(f"KerasHub models come with head='classifier'. Received: head={head!r}.")
    if num_labels is not None and (not isinstance(num_labels, int) or num_labels < 1):
        raise UserError(f"num_labels must be a whole number of at least 1. Received: {num_labels!r}.")
    from tfllm.checkpoints.kerashub.model import KerasHubClassifier

    parts = _parts(source, tokenizer, fresh_head, dtype)
    if label_names is not None and num_labels is None:
        num_labels = len(label_names)
    if parts.classifier is not None and num_labels not in (None, parts.classifier.num_classes):
        raise UserError(
            f"The KerasHub classifier has {parts.classifier.num_classes} labels. Received: num_labels={num_labels}. "
            "Give fresh_head=True to start a new head."
        )
    fresh: tuple[str, ...] = ()
    classifier, details = parts.classifier, parts.details
    if classifier is None:
        details = {}
        classifier = parts.classifier_class(
            parts.backbone, num_classes=num_labels or (1 if regression else 2), preprocessor=parts.preprocessor
        )
        own = {id(weight) for weight in parts.backbone.weights}
        fresh = tuple(weight.path for weight in classifier.weights if id(weight) not in own)
        _log.warning("%s: freshly initialised, to be trained: %s", parts.name, ", ".join(fresh))
    if regression is None:
        regression = details.get("regression", classifier.num_classes == 1)
    names = label_names or details.get("label_names")
    model = KerasHubClassifier(classifier, regression=regression, label_names=names, fresh=fresh)
    model.tokenizer  # made when it is asked for: one that does not fit is told now
    return model


@dataclasses.dataclass
class _Parts:
    """What a source holds; `classifier` is `None` where a new one is to be made."""

    name: str
    backbone: Any
    classifier_class: type
    preprocessor: Any
    classifier: Any = None
    details: dict = dataclasses.field(default_factory=dict)


def _parts(source, tokenizer, fresh_head: bool, dtype: str | None) -> _Parts:
    import keras_hub

    if isinstance(source, (str, os.PathLike)):
        preset = os.fspath(source).removeprefix(PREFIX)
        try:
            return _preset_parts(preset, tokenizer, fresh_head, dtype)
        except UserError:
            raise
        except Exception as error:  # KerasHub and its hubs raise many kinds: all mean that there is nothing to load
            raise CheckpointError(
                f"KerasHub could not load the preset {preset!r} ({type(error).__name__}: {str(error).splitlines()[0]}). Expected a "
                "directory that save_to_preset wrote, or a name or handle of a preset that can be reached."
            ) from error
    if dtype is not None:
        raise UserError(f"dtype is for presets: a model that is there has one. Received: dtype={dtype!r}.")
    if isinstance(source, keras_hub.models.Backbone):
        classifier_class = _classifier_class(source)
        return _Parts(source.name, source, classifier_class, _preprocessor(classifier_class, tokenizer))
    if not isinstance(source, keras_hub.models.Task) or source.backbone is None:
        raise UserError(
            "from_keras_hub takes a preset, a keras_hub.models.Backbone or a keras_hub.models task. "
            f"Received: {type(source).__name__}."
        )
    given, tokenizer = tokenizer, tokenizer or getattr(source.preprocessor, "tokenizer", None)
    keep = isinstance(source, keras_hub.models.TextClassifier) and not fresh_head
    if not keep:
        classifier_class = _classifier_class(source.backbone)
        return _Parts(source.name, source.backbone, classifier_class, _preprocessor(classifier_class, tokenizer))
    if given is not None:
        source.preprocessor = _preprocessor(type(source), given)
    return _Parts(source.name, source.backbone, type(source), source.preprocessor, source)


def _preset_parts(preset: str, tokenizer, fresh_head: bool, dtype: str | None) -> _Parts:
    import keras_hub

    backbone = keras_hub.models.Backbone.from_preset(preset, dtype=dtype)
    own_form = "registered_name" in preset_json(preset, "config.json")  # else KerasHub converts another library's files
    if tokenizer is None and (not own_form or preset_file(preset, "tokenizer.json")):
        tokenizer = keras_hub.tokenizers.Tokenizer.from_preset(preset)
    held = _stored(preset, "task.json", keras_hub.models.TextClassifier) if own_form else None
    classifier_class = held[0] if held else _classifier_class(backbone)
    stored = _stored(preset, "preprocessor.json", keras_hub.models.TextClassifierPreprocessor) if own_form else None
    parts = _Parts(preset, backbone, classifier_class, _preprocessor(classifier_class, tokenizer, stored))
    if held and not fresh_head:
        config = {**held[1], "backbone": backbone, "preprocessor": parts.preprocessor}
        parts.classifier = classifier_class.from_config(config)
        weights = preset_file(preset, "task.weights.h5")
        if weights is None:
            raise CheckpointError(f"{preset}: task.json names a classifier. Expected its weights in task.weights.h5.")
        parts.classifier.load_task_weights(weights)
        parts.details = read_details(preset)
    return parts


def _stored(preset: str, name: str, kind: type) -> tuple[type, dict] | None:
    """Class and config of the serialized object in a preset's file; `None` if it is not there or of another kind."""
    import keras

    from tfllm.checkpoints.kerashub import pooled_classifier  # noqa: F401  (registers it)

    record = preset_json(preset, name)
    stored = keras.saving.get_registered_object(record["registered_name"]) if record else None
    return (stored, record["config"]) if stored is not None and issubclass(stored, kind) else None


def _classifier_class(backbone) -> type:
    """KerasHub's text classifier for a backbone; ours where it has none."""
    import keras_hub

    from tfllm.checkpoints.kerashub.pooled_classifier import PooledTextClassifier

    for value in vars(keras_hub.models).values():
        if isinstance(value, type) and issubclass(value, keras_hub.models.TextClassifier):
            if value.backbone_cls is type(backbone):
                return value
    return PooledTextClassifier


def _preprocessor(classifier_class: type, tokenizer, stored: tuple[type, dict] | None = None):
    """The preprocessor that goes with a classifier; `None` without a tokenizer."""
    if tokenizer is None:
        return None
    if stored is not None:
        return stored[0].from_config({**stored[1], "tokenizer": tokenizer})
    return classifier_class.preprocessor_cls(tokenizer)
