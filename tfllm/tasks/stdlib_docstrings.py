"""`stdlib/docstrings`: does a docstring's first sentence belong to the code beside it? It needs no download.

See `tfllm.data.stdlib_docstrings` for how the examples are made.
"""

from __future__ import annotations

from tfllm.data.stdlib_docstrings import FUNCTIONS, LABELS, read_stdlib_docstrings
from tfllm.tasks.baselines import WordOverlap, majority
from tfllm.tasks.registry import register
from tfllm.tasks.task import Task


@register("stdlib/docstrings")
def stdlib_docstrings() -> Task:
    """The task. It has no options: its data are the source files of the Python that is running."""

    def baseline(split: str) -> dict:
        train, examples = task.examples("train"), task.examples(split)
        method = WordOverlap.fit(train)
        return {
            **task.score(method.predict(examples), examples.labels),
            "split": split,
            "name": "word overlap",
            "threshold": method.threshold,
            "majority": task.score(majority(train, examples), examples.labels, confidence_interval=False),
        }

    task = Task(
        name="stdlib/docstrings",
        kind="classification",
        text_fields=("docstring", "code"),
        read=read_stdlib_docstrings,
        metrics=("accuracy",),
        main_metric="accuracy",
        labels=LABELS,
        version=1,
        splits={split: f"modules of Python's standard library, {size} functions" for split, size in FUNCTIONS.items()},
        sizes={split: 2 * size for split, size in FUNCTIONS.items()},
        licence="PSF-2.0",
        source_url="https://github.com/python/cpython/tree/main/Lib",
        description="Does a docstring's first sentence belong to the code? (the running Python's standard library)",
        citation="After WebQueryTest of Lu et al. 2021, CodeXGLUE, arXiv:2102.04664",
        baseline=baseline,
    )
    return task
