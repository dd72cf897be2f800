"""`KerasHubClassifier`: a KerasHub text classifier that takes tfllm's batches."""

from __future__ import annotations

import dataclasses
import os

import keras
from keras import ops, tree

from tfllm.checkpoints.kerashub.preset import write_details
from tfllm.errors import UserError
from tfllm.models import losses
from tfllm.models.inputs import complete_batch
from tfllm.models.trainable import TrainableModel

_INPUTS = {"token_ids", "padding_mask", "segment_ids"}


@dataclasses.dataclass(frozen=True)
class KerasHubConfig:
    """What tasks and trainer ask a model's config for.

    Attributes:
        max_positions: most tokens of a row; `None` if the backbone sets no limit.
        pooled: `"first"` or `"last"`.
        pad_id: the padding token, or `None` without a tokenizer.
    """

    max_positions: int | None
    pooled: str
    pad_id: int | None


@keras.saving.register_keras_serializable("tfllm")
class KerasHubClassifier(TrainableModel):
    """A `keras_hub.models.TextClassifier` behind the batch contract: a batch dictionary to logits `(B, 1, C)` float32.

    Made by `tfllm.from_keras_hub`. KerasHub's backbones know padding, but not which example a token belongs to, so a row holds one
    example: `layouts` says so, and packed rows are refused.

    Args:
        classifier: a `keras_hub.models.TextClassifier` whose outputs are logits `(B, C)`.
        regression: the loss is the squared error of the one output.
        label_names: names of the classes, or `None`.
        fresh: paths of the classifier's weights that are freshly initialised.

    Attributes:
        classifier: KerasHub's model, trained in place.
        layouts: the layouts of `task.pipeline` that fit, the best first.
        tokenizer: the preprocessor's, as a `tfllm.text.Tokenizer`; `None` without one. It can be set.

    Raises:
        UserError: the backbone needs other inputs than text, or the classifier gives probabilities.

    Example:
        >>> model = tfllm.from_keras_hub("path/to/preset", num_labels=2)                               # doctest: +SKIP
        >>> model.compile(tfllm.training.optimizer("adamw", 3e-5), **model.compile_defaults())         # doctest: +SKIP
        >>> model.fit(task.batches("train", model.tokenizer, layout="bucketed"))                       # doctest: +SKIP
        >>> model.save_to_preset("out/")                                                               # doctest: +SKIP
    """

    checkpoint_format = "KerasHub"
    save_hint = (
        "tfllm.save writes Hugging Face directories of tfllm's own models. Received: a KerasHub model. Use model.save_to_preset(directory), "
        "or model.backbone.export_to_transformers(directory) for the families that KerasHub can export."
    )

    def __init__(
        self,
        classifier,
        *,
        regression: bool = False,
        label_names: tuple[str, ...] | None = None,
        fresh: tuple[str, ...] = (),
        **kwargs,
    ):
        kwargs["dtype"] = classifier.dtype_policy
        super().__init__(**kwargs)
        self._input_names = tuple(tensor.name for tensor in tree.flatten(classifier.backbone.input))
        foreign = sorted(set(self._input_names) - _INPUTS)
        if foreign or "token_ids" not in self._input_names:
            raise UserError(
                "A KerasHub backbone must take token_ids, and of others only padding_mask and segment_ids. "
                f"Received: {type(classifier.backbone).__name__} with inputs {sorted(self._input_names)}."
            )
        if keras.activations.get(getattr(classifier, "activation", None)) is not keras.activations.linear:
            raise UserError(
                "A KerasHub classifier must give logits: make it with activation=None. "
                f"Received: activation={keras.activations.serialize(classifier.activation)!r}."
            )
        if label_names is not None and len(label_names) != classifier.num_classes:
            raise UserError(f"label_names must have {classifier.num_classes} names. Received: {list(label_names)}.")
        if regression and classifier.num_classes != 1:
            raise UserError(f"A regression has one output. Received: num_labels={classifier.num_classes}.")
        self.classifier = classifier
        self.num_labels = classifier.num_classes
        self.regression = regression
        self.label_names = None if label_names is None else tuple(label_names)
        self.fresh = tuple(fresh)
        self._tokenizer = None
        self.built = True

    @property
    def backbone(self):
        """The `keras_hub.models.Backbone`."""
        return self.classifier.backbone

    @property
    def layouts(self) -> tuple[str, ...]:
        # A backbone that is not told what is padding computes other numbers wherever a row has more of it.
        return ("bucketed", "padded") if "padding_mask" in self._input_names else ("padded",)

    @property
    def tokenizer(self):
        preprocessor = self.classifier.preprocessor
        if self._tokenizer is None and hasattr(preprocessor, "packer") and preprocessor.tokenizer is not None:
            from tfllm.checkpoints.kerashub.tokenizer import KerasHubTokenizer

            # Not before it is asked for: a `.keras` file gives the vocabulary after the model is made.
            has_type_ids = "segment_ids" in self._input_names
            self._set_tokenizer(KerasHubTokenizer(preprocessor, has_type_ids=has_type_ids))
        return self._tokenizer

    @tokenizer.setter
    def tokenizer(self, tokenizer):
        self._set_tokenizer(tokenizer)

    def _set_tokenizer(self, tokenizer) -> None:
        rows = getattr(self.backbone.token_embedding, "input_dim", None)
        if tokenizer is not None and rows is not None and tokenizer.vocab_size > rows:
            raise UserError(
                f"The tokenizer must not have more tokens than the backbone, {rows}. Received: {tokenizer.vocab_size}. "
                "Take the tokenizer that belongs to the backbone."
            )
        self._tokenizer = tokenizer
        if tokenizer is not None:
            tokenizer.pooled = self.pooled

    @property
    def pooled(self) -> str:
        """Which token of a text the classifier reads: `"first"` or `"last"`."""
        from tfllm.checkpoints.kerashub.pooled_classifier import first_token_index

        return "last" if first_token_index(self.backbone) is None else "first"

    @property
    def config(self) -> KerasHubConfig:
        return KerasHubConfig(
            max_positions=getattr(self.backbone, "max_sequence_length", None),
            pooled=self.pooled,
            pad_id=None if self.tokenizer is None else self.tokenizer.pad_id,
        )

    @property
    def checkpoint(self) -> dict:
        """A JSON-ready record of what the model was made from."""
        return {"family": type(self.backbone).__name__, "head": "classifier", "fresh": list(self.fresh)}

    def call(self, inputs, training=None):
        """A batch dictionary (see `complete_batch`) of one example a row, to logits `(B, 1, C)`."""
        batch = complete_batch(inputs, self.config)
        heads = batch["head_positions"]
        if heads is not None and heads.shape[1] != 1:
            raise UserError(
                f'KerasHub backbones take one example a row. Received: head_positions for {heads.shape[1]} a row. Give layout="{self.layouts[0]}" '
                "to task.batches(...)."
            )
        length, limit = batch["token_ids"].shape[1], self.config.max_positions
        if length is not None and limit is not None and length > limit:
            raise UserError(
                f"The backbone has positions for {limit} tokens. Received: rows of {length}. Give max_length={limit} to task.batches(...)."
            )
        types = batch["type_ids"]
        tensors = {
            "token_ids": batch["token_ids"],
            # Without head_positions rows could hold several examples: only the first one counts then.
            "padding_mask": ops.cast(ops.equal(batch["example_ids"], 1), "int32"),
            "segment_ids": ops.zeros_like(batch["token_ids"]) if types is None else ops.cast(types, "int32"),
        }
        logits = self.classifier({name: tensors[name] for name in self._input_names}, training=training)
        return ops.expand_dims(ops.cast(logits, "float32"), 1)

    def compile_defaults(self) -> dict:
        """Arguments for `compile()`: the loss and metrics of the head."""
        if self.regression:
            return {"loss": losses.SquaredError()}
        return {
            "loss": losses.cross_entropy(),
            "weighted_metrics": [keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        }

    def save_to_preset(self, directory: str | os.PathLike) -> None:
        """Writes a KerasHub preset: `from_keras_hub` opens it, and `keras_hub.models.TextClassifier.from_preset` where KerasHub has a
        classifier for the backbone."""
        directory = os.fspath(directory)
        self.classifier.save_to_preset(directory)
        write_details(directory, {"regression": self.regression, "label_names": self.label_names})

    def get_config(self):
        classifier = keras.saving.serialize_keras_object(self.classifier)
        classifier.pop("compile_config", None)  # it is this model that is compiled
        return {
            "classifier": classifier,
            "regression": self.regression,
            "label_names": self.label_names,
            "fresh": self.fresh,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        from tfllm.checkpoints.kerashub import pooled_classifier  # noqa: F401  (registers it, and KerasHub's classes)

        classifier = keras.saving.deserialize_keras_object(config["classifier"], custom_objects=custom_objects)
        return cls(**{**config, "classifier": classifier})
