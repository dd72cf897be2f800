"""Where a benchmark's files are: the options `data_dir`, `source` and `files` that its tasks have in common."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from tfllm.errors import DataError, UserError


def pick_source(
    name: str,
    data_dir: str | os.PathLike | None,
    source: str,
    files: Mapping[str, str] | None,
    splits: Iterable[str],
    folder: str,
    prepared: str,
) -> tuple[str | None, str]:
    """Checks a task's options, and picks files or TFDS.

    Args:
        name: of the task.
        data_dir, source, files: its options; see `tfllm.tasks.glue`.
        splits: those that the task has.
        folder: its directory in the benchmark's download.
        prepared: the directory of its builder below a TFDS data directory.

    Returns:
        `(data_dir, "files" or "tfds")`.

    Raises:
        UserError: options that contradict each other.
    """
    if source not in ("auto", "files", "tfds"):
        raise UserError(f"{name}: source must be auto, files or tfds. Received: {source!r}.")
    for split in files or ():
        if split not in splits:
            raise UserError(f"{name}: files= names the split {split!r}. Its splits are: {', '.join(splits)}.")
    if (source == "files" or files) and data_dir is None:
        raise UserError(f"{name}: source='files' and files= need data_dir=, a directory with {folder}/.")
    if source == "tfds" and files:
        raise UserError(f"{name}: files= is for the original files. Received it with source='tfds'.")
    data_dir = None if data_dir is None else os.path.expanduser(os.fspath(data_dir))
    if source == "auto":
        is_tfds = data_dir is None or (not files and os.path.isdir(os.path.join(data_dir, prepared)))
        source = "tfds" if is_tfds else "files"
    return data_dir, source


def find_file(
    benchmark: str,
    name: str,
    data_dir: str,
    folders: Sequence[str],
    names: Sequence[str],
    given: str | None,
    split: str,
    others: Mapping[str, Sequence[str]],
) -> str:
    """The file of a split, in the task's directory below `data_dir` or in `data_dir` itself; or compressed, with `.gz` behind.

    Args:
        benchmark: its name, for people.
        name: of the task.
        data_dir: where to look.
        folders: what the task's directory may be called, the usual name first.
        names: what the file may be called.
        given: the name or path that the user gave in place of these.
        split: of the task.
        others: the directories of all tasks of the benchmark. Their files have the same names, and sometimes the same
            columns: another task's directory is not taken for ours.

    Raises:
        DataError: no such directory or file; where it was looked for is said.
    """
    if not os.path.isdir(data_dir):
        raise DataError(
            data_dir, None, f"there is no such directory. Expected {benchmark}'s files, in {folders[0]}/ for {name}."
        )
    directories = [os.path.join(data_dir, folder) for folder in folders]
    here = os.path.basename(os.path.abspath(data_dir))
    if here not in {folder for group in others.values() for folder in group} - set(folders):
        directories.append(data_dir)
    candidates = [os.path.join(directory, file) for directory in directories for file in ((given,) if given else names)]
    for path in candidates:
        for file in (path, f"{path}.gz"):
            if os.path.isfile(file):
                return file
    looked = ", ".join(os.path.relpath(path, data_dir) for path in candidates)
    raise DataError(data_dir, None, f"no file for the {split} split of {name}. Looked for: {looked} (or .gz).")
