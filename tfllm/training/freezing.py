"""Freezing weights by a pattern over their paths."""

from __future__ import annotations

import difflib
import re

import keras

from tfllm.errors import UserError


def freeze(model: keras.Model, pattern: str) -> list[str]:
    """Takes the weights whose path matches out of training: no gradient, no optimizer state, no weight decay.

    Before or after `compile()`, but before the first training step: an optimizer is made for the weights that are trained then.

    Args:
        model: a tfllm model; changed in place.
        pattern: a regular expression that is searched for in the paths below the model (`model.named_weights()`), such as
            `"^embedding/|block_[0-3]/"`.

    Returns:
        The paths of the weights that are frozen now and were not before.

    Raises:
        UserError: the pattern is not a regular expression, matches nothing, or leaves nothing to train.

    Example:
        >>> config = tfllm.TransformerConfig(vocab_size=9, hidden_size=8, num_layers=2, num_heads=2, intermediate_size=8)
        >>> model = tfllm.models.SequenceClassifier(config)
        >>> freeze(model, r"^embedding/(token|position)")
        ['embedding/position/embeddings', 'embedding/token/embeddings']
    """
    weights = named(model)
    matching = matches(pattern, list(weights), "freeze")
    changed = sorted(path for path in matching if weights[path].trainable)
    if not any(weight.trainable for path, weight in weights.items() if path not in set(matching)):
        raise UserError(
            f"freeze must leave something to train. Received: {pattern!r}, which matches every weight that is."
        )
    for path in changed:
        weights[path].trainable = False
    return changed


def named(model: keras.Model) -> dict[str, keras.Variable]:
    """Weights by their path below the model, of any Keras model."""
    own = getattr(model, "named_weights", None)
    return own() if own is not None else {weight.path: weight for weight in model.weights}


def matches(pattern: str, paths: list[str], option: str) -> list[str]:
    """The paths in which a pattern is found.

    Raises:
        UserError: it is no regular expression, or is found in none: the message lists paths like it.
    """
    try:
        found = [path for path in paths if re.search(pattern, path)]
    except re.error as error:
        raise UserError(f"{option} must be a regular expression ({error}). Received: {pattern!r}.") from None
    if not found:
        plain = re.sub(r"[\\^$()\[\]{}?*+|]", "", pattern)
        close = difflib.get_close_matches(plain, paths, n=4, cutoff=0.3) or paths[:4]
        raise UserError(f"{option} must match some path. Received: {pattern!r}. There are: {', '.join(close)} ...")
    return found
