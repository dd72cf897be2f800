"""Suites: benchmarks of several tasks, and the one figure that they are summed up by.

GLUE's and SuperGLUE's score is the mean over their tasks of the mean of a task's metrics (Wang et al. 2019, GLUE, ICLR; Wang et al.
2019, SuperGLUE, NeurIPS). GLUE's MNLI counts once, as the mean of its matched and its mismatched split. The diagnostic sets (AX; AX-b and AX-g) are not part of it. CodeXGLUE, SQuAD, the bias sets and language modelling
have no official average.

The leaderboards compute it on the hidden test sets, in percent; here it is on labelled splits, as a fraction.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tfllm.errors import UserError
from tfllm.tasks.task import Task

# The scores of a task: split to what `Task.evaluate` gives.
SplitScores = Mapping[str, Mapping]


@dataclass(frozen=True)
class Suite:
    """A benchmark of several tasks.

    Attributes:
        name: for example `"superglue"`.
        tasks: names of its tasks, as `tfllm.tasks.get` knows them.
        averaged: whether it has an official average.

    Example:
        >>> len(suite("superglue").tasks)
        8
    """

    name: str
    tasks: tuple[str, ...]
    averaged: bool = False

    def short(self, task: str) -> str:
        """The name of a task within the suite, fit for a file.

        Example:
            >>> suite("superglue").short("superglue/rte"), suite("bias").short("winobias/type1")
            ('rte', 'winobias-type1')
        """
        return task.removeprefix(f"{self.name}/").replace("/", "-")

    def chosen(self, only: Sequence[str] = ()) -> tuple[str, ...]:
        """Those of the tasks that are named, in the suite's order; without names all.

        Args:
            only: names, whole or as `short` gives them.

        Raises:
            UserError: a name that is not one of the suite's.

        Example:
            >>> suite("superglue").chosen(["wsc", "superglue/rte"])
            ('superglue/rte', 'superglue/wsc')
        """
        known = {self.short(task): task for task in self.tasks} | {task: task for task in self.tasks}
        for name in only:
            if name not in known:
                names = ", ".join(map(self.short, self.tasks))
                raise UserError(f"{self.name} has no task {name!r}. Its tasks are: {names}.")
        wanted = {known[name] for name in only}
        return tuple(task for task in self.tasks if not only or task in wanted)


def _below(suite: str, names: str) -> tuple[str, ...]:
    return tuple(f"{suite}/{name}" for name in names.split())


_LANGUAGES = ("go", "java", "javascript", "php", "python", "ruby")
_DOCUMENTATION = ("da_en", "lv_en", "no_en", "zh_en", "en_da", "en_lv", "en_no", "en_zh")

SUITES: dict[str, Suite] = {
    one.name: one
    for one in (
        Suite("glue", _below("glue", "cola sst2 mrpc stsb qqp mnli qnli rte wnli"), averaged=True),
        Suite("superglue", _below("superglue", "boolq cb copa multirc record rte wic wsc"), averaged=True),
        Suite("squad", _below("squad", "v1.1 v2.0")),
        Suite(
            "codexglue",
            (
                *_below("codexglue", "bigclonebench poj104 devign"),
                *(f"codexglue/cloze_{kind}_{language}" for kind in ("all", "maxmin") for language in _LANGUAGES),
                *_below("codexglue", "completion_token_py150 completion_token_javacorpus"),
                *_below("codexglue", "completion_line_py150 completion_line_javacorpus"),
                *_below("codexglue", "refinement_small refinement_medium translation_java_cs translation_cs_java"),
                *_below("codexglue", "advtest webquery concode"),
                *(f"codexglue/summarization_{language}" for language in _LANGUAGES),
                *(f"codexglue/documentation_{pair}" for pair in _DOCUMENTATION),
            ),
        ),
        Suite(
            "bias",
            (
                "crows_pairs",
                *_below("stereoset", "intrasentence intersentence"),
                *_below("winobias", "type1 type2"),
                "winogender",
                "bbq",
            ),
        ),
        Suite("lm", ("lm/wikitext-2", "lm/wikitext-103", "lambada/openai", "lambada/standard", "blimp")),
    )
}


def suite(name: str) -> Suite:
    """The suite of that name.

    Raises:
        UserError: no such suite.

    Example:
        >>> suite("glue").averaged
        True
    """
    if name not in SUITES:
        near = difflib.get_close_matches(name, SUITES, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise UserError(f"There is no suite {name!r}.{hint} The suites are: {', '.join(SUITES)}.")
    return SUITES[name]


def scored_splits(task: Task) -> list[str]:
    """The splits that a suite scores a task on: those called `validation...`; of a task without one, `test`.

    Example:
        >>> from tfllm import tasks
        >>> scored_splits(tasks.get("glue/mnli"))
        ['validation_matched', 'validation_mismatched']
    """
    validation = [name for name in task.splits if name.split("_")[0] == "validation"]
    return validation or [name for name in task.splits if name == "test"]


def task_score(metrics: Sequence[str], scores: SplitScores) -> float | None:
    """What a task adds to the average: the mean over its splits of the mean of its official metrics; `None` where one is missing.

    Args:
        metrics: names of the official metrics.
        scores: by split.

    Example:
        >>> task_score(["accuracy", "macro_f1"], {"validation": {"accuracy": 0.5, "macro_f1": 0.25, "n": 8}})
        0.375
    """
    values = [[values.get(name) for name in metrics] for values in scores.values()]
    if not values or any(value is None or math.isnan(value) for row in values for value in row):
        return None
    return sum(sum(row) / len(row) for row in values) / len(values)


@dataclass(frozen=True)
class Average:
    """A suite's average.

    Attributes:
        value: `None` where there is none.
        reason: why there is none.
        ci95: its 95 % interval.
    """

    value: float | None
    reason: str | None = None
    ci95: tuple[float, float] | None = None


CI_METHOD = (
    "half-widths of the tasks' intervals, a task's own averaged (as if wholly correlated), those of tasks added in squares "
    "(as independent)"
)


def average(suite: Suite, scores: Mapping[str, SplitScores], metrics: Mapping[str, Sequence[str]]) -> Average:
    """The official average, if every task of the suite has its scores.

    Args:
        suite: the suite.
        scores: by task and split; a split's with `"ci95"` (metric to low and high, or `None`) for an interval.
        metrics: each task's official metrics.

    Example:
        >>> pair = Suite("pair", ("pair/a", "pair/b"), averaged=True)
        >>> scores = {"pair/a": {"validation": {"accuracy": 0.5}}, "pair/b": {"validation": {"f1": 0.5, "accuracy": 1.0}}}
        >>> average(pair, scores, {"pair/a": ["accuracy"], "pair/b": ["f1", "accuracy"]}).value
        0.625
        >>> average(pair, {}, {}).reason
        'no scores of a, b'
    """
    if not suite.averaged:
        return Average(None, f"{suite.name} has no official average")
    values = {task: task_score(metrics[task], scores[task]) for task in suite.tasks if task in scores}
    missing = [suite.short(task) for task in suite.tasks if values.get(task) is None]
    if missing:
        return Average(None, f"no scores of {', '.join(missing)}")
    value = sum(values.values()) / len(values)
    widths = [_half_width(metrics[task], scores[task]) for task in suite.tasks]
    if any(width is None for width in widths):
        return Average(value)
    half = math.sqrt(sum(width**2 for width in widths)) / len(widths)
    return Average(value, ci95=(value - half, value + half))


def averages_over_seeds(
    suite: Suite, scores: Mapping[str, SplitScores], metrics: Mapping[str, Sequence[str]]
) -> list[float] | None:
    """The average of each seed, where every task of the suite was run with the same number of them, more than one, and has a score.

    Args:
        suite: the suite.
        scores: by task and split; a split's with `"values"` (metric to its value for each seed).
        metrics: each task's official metrics.

    Example:
        >>> one = {"pair/a": {"validation": {"values": {"f1": [0.5, 0.25]}}}}
        >>> averages_over_seeds(Suite("one", ("pair/a",), averaged=True), one, {"pair/a": ["f1"]})
        [0.5, 0.25]
    """
    if not suite.averaged or set(suite.tasks) - set(scores):
        return None
    values = {
        task: [[split.get("values", {}).get(name, ()) for name in metrics[task]] for split in scores[task].values()]
        for task in suite.tasks
    }
    counts = {len(some) for task in values.values() for split in task for some in split}
    if len(counts) != 1 or min(counts) < 2:
        return None
    one_by_one = [
        [
            task_score(metrics[task], {str(n): dict(zip(metrics[task], (some[seed] for some in split)))
                                       for n, split in enumerate(values[task])})
            for task in suite.tasks
        ]
        for seed in range(counts.pop())
    ]  # fmt: skip
    if any(score is None for of_tasks in one_by_one for score in of_tasks):
        return None
    return [sum(of_tasks) / len(of_tasks) for of_tasks in one_by_one]


def _half_width(metrics: Sequence[str], scores: SplitScores) -> float | None:
    intervals = [(split.get("ci95") or {}).get(name) for split in scores.values() for name in metrics]
    ends = [end for interval in intervals for end in interval or (None,)]
    if any(end is None or math.isnan(end) for end in ends):  # null in a file of results: it was not defined
        return None
    return sum((high - low) / 2 for low, high in intervals) / len(intervals)
