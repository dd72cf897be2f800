"""Prediction files of others, to be scored: what is common to reading them.

`SubmissionFile.read` is the other way of `SubmissionFile.content`: it reads back what that writes, and what the benchmarks'
official scorers take.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfllm.errors import DataError

if TYPE_CHECKING:
    from tfllm.tasks.task import Task

_SHOWN = 60  # characters of what was received


@dataclass(frozen=True)
class GivenPredictions:
    """What a prediction file says.

    Attributes:
        outputs: as `Task.predict` gives them: what `Task.score_split` takes.
        notes: sentences for the user: what of the file was not used, what was missing and how that counts.
    """

    outputs: Any
    notes: tuple[str, ...] = ()


class ById:
    """Values by the ids that a file gives them.

    Args:
        path: the file.

    Example:
        >>> found = ById("CoLA.tsv")
        >>> found.add(2, "0", 1)
        >>> found.of(["0"])
        ([1], ())
    """

    def __init__(self, path: str | os.PathLike):
        self.path = path
        self._values: dict[str, Any] = {}

    def add(self, line: int | None, id_: str, value: Any, repeatable: bool = False) -> None:
        """Keeps a value.

        Args:
            line: where it stands.
            id_: whose it is.
            value: what is predicted.
            repeatable: the same may be said again.

        Raises:
            DataError: there is one of that id already.
        """
        if id_ in self._values and not (repeatable and self._values[id_] == value):
            raise DataError(self.path, line, f"a second prediction for {id_!r}. Expected one for each example.")
        self._values[id_] = value

    def of(self, ids: Sequence[str]) -> tuple[list, tuple[str, ...]]:
        """The values in the order of these ids, and notes. A file that numbers N examples from 0 is taken in their order.

        Raises:
            DataError: an id without a value, or a value of an id that there is not.
        """
        known, notes = set(ids), ()
        missing, unknown = [i for i in ids if i not in self._values], [i for i in self._values if i not in known]
        if missing and unknown and set(self._values) == {str(number) for number in range(len(ids))}:
            notes = (
                f"{os.fspath(self.path)} numbers its {len(ids)} predictions from 0: they were taken in this order",
            )
            return [self._values[str(number)] for number in range(len(ids))], notes
        if missing or unknown:
            what = [f"none for {len(missing)} of them, such as {missing[0]!r}"] if missing else []
            what += [f"{len(unknown)} of examples that there are not, such as {unknown[0]!r}"] if unknown else []
            raise DataError(
                self.path,
                None,
                f"expected a prediction for each of the {len(ids)} examples, by their ids (the first is {ids[0]!r}). "
                f"Received: {len(self._values)} predictions, {'; '.join(what)}. Are they of this split?",
            )
        return [self._values[id_] for id_ in ids], notes


def class_number(path, line: int | None, value, forms: Mapping[str, int]) -> int:
    """The class that a file names.

    Args:
        path, line: for messages.
        value: text, number, or true and false.
        forms: see `class_forms`.

    Raises:
        DataError: it names none.
    """
    text = str(value).strip().lower()
    if text not in forms:
        raise DataError(
            path, line, f"expected one of {', '.join(forms)}. Received: {str(value)[:_SHOWN]!r} as a prediction."
        )
    return forms[text]


def class_forms(task: Task, values: Sequence | None) -> dict[str, int]:
    """How a file may name a task's classes, in lower case: by their names, and as the benchmark writes them.

    Example:
        >>> import tfllm
        >>> class_forms(tfllm.tasks.get("glue/cola"), ("0", "1"))
        {'unacceptable': 0, 'acceptable': 1, '0': 0, '1': 1}
    """
    names = [*enumerate(task.labels), *enumerate(values or ())]
    if [label.lower() for label in task.labels] == ["false", "true"]:
        names += [(0, "0"), (1, "1")]
    return {str(name).lower(): number for number, name in names}


def one_hot(task: Task, classes: Sequence[int]) -> np.ndarray:
    """Classes as outputs `(N, C)`: 1 for the one that was predicted."""
    return np.eye(len(task.labels))[np.asarray(classes, np.int64)]


def number_of(path, line: int | None, value) -> float:
    """A predicted number.

    Raises:
        DataError: it is none, or not finite.
    """
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise DataError(path, line, f"expected a number as prediction. Received: {str(value)[:_SHOWN]!r}.")
    return found
