"""How a run's model was taught to write texts: its prompt, and what its texts were scored with."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

# Options of a run, and of tasks of texts.
_OPTIONS = {"prompt": "prompt", "max_target_length": "max_target", "num_beams": "num_beams", "language": "language"}


def with_trained_options(task, model_path: str, data_dir: str | None, given: Mapping[str, Any]):
    """The task with the options that a run was trained with, where they are not given; says on stderr which those are.

    Args:
        task: made with the options that are given; one without texts to be written is returned as it is.
        model_path: directory of a run, or of the model in it. Any other has nothing to tell.
        data_dir: of the task.
        given: options of `tfllm.tasks.get`.
    """
    from tfllm import tasks
    from tfllm.tasks.text_kind import GeneratedTextKind

    found = run_config(model_path) if isinstance(task.strategy, GeneratedTextKind) else None
    if found is None:
        return task
    path, config = found
    known = {
        flag: config[flag] for flag, name in _OPTIONS.items() if config.get(flag) is not None and name not in given
    }
    if not known:
        return task
    told = ", ".join(f"{flag}={value!r}" for flag, value in known.items())
    if config["task"] != task.name:
        print(
            f"{path}: trained for {config['task'] or 'other texts'} with {told}, which {task.name} is not given: "
            "use the flags of these names if it should be.",
            file=sys.stderr,
        )
        return task
    print(f"{path}: {task.name} is written as it was trained, with {told}.", file=sys.stderr)
    trained = {_OPTIONS[flag]: value for flag, value in known.items()}
    return tasks.get(task.name, data_dir=data_dir, **given, **trained)


def run_config(model_path: str) -> tuple[str, dict] | None:
    """The file and the content of a run's `config.json`: in this directory, or beside it; `None` where there is no run."""
    path = os.path.abspath(model_path) if model_path else ""
    for folder in (path, os.path.dirname(path)):
        file = os.path.join(folder, "config.json")
        if not os.path.isfile(os.path.join(folder, "results.json")) or not os.path.isfile(file):
            continue
        try:
            with open(file, encoding="utf-8") as opened:
                config = json.load(opened)
        except ValueError:  # no run of ours
            continue
        if isinstance(config, dict) and {"task", "run_dir", *_OPTIONS} <= set(config):
            return os.path.join(os.path.relpath(folder), "config.json"), config
    return None
