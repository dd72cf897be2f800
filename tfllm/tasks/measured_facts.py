"""What can be counted in a task's data: classes, and lengths in tokens or words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tfllm.errors import UserError

if TYPE_CHECKING:
    from tfllm.tasks.task import Task
    from tfllm.text import Tokenizer

_LIMITS = (128, 256, 512)  # lengths that examples are often cut to
_CHUNK = 10_000  # examples tokenized at a time


def measured_facts(task: Task, split: str, lengths: np.ndarray) -> dict:
    """Counts a split.

    Args:
        task: with its data.
        split: name of the split.
        lengths: of its examples, `(N,)`, as `example_lengths` gives them.

    Returns:
        `{"examples": N, "skipped": rows left out, "notes": sentences of the reader,
        "classes": {label: number} or None, "majority": share of the largest class or None,
        "labels": {"mean", "sd", "min", "max"} of real numbers or None,
        "lengths": {"min", "median", "mean", "p95", "p99", "max"}, "longer": {128: share, ...}}`.

    Example:
        >>> import tfllm
        >>> task = tfllm.tasks.from_memory({"text": ["a b", "c"], "label": ["x", "y"]})
        >>> facts = measured_facts(task, "train", example_lengths(task, "train"))
        >>> facts["classes"], facts["lengths"]["max"]
        ({'x': 1, 'y': 1}, 2)
    """
    examples = task.examples(split)
    p50, p95, p99 = np.percentile(lengths, (50, 95, 99)).tolist()
    return {
        "examples": len(examples),
        "skipped": examples.report.skipped,
        "notes": list(examples.report.notes),
        **_labels(examples.labels, task.labels or examples.label_names),
        "lengths": {
            "min": int(lengths.min()),
            "median": p50,
            "mean": float(lengths.mean()),
            "p95": p95,
            "p99": p99,
            "max": int(lengths.max()),
        },
        "longer": {limit: float(np.mean(lengths > limit)) for limit in _LIMITS},
    }


def example_lengths(task: Task, split: str, tokenizer: Tokenizer | None = None) -> np.ndarray:
    """The length of each example of a split: of all its texts, and of a tokenizer's special tokens. Nothing is cut.

    Args:
        task: with its data.
        split: name of the split.
        tokenizer: counts its tokens; default: words, cut at white space.

    Returns:
        int64 `(N,)`.

    Raises:
        UserError: the split has no examples.
    """
    examples = task.examples(split)
    if not len(examples):
        raise UserError(f"{task.name}: the split {split!r} has no examples.")
    if tokenizer is None:
        return np.array([sum(len(text.split()) for text in texts) for texts in zip(*examples.texts)], np.int64)
    first, second = examples.texts[0], examples.texts[1] if len(examples.texts) > 1 else None
    found = [
        tokenizer.encode_batch(first[i : i + _CHUNK], None if second is None else second[i : i + _CHUNK]).lengths
        for i in range(0, len(first), _CHUNK)
    ]
    return np.concatenate(found).astype(np.int64)


def _labels(labels: np.ndarray | None, names: tuple[str, ...] | None) -> dict:
    classes = majority = numbers = None
    if labels is not None and labels.dtype.kind == "i":
        counts = np.bincount(labels, minlength=len(names or ()))
        shown = [names[i] if names and i < len(names) else str(i) for i in range(len(counts))]
        classes, majority = dict(zip(shown, counts.tolist())), float(counts.max() / counts.sum())
    elif labels is not None:
        values = labels.astype(float)
        numbers = {"mean": values.mean(), "sd": values.std(), "min": values.min(), "max": values.max()}
        numbers = {name: float(value) for name, value in numbers.items()}
    return {"classes": classes, "majority": majority, "labels": numbers}
