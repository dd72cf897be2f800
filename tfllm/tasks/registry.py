"""Tasks by name."""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
from collections.abc import Callable

from tfllm.errors import UserError
from tfllm.tasks.task import Task

TaskFactory = Callable[..., Task]

# Modules that register the tasks which come with tfllm, imported when a task is first asked for.
_BUILT_IN = (
    "tfllm.tasks.glue",
    "tfllm.tasks.superglue",
    "tfllm.tasks.squad",
    "tfllm.tasks.stdlib_docstrings",
    "tfllm.tasks.translation",
    "tfllm.tasks.wmt",
    "tfllm.tasks.codexglue",
    "tfllm.tasks.language_modelling",
    "tfllm.tasks.lambada",
    "tfllm.tasks.blimp",
    "tfllm.tasks.crows_pairs",
    "tfllm.tasks.stereoset",
    "tfllm.tasks.winobias",
    "tfllm.tasks.winogender",
    "tfllm.tasks.bbq",
)

_FACTORIES: dict[str, TaskFactory] = {}


def register(name: str, factory: TaskFactory | None = None) -> Callable:
    """Registers a task, as a call or as a decorator.

    Args:
        name: what `get` will know it by, for example `"mine/reviews"`.
        factory: `factory(data_dir=None, **options) -> Task`. It must be cheap: `tfllm tasks` calls them all. Data are
            read later, by the task's `read`. What it takes besides `data_dir` are the task's options.

    Returns:
        The factory (or the decorator, without one).

    Raises:
        UserError: the name is taken by another factory.

    Example:
        >>> @register("mine/reviews")  # doctest: +SKIP
        ... def reviews(data_dir=None):
        ...     return from_files(train=f"{data_dir}/train.csv", text="review", label="stars", labels=("1", "2", "3"))
    """
    if factory is None:
        return lambda decorated: register(name, decorated)
    if _FACTORIES.get(name, factory) is not factory:
        raise UserError(f"A task is already called {name!r}. Register yours under another name.")
    _FACTORIES[name] = factory
    return factory


def names() -> list[str]:
    """The names of all tasks, sorted."""
    for module in _BUILT_IN:
        importlib.import_module(module)
    return sorted(_FACTORIES)


def _some(known: list[str]) -> str:
    """The first task of each suite."""
    return ", ".join({name.split("/")[0]: name for name in reversed(known)}[suite] for suite in
                     dict.fromkeys(name.split("/")[0] for name in known))  # fmt: skip


def get(name: str, data_dir: str | os.PathLike | None = None, **options) -> Task:
    """The task of that name. No data are read yet.

    Args:
        name: one of `names()`.
        data_dir: where its data are. For GLUE, SuperGLUE and SQuAD: a directory of the original files (with `SST-2/`,
            `CoLA/`, ... in it, or one of these), or a TFDS data directory; default: TFDS' own.
        **options: the task's own options. For these: `source` and `files`; see `tfllm.tasks.glue` and `tfllm.tasks.squad`.

    Raises:
        UserError: no such task (the nearest names are said), or an option that it does not take.

    Example:
        >>> get("glue/stsb").metrics
        ('pearson', 'spearman')
    """
    known = names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        raise UserError(
            f"There is no task {name!r}: "
            + (f"did you mean {near[0]}?" if near else f"`tfllm tasks` lists them, among others {_some(known)}.")
        )
    factory = _FACTORIES[name]
    parameters = inspect.signature(factory).parameters.values()
    if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        allowed = [p.name for p in parameters]
        for option in options:
            if option not in allowed:
                raise UserError(f"{name} has no option {option!r}. Its options are: {', '.join(allowed)}.")
        if data_dir is not None and "data_dir" not in allowed:
            raise UserError(f"{name} takes no data_dir. Received: {os.fspath(data_dir)}.")
    if data_dir is not None:
        options["data_dir"] = data_dir
    return factory(**options)
