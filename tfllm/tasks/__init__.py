"""Benchmark tasks: a source, the meaning of its labels, the official metrics, and the form of the submission.

task = tfllm.tasks.get("glue/mrpc", data_dir="glue_data")
model.fit(task.batches("train", model.tokenizer, batch_size=16), epochs=3)
task.evaluate(model, "validation")
"""

from __future__ import annotations

from tfllm.tasks.custom import from_files, from_memory
from tfllm.tasks.custom_kinds import from_parallel, from_references
from tfllm.tasks.problems import Problem
from tfllm.tasks.registry import get, names, register
from tfllm.tasks.submission import write_submission
from tfllm.tasks.submission_check import validate_submission
from tfllm.tasks.submission_file import JsonlFile, SubmissionFile, TsvFile
from tfllm.tasks.task import Task

__all__ = [
    "JsonlFile",
    "Problem",
    "SubmissionFile",
    "Task",
    "TsvFile",
    "from_files",
    "from_memory",
    "from_parallel",
    "from_references",
    "get",
    "names",
    "register",
    "validate_submission",
    "write_submission",
]
