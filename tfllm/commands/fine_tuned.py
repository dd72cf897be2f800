"""Loading a fine-tuned classifier for `evaluate` and `predict`."""

from __future__ import annotations

import os

from tfllm.errors import UserError


def load_fine_tuned(path: str):
    """A `SequenceClassifier` whose head has been trained, with its tokenizer.

    Raises:
        UserError: no path, or the checkpoint has no classifier or no tokenizer.
    """
    if not path:
        raise UserError(
            "model is missing: give --model=DIR, the `model` directory of a run or another fine-tuned classifier."
        )
    if not os.path.isfile(os.path.join(path, "config.json")) and os.path.isfile(
        os.path.join(path, "model", "config.json")
    ):
        path = os.path.join(path, "model")  # a run directory
    elif os.path.isfile(os.path.join(path, "results.json")):
        path = os.path.join(path, "model")

    import tfllm
    from tfllm.models import SequenceClassifier

    model = tfllm.load(path)
    if not isinstance(model, SequenceClassifier) or model.checkpoint["fresh"]:
        raise UserError(
            f"a fine-tuned classifier is needed. Received: {path}, which holds a {type(model).__name__} without one."
        )
    if model.tokenizer is None:
        raise UserError(f"a tokenizer is needed beside the weights. Received: {path}, which has none.")
    return model


def label_names(model) -> tuple[str, ...] | None:
    """The names of the model's classes; `None` for a regression."""
    if model.regression:
        return None
    names = model.checkpoint["hf_config"].get("id2label") or {}
    return tuple(names.get(str(number), f"LABEL_{number}") for number in range(model.num_labels))


def check_labels(model, task) -> None:
    """Refuses a model whose classes are the task's in another order: its score would be wrong without a sign of it."""
    names = label_names(model)
    if names is None or task.labels is None or names == tuple(task.labels):
        return
    if sorted(map(str.lower, names)) == sorted(map(str.lower, task.labels)) and [n.lower() for n in names] != [
        n.lower() for n in task.labels
    ]:
        raise UserError(
            f"{task.name} numbers its classes {', '.join(task.labels)}. "
            f"Received: a model that numbers them {', '.join(names)}. "
            "Put the names in config.json's id2label, and the rows of the classifier, in the task's order."
        )
