"""Loading a fine-tuned model for `evaluate` and `predict`."""

from __future__ import annotations

import os

from tfllm.errors import UserError


def load_fine_tuned(path: str, head: str = "classifier"):
    """A model whose head has been trained, with its tokenizer: for a classifier a `KerasHubClassifier` of a preset too.

    Args:
        path: a directory with a fine-tuned model, or a run.
        head: the head that is needed, as `tfllm.load` knows it. One that pretraining has made (a language model's, or none: the
            backbone) need not have been fine-tuned.

    Raises:
        UserError: no path, or the checkpoint has no such head or no tokenizer.
    """
    shown = head.replace("_", " ")
    if not path:
        raise UserError(
            f"model is missing: give --model=DIR, the `model` directory of a run or another fine-tuned {shown}."
        )
    if not os.path.isfile(os.path.join(path, "config.json")) and os.path.isfile(
        os.path.join(path, "model", "config.json")
    ):
        path = os.path.join(path, "model")  # a run directory
    elif os.path.isfile(os.path.join(path, "results.json")):
        path = os.path.join(path, "model")

    import tfllm
    from tfllm.checkpoints.kerashub import preset_of
    from tfllm.models import SequenceClassifier, SpanPredictor, TokenClassifier, TransformerModel

    preset = preset_of(path)
    own = {"classifier": SequenceClassifier, "span_predictor": SpanPredictor, "token_classifier": TokenClassifier}
    if preset is None:
        model = tfllm.load(path) if head in own else tfllm.load(path, head=head)
    else:
        model = tfllm.from_keras_hub(preset)
    wanted = own.get(head, TransformerModel)
    fits = isinstance(model, wanted) if preset is None else head == "classifier"
    if not fits or model.checkpoint["fresh"]:
        raise UserError(
            f"a fine-tuned {shown} is needed. Received: {path}, which holds a {type(model).__name__} without one."
        )
    if model.tokenizer is None:
        raise UserError(f"a tokenizer is needed beside the weights. Received: {path}, which has none.")
    return model


def label_names(model) -> tuple[str, ...] | None:
    """The names of the model's classes; `None` for a regression."""
    if getattr(model, "regression", False):
        return None
    declared = getattr(model, "label_names", None)
    if declared is not None:
        return declared
    names = model.checkpoint.get("hf_config", {}).get("id2label") or {}
    return tuple(names.get(str(number), f"LABEL_{number}") for number in range(model.num_labels))


def check_labels(model, task) -> None:
    """Refuses a model whose classes are the task's in another order: its score would be wrong without a sign of it."""
    names = None if task.labels is None else label_names(model)
    if names is None or names == tuple(task.labels):
        return
    if sorted(map(str.lower, names)) == sorted(map(str.lower, task.labels)) and [n.lower() for n in names] != [
        n.lower() for n in task.labels
    ]:
        raise UserError(
            f"{task.name} numbers its classes {', '.join(task.labels)}. "
            f"Received: a model that numbers them {', '.join(names)}. "
            "Put the names in config.json's id2label, and the rows of the classifier, in the task's order."
        )
