"""Entity scores of tagged sentences, by the rules of conlleval (Tjong Kim Sang and Buchholz 2000), as seqeval computes them.

Tags are `O`, or a place and a type: `B-PER`, `I-PER`, and also `E-` (end) and `S-` (single). An entity is right where its type
and both of its ends are. Where tags contradict each other (`O I-PER`), an entity begins at the first tag of its type.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfllm.errors import UserError

_PLACES = ("B", "I", "E", "S")


def entities(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """The entities of a sentence: type, first token, last token.

    Example:
        >>> entities(["B-PER", "I-PER", "O", "I-LOC"])
        [('PER', 0, 1), ('LOC', 3, 3)]
    """
    found, begin = [], None
    place, kind = "O", ""
    for number, tag in enumerate([*tags, "O"]):
        next_place, next_kind = _parts(tag)
        if begin is not None and _ends(place, next_place, kind, next_kind):
            found.append((kind, begin, number - 1))
            begin = None
        if _starts(place, next_place, kind, next_kind):
            begin = number
        place, kind = next_place, next_kind
    return found


def tag_sums(predicted: Sequence[str], true: Sequence[str]) -> list[int]:
    """What a sentence adds to the scores: entities right, predicted and true; tokens right, and tokens.

    Raises:
        UserError: not a tag for each token.
    """
    if len(predicted) != len(true):
        raise UserError(f"Expected a tag for each of the {len(true)} tokens. Received: {len(predicted)}.")
    guessed, real = set(entities(predicted)), set(entities(true))
    return [len(guessed & real), len(guessed), len(real), sum(p == t for p, t in zip(predicted, true)), len(true)]


def entity_precision(sums: np.ndarray) -> np.ndarray:
    """Share of the predicted entities that are right, of sums `(..., 5)`; 0 where none were predicted."""
    return _ratio(sums[..., 0], sums[..., 1])


def entity_recall(sums: np.ndarray) -> np.ndarray:
    """Share of the true entities that were found; 0 where there are none."""
    return _ratio(sums[..., 0], sums[..., 2])


def entity_f1(sums: np.ndarray) -> np.ndarray:
    """Harmonic mean of both, over all entities of all types."""
    return _ratio(2 * sums[..., 0], sums[..., 1] + sums[..., 2])


def tag_accuracy(sums: np.ndarray) -> np.ndarray:
    """Share of the tokens with the right tag."""
    return _ratio(sums[..., 3], sums[..., 4])


SCORES = {
    "entity_f1": entity_f1,
    "entity_precision": entity_precision,
    "entity_recall": entity_recall,
    "token_accuracy": tag_accuracy,
}


def has_entities(tags: Sequence[str]) -> bool:
    """Whether these are tags of entities, and not, say, parts of speech."""
    others = [tag for tag in tags if tag != "O"]
    return bool(others) and all(tag in _PLACES or tag.split("-")[0] in _PLACES and "-" in tag for tag in others)


def _parts(tag: str) -> tuple[str, str]:
    place, _, kind = tag.partition("-")
    return (place, kind) if place in (*_PLACES, "O") else ("I", tag)


def _ends(place: str, following: str, kind: str, next_kind: str) -> bool:
    """Whether an entity ends between two tags."""
    if place in ("E", "S"):
        return True
    return place in ("B", "I") and (following in ("B", "S", "O") or kind != next_kind)


def _starts(place: str, following: str, kind: str, next_kind: str) -> bool:
    """Whether an entity begins at the second of two tags."""
    if following in ("B", "S"):
        return True
    return following in ("I", "E") and (place in ("E", "S", "O") or kind != next_kind)


def _ratio(numerator, denominator) -> np.ndarray:
    numerator, denominator = np.asarray(numerator, float), np.asarray(denominator, float)
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
